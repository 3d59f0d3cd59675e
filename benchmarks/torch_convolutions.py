"""Single convolutions in PyTorch, with channels last."""

from collections.abc import Callable

import torch

from benchmarks.convolutions import BATCH, LAYERS
from benchmarks.torch_side import LAST, Step, matmul, tuned

__all__ = ["build", "matmul"]


def _product(name: str) -> Step:
    which, product, _ = name.split("/")
    layer = LAYERS[which]
    out, stride = -(-layer.side // layer.stride), [layer.stride] * 2
    padding = [(layer.kernel - layer.stride + 1) // 2] * 2  # This is SAME padding for these layers.
    shapes = [(BATCH, layer.inputs, layer.side, layer.side), (BATCH, layer.outputs, out, out)]
    inputs, outputs = shapes[::-1] if layer.transposed else shapes
    x, g = (torch.randn(shape).contiguous(memory_format=LAST) for shape in (inputs, outputs))
    # The first axis of the kernel holds the channels of the smaller images, whether transposed or not.
    w = torch.randn(layer.outputs, layer.inputs, layer.kernel, layer.kernel).contiguous(memory_format=LAST)
    geometry = (stride, padding, [1, 1], layer.transposed, [0, 0], 1)
    if product == "forward":
        return lambda: torch.ops.aten.convolution(x, w, None, *geometry)
    mask = [product == "input", product == "kernel", False]
    return lambda: torch.ops.aten.convolution_backward(g, x, w, None, *geometry, mask)


def build(name: str) -> Callable[[int], None]:
    """Returns a function that computes LAYER/PRODUCT/ a given number of times.

    It uses the number of threads that is fastest.
    """
    torch.manual_seed(0)
    return tuned(_product(name))
