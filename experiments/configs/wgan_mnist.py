"""WGAN with weight clipping on the embedded digits.

    python -m experiments.run --config=wgan_mnist.py

This config takes 2 min 18 s on 2 cores. Expect rougher digits than those of ``dcgan_mnist.py``, some with
specks around them. Weight clipping makes the critic Lipschitz slowly; ``wgan_gp_mnist.py`` uses a gradient
penalty instead.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist


def get_config() -> ConfigDict:
    """Returns a config with clipping at 0.01, five critic updates and RMSprop, as in the paper.

    The learning rate is higher than the paper's.
    """
    config = dcgan_mnist.get_config()
    config.num_steps = 1000
    config.gan.loss = "wasserstein"
    config.n_critic = 5
    config.optimizers = {
        "generator": {"name": "rmsprop", "learning_rate": 5e-4, "decay": 0.99},
        "critic": {"name": "rmsprop", "learning_rate": 5e-4, "decay": 0.99, "clip": 0.01},
    }
    return config
