"""Conditional GANs: both players are given class labels, so that samples of a class can be generated.

With a projection critic, the logit is ψ(φ(x)) + ⟨v_y, φ(x)⟩. The log-ratio of the optimal critic has this
form if the classes are linearly separable in the features φ.

References:
  Mirza and Osindero, 2014, Conditional Generative Adversarial Nets, https://arxiv.org/abs/1411.1784
  Miyato and Koyama, 2018, cGANs with Projection Discriminator, https://arxiv.org/abs/1802.05637
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import optax

from jaxgan.gans import passes
from jaxgan.gans.adversarial import adversarial
from jaxgan.losses import LossPair
from jaxgan.regularizers import Regularizer
from jaxgan.steps import GAN
from jaxgan.views.augmentation import Augmentation
from jaxgan.views.pool import Pool


def conditional(
    generator: nn.Module,
    critic: nn.Module,
    *,
    loss: LossPair | Callable[[jax.Array], LossPair],
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    prior: passes.Prior,
    regularizers: Mapping[str, Regularizer] | None = None,
    augment: Augmentation | None = None,
    pool: Pool | None = None,
) -> GAN:
    """Builds an :func:`adversarial` system in which both players are given the labels.

    The critic sees real samples with their own labels, of distribution p, and fakes with the labels that
    they were generated for, of distribution q. The optimal logit has the term log p(y) / q(y), which is 0
    if the two agree. The field ``data.label_distribution`` of a config chooses q.

    Args:
      generator: Module called as ``(z, labels, train)``, (B, dim) latents and (B,) labels to samples.
      critic: Module called as ``(x, labels, train)``, samples and (B,) labels to logits.
      loss: Loss pair, or a function from the step to one, as for :func:`adversarial`.
      generator_tx: Optimiser of the generator.
      critic_tx: Optimiser of the critic.
      prior: Function from (B,) PRNG keys to (B, dim) latents.
      regularizers: Terms added to the players' losses, as for :func:`adversarial`.
      augment: Augmentation that the critic sees all samples through.
      pool: Past fakes, with their labels, that replace fresh ones in the critic's updates.

    Returns:
      The system. Its batches hold ``real``, ``labels`` and ``row``; ``sample`` reads ``labels``.
    """
    return adversarial(
        generator,
        critic,
        loss=loss,
        generator_tx=generator_tx,
        critic_tx=critic_tx,
        prior=prior,
        regularizers=regularizers,
        augment=augment,
        pool=pool,
        conditions=("labels",),
    )
