"""SAGAN with the settings of its paper on 128×128 images of ImageNet, through TensorFlow Datasets.

    python -m experiments.run --config=sagan_imagenet128.py

This config is meant for a GPU or TPU and computes in bfloat16. By a count of FLOPs, a step of 256 images
takes about 3 minutes on 2 cores. Expect objects of the classes that were asked for from a run on an
accelerator; no such run has been made yet. ImageNet's licence forbids a download without registration: the
error message of TFDS says which files to fetch by hand and where to put them.
"""

from ml_collections import ConfigDict

from experiments.configs import sagan_fashion_mnist


def get_config() -> ConfigDict:
    """Returns the config of Zhang et al., section 4.

    Batches of 256, codes of 128 numbers, networks of 64 feature maps at 128 × 128 pixels and 1,024 at
    4 × 4, and self-attention at 32 × 32 in both.
    """
    config = sagan_fashion_mnist.get_config()
    config.num_steps = 1_000_000
    config.batch_size = 256
    config.dtype = "bfloat16"
    config.ema_decay = 0.999
    config.log_every = 20
    config.sample_every = 1000
    config.checkpoint_every = 5000
    config.data.update({"name": "tfds/imagenet2012", "size": 128, "channels": 3})
    for network in config.models.values():
        network.update({"width": 64, "pyramid": True, "attention": (32,)})
    return config
