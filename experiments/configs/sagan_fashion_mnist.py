"""SAGAN, class-conditional residual networks with self-attention, on Fashion-MNIST at 32×32 pixels.

    python -m experiments.run --config=sagan_fashion_mnist.py

This config takes about 14 minutes on 2 cores, by the time of its first 110 steps, once TFDS has prepared
the dataset (half a minute). Expect clothes of the classes that were asked for; the config has not been run
to its end yet.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist


def get_config() -> ConfigDict:
    """Returns the losses and rates of Zhang et al., with networks that are small enough for a CPU.

    Hinge loss, a projection critic, spectral normalisation in both players, and Adam with β1 0, β2 0.9 and
    learning rates of 1e-4 for the generator and 4e-4 for the critic.
    """
    config = dcgan_mnist.get_config()
    config.num_steps = 2200
    config.gan = {"name": "conditional", "loss": "hinge"}
    config.data.update({"name": "tfds/fashion_mnist", "split": "train", "size": 32})
    config.latent.dim = 128
    network = {"family": "conditional_resnet", "width": 32, "pyramid": False, "attention": (16,)}
    config.models = {"generator": {**network, "spectral": True}, "critic": network}
    for player, rate in (("generator", 1e-4), ("critic", 4e-4)):
        config.optimizers[player].update({"learning_rate": rate, "b1": 0.0, "b2": 0.9})
    return config
