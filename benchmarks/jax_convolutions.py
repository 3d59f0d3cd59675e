"""Single convolutions in JAX, by ``jaxgan.ops.conv`` or by XLA with the derivatives that JAX defines."""

from collections.abc import Callable

import jax
from jax import lax

from benchmarks.convolutions import BATCH, LAYERS, Layer
from benchmarks.jax_side import matmul
from jaxgan import parallel
from jaxgan.ops import conv

__all__ = ["build", "matmul"]

Array = jax.Array
Map = Callable[[Array, Array], Array]


def _ours(layer: Layer) -> Map:
    geometry = conv.same((layer.side, layer.side), (layer.kernel, layer.kernel), layer.stride)
    if layer.transposed:
        return lambda y, w: conv.transpose(y, w.swapaxes(2, 3), geometry)
    return lambda x, w: conv.conv(x, w, geometry)


def _lax(layer: Layer) -> Map:
    strides, numbers = (layer.stride, layer.stride), ("NHWC", "HWIO", "NHWC")
    if layer.transposed:
        return lambda y, w: lax.conv_transpose(y, w, strides, "SAME", dimension_numbers=numbers)
    return lambda x, w: lax.conv_general_dilated(x, w, strides, "SAME", dimension_numbers=numbers)


def product(name: str) -> Callable[[Array, Array, Array], Array]:
    """Returns the function of operands, kernel and cotangent of the outputs for LAYER/PRODUCT/KIND.

    KIND is ``ours`` or ``lax``. With ``lax.conv_transpose``, the kernel is flipped along both axes.
    """
    which, wanted, kind = name.split("/")
    f = {"ours": _ours, "lax": _lax}[kind](LAYERS[which])
    return {
        "forward": lambda x, w, g: f(x, w),
        "input": lambda x, w, g: jax.vjp(lambda x: f(x, w), x)[1](g)[0],
        "kernel": lambda x, w, g: jax.vjp(lambda w: f(x, w), w)[1](g)[0],
    }[wanted]


def shapes(which: str, batch: int = BATCH) -> list[tuple[int, ...]]:
    """Returns the shapes of the operands, the kernel and the cotangent of the outputs of a layer."""
    layer = LAYERS[which]
    out = -(-layer.side // layer.stride)
    ends = [(batch, layer.side, layer.side, layer.inputs), (batch, out, out, layer.outputs)]
    inputs, outputs = ends[::-1] if layer.transposed else ends
    return [inputs, (layer.kernel, layer.kernel, inputs[3], outputs[3]), outputs]


def build(name: str) -> Callable[[int], None]:
    """Returns a function that computes LAYER/PRODUCT/KIND a given number of times."""
    which, _, kind = name.split("/")
    keys = jax.random.split(jax.random.key(0), 3)
    operands = [jax.random.normal(key, shape) for key, shape in zip(keys, shapes(which), strict=True)]
    options = parallel.CPU_OPTIONS if kind == "ours" else None
    compiled = jax.jit(product(name), compiler_options=options)

    def run(times: int) -> None:
        for _ in range(times):
            jax.block_until_ready(compiled(*operands))

    return run
