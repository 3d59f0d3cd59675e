"""Adversarial losses for the critic and the generator.

Every loss takes *logits*, the raw outputs of the critic (never probabilities), of shape (B, ...) with any
trailing shape (a PatchGAN critic returns one logit per patch). Real logits come before fake ones, and the
result is a scalar mean. Look up a pair of losses by name with :func:`get`::

    >>> import jax.numpy as jnp
    >>> pair = get("hinge")
    >>> float(pair.critic(jnp.array([2.0, 0.5]), jnp.array([-2.0, 0.0])))
    0.75
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxgan import parallel
from jaxgan.errors import unknown

Array = jax.Array


def _check_pair(real_logits: Array, fake_logits: Array) -> None:
    # In a relativistic loss, (B, 1) and (B,) would broadcast to (B, B) and still give a scalar.
    chex.assert_type([real_logits, fake_logits], float)
    chex.assert_equal_rank([real_logits, fake_logits])
    chex.assert_shape(fake_logits, (None, *real_logits.shape[1:]))


def minimax_critic_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes the critic's cross-entropy loss, the negative of the value of the minimax game.

    −E[log σ(D(x))] − E[log(1 − σ(D(G(z))))], where σ is the logistic function.

    Args:
      real_logits: (B, ...) logits of real samples.
      fake_logits: (B', ...) logits of generated samples.

    Returns:
      A scalar, in nats.

    Raises:
      AssertionError: The logits are not floating point, or their ranks or trailing shapes differ.

    References:
      Goodfellow et al., 2014, Generative Adversarial Networks, https://arxiv.org/abs/1406.2661
    """
    _check_pair(real_logits, fake_logits)
    return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(jax.nn.softplus(fake_logits))


def minimax_generator_loss(fake_logits: Array) -> Array:
    """Computes the generator's minimax loss, which saturates where the critic is confident.

    E[log(1 − σ(D(G(z))))]

    Args:
      fake_logits: (B, ...) logits of generated samples.

    Returns:
      A scalar, in nats.

    Raises:
      AssertionError: The logits are not floating point.

    References:
      Goodfellow et al., 2014, Generative Adversarial Networks, https://arxiv.org/abs/1406.2661
    """
    chex.assert_type(fake_logits, float)
    return -jnp.mean(jax.nn.softplus(fake_logits))


def non_saturating_generator_loss(fake_logits: Array) -> Array:
    """Computes the generator's non-saturating loss.

    −E[log σ(D(G(z)))]

    The generator maximises the log-probability that the critic classifies its samples as real. The matching
    critic loss is :func:`minimax_critic_loss`.

    Args:
      fake_logits: (B, ...) logits of generated samples.

    Returns:
      A scalar, in nats.

    Raises:
      AssertionError: The logits are not floating point.

    References:
      Goodfellow et al., 2014, Generative Adversarial Networks, section 3,
      https://arxiv.org/abs/1406.2661
    """
    chex.assert_type(fake_logits, float)
    return jnp.mean(jax.nn.softplus(-fake_logits))


def wasserstein_critic_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes the critic's Wasserstein loss, the negative of its estimate of the earth mover's distance.

    E[D(G(z))] − E[D(x)]

    The loss does not bound the critic's Lipschitz constant: add clipping, a penalty or spectral
    normalisation.

    Args:
      real_logits: (B, ...) logits of real samples.
      fake_logits: (B', ...) logits of generated samples.

    Returns:
      A scalar, in the units of the critic's output.

    Raises:
      AssertionError: The logits are not floating point, or their ranks or trailing shapes differ.

    References:
      Arjovsky et al., 2017, Wasserstein GAN, https://arxiv.org/abs/1701.07875
    """
    _check_pair(real_logits, fake_logits)
    return jnp.mean(fake_logits) - jnp.mean(real_logits)


def wasserstein_generator_loss(fake_logits: Array) -> Array:
    """Computes the generator's Wasserstein loss, the negative mean logit of its samples.

    −E[D(G(z))]

    Args:
      fake_logits: (B, ...) logits of generated samples.

    Returns:
      A scalar, in the units of the critic's output.

    Raises:
      AssertionError: The logits are not floating point.

    References:
      Arjovsky et al., 2017, Wasserstein GAN, https://arxiv.org/abs/1701.07875
    """
    chex.assert_type(fake_logits, float)
    return -jnp.mean(fake_logits)


def least_squares_critic_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes the critic's least-squares loss, with target 1 for real and 0 for fake samples.

    ½ E[(D(x) − 1)²] + ½ E[D(G(z))²]

    Args:
      real_logits: (B, ...) logits of real samples.
      fake_logits: (B', ...) logits of generated samples.

    Returns:
      A scalar.

    Raises:
      AssertionError: The logits are not floating point, or their ranks or trailing shapes differ.

    References:
      Mao et al., 2017, Least Squares Generative Adversarial Networks, equation 9 (a = 0, b = c = 1),
      https://arxiv.org/abs/1611.04076
    """
    _check_pair(real_logits, fake_logits)
    return 0.5 * (jnp.mean(jnp.square(real_logits - 1.0)) + jnp.mean(jnp.square(fake_logits)))


def least_squares_generator_loss(fake_logits: Array) -> Array:
    """Computes the generator's least-squares loss, with target 1 for its samples.

    ½ E[(D(G(z)) − 1)²]

    Args:
      fake_logits: (B, ...) logits of generated samples.

    Returns:
      A scalar.

    Raises:
      AssertionError: The logits are not floating point.

    References:
      Mao et al., 2017, Least Squares Generative Adversarial Networks, equation 9,
      https://arxiv.org/abs/1611.04076
    """
    chex.assert_type(fake_logits, float)
    return 0.5 * jnp.mean(jnp.square(fake_logits - 1.0))


def hinge_critic_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes the critic's hinge loss, with margin 1 on both real and fake samples.

    E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))]

    Args:
      real_logits: (B, ...) logits of real samples.
      fake_logits: (B', ...) logits of generated samples.

    Returns:
      A scalar.

    Raises:
      AssertionError: The logits are not floating point, or their ranks or trailing shapes differ.

    References:
      Lim and Ye, 2017, Geometric GAN, https://arxiv.org/abs/1705.02894
      Miyato et al., 2018, equation 16, https://arxiv.org/abs/1802.05957
    """
    _check_pair(real_logits, fake_logits)
    return jnp.mean(jax.nn.relu(1.0 - real_logits)) + jnp.mean(jax.nn.relu(1.0 + fake_logits))


def hinge_generator_loss(fake_logits: Array) -> Array:
    """Computes the generator's hinge loss, which is linear in the logits.

    −E[D(G(z))]

    Args:
      fake_logits: (B, ...) logits of generated samples.

    Returns:
      A scalar.

    Raises:
      AssertionError: The logits are not floating point.

    References:
      Lim and Ye, 2017, Geometric GAN, https://arxiv.org/abs/1705.02894
      Miyato et al., 2018, equation 17, https://arxiv.org/abs/1802.05957
    """
    chex.assert_type(fake_logits, float)
    return -jnp.mean(fake_logits)


def _relative(real_logits: Array, fake_logits: Array) -> tuple[Array, Array]:
    _check_pair(real_logits, fake_logits)
    real_mean, fake_mean = parallel.global_mean((jnp.mean(real_logits), jnp.mean(fake_logits)))
    return real_logits - fake_mean, fake_logits - real_mean


def relativistic_average_critic_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes the critic's relativistic average cross-entropy loss.

    −E[log σ(D(x) − E[D(G(z))])] − E[log(1 − σ(D(G(z)) − E[D(x)]))]

    Each real logit is compared with the mean fake logit, and each fake logit with the mean real logit. The
    means are taken over the global batch.

    Args:
      real_logits: (B, ...) logits of real samples.
      fake_logits: (B', ...) logits of generated samples.

    Returns:
      A scalar, in nats.

    Raises:
      AssertionError: The logits are not floating point, or their ranks or trailing shapes differ.

    References:
      Jolicoeur-Martineau, 2018, The relativistic discriminator, section 4.2,
      https://arxiv.org/abs/1807.00734
    """
    real, fake = _relative(real_logits, fake_logits)
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def relativistic_average_generator_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes the generator's relativistic average cross-entropy loss.

    −E[log(1 − σ(D(x) − E[D(G(z))]))] − E[log σ(D(G(z)) − E[D(x)])]

    This is the critic's loss with real and fake logits exchanged, so the generator needs both. See
    :func:`relativistic_average_critic_loss` for arguments, result, exceptions and reference.
    """
    real, fake = _relative(real_logits, fake_logits)
    return jnp.mean(jax.nn.softplus(real)) + jnp.mean(jax.nn.softplus(-fake))


def relativistic_average_least_squares_critic_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes the critic's relativistic average least-squares loss, with targets 1 and −1.

    E[(D(x) − E[D(G(z))] − 1)²] + E[(D(G(z)) − E[D(x)] + 1)²]

    See :func:`relativistic_average_critic_loss` for arguments, exceptions and reference; the result is a
    scalar in squared logits.
    """
    real, fake = _relative(real_logits, fake_logits)
    return jnp.mean(jnp.square(real - 1.0)) + jnp.mean(jnp.square(fake + 1.0))


def relativistic_average_least_squares_generator_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes the generator's relativistic average least-squares loss.

    E[(D(x) − E[D(G(z))] + 1)²] + E[(D(G(z)) − E[D(x)] − 1)²]

    This is the critic's loss with real and fake logits exchanged. See
    :func:`relativistic_average_critic_loss` for arguments, exceptions and reference; the result is a scalar
    in squared logits.
    """
    real, fake = _relative(real_logits, fake_logits)
    return jnp.mean(jnp.square(real + 1.0)) + jnp.mean(jnp.square(fake - 1.0))


def relativistic_average_hinge_critic_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes the critic's relativistic average hinge loss, with margin 1.

    E[max(0, 1 − (D(x) − E[D(G(z))]))] + E[max(0, 1 + (D(G(z)) − E[D(x)]))]

    See :func:`relativistic_average_critic_loss` for arguments, exceptions and reference; the result is a
    scalar in logits.
    """
    real, fake = _relative(real_logits, fake_logits)
    return jnp.mean(jax.nn.relu(1.0 - real)) + jnp.mean(jax.nn.relu(1.0 + fake))


def relativistic_average_hinge_generator_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes the generator's relativistic average hinge loss.

    E[max(0, 1 + (D(x) − E[D(G(z))]))] + E[max(0, 1 − (D(G(z)) − E[D(x)]))]

    This is the critic's loss with real and fake logits exchanged. See
    :func:`relativistic_average_critic_loss` for arguments, exceptions and reference; the result is a scalar
    in logits.
    """
    real, fake = _relative(real_logits, fake_logits)
    return jnp.mean(jax.nn.relu(1.0 + real)) + jnp.mean(jax.nn.relu(1.0 - fake))


class LossPair(NamedTuple):
    """A critic loss and the matching generator loss.

    Attributes:
      critic: Critic loss, called as ``critic(real_logits, fake_logits)``.
      generator: Generator loss, called as ``generator(fake_logits)``, or as
        ``generator(real_logits, fake_logits)`` if relativistic.
      relativistic: Whether the generator loss also needs the real logits.
    """

    critic: Callable[..., Array]
    generator: Callable[..., Array]
    relativistic: bool = False


PAIRS: dict[str, LossPair] = {
    "minimax": LossPair(minimax_critic_loss, minimax_generator_loss),
    "non_saturating": LossPair(minimax_critic_loss, non_saturating_generator_loss),
    "wasserstein": LossPair(wasserstein_critic_loss, wasserstein_generator_loss),
    "least_squares": LossPair(least_squares_critic_loss, least_squares_generator_loss),
    "hinge": LossPair(hinge_critic_loss, hinge_generator_loss),
    "relativistic_average": LossPair(
        relativistic_average_critic_loss, relativistic_average_generator_loss, relativistic=True
    ),
    "relativistic_average_least_squares": LossPair(
        relativistic_average_least_squares_critic_loss,
        relativistic_average_least_squares_generator_loss,
        relativistic=True,
    ),
    "relativistic_average_hinge": LossPair(
        relativistic_average_hinge_critic_loss,
        relativistic_average_hinge_generator_loss,
        relativistic=True,
    ),
}


def get(name: str) -> LossPair:
    """Returns the pair of losses with the given name.

    Args:
      name: A key of ``PAIRS``.

    Returns:
      The critic loss and the generator loss.

    Raises:
      SetupError: No pair has that name; the message lists the nearest names.
    """
    if name not in PAIRS:
        raise unknown("loss", name, PAIRS)
    return PAIRS[name]
