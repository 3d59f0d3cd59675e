"""Feature extraction by jaxgan, for :mod:`benchmarks.evaluation_speed`."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from benchmarks.evaluation_speed import FILE, SOURCE, images
from benchmarks.jax_side import matmul
from jaxgan.metrics import inception_backbone

__all__ = ["build", "matmul"]


def build(folder: str) -> Callable[[int], None]:
    """Returns a function that extracts the features of the batch a given number of times.

    The features are also written to the folder once.
    """
    backbone = inception_backbone.load(Path(folder) / FILE, source_sha256=SOURCE)
    batch = images()
    np.save(Path(folder) / "jax_inception.npy", backbone.apply(batch)["features"])

    def run(times: int) -> None:
        for _ in range(times):
            jax.block_until_ready(backbone.apply(batch))

    return run
