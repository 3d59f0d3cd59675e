"""Feature extraction by torch-fidelity, for :mod:`benchmarks.evaluation_speed`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from benchmarks.evaluation_speed import FILE, SOURCE, images
from benchmarks.torch_side import matmul, tuned
from jaxgan.metrics import inception_backbone

__all__ = ["build", "matmul"]


def build(folder: str) -> Callable[[int], None]:
    """Returns a function that extracts the features of the batch a given number of times.

    It uses the number of threads that is fastest. The features are also written to the folder once.
    """
    state = inception_backbone.read(Path(folder) / FILE, source_sha256=SOURCE)
    weights = Path(folder) / "inception.pth"
    torch.save({name: torch.from_numpy(values) for name, values in state.items()}, weights)
    # torch-fidelity's command requests these features for FID, KID and the Inception score.
    names = ["2048", "logits_unbiased"]
    network = FeatureExtractorInceptionV3("inception", names, feature_extractor_weights_path=str(weights))
    # torch-fidelity's command does the same. Otherwise batch normalisation would use batch statistics.
    network.eval()
    batch = torch.from_numpy(images()).permute(0, 3, 1, 2).contiguous()

    def step() -> None:
        with torch.no_grad():
            network(batch)

    with torch.no_grad():
        np.save(Path(folder) / "torch_inception.npy", network(batch)[0].numpy())
    return tuned(step)
