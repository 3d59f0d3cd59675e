"""Seeded weights and pictures on which InceptionV3 here and in torch-fidelity are compared.

They are drawn by ``np.random.RandomState``, whose streams are frozen: every NumPy draws the same.
"""

from pathlib import Path

import numpy as np

from jaxgan.metrics.backbone import Backbone
from jaxgan.models.inception_layers import LAYERS, WIDTH, shapes

GOLDENS = Path(__file__).parent / "goldens" / "inception.npz"
SIZES = ((32, 32), (64, 48), (299, 299), (400, 320))  # (H, W) in pixels
EACH = 2  # pictures of a size
FOLDER = 16  # pictures of a folder
FOLDER_SIZE = (64, 64)
KID = {"subsets": 5, "subset_size": 10}
SPLITS = 2


def draw(seed: int = 0) -> dict[str, np.ndarray]:
    """The public checkpoint's tensors with random values, batch normalisation's statistics being 0 and 1.

    Kernels are drawn for ReLU (He et al., 2015); shifts about 1, so that most units are active: with fewer,
    a random network this deep is chaotic, and what float32 rounds off grows a hundredfold on its way.
    """
    rng = np.random.RandomState(seed)
    ranges = {"weight": (0.8, 1.2), "bias": (0.5, 1.5), "running_mean": (0, 0), "running_var": (1, 1)}
    state = {}
    for name, shape in shapes().items():
        low, high = ranges[name.rpartition(".")[2]]
        if name.startswith("fc") or len(shape) == 4:
            high = np.sqrt(3 / WIDTH if name.startswith("fc") else 6 / np.prod(shape[1:]))
            low = -high
        state[name] = rng.uniform(low, high, shape).astype(np.float32)
    return state


def pack(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The running statistics in short, layer after layer: "mean" and "var", float16."""
    return {
        part: np.concatenate([state[f"{name}.bn.running_{part}"] for name in LAYERS]).astype(np.float16)
        for part in ("mean", "var")
    }


def unpack(state: dict[str, np.ndarray], packed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights with the statistics of :func:`pack`."""
    ends = np.cumsum([layer.outputs for layer in LAYERS.values()])[:-1]
    return state | {
        f"{name}.bn.running_{part}": values.astype(np.float32)
        for part in ("mean", "var")
        for name, values in zip(LAYERS, np.split(packed[part], ends), strict=True)
    }


def pictures(seed: int, count: int, height: int, width: int, *, contrast: float = 120.0) -> np.ndarray:
    """(count, height, width, 3) uint8: coloured squares of one to sixteen a side, and noise."""
    rng = np.random.RandomState(seed)
    made = np.empty((count, height, width, 3), np.uint8)
    for picture in made:
        cells = rng.randint(1, 17)
        rows, columns = (np.arange(length) * cells // length for length in (height, width))
        squares = rng.uniform(-1, 1, (cells, cells, 3))[rows][:, columns]
        noise = rng.uniform(-1, 1, picture.shape)
        level = rng.uniform(40, 215, 3)
        picture[:] = np.clip(level + contrast * squares + rng.uniform(0, 60) * noise, 0, 255)
    return made


def folders() -> tuple[np.ndarray, np.ndarray]:
    """Two sets of pictures that differ, as a model's and a dataset's do: (FOLDER, 64, 64, 3) uint8 each."""
    return pictures(21, FOLDER, *FOLDER_SIZE), pictures(22, FOLDER, *FOLDER_SIZE, contrast=60.0)


def run(backbone: Backbone, images: np.ndarray) -> dict[str, np.ndarray]:
    """All of a network's outputs, in batches of one shape, so that it is compiled once."""
    batches = [backbone.apply(images[i : i + EACH]) for i in range(0, len(images), EACH)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
