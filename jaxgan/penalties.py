"""Gradient penalties on a critic, as functions that compose with ``jax.grad``.

The first argument ``critic_fn`` maps (B, ...) samples to (B, ...) logits; arrays, the PRNG key and
keyword-only hyper-parameters follow. Gradients are taken *per sample*: the norm ‖∇ₓ D(x)‖ runs over all
axes but the first (all of H, W and C of an image), so the critic must not mix samples (no batch
normalisation). Every penalty returns a scalar mean, which the caller multiplies by a weight::

    >>> import jax.numpy as jnp
    >>> x = jnp.ones((2, 3))
    >>> float(r1_penalty(lambda x: x @ jnp.array([3.0, 0.0, 4.0]), x))
    12.5

A key is either a single PRNG key or one key per sample (:func:`jaxgan.latents.row_keys`). With one key per
sample, the result does not depend on how the batch is split over devices.
"""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from jaxgan.hyper import Flag, Number

Array = jax.Array
CriticFn = Callable[[Array], Array]

# EPSILON is added inside the square root because √s has an infinite derivative at 0, which the chain rule
# turns into NaN where the critic is flat. √(s + ε) is smooth; it shifts a norm of 1 by 5e-13 and a norm of
# 0 to 1e-6.
EPSILON = 1e-12


def _per_sample(draw: Callable[[Array], Array], key: Array, batch_size: int) -> Array:
    keys = jax.random.split(key, batch_size) if key.ndim == 0 else key
    chex.assert_shape(keys, (batch_size,))
    return jax.vmap(draw)(keys)


def _squared_norms(critic_fn: CriticFn, x: Array) -> Array:
    """Returns the (B,) values of ‖∇ₓ D(x)‖²; several outputs of a critic are summed first."""
    gradients = jax.grad(lambda x: jnp.sum(critic_fn(x)))(x)
    return jnp.sum(jnp.square(gradients), axis=tuple(range(1, x.ndim)))


def _norm_penalty(critic_fn: CriticFn, x: Array, target: float, one_sided: bool) -> Array:
    excess = jnp.sqrt(_squared_norms(critic_fn, x) + EPSILON) - target
    return jnp.mean(jnp.square(jax.nn.relu(excess) if one_sided else excess))


def gradient_penalty(
    critic_fn: CriticFn,
    real: Array,
    fake: Array,
    key: Array,
    *,
    target: Number = 1.0,
    one_sided: Flag = False,
) -> Array:
    """Computes the WGAN-GP penalty at random interpolates of real and generated samples.

    E[(‖∇D(x̂)‖ − target)²],  x̂ = ε x + (1 − ε) G(z),  with one ε ~ U[0, 1) per sample.

    The one-sided variant, E[max(0, ‖∇D(x̂)‖ − target)²], only penalises slopes above the target.

    Args:
      critic_fn: Critic that maps (B, ...) samples to (B, ...) logits, each sample on its own.
      real: (B, ...) real samples.
      fake: (B, ...) generated samples, of the same shape.
      key: A PRNG key, or (B,) keys.
      target: Target of the gradient norm, in logits per unit of x.
      one_sided: Whether to leave gradient norms below the target unpenalised.

    Returns:
      A scalar. The norm is √(‖·‖² + 1e-12), so that its derivatives exist where the critic is flat.

    Raises:
      AssertionError: ``real`` and ``fake`` differ in shape, or there is neither one key nor B keys.

    References:
      Gulrajani et al., 2017, equation 3, https://arxiv.org/abs/1704.00028
      Petzka et al., 2018 (one-sided), https://arxiv.org/abs/1709.08894
    """
    chex.assert_equal_shape([real, fake])
    epsilon = _per_sample(lambda k: jax.random.uniform(k, (1,) * (real.ndim - 1)), key, len(real))
    return _norm_penalty(critic_fn, epsilon * real + (1.0 - epsilon) * fake, target, one_sided)


def dragan_penalty(
    critic_fn: CriticFn, real: Array, key: Array, *, std: Number = 0.5, target: Number = 1.0
) -> Array:
    """Computes the DRAGAN penalty in a Gaussian neighbourhood of the real samples.

    E[(‖∇D(x + δ)‖ − target)²],  δ ~ N(0, std² I)

    The noise follows the paper: N(0, c I) with c = std². The authors' program draws different noise,
    δ = α u s/2, with one α ~ U[0, 1) per sample, one u ~ U[0, 1) per entry, and s the standard deviation of
    all entries of the batch. That noise is never negative, and its root mean square is s/6, which for data
    in [−1, 1] is at most a third of the default std. The default target of 1 is the program's. The default
    std is neither the paper's nor the program's, and should be set to suit the data.

    Args:
      critic_fn: Critic that maps (B, ...) samples to (B, ...) logits, each sample on its own.
      real: (B, ...) real samples.
      key: A PRNG key, or (B,) keys.
      std: Standard deviation of the noise, in units of x.
      target: Target of the gradient norm, in logits per unit of x.

    Returns:
      A scalar. The norm is √(‖·‖² + 1e-12), so that its derivatives exist where the critic is flat.

    Raises:
      AssertionError: There is neither one key nor B keys.

    References:
      Kodali et al., 2017, On Convergence and Stability of GANs, https://arxiv.org/abs/1705.07215
      The authors' program, https://github.com/kodalinaveen3/DRAGAN
    """
    noise = _per_sample(lambda k: jax.random.normal(k, real.shape[1:], real.dtype), key, len(real))
    return _norm_penalty(critic_fn, real + std * noise, target, one_sided=False)


def r1_penalty(critic_fn: CriticFn, real: Array) -> Array:
    """Computes the R1 penalty, half the squared gradient norm on real samples.

    ½ E[‖∇D(x)‖²]

    The weight to multiply the penalty by is γ in the paper.

    Args:
      critic_fn: Critic that maps (B, ...) samples to (B, ...) logits, each sample on its own.
      real: (B, ...) real samples.

    Returns:
      A scalar, in squared logits per squared unit of x.

    References:
      Mescheder et al., 2018, equation 9, https://arxiv.org/abs/1801.04406
    """
    return 0.5 * jnp.mean(_squared_norms(critic_fn, real))


def r2_penalty(critic_fn: CriticFn, fake: Array) -> Array:
    """Computes the R2 penalty, half the squared gradient norm on generated samples.

    ½ E[‖∇D(G(z))‖²]

    The weight to multiply the penalty by is γ in the paper.

    Args:
      critic_fn: Critic that maps (B, ...) samples to (B, ...) logits, each sample on its own.
      fake: (B, ...) generated samples.

    Returns:
      A scalar, in squared logits per squared unit of x.

    References:
      Mescheder et al., 2018, equation 10, https://arxiv.org/abs/1801.04406
    """
    return 0.5 * jnp.mean(_squared_norms(critic_fn, fake))


def _with_all_inputs(penalty: Callable[..., Array], *taken: str) -> Callable[..., Array]:
    """Adapts a penalty that takes some of ``real``, ``fake`` and ``key`` to be called with all three.

    The adapted penalty keeps the signature of the original, which declares its hyper-parameters.
    """

    @functools.wraps(penalty)
    def adapted(critic_fn: CriticFn, real: Array, fake: Array, key: Array, **hyper: Any) -> Array:
        inputs = {"real": real, "fake": fake, "key": key}
        return penalty(critic_fn, *(inputs[name] for name in taken), **hyper)

    return adapted


# Penalties by name, all with the arguments (critic_fn, real, fake, key, **hyper-parameters).
PENALTIES: dict[str, Callable[..., Array]] = {
    "gradient_penalty": gradient_penalty,
    "dragan": _with_all_inputs(dragan_penalty, "real", "key"),
    "r1": _with_all_inputs(r1_penalty, "real"),
    "r2": _with_all_inputs(r2_penalty, "fake"),
}
