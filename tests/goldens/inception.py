"""Writes inception.npz, the results of torch-fidelity for seeded weights and pictures.

    pip install -e ".[dev,fidelity]" && python -m tests.goldens.inception

The weights are those of :func:`tests.fidelity.draw`. Their batch statistics, which are measured on some
pictures, are part of the file. The tests compare jaxgan with this file; where torch-fidelity is installed,
``tests/jaxgan/metrics/test_fidelity.py`` also compares jaxgan with torch-fidelity itself.
"""

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_fidelity
from PIL import Image
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from tests import fidelity

NAMES = ("64", "192", "768", "2048", "logits_unbiased", "logits")


def save(state: dict[str, np.ndarray], path: Any, *, zipped: bool = False) -> None:
    """Writes weights in the older format of the public checkpoint, or in the newer zip format."""
    tensors = {name: torch.from_numpy(values) for name, values in state.items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)


def extractor(
    state: dict[str, np.ndarray], dtype: torch.dtype = torch.float32
) -> FeatureExtractorInceptionV3:
    """Returns the network of torch-fidelity with the given weights."""
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        save(state, file.name)
        network = FeatureExtractorInceptionV3(
            "golden", list(NAMES), feature_extractor_weights_path=file.name
        )
    network.feature_extractor_internal_dtype = dtype
    return network.to(dtype).eval()


def run(network: FeatureExtractorInceptionV3, images: np.ndarray) -> dict[str, np.ndarray]:
    """Computes the outputs of a network for (B, H, W, 3) uint8 images, by name."""
    with torch.no_grad():
        found = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    return {name: values.numpy() for name, values in zip(NAMES, found, strict=True)}


def calibrate(state: dict[str, np.ndarray], images: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the weights with batch statistics that are measured on the images."""
    network = extractor(state)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train()
            module.momentum = 1.0
    run(network, images)
    measured = {name: values.numpy() for name, values in network.state_dict().items()}
    return fidelity.unpack(state, fidelity.pack(measured))


def write_folder(images: np.ndarray, path: Path) -> None:
    """Writes images as PNG files to a new folder."""
    path.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(path / f"{i:05}.png")


def scores(state: dict[str, np.ndarray], first: Path, second: Path) -> dict[str, float]:
    """Computes the scores of torch-fidelity for a folder of images against a second folder."""
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        save(state, file.name)
        return torch_fidelity.calculate_metrics(
            input1=str(first),
            input2=str(second),
            isc=True,
            fid=True,
            kid=True,
            isc_splits=fidelity.SPLITS,
            kid_subsets=fidelity.KID["subsets"],
            kid_subset_size=fidelity.KID["subset_size"],
            feature_extractor_weights_path=file.name,
            cuda=False,
            cache=False,
            save_cpu_ram=True,
            verbose=False,
        )


def tiny(zipped: bool) -> bytes:
    """Returns the file of a small state dict with strides, shared numbers, integers and no axes."""
    numbers = torch.arange(24.0)
    tensors = {
        "turned": numbers.reshape(2, 3, 4).permute(2, 0, 1),
        "part": numbers[5:9],
        "whole": torch.nn.Parameter(numbers),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 3),
    }
    file = io.BytesIO()
    torch.save(tensors, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def main() -> None:
    """Writes the file, and prints the rounding errors of torch-fidelity in float32."""
    state = calibrate(fidelity.draw(), fidelity.pictures(20, 16, *fidelity.FOLDER_SIZE))
    kept: dict[str, Any] = fidelity.pack(state)
    networks = [extractor(state), extractor(state, torch.float64)]
    for i, size in enumerate(fidelity.SIZES):
        single, double = (run(network, fidelity.pictures(i, fidelity.EACH, *size)) for network in networks)
        for name in NAMES:
            kept[f"{i}/{name}"] = single[name]
            error = np.max(np.abs(single[name] - double[name])) / np.max(np.abs(double[name]))
            print(f"{size} {name}: float32 of torch is off by {error:.1e} of the largest", file=sys.stderr)
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / name for name in ("first", "second")]
        for images, path in zip(fidelity.folders(), paths, strict=True):
            write_folder(images, path)
        for name, value in scores(state, *paths).items():
            kept[name] = np.float64(value)
            print(name, value, file=sys.stderr)
    for name, zipped in (("tiny_older", False), ("tiny_newer", True)):
        kept[name] = np.frombuffer(tiny(zipped), np.uint8)
    np.savez_compressed(fidelity.GOLDENS, **kept)
    print(f"wrote {fidelity.GOLDENS}: {fidelity.GOLDENS.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
