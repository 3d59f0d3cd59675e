"""Measures what the derivatives of jaxgan/conv.py save: the kernel gradient of a transposed convolution.

    python -m benchmarks.transpose_gradient

Both sides run alternately in one process, warm; the figure is the median of the paired ratios.
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan import conv

ROUNDS = 5
# (batch, side of the input, its channels, output channels): layers of DCGAN for 28×28 and 64×64 images.
LAYERS = [(64, 7, 64, 32), (64, 14, 128, 64), (64, 16, 128, 64)]


def naive(y: jax.Array, w: jax.Array) -> jax.Array:
    """What ``flax.linen.ConvTranspose`` computes, differentiated by JAX's own rules."""
    return lax.conv_transpose(y, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def ours(y: jax.Array, w: jax.Array) -> jax.Array:
    """The same layer through jaxgan/conv.py (its kernel is the naive one's, flipped)."""
    size = (2 * y.shape[1], 2 * y.shape[2])
    return conv.transpose(y, w.swapaxes(2, 3), conv.same(size, w.shape[:2], 2))


def seconds(function: Callable[..., jax.Array], *arguments: jax.Array) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


def main() -> None:
    """Prints a line a layer."""
    for batch, side, inputs, outputs in LAYERS:
        y = jax.random.normal(jax.random.key(0), (batch, side, side, inputs))
        w = jax.random.normal(jax.random.key(1), (4, 4, inputs, outputs))
        gradients = [
            jax.jit(jax.grad(lambda w, y, layer=layer: jnp.sum(layer(y, w) ** 2)))
            for layer in (naive, ours)
        ]
        for gradient in gradients:
            seconds(gradient, w, y)  # compilation
        pairs = [[seconds(gradient, w, y) for gradient in gradients] for _ in range(ROUNDS)]
        ratio = statistics.median(slow / fast for slow, fast in pairs)
        milliseconds = [1e3 * statistics.median(times) for times in zip(*pairs, strict=True)]
        print(
            f"{side}×{side}×{inputs} to {2 * side}×{2 * side}×{outputs}, batch {batch}:"
            f" naive {milliseconds[0]:.0f} ms, ours {milliseconds[1]:.0f} ms, ratio {ratio:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
