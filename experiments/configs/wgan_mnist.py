"""WGAN with weight clipping on the embedded digits.

    python -m experiments.run --config=wgan_mnist.py

It takes 2 min 18 s on 2 cores. Expect rougher digits than dcgan_mnist.py draws, some with specks around
them: clipping is the slow way to a Lipschitz critic, see wgan_gp_mnist.py for the other.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist


def get_config() -> ConfigDict:
    """The paper's clipping at 0.01, five critic updates and RMSprop; a higher learning rate."""
    config = dcgan_mnist.get_config()
    config.num_steps = 1000
    config.gan.loss = "wasserstein"
    config.n_critic = 5
    config.optimizers = {
        "generator": {"name": "rmsprop", "learning_rate": 5e-4, "decay": 0.99},
        "critic": {"name": "rmsprop", "learning_rate": 5e-4, "decay": 0.99, "clip": 0.01},
    }
    return config
