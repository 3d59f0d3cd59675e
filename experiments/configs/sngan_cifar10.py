"""SNGAN with residual networks on 32×32 images of CIFAR-10, through TensorFlow Datasets.

    python -m experiments.run --config=sngan_cifar10.py

This config is meant for a GPU or TPU: one of its 50,000 steps takes about 10 s on 2 cores. Expect objects
of CIFAR-10's classes from a run on an accelerator; no such run has been made yet.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist


def get_config() -> ConfigDict:
    """Returns the config of Miyato et al., appendix B.

    Hinge loss, five critic updates per generator update, Adam with a learning rate of 2e-4, β1 0 and β2
    0.9, and batches of 64.
    """
    config = dcgan_mnist.get_config()
    config.num_steps = 50_000
    config.n_critic = 5
    config.gan.loss = "hinge"
    config.ema_decay = 0.999
    config.log_every = 20
    config.sample_every = 500
    config.checkpoint_every = 1000
    config.data.update({"name": "tfds/cifar10", "split": "train", "size": 32, "channels": 3})
    config.latent.dim = 128
    config.models = {
        "generator": {"family": "resnet", "width": 256, "norm": "batch", "attention": ()},
        "critic": {"family": "resnet", "width": 128, "norm": "spectral", "attention": ()},
    }
    for player in ("generator", "critic"):
        config.optimizers[player].update({"learning_rate": 2e-4, "b1": 0.0, "b2": 0.9})
    return config
