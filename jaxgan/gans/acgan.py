"""AC-GAN: the critic also classifies samples, and the generator is asked for samples of a class.

References:
  Odena et al., 2017, Conditional Image Synthesis with Auxiliary Classifier GANs,
  https://arxiv.org/abs/1610.09585
  Gulrajani et al., 2017, Improved Training of Wasserstein GANs, https://arxiv.org/abs/1704.00028
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan.gans import passes
from jaxgan.gans.adversarial import Heads, adversarial
from jaxgan.hyper import Flag, NotNegative
from jaxgan.layers.heads import Classified
from jaxgan.losses import LossPair
from jaxgan.regularizers import Regularizer
from jaxgan.steps import GAN, Batch
from jaxgan.views.augmentation import Augmentation
from jaxgan.views.pool import Pool

Array = jax.Array


def cross_entropy(class_logits: Array, labels: Array) -> Array:
    """Computes the mean cross-entropy of labels under class logits: −E[log softmax(class_logits)_label].

    Args:
      class_logits: (B, K) logits, before any softmax.
      labels: (B,) integer labels from 0 to K − 1.

    Returns:
      A scalar, in nats.
    """
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(class_logits, labels))


def accuracy(class_logits: Array, labels: Array) -> Array:
    """Computes the share of (B, K) class logits whose largest entry is that of the (B,) label."""
    return jnp.mean(jnp.argmax(class_logits, -1) == labels, dtype=jnp.float32)


def acgan(
    generator: nn.Module,
    classifying_critic: nn.Module,
    *,
    loss: LossPair | Callable[[Array], LossPair],
    critic_class_weight: NotNegative,
    generator_class_weight: NotNegative,
    classify_fakes: Flag,
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    prior: passes.Prior,
    regularizers: Mapping[str, Regularizer] | None = None,
    augment: Augmentation | None = None,
    pool: Pool | None = None,
) -> GAN:
    """Builds an :func:`adversarial` system whose critic classifies samples instead of reading labels.

    critic:     L_critic + w_critic · (CE(x, y) + CE(G(z, c), c)), the last term if ``classify_fakes``
    generator:  L_generator + w_generator · CE(G(z, c), c)

    where CE is the cross-entropy of the class head, y the label of x, and c the label that was asked for.
    With ``classify_fakes``, as in the paper, both players minimise CE of the fakes. Without it, the critic
    learns the classes from real samples alone, as in the programs of WGAN-GP and StarGAN. In either case
    the generator gains from samples that are easy to classify. Where classes overlap, its samples of
    different classes therefore move further apart than those of the data.

    The loss and the penalties read the score head alone. The labels that are asked for are uniform over the
    classes. WGAN-GP's program asks for the labels of the real batch in the critic's updates, which has the
    same distribution if the classes of the data are balanced.

    Args:
      generator: Module called as ``(z, labels, train)``, (B, dim) latents and (B,) labels to samples.
      classifying_critic: Module called as ``(x, train)``, samples to
        :class:`jaxgan.layers.heads.Classified`.
      loss: Loss pair, or a function from the step to one, as for :func:`adversarial`.
      critic_class_weight: Weight w_critic.
      generator_class_weight: Weight w_generator.
      classify_fakes: Whether the critic's class term includes the generated samples.
      generator_tx: Optimiser of the generator.
      critic_tx: Optimiser of the critic.
      prior: Function from (B,) PRNG keys to (B, dim) latents.
      regularizers: Terms added to the players' losses, as for :func:`adversarial`.
      augment: Augmentation that the critic sees all samples through.
      pool: Past fakes, with their labels, that replace fresh ones in the critic's updates.

    Returns:
      The system. Its batches hold ``real``, ``labels`` and ``row``; ``sample`` reads ``labels``. The class
      head's accuracy on real and on generated samples is logged.

    References:
      Odena et al., 2017, https://arxiv.org/abs/1610.09585
      Shu et al., 2017, AC-GAN Learns a Biased Distribution (Bayesian Deep Learning workshop),
      http://bayesiandeeplearning.org/2017/papers/8.pdf
      WGAN-GP's program, https://github.com/igul222/improved_wgan_training
    """

    def critic_term(
        real: Classified, fake: Classified, asked: Batch, batch: Batch
    ) -> tuple[Array, dict[str, Array]]:
        value = cross_entropy(real.class_logits, batch["labels"])
        if classify_fakes:
            value = value + cross_entropy(fake.class_logits, asked["labels"])
        return critic_class_weight * value, {
            "real_class_accuracy": accuracy(real.class_logits, batch["labels"]),
            "fake_class_accuracy": accuracy(fake.class_logits, asked["labels"]),
        }

    def generator_term(fake: Classified, asked: Batch) -> tuple[Array, dict[str, Array]]:
        value = generator_class_weight * cross_entropy(fake.class_logits, asked["labels"])
        return value, {"generator_class_loss": value}

    return adversarial(
        generator,
        classifying_critic,
        loss=loss,
        generator_tx=generator_tx,
        critic_tx=critic_tx,
        prior=prior,
        regularizers=regularizers,
        augment=augment,
        pool=pool,
        conditions=("labels",),
        heads=Heads(lambda out: out.logits, critic_term, generator_term),
    )
