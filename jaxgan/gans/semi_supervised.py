"""Semi-supervised GAN: the critic is a classifier with one more class, that of generated samples.

The logits l of the K classes suffice, because the logit of the class of generated samples can be fixed to
0. A sample is then real with log-odds Z = log Σ_k exp(l_k).

References:
  Salimans et al., 2016, Improved Techniques for Training GANs, section 5,
  https://arxiv.org/abs/1606.03498
"""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import latents, losses, parallel
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.hyper import NotNegative
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch, Measure

Array = jax.Array
PyTree = Any


def labelled_loss(logits: Array, labels: Array) -> Array:
    """Computes the cross-entropy of the classes of real samples, E[−l_y + Z], given that they are real.

    Args:
      logits: (B, K) logits of labelled samples.
      labels: (B,) integer labels.

    Returns:
      A scalar, in nats. A constant added to all logits of a sample does not change the loss.

    Raises:
      AssertionError: The shapes differ from these.
    """
    chex.assert_rank([logits, labels], [2, 1])
    chex.assert_equal_shape_prefix([logits, labels], 1)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def unlabelled_loss(real_logits: Array, fake_logits: Array) -> Array:
    """Computes half of the cross-entropy of real and generated samples.

    ½ E[−Z(x) + log(1 + exp Z(x))] + ½ E[log(1 + exp Z(G(z)))], where Z is the log-odds of real samples.

    Args:
      real_logits: (B, K) logits of unlabelled real samples.
      fake_logits: (B', K) logits of generated samples.

    Returns:
      A scalar, in nats.
    """
    odds = (jax.nn.logsumexp(logits, -1) for logits in (real_logits, fake_logits))
    return 0.5 * losses.minimax_critic_loss(*odds)


def feature_distance(real_features: Array, fake_features: Array) -> Array:
    """Computes the mean squared difference of mean features, 1/F ‖E[f(x)] − E[f(G(z))]‖².

    Args:
      real_features: (B, F) features of real samples.
      fake_features: (B', F) features of generated samples.

    Returns:
      A scalar; the means are those of the global batch.
    """
    means = [jnp.mean(x, 0, dtype=jnp.float32) for x in (real_features, fake_features)]
    return jnp.mean(jnp.square(parallel.global_mean(means[0] - means[1])))


def semi_supervised(
    generator: nn.Module,
    classifier: nn.Module,
    *,
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    prior: passes.Prior,
    unlabelled_weight: NotNegative = 1.0,
) -> GAN:
    """Builds a system whose critic learns classes from few labels, and the rest from unlabelled samples.

    The critic minimises :func:`labelled_loss` + w :func:`unlabelled_loss`, and the generator minimises w
    :func:`feature_distance` on other real samples than the critic's. Both players keep averages, and the
    averaged critic classifies.

    Args:
      generator: Module called as ``(z, train)``, latents to samples.
      classifier: Critic, a module called as ``(x, keys, train)``, samples and the (B,) PRNG keys of its
        noise to (B, K) logits. It sows the ``features`` that the generator matches. In evaluation there is
        no noise, and the keys are None.
      generator_tx: Optimiser of the generator.
      critic_tx: Optimiser of the classifier.
      prior: Function from (B,) PRNG keys to (B, dim) latents.
      unlabelled_weight: Weight w of all terms without labels. With 0, the classifier learns from the labels
        alone and the generator does not learn.

    Returns:
      The system. Its batches hold ``real`` (unlabelled samples of the critic), ``matched`` (those of the
      generator), ``labelled``, ``labelled_labels`` and ``row``. Its measure ``error`` reads ``real`` and
      ``labels``.

    Raises:
      SetupError: Raised by ``init`` if a field of the batches is missing or the classifier sows no
        features, and by the measure if its samples have no labels.
    """

    def init(key: Array, batch: Batch) -> GANState:
        for part in ("real", "matched", "labelled"):
            if part not in batch:
                raise SetupError(
                    f"system semi_supervised finds no {part} samples in the data: give data.name zipped"
                    " with the parts real, matched and labelled"
                )
        if "labelled_labels" not in batch:
            raise SetupError("data.labelled has no labels: give a part whose samples have them")
        first = {name: x[0] for name, x in batch.items()}
        # The classifier is given the whole batch, because its layers may start from the batch's moments.
        inputs = first["real"], passes.keys_for(key, passes.NOISE, first)
        state = passes.begin(
            key,
            generator=generator,
            generator_inputs=(prior(passes.keys_for(key, passes.LATENTS, first)),),
            generator_tx=generator_tx,
            critic=classifier,
            critic_inputs=inputs,
            critic_tx=critic_tx,
            critic_ema=True,
        )
        if passes.features(classifier, state.critic, *inputs) is None:
            raise SetupError("system semi_supervised needs a classifier that sows its 'features'")
        return state

    def noise(key: Array, batch: Batch, side: int) -> Array:
        return jax.vmap(jax.random.fold_in, (0, None))(passes.keys_for(key, passes.NOISE, batch), side)

    def generate(
        params: PyTree, state: GANState, batch: Batch, key: Array, *, advance: bool
    ) -> tuple[Array, PyTree]:
        z = passes.latents_for(
            prior, passes.keys_for(key, passes.LATENTS, batch), batch.get("conditions", {})
        )
        return passes.forward(generator, params, state.generator.model_state, z, advance=advance)

    def critic_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: Array, key: Array
    ) -> tuple[Array, Aux]:
        shown = [
            (x, noise(key, batch, side)) for side, x in enumerate((batch["labelled"], batch["real"], fakes))
        ]
        (labelled, real, fake), model_state = passes.forward_all(
            classifier, params, state.critic.model_state, *shown
        )
        labels = batch["labelled_labels"]
        metrics = {
            "labelled_loss": labelled_loss(labelled, labels),
            "unlabelled_loss": unlabelled_loss(real, fake),
            "labelled_error": jnp.mean(jnp.argmax(labelled, -1) != labels),
        }
        value = metrics["labelled_loss"] + unlabelled_weight * metrics["unlabelled_loss"]
        return value, Aux(metrics, model_state, state.extra)

    def generator_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: Array, key: Array
    ) -> tuple[Array, Aux]:
        features = [
            passes.features(classifier, state.critic, x, noise(key, batch, side))
            for side, x in enumerate((batch["matched"], fakes), 3)
        ]
        return unlabelled_weight * feature_distance(*features), Aux({}, None, state.extra)

    def sample(state: GANState, key: Array, conditions: Batch) -> Array:
        z = passes.latents_for(prior, latents.row_keys(key, conditions["row"]), conditions)
        return passes.evaluate(generator, state.generator, z)

    def wrong(state: GANState, batch: Batch, key: Array) -> dict[str, Array]:
        if "labels" not in batch:
            raise SetupError("the measure error needs labels of the real samples: give data that have them")
        logits = passes.evaluate(classifier, state.critic, batch["real"], None)
        return {"wrong": jnp.argmax(logits, -1) != batch["labels"]}

    def judge(state: GANState, x: Array) -> Array:
        return jax.nn.logsumexp(passes.evaluate(classifier, state.critic, x, None), -1)

    measures = {
        "error": Measure(
            wrong,
            lambda rows: float(np.mean(rows["wrong"])),
            "share of real samples that the averaged classifier assigns to a wrong class",
        )
    }
    return GAN(
        jax.jit(init),
        generate,
        critic_loss,
        generator_loss,
        sample,
        generator_tx,
        critic_tx,
        measures,
        judge=judge,
        mixes="feature matching compares means over the batch",
    )
