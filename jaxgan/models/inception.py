"""InceptionV3 as FID defines it: the TensorFlow graph of 2015-12-05, for inference.

It is not the network of the paper in all points. The average pools of its blocks do not count the padding,
the last block takes a maximum where the paper averages, there are 1008 logits, and the resize in front is
TensorFlow 1's (:func:`jaxgan.resize.tensorflow1`).

Batch normalisation is folded into the kernels, and 1×1 convolutions of one input are one product. As an
average pool commutes with the 1×1 convolution behind it, that comes first, and the pool has fewer channels.

References:
  Szegedy et al., 2015, Rethinking the Inception Architecture for Computer Vision,
  https://arxiv.org/abs/1512.00567
  Heusel et al., 2017, GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium,
  https://arxiv.org/abs/1706.08500
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan import winograd

Array = jax.Array
Params = Mapping[str, tuple[Array, Array]]

SIZE = 299  # pixels, both sides
CLASSES = 1008
WIDTH = 2048  # of the features
EPSILON = 1e-3  # of batch normalisation
THIN = 48  # channels under which minimal filtering is slower than XLA's convolution on a CPU


class Layer(NamedTuple):
    """A convolution, batch normalisation and ReLU.

    Attributes:
      inputs: channels.
      outputs: channels.
      kernel: (kh, kw).
      stride: in both directions.
      padding: zeros above and below, left and right.
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


_STEM = {
    "Conv2d_1a_3x3": Layer(3, 32, (3, 3), 2),
    "Conv2d_2a_3x3": Layer(32, 32, (3, 3)),
    "Conv2d_2b_3x3": _same(32, 64, 3, 3),
    "Conv2d_3b_1x1": Layer(64, 80),
    "Conv2d_4a_3x3": Layer(80, 192, (3, 3)),
}
_BLOCKS = {
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
# By the names of the public checkpoint, in the graph's order.
LAYERS = _STEM | {
    f"{block}.{name}": layer for block, layers in _BLOCKS.items() for name, layer in layers.items()
}


def shapes() -> dict[str, tuple[int, ...]]:
    """Those of the public checkpoint's tensors, kernels being (outputs, inputs, kh, kw)."""
    found: dict[str, tuple[int, ...]] = {"fc.weight": (CLASSES, WIDTH), "fc.bias": (CLASSES,)}
    for name, layer in LAYERS.items():
        found[f"{name}.conv.weight"] = (layer.outputs, layer.inputs, *layer.kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.bn.{part}"] = (layer.outputs,)
    return found


def fold(state: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each layer's kernel and bias, batch normalisation multiplied in, in float64 until the end.

    Args:
      state: the public checkpoint's tensors by name, see :func:`shapes`.

    Returns:
      By layer and for "fc": (kh, kw, I, O) kernels (I, O for "fc") and (O,) biases, float32.
    """
    folded = {"fc": (state["fc.weight"].T, state["fc.bias"])}
    for name in LAYERS:
        scale, shift, mean, var = (
            state[f"{name}.bn.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(var + EPSILON)
        kernel = state[f"{name}.conv.weight"].transpose(2, 3, 1, 0) * scale
        folded[name] = (kernel, shift - mean * scale)
    return {name: (w.astype(np.float32), b.astype(np.float32)) for name, (w, b) in folded.items()}


def _windows(x: Array, side: int, stride: int, pad: float | None = None) -> list[Array]:
    """The side² shifted images whose maximum or sum is a pool; XLA fuses them where it has no fast pool."""
    if pad is not None:
        half = side // 2
        x = jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)), constant_values=pad)
    height, width = ((length - side) // stride + 1 for length in x.shape[1:3])
    return [
        x[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
        for i in range(side)
        for j in range(side)
    ]


def _max_pool(x: Array, stride: int = 2, pad: float | None = None) -> Array:
    windows = _windows(x, 3, stride, pad)
    while len(windows) > 1:
        windows = [*map(jnp.maximum, windows[::2], windows[1::2]), *windows[len(windows) // 2 * 2 :]]
    return windows[0]


def _average_pool(x: Array) -> Array:
    """3×3 means around each pixel, of the pixels that there are."""
    counts = [np.minimum(np.minimum(np.arange(n), np.arange(n)[::-1]) + 2, 3) for n in x.shape[1:3]]
    return sum(_windows(x, 3, 1, 0.0)) / np.outer(*counts)[:, :, None].astype(np.float32)


def _lax_conv(layer: Layer, x: Array, kernel: Array) -> Array:
    padding = [(side, side) for side in layer.padding]
    strides = (layer.stride, layer.stride)
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=numbers, precision=lax.Precision.HIGHEST
    )


def _cpu_conv(layer: Layer, x: Array, kernel: Array) -> Array:
    """Minimal filtering where there is something to save, in channels enough for fast products."""
    if layer.stride > 1 or layer.inputs < THIN:
        return _lax_conv(layer, x, kernel)
    (_, height, width, _), (kh, kw), (top, left) = x.shape, layer.kernel, layer.padding
    out = (height + 2 * top - kh + 1, width + 2 * left - kw + 1)
    return winograd.conv(x, kernel, winograd.Tiling((height, width), (kh, kw), 1, (top, left), out, 2))


def _conv(params: Params, name: str, x: Array) -> Array:
    layer = LAYERS[name]
    kernel, bias = params[name]
    direct = functools.partial(_lax_conv, layer)
    y = lax.platform_dependent(x, kernel, cpu=functools.partial(_cpu_conv, layer), default=direct)
    return lax.optimization_barrier(jax.nn.relu(y + bias))


def _products(params: Params, names: Sequence[str], x: Array) -> list[Array]:
    """1×1 convolutions of one input, before ReLU, as one product."""
    kernel = jnp.concatenate([params[name][0][0, 0] for name in names], 1)
    bias = jnp.concatenate([params[name][1] for name in names])
    y = jnp.matmul(x, kernel, precision=lax.Precision.HIGHEST) + bias
    ends = np.cumsum([LAYERS[name].outputs for name in names])
    return jnp.split(y, ends[:-1], 3)


def _chain(params: Params, block: str, names: Sequence[str], x: Array) -> Array:
    for name in names:
        x = _conv(params, f"{block}.{name}", x)
    return x


def _a(params: Params, block: str, x: Array) -> Array:
    names = ("branch1x1", "branch5x5_1", "branch3x3dbl_1", "branch_pool")
    *thin, pool = _products(params, [f"{block}.{name}" for name in names], x)
    one, five, three = map(jax.nn.relu, thin)
    five = _chain(params, block, ["branch5x5_2"], five)
    three = _chain(params, block, ["branch3x3dbl_2", "branch3x3dbl_3"], three)
    return jnp.concatenate([one, five, three, jax.nn.relu(_average_pool(pool))], 3)


def _b(params: Params, block: str, x: Array) -> Array:
    three = _chain(params, block, ["branch3x3"], x)
    double = _chain(params, block, ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"], x)
    return jnp.concatenate([three, double, _max_pool(x)], 3)


def _c(params: Params, block: str, x: Array) -> Array:
    names = ("branch1x1", "branch7x7_1", "branch7x7dbl_1", "branch_pool")
    *thin, pool = _products(params, [f"{block}.{name}" for name in names], x)
    one, seven, double = map(jax.nn.relu, thin)
    seven = _chain(params, block, ["branch7x7_2", "branch7x7_3"], seven)
    double = _chain(params, block, [f"branch7x7dbl_{i}" for i in range(2, 6)], double)
    return jnp.concatenate([one, seven, double, jax.nn.relu(_average_pool(pool))], 3)


def _d(params: Params, block: str, x: Array) -> Array:
    names = ("branch3x3_1", "branch7x7x3_1")
    three, seven = map(jax.nn.relu, _products(params, [f"{block}.{name}" for name in names], x))
    three = _chain(params, block, ["branch3x3_2"], three)
    seven = _chain(params, block, [f"branch7x7x3_{i}" for i in range(2, 5)], seven)
    return jnp.concatenate([three, seven, _max_pool(x)], 3)


def _e(params: Params, block: str, x: Array, maximum: bool) -> Array:
    names = ["branch1x1", "branch3x3_1", "branch3x3dbl_1", "branch_pool"]
    if maximum:
        *thin, pool = *_products(params, [f"{block}.{name}" for name in names[:3]], x), None
        pool = _conv(params, f"{block}.branch_pool", _max_pool(x, 1, -jnp.inf))
    else:
        *thin, pool = _products(params, [f"{block}.{name}" for name in names], x)
        pool = jax.nn.relu(_average_pool(pool))
    one, three, double = map(jax.nn.relu, thin)
    double = _chain(params, block, ["branch3x3dbl_2"], double)
    split = [
        _chain(params, block, [name], y)
        for y, end in ((three, "branch3x3_2"), (double, "branch3x3dbl_3"))
        for name in (f"{end}a", f"{end}b")
    ]
    return jnp.concatenate([one, *split, pool], 3)


def apply(params: Params, x: Array) -> dict[str, Array]:
    """Features and logits of images that are resized and scaled already.

    Args:
      params: see :func:`fold`.
      x: (B, 299, 299, 3) in [−1, 1).

    Returns:
      "64", "192", "768" and "2048", channels' means, (B, that many); "features", which are "2048";
      "logits" and "logits_unbiased", (B, 1008), with and without the last layer's bias.
    """
    outputs = {}

    def keep(x: Array) -> Array:
        outputs[str(x.shape[3])] = jnp.mean(x, (1, 2))
        return x

    for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"):
        x = _conv(params, name, x)
    x = keep(_max_pool(x))
    for name in ("Conv2d_3b_1x1", "Conv2d_4a_3x3"):
        x = _conv(params, name, x)
    x = keep(_max_pool(x))
    for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = _a(params, block, x)
    x = _b(params, "Mixed_6a", x)
    for block in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = _c(params, block, x)
    x = _d(params, "Mixed_7a", keep(x))
    x = _e(params, "Mixed_7b", x, maximum=False)
    keep(_e(params, "Mixed_7c", x, maximum=True))
    kernel, bias = params["fc"]
    outputs["features"] = outputs["2048"]
    outputs["logits_unbiased"] = jnp.matmul(outputs["2048"], kernel, precision=lax.Precision.HIGHEST)
    outputs["logits"] = outputs["logits_unbiased"] + bias
    return outputs
