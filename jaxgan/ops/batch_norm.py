"""Batch normalisation, with its derivative written out."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan import parallel

Array = jax.Array
Initializer = Callable[..., Array]


def _moments(x: Array) -> tuple[Array, Array]:
    x, axes = x.astype(jnp.float32), tuple(range(x.ndim - 1))
    mean, square = parallel.global_mean((jnp.mean(x, axes), jnp.mean(jnp.square(x), axes)))
    return mean, jnp.maximum(square - jnp.square(mean), 0.0)  # rounding may take it below


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """y = scale · (x − mean) / √(var + ε) + bias, by the batch's own mean and variance.

    All of it is computed in float32, and y rounded to the type of x.

    Its derivative is written out below: it keeps fewer arrays than the one JAX would derive.

    Args:
      x: (B, ..., C).
      scale: (C,).
      bias: (C,).
      epsilon: ε.

    Returns:
      y, as x in shape and type, and the biased mean and variance over all axes but the last, (C,) each, in
      float32. No gradient flows through the latter two.

    References:
      Ioffe & Szegedy, 2015, https://arxiv.org/abs/1502.03167
    """
    return _batch_norm_forward(x, scale, bias, epsilon)[0]


def _batch_norm_forward(
    x: Array, scale: Array, bias: Array, epsilon: float
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    mean, var = _moments(x)
    inverse = lax.rsqrt(var + epsilon)
    y = (x.astype(jnp.float32) - mean) * (inverse * scale) + bias
    return (y.astype(x.dtype), mean, var), (x, mean, inverse, scale)


def _batch_norm_backward(
    epsilon: float, residuals: tuple[Array, ...], gradients: tuple[Array, ...]
) -> tuple[Array, Array, Array]:
    x, mean, inverse, scale = residuals
    g, axes = gradients[0].astype(jnp.float32), tuple(range(x.ndim - 1))
    normal = (x.astype(jnp.float32) - mean) * inverse
    g_mean, g_normal = jnp.mean(g, axes), jnp.mean(g * normal, axes)
    count = x.size // x.shape[-1]
    d_scale, d_bias = count * g_normal, count * g_mean
    # The batch's moments depend on every sample, wherever it lies.
    g_mean, g_normal = parallel.global_mean((g_mean, g_normal))
    dx = scale * inverse * (g - g_mean - normal * g_normal)
    return dx.astype(x.dtype), d_scale, d_bias


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)
