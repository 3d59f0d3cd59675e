"""InceptionV3 as FID defines it: the TensorFlow graph of 2015-12-05, for inference.

It is not the network of the paper in all points. The average pools of its blocks do not count the padding,
the last block takes a maximum where the paper averages, there are 1008 logits, and the resize in front is
TensorFlow 1's (:func:`jaxgan.resize.tensorflow1`).

Batch normalisation is folded into the kernels (:func:`jaxgan.models.inception_layers.fold`), and 1×1
convolutions of one input are one product. As an average pool commutes with the 1×1 convolution behind it,
that comes first, and the pool has fewer channels.

References:
  Szegedy et al., 2015, Rethinking the Inception Architecture for Computer Vision,
  https://arxiv.org/abs/1512.00567
  Heusel et al., 2017, GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium,
  https://arxiv.org/abs/1706.08500
"""

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan import winograd
from jaxgan.models.inception_layers import LAYERS, Layer

Array = jax.Array
Params = Mapping[str, tuple[Array, Array]]

SIZE = 299  # pixels, both sides
THIN = 48  # channels under which minimal filtering is slower than XLA's convolution on a CPU


def _windows(x: Array, stride: int, pad: float | None = None) -> list[Array]:
    """The nine shifted images whose maximum or sum is a 3×3 pool; XLA's is five times as slow on a CPU."""
    if pad is not None:
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=pad)
    down, right = (stride * ((length - 3) // stride) + 1 for length in x.shape[1:3])
    return [x[:, i : i + down : stride, j : j + right : stride] for i in range(3) for j in range(3)]


def _max_pool(x: Array, stride: int = 2, pad: float | None = None) -> Array:
    return functools.reduce(jnp.maximum, _windows(x, stride, pad))


def _average_pool(x: Array) -> Array:
    """3×3 means around each pixel, of the pixels that there are."""
    counts = [np.convolve(np.ones(length), np.ones(3), "same") for length in x.shape[1:3]]
    return functools.reduce(jnp.add, _windows(x, 1, 0.0)) / np.outer(*counts)[:, :, None].astype(np.float32)


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
    return jax.nn.relu(y + bias)


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
    names = ["branch1x1", "branch3x3_1", "branch3x3dbl_1"] + ["branch_pool"] * (not maximum)
    products = _products(params, [f"{block}.{name}" for name in names], x)
    if maximum:
        pool = _conv(params, f"{block}.branch_pool", _max_pool(x, 1, -jnp.inf))
    else:
        pool = jax.nn.relu(_average_pool(products[3]))
    one, three, double = map(jax.nn.relu, products[:3])
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
      params: see :func:`jaxgan.models.inception_layers.fold`.
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
