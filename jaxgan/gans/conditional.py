"""A GAN of which samples of a class can be asked for: both players are told the labels.

With a projection critic, its logit is ψ(φ(x)) + ⟨v_y, φ(x)⟩, the form that the optimal critic's log-ratio
takes where the classes are told apart linearly by the features φ.

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
    """Tells both players of :func:`adversarial` the labels.

    The critic sees real samples with their own labels, and fakes with those they were asked for, which are
    uniform over the classes. Where real labels are not uniform, the optimal logit gains log p(y) / q(y).

    Args:
      generator: module called as ``(z, labels, train)``, (B, dim) latents and (B,) labels to samples.
      critic: module called as ``(x, labels, train)``, samples and (B,) labels to logits.
      loss: as of :func:`adversarial`, and so are the others.
      generator_tx: the generator's optimiser.
      critic_tx: the critic's optimiser.
      prior: (B,) PRNG keys to (B, dim) latents.
      regularizers: terms added to the critic's loss.
      augment: the view that the critic sees all samples through.
      pool: past fakes, with their labels, that take the place of fresh ones in the critic's updates.

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
