"""Error of a semi-supervised classifier against that of the same network trained on the labels alone.

    python -m experiments.sweep --config=study_semi_supervised.py --seeds=5

By an estimate, this study takes about 1.5 hours on 2 cores. It has not been run in full yet. Expect the
error on the test split to fall below that with labels alone, in differences paired by seed.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.configs import semi_supervised_mnist


def get_config() -> ConfigDict:
    """Returns the config of the classifier."""
    config = semi_supervised_mnist.get_config()
    config.curves = ("error",)
    return config


def sweep(add: Callable[..., None]) -> None:
    """Adds the classifier with labels alone and the semi-supervised one.

    Args:
      add: Function that adds a point of the sweep, given its config fields and its labels.
    """
    for samples in ("supervised", "all"):
        add({"gan.unlabelled_weight": semi_supervised_mnist.WEIGHTS[samples]}, samples=samples)
