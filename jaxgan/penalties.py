"""Gradient penalties on a critic, each a function that composes with ``jax.grad``.

``critic_fn`` maps (B, ...) samples to (B, ...) logits and comes first, then arrays, then the key, then
keyword-only hyper-parameters. The gradient is taken *per sample*: ‖∇ₓ D(x)‖ runs over every axis but
the first (all of H, W and C of an image), so the critic must not mix samples (no batch normalisation).
A penalty returns the scalar mean; its weight is the caller's::

    >>> import jax.numpy as jnp
    >>> x = jnp.ones((2, 3))
    >>> float(r1_penalty(lambda x: x @ jnp.array([3.0, 0.0, 4.0]), x))
    12.5

A key is a single PRNG key or, to be the same however the batch is split over devices, one key a
sample (:func:`jaxgan.latents.row_keys`).
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from jaxgan.hyper import Flag, Number

Array = jax.Array
CriticFn = Callable[[Array], Array]

# Inside the root: √s has an infinite first derivative at 0, which the chain rule turns into NaN where the
# critic is flat. √(s + ε) is smooth; it shifts a norm of 1 by 5e-13 and a norm of 0 to 1e-6.
EPSILON = 1e-12


def _per_sample(draw: Callable[[Array], Array], key: Array, batch_size: int) -> Array:
    keys = jax.random.split(key, batch_size) if key.ndim == 0 else key
    chex.assert_shape(keys, (batch_size,))
    return jax.vmap(draw)(keys)


def _squared_norms(critic_fn: CriticFn, x: Array) -> Array:
    """(B,) values of ‖∇ₓ D(x)‖², a critic of several outputs summed first."""
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
    """WGAN-GP's penalty at random interpolates of real and fake.

    E[(‖∇D(x̂)‖ − target)²],  x̂ = ε x + (1 − ε) G(z),  ε ~ U[0, 1), one ε a sample.

    One-sided, E[max(0, ‖∇D(x̂)‖ − target)²], punishes only slopes that are too steep.

    Args:
      critic_fn: (B, ...) samples to (B, ...) logits, sample by sample.
      real: (B, ...) real samples.
      fake: (B, ...) generated samples, of the same shape.
      key: a PRNG key, or (B,) of them.
      target: the slope wanted, in logits per unit of x.
      one_sided: whether slopes below the target are free.

    Returns:
      A scalar. The norm is √(‖·‖² + 1e-12), so that its derivatives exist where the critic is flat.

    Raises:
      AssertionError: real and fake differ in shape, or the keys are neither one nor B.

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
    """DRAGAN's penalty in a Gaussian neighbourhood of the real data.

    E[(‖∇D(x + δ)‖ − target)²],  δ ~ N(0, std² I)

    The noise is the paper's, N(0, c I) with c = std². The authors' program draws another: δ = α u s/2 with
    α ~ U[0, 1), one a sample, u ~ U[0, 1), one an entry, and s the standard deviation of all entries of the
    batch. It is never negative, and its root mean square is s/6, for data in [−1, 1] at most a third of the
    default std. The default target, 1, is the program's; the default std is neither's: set it by the data.

    Args:
      critic_fn: (B, ...) samples to (B, ...) logits, sample by sample.
      real: (B, ...) real samples.
      key: a PRNG key, or (B,) of them.
      std: the noise's standard deviation, in units of x.
      target: the slope wanted, in logits per unit of x.

    Returns:
      A scalar. The norm is √(‖·‖² + 1e-12).

    Raises:
      AssertionError: the keys are neither one nor B.

    References:
      Kodali et al., 2017, On Convergence and Stability of GANs, https://arxiv.org/abs/1705.07215
      its program, https://github.com/kodalinaveen3/DRAGAN
    """
    noise = _per_sample(lambda k: jax.random.normal(k, real.shape[1:], real.dtype), key, len(real))
    return _norm_penalty(critic_fn, real + std * noise, target, one_sided=False)


def r1_penalty(critic_fn: CriticFn, real: Array) -> Array:
    """Half the squared slope on real data; its weight is the paper's γ.

    ½ E[‖∇D(x)‖²]

    Args:
      critic_fn: (B, ...) samples to (B, ...) logits, sample by sample.
      real: (B, ...) real samples.

    Returns:
      A scalar, in squared logits per squared unit of x.

    References:
      Mescheder et al., 2018, equation 9, https://arxiv.org/abs/1801.04406
    """
    return 0.5 * jnp.mean(_squared_norms(critic_fn, real))


def r2_penalty(critic_fn: CriticFn, fake: Array) -> Array:
    """Half the squared slope on generated data; its weight is the paper's γ.

    ½ E[‖∇D(G(z))‖²]

    Args:
      critic_fn: (B, ...) samples to (B, ...) logits, sample by sample.
      fake: (B, ...) generated samples.

    Returns:
      A scalar, in squared logits per squared unit of x.

    References:
      Mescheder et al., 2018, equation 10, https://arxiv.org/abs/1801.04406
    """
    return 0.5 * jnp.mean(_squared_norms(critic_fn, fake))


# By name, all with the arguments (critic_fn, real, fake, key, **hyper-parameters).
PENALTIES: dict[str, Callable[..., Array]] = {
    "gradient_penalty": gradient_penalty,
    "dragan": lambda critic_fn, real, fake, key, **hyper: dragan_penalty(critic_fn, real, key, **hyper),
    "r1": lambda critic_fn, real, fake, key: r1_penalty(critic_fn, real),
    "r2": lambda critic_fn, real, fake, key: r2_penalty(critic_fn, fake),
}
