"""BigGAN on Fashion-MNIST at 32×32 pixels, through TensorFlow Datasets.

    python -m experiments.run --config=biggan_fashion_mnist.py
    python -m experiments.evaluate --workdir=DIR --num=10000 --truncation=0.3,0.5,0.7,1,2

This config takes about 13 minutes on 2 cores, by the time of its first 360 steps. Expect clothes of the
classes that were asked for; the config has not been run to its end yet. The second command scores the
result at several truncations and draws precision against recall: the smaller the truncation, the more alike
the samples.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist


def get_config() -> ConfigDict:
    """Returns the paper's model for small images with few channels, and the authors' learning rates."""
    config = dcgan_mnist.get_config()
    config.gan = {"name": "conditional", "loss": "hinge"}
    config.ema_decay = 0.999
    config.data.update({"name": "tfds/fashion_mnist", "split": "train", "size": 32})
    config.latent.dim = 120
    config.models.generator = {"family": "biggan", "width": 8, "attention": (16,), "embedding": 128}
    config.models.critic = {"family": "biggan", "width": 8, "attention": (16,)}
    config.penalties.orthogonal = {"weight": 1e-4, "every": 1}
    for player, rate in (("generator", 1e-4), ("critic", 4e-4)):
        config.optimizers[player].update({"learning_rate": rate, "b1": 0.0, "b2": 0.999, "eps": 1e-6})
    return config
