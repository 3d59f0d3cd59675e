"""Layers of FID's InceptionV3 by their names in its public checkpoint, and conversion of its tensors."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import unflatten_dict

CLASSES = 1008
WIDTH = 2048  # length of the features
EPSILON = 1e-3  # constant ε of batch normalisation


class Layer(NamedTuple):
    """Sizes of a convolution that is followed by batch normalisation and ReLU.

    Attributes:
      inputs: Number of input channels.
      outputs: Number of output channels.
      kernel: Height and width (kh, kw) of the kernel.
      stride: Stride in both directions.
      padding: Zeros (above and below, left and right).
    """

    inputs: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: tuple[int, int] = (0, 0)


def _same(inputs: int, outputs: int, *kernel: int) -> Layer:
    return Layer(inputs, outputs, (kernel[0], kernel[1]), 1, (kernel[0] // 2, kernel[1] // 2))


def _block_a(inputs: int, pool: int) -> dict[str, Layer]:
    return {
        "branch1x1": Layer(inputs, 64),
        "branch5x5_1": Layer(inputs, 48),
        "branch5x5_2": _same(48, 64, 5, 5),
        "branch3x3dbl_1": Layer(inputs, 64),
        "branch3x3dbl_2": _same(64, 96, 3, 3),
        "branch3x3dbl_3": _same(96, 96, 3, 3),
        "branch_pool": Layer(inputs, pool),
    }


def _block_b(inputs: int) -> dict[str, Layer]:
    return {
        "branch3x3": Layer(inputs, 384, (3, 3), 2),
        "branch3x3dbl_1": Layer(inputs, 64),
        "branch3x3dbl_2": _same(64, 96, 3, 3),
        "branch3x3dbl_3": Layer(96, 96, (3, 3), 2),
    }


def _block_c(inputs: int, inner: int) -> dict[str, Layer]:
    return {
        "branch1x1": Layer(inputs, 192),
        "branch7x7_1": Layer(inputs, inner),
        "branch7x7_2": _same(inner, inner, 1, 7),
        "branch7x7_3": _same(inner, 192, 7, 1),
        "branch7x7dbl_1": Layer(inputs, inner),
        "branch7x7dbl_2": _same(inner, inner, 7, 1),
        "branch7x7dbl_3": _same(inner, inner, 1, 7),
        "branch7x7dbl_4": _same(inner, inner, 7, 1),
        "branch7x7dbl_5": _same(inner, 192, 1, 7),
        "branch_pool": Layer(inputs, 192),
    }


def _block_d(inputs: int) -> dict[str, Layer]:
    return {
        "branch3x3_1": Layer(inputs, 192),
        "branch3x3_2": Layer(192, 320, (3, 3), 2),
        "branch7x7x3_1": Layer(inputs, 192),
        "branch7x7x3_2": _same(192, 192, 1, 7),
        "branch7x7x3_3": _same(192, 192, 7, 1),
        "branch7x7x3_4": Layer(192, 192, (3, 3), 2),
    }


def _block_e(inputs: int) -> dict[str, Layer]:
    return {
        "branch1x1": Layer(inputs, 320),
        "branch3x3_1": Layer(inputs, 384),
        "branch3x3_2a": _same(384, 384, 1, 3),
        "branch3x3_2b": _same(384, 384, 3, 1),
        "branch3x3dbl_1": Layer(inputs, 448),
        "branch3x3dbl_2": _same(448, 384, 3, 3),
        "branch3x3dbl_3a": _same(384, 384, 1, 3),
        "branch3x3dbl_3b": _same(384, 384, 3, 1),
        "branch_pool": Layer(inputs, 192),
    }


STEM = {
    "Conv2d_1a_3x3": Layer(3, 32, (3, 3), 2),
    "Conv2d_2a_3x3": Layer(32, 32, (3, 3)),
    "Conv2d_2b_3x3": _same(32, 64, 3, 3),
    "Conv2d_3b_1x1": Layer(64, 80),
    "Conv2d_4a_3x3": Layer(80, 192, (3, 3)),
}
BLOCKS = {
    "Mixed_5b": _block_a(192, 32),
    "Mixed_5c": _block_a(256, 64),
    "Mixed_5d": _block_a(288, 64),
    "Mixed_6a": _block_b(288),
    "Mixed_6b": _block_c(768, 128),
    "Mixed_6c": _block_c(768, 160),
    "Mixed_6d": _block_c(768, 160),
    "Mixed_6e": _block_c(768, 192),
    "Mixed_7a": _block_d(768),
    "Mixed_7b": _block_e(1280),
    "Mixed_7c": _block_e(2048),
}
# All layers by their names in the public checkpoint, in the order of the graph.
LAYERS = STEM | {
    f"{block}.{name}": layer for block, layers in BLOCKS.items() for name, layer in layers.items()
}


def shapes() -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the public checkpoint's tensors; kernels are (outputs, inputs, kh, kw)."""
    found: dict[str, tuple[int, ...]] = {"fc.weight": (CLASSES, WIDTH), "fc.bias": (CLASSES,)}
    for name, layer in LAYERS.items():
        found[f"{name}.conv.weight"] = (layer.outputs, layer.inputs, *layer.kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.bn.{part}"] = (layer.outputs,)
    return found


def fold(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Converts a checkpoint to the network's variables, folding batch normalisation into the kernels.

    The computation is in float64, and its results are rounded to float32.

    Args:
      state: Tensors of the public checkpoint by name, see :func:`shapes`.

    Returns:
      Variables of :class:`jaxgan.models.inception_v3.InceptionV3`. The entry "params" holds each layer's
      (kh, kw, I, O) kernel and (O,) bias, float32, by their names in the public checkpoint.
    """
    params = {("fc", "kernel"): state["fc.weight"].T, ("fc_bias",): state["fc.bias"]}
    for name in LAYERS:
        scale, shift, mean, var = (
            state[f"{name}.bn.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(var + EPSILON)
        path = tuple(name.split("."))
        params[*path, "kernel"] = state[f"{name}.conv.weight"].transpose(2, 3, 1, 0) * scale
        params[*path, "bias"] = shift - mean * scale
    return {"params": unflatten_dict({path: values.astype(np.float32) for path, values in params.items()})}
