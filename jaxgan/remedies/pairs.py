"""Remedies that change how logits are scored: loss pairs to loss pairs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan import parallel
from jaxgan.errors import SetupError
from jaxgan.hyper import Unit
from jaxgan.losses import LossPair, minimax_critic_loss

Array = jax.Array


def one_sided_label_smoothing(pair: LossPair, *, real_label: Unit) -> LossPair:
    """The critic is asked for D(x) = α on real samples rather than 1, so that it never grows too sure.

    −E[α log D(x) + (1 − α) log(1 − D(x))] − E[log(1 − D(G(z)))],  D = σ(logit).

    The label of fakes stays 0: with another, the optimal critic would have peaks where the generator has
    too many samples already.

    Args:
      pair: one whose critic minimises cross-entropy: minimax or non-saturating.
      real_label: α, from 0 to 1 (the paper: 0.9).

    Returns:
      The pair with the critic's side so changed.

    Raises:
      SetupError: the pair's critic has no labels that are probabilities.

    References:
      Salimans et al., 2016, Improved Techniques for Training GANs, section 3.4,
      https://arxiv.org/abs/1606.03498
    """
    if pair.critic is not minimax_critic_loss:
        raise SetupError(
            "one-sided label smoothing is for critics that minimise cross-entropy:"
            " give the loss minimax or non_saturating"
        )

    def critic(real_logits: Array, fake_logits: Array) -> Array:
        # log D(x) − log(1 − D(x)) is the logit itself.
        return minimax_critic_loss(real_logits, fake_logits) + (1.0 - real_label) * jnp.mean(real_logits)

    return pair._replace(critic=critic)


def top_k(pair: LossPair, *, share: Unit, decay: Unit) -> Callable[[Array], LossPair]:
    """The generator learns from the k of its B samples that the critic likes best.

    k(t) = round(B · max(share, decayᵗ)), at least 1: all of them at first, fewer and fewer later.

    Args:
      pair: not a relativistic one, for a sample has to have a loss of its own.
      share: ν = k / B in the end, from 0 to 1 (the paper: 0.5 to 0.75).
      decay: γ, from 0 to 1, applied every step (the paper: 0.99 an epoch).

    Returns:
      A function of the step that gives the pair. A sample of several logits is ranked by their mean; of two
      equals the first comes first.

    Raises:
      SetupError: the pair is relativistic.

    References:
      Sinha et al., 2020, Top-k Training of GANs, https://arxiv.org/abs/2002.06224
    """
    if pair.relativistic:
        raise SetupError("top-k needs a loss of each sample's own: give a loss that is not relativistic")

    def at(step: Array) -> LossPair:
        def generator(fake_logits: Array) -> Array:
            count = len(fake_logits)
            scores = jnp.mean(fake_logits.reshape(count, -1), 1)
            everyone = parallel.global_rows(scores)
            rows = jnp.arange(count) + parallel.first_row(count)
            above = everyone > scores[:, None]
            ties = (everyone == scores[:, None]) & (jnp.arange(len(everyone)) < rows[:, None])
            rank = jnp.sum(above | ties, 1)
            k = jnp.round(len(everyone) * jnp.maximum(share, jnp.power(decay, step)))
            k = jnp.maximum(k, 1.0)
            losses = jax.vmap(pair.generator)(fake_logits)
            # The mean over devices of these is the mean over the k.
            return jnp.sum(jnp.where(rank < k, losses, 0.0)) / k * (len(everyone) / count)

        return pair._replace(generator=generator)

    return at
