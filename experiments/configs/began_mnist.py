"""BEGAN on the embedded digits: the critic is an auto-encoder.

    python -m experiments.run --config=began_mnist.py

This config takes about 3 minutes on 2 cores, by the time of its first 290 steps. Expect thin, smooth
strokes, which do not form digits yet after 600 steps; the config has not been run to its end yet.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist
from jaxgan import objectives


def get_config() -> ConfigDict:
    """Returns the paper's objective and latents, with the layers of DCGAN.

    The learning rates are higher than the paper's. Without layer normalisation, the auto-encoder may learn
    nothing at such rates.
    """
    config = dcgan_mnist.get_config()
    config.gan = {"name": "began", **objectives.get("BEGAN").hyper}
    config.latent = {"prior": "uniform", "dim": 64}
    network = config.models.critic
    network.update({"norm": "layer", "code": 64})
    del network.attention
    config.models = {"generator": config.models.generator, "autoencoder": network}
    for player in config.optimizers.values():
        player.learning_rate = 2e-4
    del config.penalties
    return config
