"""InceptionV3 as FID defines it: the TensorFlow graph of 2015-12-05, for inference.

This network differs from that of the paper. The average pools of its blocks do not count the padding, the
last block takes a maximum where the paper averages, there are 1008 logits, and images are resized by
TensorFlow 1's method (:func:`jaxgan.ops.resize.tensorflow1`).

Batch normalisation is folded into the kernels (:func:`jaxgan.models.inception_layers.fold`), and 1×1
convolutions of the same input are one product. An average pool commutes with the 1×1 convolution that
follows it, so the convolution is computed first, which leaves fewer channels for the pool.

References:
  Szegedy et al., 2015, Rethinking the Inception Architecture for Computer Vision,
  https://arxiv.org/abs/1512.00567
  Heusel et al., 2017, GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium,
  https://arxiv.org/abs/1706.08500
"""

import functools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.models.inception_layers import BLOCKS, CLASSES, STEM, Layer
from jaxgan.ops import winograd

Array = jax.Array

SIZE = 299  # height and width of the input, in pixels
THIN = 48  # number of channels below which minimal filtering is slower than XLA's convolution on a CPU


def _windows(x: Array, stride: int, pad: float | None = None) -> list[Array]:
    """Returns the nine shifted images whose maximum or sum is a 3×3 pool.

    XLA's own pooling is slower on a CPU.
    """
    if pad is not None:
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=pad)
    down, right = (stride * ((length - 3) // stride) + 1 for length in x.shape[1:3])
    return [x[:, i : i + down : stride, j : j + right : stride] for i in range(3) for j in range(3)]


def _max_pool(x: Array, stride: int = 2, pad: float | None = None) -> Array:
    return functools.reduce(jnp.maximum, _windows(x, stride, pad))


def _average_pool(x: Array) -> Array:
    """Averages the 3×3 pixels around each pixel without counting the padding."""
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
    """Applies minimal filtering if it saves products and has enough channels, else XLA's convolution."""
    if layer.stride > 1 or layer.inputs < THIN:
        return _lax_conv(layer, x, kernel)
    (_, height, width, _), (kh, kw), (top, left) = x.shape, layer.kernel, layer.padding
    out = (height + 2 * top - kh + 1, width + 2 * left - kw + 1)
    return winograd.conv(x, kernel, winograd.Tiling((height, width), (kh, kw), 1, (top, left), out, 2))


class FoldedConv(nn.Module):
    """Convolution and ReLU, with batch normalisation folded into the kernel and the bias.

    Attributes:
      layer: Sizes of the layer.
    """

    layer: Layer

    def setup(self) -> None:
        """Declares the parameters, which :func:`_products` also reads."""
        layer = self.layer
        shape = (*layer.kernel, layer.inputs, layer.outputs)
        self.kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        self.bias = self.param("bias", nn.initializers.zeros_init(), (layer.outputs,))

    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, I) images to non-negative (B, H', W', O) features."""
        direct = functools.partial(_lax_conv, self.layer)
        on_cpu = functools.partial(_cpu_conv, self.layer)
        return nn.relu(lax.platform_dependent(x, self.kernel, cpu=on_cpu, default=direct) + self.bias)


def _products(convs: list[FoldedConv], x: Array) -> list[Array]:
    """Computes 1×1 convolutions of the same input, before ReLU, as one product."""
    kernel = jnp.concatenate([conv.kernel[0, 0] for conv in convs], 1)
    bias = jnp.concatenate([conv.bias for conv in convs])
    y = jnp.matmul(x, kernel, precision=lax.Precision.HIGHEST) + bias
    ends = np.cumsum([conv.layer.outputs for conv in convs])
    return jnp.split(y, ends[:-1], 3)


class _Block(nn.Module):
    """Convolutions of one block of the graph, by their names in the public checkpoint.

    Attributes:
      layers: Sizes of the layers by name.
    """

    layers: Mapping[str, Layer]

    def setup(self) -> None:
        for name, layer in self.layers.items():
            setattr(self, name, FoldedConv(layer))

    def _chain(self, x: Array, *names: str) -> Array:
        for name in names:
            x = getattr(self, name)(x)
        return x

    def _split(self, x: Array, *names: str) -> list[Array]:
        return _products([getattr(self, name) for name in names], x)


class BlockA(_Block):
    """Parallel branches: two 3×3 convolutions, a 5×5, a 1×1 and an average pool (the paper's figure 5).

    The two 3×3 convolutions replace another 5×5.
    """

    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) to (B, H, W, C')."""
        names = ("branch1x1", "branch5x5_1", "branch3x3dbl_1", "branch_pool")
        *thin, pool = self._split(x, *names)
        one, five, three = map(nn.relu, thin)
        five = self._chain(five, "branch5x5_2")
        three = self._chain(three, "branch3x3dbl_2", "branch3x3dbl_3")
        return jnp.concatenate([one, five, three, nn.relu(_average_pool(pool))], 3)


class BlockB(_Block):
    """Strided convolutions and a pool that reduce sides from 35 to 17 pixels (the paper's figure 10)."""

    def __call__(self, x: Array) -> Array:
        """Maps (B, 35, 35, C) to (B, 17, 17, C')."""
        three = self._chain(x, "branch3x3")
        double = self._chain(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        return jnp.concatenate([three, double, _max_pool(x)], 3)


class BlockC(_Block):
    """Convolutions of 7×7, factorised into 1×7 and 7×1 (the paper's figure 6)."""

    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) to (B, H, W, C')."""
        names = ("branch1x1", "branch7x7_1", "branch7x7dbl_1", "branch_pool")
        *thin, pool = self._split(x, *names)
        one, seven, double = map(nn.relu, thin)
        seven = self._chain(seven, "branch7x7_2", "branch7x7_3")
        double = self._chain(double, *(f"branch7x7dbl_{i}" for i in range(2, 6)))
        return jnp.concatenate([one, seven, double, nn.relu(_average_pool(pool))], 3)


class BlockD(_Block):
    """Strided convolutions and a pool that reduce the sides from 17 to 8 pixels."""

    def __call__(self, x: Array) -> Array:
        """Maps (B, 17, 17, C) to (B, 8, 8, C')."""
        three, seven = map(nn.relu, self._split(x, "branch3x3_1", "branch7x7x3_1"))
        three = self._chain(three, "branch3x3_2")
        seven = self._chain(seven, *(f"branch7x7x3_{i}" for i in range(2, 5)))
        return jnp.concatenate([three, seven, _max_pool(x)], 3)


class BlockE(_Block):
    """Parallel 1×3 and 3×1 convolutions (the paper's figure 7).

    Attributes:
      maximum: Whether the block pools by maximum instead of by average; only FID's last block does so.
    """

    maximum: bool = False

    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) to (B, H, W, C')."""
        names = ["branch1x1", "branch3x3_1", "branch3x3dbl_1"] + ["branch_pool"] * (not self.maximum)
        products = self._split(x, *names)
        if self.maximum:
            pool = self._chain(_max_pool(x, 1, -jnp.inf), "branch_pool")
        else:
            pool = nn.relu(_average_pool(products[3]))
        one, three, double = map(nn.relu, products[:3])
        double = self._chain(double, "branch3x3dbl_2")
        split = [
            self._chain(y, name)
            for y, end in ((three, "branch3x3_2"), (double, "branch3x3dbl_3"))
            for name in (f"{end}a", f"{end}b")
        ]
        return jnp.concatenate([one, *split, pool], 3)


_KINDS: dict[str, Callable[..., nn.Module]] = {
    "Mixed_5b": BlockA,
    "Mixed_5c": BlockA,
    "Mixed_5d": BlockA,
    "Mixed_6a": BlockB,
    "Mixed_6b": BlockC,
    "Mixed_6c": BlockC,
    "Mixed_6d": BlockC,
    "Mixed_6e": BlockC,
    "Mixed_7a": BlockD,
    "Mixed_7b": BlockE,
    "Mixed_7c": functools.partial(BlockE, maximum=True),
}
_KEPT = ("Mixed_6e", "Mixed_7c")  # blocks whose channel means are outputs, in addition to those of the stem


class InceptionV3(nn.Module):
    """Network that returns features and logits.

    The function :func:`jaxgan.models.inception_layers.fold` provides the network's parameters.
    """

    @nn.compact
    def __call__(self, x: Array) -> dict[str, Array]:
        """Maps images that have been resized and scaled to features and logits.

        Args:
          x: Images (B, 299, 299, 3) in [−1, 1).

        Returns:
          Channel means "64", "192", "768" and "2048", each of shape (B, that number); "features", which
          equals "2048"; "logits" and "logits_unbiased", (B, 1008), with and without the last layer's bias.
        """
        outputs = {}

        def keep(x: Array) -> Array:
            outputs[str(x.shape[3])] = jnp.mean(x, (1, 2))
            return x

        for name, layer in STEM.items():
            x = FoldedConv(layer, name=name)(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = keep(_max_pool(x))
        for name, kind in _KINDS.items():
            x = kind(BLOCKS[name], name=name)(x)
            if name in _KEPT:
                keep(x)
        outputs["features"] = outputs["2048"]
        dense = nn.Dense(CLASSES, use_bias=False, precision=lax.Precision.HIGHEST, name="fc")
        outputs["logits_unbiased"] = dense(outputs["2048"])
        bias = self.param("fc_bias", nn.initializers.zeros_init(), (CLASSES,))
        outputs["logits"] = outputs["logits_unbiased"] + bias
        return outputs
