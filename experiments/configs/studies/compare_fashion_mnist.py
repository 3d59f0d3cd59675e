"""Systems on Fashion-MNIST at 32×32 pixels, each trained for the same time.

    python -m experiments.compare --config=compare_fashion_mnist.py
    python -m experiments.run --config=compare_fashion_mnist.py:dcgan

The first command takes about 5 hours on 2 cores, by an estimate: 14 systems, 3 seeds, 5 minutes of training
for each run, and the measurements and scores besides. It can be stopped and continued at any time. Expect
``compare.html`` with a row for each system, whose scores have intervals over the seeds. The second command
trains one of the systems by itself.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.cli import config_fields, config_files
from jaxgan.errors import unknown

DATA = ConfigDict({"name": "tfds/fashion_mnist", "path": "", "split": "train", "size": 32, "channels": 1})
# By the name of each entry, its config and the further fields that it changes.
ENTRIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "dcgan": ("dcgan_mnist.py", {}),
    "wgan": ("wgan_mnist.py", {}),
    "wgan_gp": ("wgan_gp_mnist.py", {}),
    "wgan_gp_resnet": ("wgan_gp_resnet_fashion_mnist.py", {}),
    "sngan": ("sngan_mnist.py", {}),
    "began": ("began_mnist.py", {}),
    "infogan": ("infogan_mnist.py", {}),
    # The Bernoulli likelihood would binarise the clothes, which are grey.
    "vae": ("vae_mnist.py", {"gan.likelihood": "gaussian"}),
    "cgan": ("cgan_mnist.py", {}),
    "projection": ("projection_mnist.py", {}),
    "acgan": ("acgan_mnist.py", {}),
    "acgan_resnet": ("wgan_gp_resnet_fashion_mnist.py:conditional", {}),
    "sagan": ("sagan_fashion_mnist.py", {}),
    "biggan": ("biggan_fashion_mnist.py", {}),
}


def get_config(entry: str = "dcgan") -> ConfigDict:
    """Returns the config of an entry with Fashion-MNIST as its data.

    Scores while training are left out, because they take time from the training.

    Args:
      entry: Name of the entry.
    """
    if entry not in ENTRIES:
        raise unknown("entry", entry, ENTRIES)
    base, changes = ENTRIES[entry]
    config = config_fields.with_values(config_files.load(base).values, {"data": DATA, **changes})
    if "score" in config:
        del config.score
    return config
