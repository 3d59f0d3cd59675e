"""Batch normalisation with a hand-written derivative."""

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
    # Rounding may make the difference negative.
    return mean, jnp.maximum(square - jnp.square(mean), 0.0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """Normalises a batch by its own mean and variance, then scales and shifts it.

    y = scale · (x − mean) / √(var + ε) + bias

    All computations are in float32, and y is rounded to the type of x. The derivative is written out below
    because it keeps fewer arrays than the derivative that JAX would generate.

    Args:
      x: Inputs, (B, ..., C).
      scale: Scale of each channel, (C,).
      bias: Bias of each channel, (C,).
      epsilon: Constant ε that is added to the variance.

    Returns:
      Output y, with the shape and type of x, and the batch's mean and biased variance over all axes but the
      last, each (C,) in float32. No gradient flows through the mean and the variance.

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
    # The moments depend on every sample of the global batch, so these means run over all devices.
    g_mean, g_normal = parallel.global_mean((g_mean, g_normal))
    dx = scale * inverse * (g - g_mean - normal * g_normal)
    return dx.astype(x.dtype), d_scale, d_bias


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)
