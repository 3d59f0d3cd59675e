"""BigGAN-deep with the settings of its paper on 128×128 images of ImageNet, through TensorFlow Datasets.

    python -m experiments.run --config=biggan_deep_imagenet128.py

This config is meant for a GPU or TPU, or many: by a count of its products, one of its 150,000 steps of
2,048 images takes about 1.5 hours on 2 cores. TensorFlow Datasets cannot download
ImageNet; its error message says where to put the files. Expect objects of the classes that were asked for
from a run on accelerators; no such run has been made yet. The paper reports an FID of 5.7 and an Inception
score of 124.5.
"""

from ml_collections import ConfigDict

from experiments.configs import biggan_imagenet128


def get_config() -> ConfigDict:
    """Returns the settings of BigGAN with the deeper networks and 128 instead of 96 channels."""
    config = biggan_imagenet128.get_config()
    config.latent.dim = 128
    for player in ("generator", "critic"):
        config.models[player].update({"family": "biggan_deep", "width": 128})
    return config
