"""Remedies on loss pairs, which change how logits are scored."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan import parallel
from jaxgan.errors import SetupError
from jaxgan.hyper import Unit
from jaxgan.losses import LossPair, minimax_critic_loss

Array = jax.Array


def one_sided_label_smoothing(pair: LossPair, *, real_label: Unit) -> LossPair:
    """Lowers the critic's label for real samples from 1 to α, so that the critic is not overconfident.

    −E[α log D(x) + (1 − α) log(1 − D(x))] − E[log(1 − D(G(z)))],  D = σ(logit).

    The target of fakes stays 0. With another target, the optimal critic would have peaks where the
    generator already produces too many samples.

    Args:
      pair: Loss pair whose critic minimises cross-entropy: minimax or non-saturating.
      real_label: Target α of real samples, from 0 to 1 (the paper: 0.9).

    Returns:
      The pair with a changed critic loss.

    Raises:
      SetupError: The pair's critic loss is not a cross-entropy.

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
        # The smoothed loss only adds a multiple of the logit, since log D(x) − log(1 − D(x)) is the logit.
        return minimax_critic_loss(real_logits, fake_logits) + (1.0 - real_label) * jnp.mean(real_logits)

    return pair._replace(critic=critic)


def top_k(pair: LossPair, *, share: Unit, decay: Unit) -> Callable[[Array], LossPair]:
    """Trains the generator only on the k of its B samples that have the highest logits.

    k(t) = round(B · max(share, decayᵗ)), at least 1. All samples are used at first, and fewer later on.

    Args:
      pair: Loss pair that is not relativistic, because each sample needs a loss of its own.
      share: Final fraction ν = k / B, from 0 to 1 (the paper: 0.5 to 0.75).
      decay: Decay γ, from 0 to 1, applied at every step (the paper: 0.99 at every epoch).

    Returns:
      A function from the step to the pair. Samples with several logits are ranked by their mean logit;
      among equals, the sample with the smaller row number ranks first.

    Raises:
      SetupError: The pair is relativistic.

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
            # The mean over devices of this value is the mean over the k samples.
            return jnp.sum(jnp.where(rank < k, losses, 0.0)) / k * (len(everyone) / count)

        return pair._replace(generator=generator)

    return at
