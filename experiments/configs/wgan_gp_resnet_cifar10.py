"""WGAN-GP with residual networks on 32×32 images of CIFAR-10, through TensorFlow Datasets.

    python -m experiments.run --config=wgan_gp_resnet_cifar10.py
    python -m experiments.run --config=wgan_gp_resnet_cifar10.py:conditional

This config is meant for a GPU or TPU: one of its 100,000 steps takes about 6 s on 2 cores. Expect objects
of CIFAR-10's classes from a run on an accelerator, of the requested classes with the argument; no such run
has been made yet.
"""

from ml_collections import ConfigDict

from experiments.configs import wgan_gp_resnet_fashion_mnist


def get_config(labels: str = "unconditional") -> ConfigDict:
    """Returns the settings of WGAN-GP's program for CIFAR-10.

    The networks are 128 wide, batches have 64 images, and the learning rate falls to 0 over 100,000 steps.
    Unlike here, the program gives the generator twice the critic's batch and adds noise to real images that
    fills the steps between pixel values.

    Args:
      labels: Either ``unconditional`` or ``conditional``.
    """
    config = wgan_gp_resnet_fashion_mnist.get_config(labels)
    config.num_steps = 100_000
    config.batch_size = 64
    config.ema_decay = 0.999
    config.sample_every = 500
    config.checkpoint_every = 1000
    config.data.update({"name": "tfds/cifar10", "channels": 3})
    for network in config.models.values():
        network.width = 128
    return config
