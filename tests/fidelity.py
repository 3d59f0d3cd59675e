"""Seeded weights and images for comparisons of InceptionV3 with that of torch-fidelity.

Weights and images are drawn by ``np.random.RandomState``, whose streams are the same in every version of
NumPy.
"""

from pathlib import Path

import numpy as np

from jaxgan.metrics.backbone import Backbone
from jaxgan.models.inception_layers import LAYERS, WIDTH, shapes

GOLDENS = Path(__file__).parent / "goldens" / "inception.npz"
SIZES = ((32, 32), (64, 48), (299, 299), (400, 320))  # (H, W) in pixels
EACH = 2  # number of images per size
FOLDER = 16  # number of images per folder
FOLDER_SIZE = (64, 64)
KID = {"subsets": 5, "subset_size": 10}
SPLITS = 2


def draw(seed: int = 0) -> dict[str, np.ndarray]:
    """Draws random tensors for the public checkpoint, with means of 0 and variances of 1.

    Kernels have the scale for ReLU (He et al., 2015). Shifts are near 1, so that most units are active. A
    deep random network with fewer active units is chaotic and amplifies the rounding errors of float32.
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
    """Concatenates the running statistics of all layers to the float16 arrays "mean" and "var"."""
    return {
        part: np.concatenate([state[f"{name}.bn.running_{part}"] for name in LAYERS]).astype(np.float16)
        for part in ("mean", "var")
    }


def unpack(state: dict[str, np.ndarray], packed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the weights with the running statistics that :func:`pack` returned."""
    ends = np.cumsum([layer.outputs for layer in LAYERS.values()])[:-1]
    return state | {
        f"{name}.bn.running_{part}": values.astype(np.float32)
        for part in ("mean", "var")
        for name, values in zip(LAYERS, np.split(packed[part], ends), strict=True)
    }


def pictures(seed: int, count: int, height: int, width: int, *, contrast: float = 120.0) -> np.ndarray:
    """Draws (count, height, width, 3) uint8 images of noisy grids with 1 to 16 coloured cells per side."""
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
    """Draws two sets of (FOLDER, 64, 64, 3) uint8 images whose distributions differ."""
    return pictures(21, FOLDER, *FOLDER_SIZE), pictures(22, FOLDER, *FOLDER_SIZE, contrast=60.0)


def run(backbone: Backbone, images: np.ndarray) -> dict[str, np.ndarray]:
    """Computes all outputs of a network in batches of one shape, so that it is compiled once."""
    batches = [backbone.apply(images[i : i + EACH]) for i in range(0, len(images), EACH)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
