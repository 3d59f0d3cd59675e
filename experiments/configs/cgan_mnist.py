"""Conditional GAN with one-hot labels in both players on the embedded digits.

    python -m experiments.run --config=cgan_mnist.py
    python -m experiments.run --config=cgan_mnist.py:shuffled

The first command takes about 2 min 30 s on 2 cores. Expect mostly legible digits of the classes that were
asked for: a classifier that never saw the GAN's samples assigns 96 % of them to the requested class. The
shuffled labels serve as a control. ``experiments/README.md`` describes the measurement.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist
from jaxgan.errors import unknown


def get_config(labels: str = "real") -> ConfigDict:
    """Returns a config with the inputs and the loss of Mirza and Osindero and the layers of DCGAN.

    Args:
      labels: Either ``real``, or ``shuffled`` to permute the labels as a control.
    """
    if labels not in ("real", "shuffled"):
        raise unknown("labels", labels, ("real", "shuffled"))
    config = dcgan_mnist.get_config()
    config.gan = {"name": "conditional", "loss": "non_saturating"}
    for network in config.models.values():
        network.family, network.labels = "conditional_dcgan", "one_hot"
    del config.models.generator.norm  # The generator always has batch normalisation.
    config.data.shuffled_labels = labels == "shuffled"
    config.data.label_distribution = "uniform"  # "data" requests labels as often as the data has them
    return config
