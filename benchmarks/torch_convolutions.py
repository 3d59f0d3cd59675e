"""Single convolutions in PyTorch, channels last."""

from collections.abc import Callable

import torch

from benchmarks.convolutions import BATCH, LAYERS
from benchmarks.torch_side import LAST, Step, matmul, tuned

__all__ = ["build", "matmul"]


def _product(name: str) -> Step:
    which, product, _ = name.split("/")
    layer = LAYERS[which]
    out, stride = -(-layer.side // layer.stride), [layer.stride] * 2
    padding = [(layer.kernel - layer.stride + 1) // 2] * 2  # SAME, for the layers here
    shapes = [(BATCH, layer.inputs, layer.side, layer.side), (BATCH, layer.outputs, out, out)]
    inputs, outputs = shapes[::-1] if layer.transposed else shapes
    x, g = (torch.randn(shape).contiguous(memory_format=LAST) for shape in (inputs, outputs))
    # The kernel's first axis is the channels of the smaller images, transposed or not.
    w = torch.randn(layer.outputs, layer.inputs, layer.kernel, layer.kernel).contiguous(memory_format=LAST)
    geometry = (stride, padding, [1, 1], layer.transposed, [0, 0], 1)
    if product == "forward":
        return lambda: torch.ops.aten.convolution(x, w, None, *geometry)
    mask = [product == "input", product == "kernel", False]
    return lambda: torch.ops.aten.convolution_backward(g, x, w, None, *geometry, mask)


def build(name: str) -> Callable[[int], None]:
    """A function that computes LAYER/PRODUCT/ so many times, on as many threads as make it fastest."""
    torch.manual_seed(0)
    return tuned(_product(name))
