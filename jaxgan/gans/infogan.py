"""InfoGAN: a GAN whose generator gets codes that its critic can read back from the samples.

The critic's second output is a distribution Q(c|x) of the codes c. For codes of entropy H(c),

L_I = E[log Q(c|G(z, c))] + H(c) ≤ I(c; G(z, c)),

with equality if Q is the posterior of the codes. Both players maximise L_I, so that the generator uses its
codes and Q learns to estimate them.

References:
  Chen et al., 2016, InfoGAN: Interpretable Representation Learning by Information Maximizing Generative
  Adversarial Nets, https://arxiv.org/abs/1606.03657
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import latents
from jaxgan.data.source import Spec
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.gans.adversarial import mixes
from jaxgan.gans.vae import gaussian_log_likelihood
from jaxgan.hyper import Count, Flag, NotNegative, Whole
from jaxgan.losses import LossPair
from jaxgan.metrics.clustering import matched_accuracy
from jaxgan.metrics.image_moments import slant_and_width
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch, Measure

Array = jax.Array
PyTree = Any

# Values of one continuous code in the columns of the sample picture, as in figure 2 of the paper. They
# exceed the training range of [−1, 1).
TRAVERSAL = np.linspace(-2, 2, 8, dtype=np.float32)


def draw_codes(keys: Array, *, categories: int, continuous: int) -> tuple[Array, Array]:
    """Draws codes: a uniform category, and continuous codes uniform on [−1, 1).

    Args:
      keys: (B,) PRNG keys.
      categories: Number of categories.
      continuous: Number of continuous codes.

    Returns:
      (B,) int32 categories and (B, continuous) codes.
    """
    own, others = (jax.vmap(jax.random.fold_in, (0, None))(keys, i) for i in (0, 1))
    drawn = jax.vmap(lambda key: jax.random.randint(key, (), 0, categories, jnp.int32))(own)
    return drawn, latents.uniform(others, dim=continuous)


def categorical_information(logits: Array, codes: Array) -> Array:
    """Computes log Q(c|x) + log K, whose mean bounds the information on uniform categories from below.

    Args:
      logits: (B, K) logits of Q.
      codes: (B,) integer categories c from which the samples were generated.

    Returns:
      (B,) values in nats, at most log K.
    """
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), codes[:, None], 1)[:, 0]
    return chosen + math.log(logits.shape[-1])


def continuous_information(means: Array, codes: Array) -> Array:
    """Computes log N(c; mean, I) + C log 2, whose mean bounds the information on continuous codes.

    C log 2 is the entropy of C codes uniform on [−1, 1). The standard deviation of 1 is fixed, as in the
    authors' program, so that the bound is at most C (log 2 − ½ log 2π) = −0.226 C even for exact means. It
    serves as a squared error, and its level says nothing about the information.

    Args:
      means: (B, C) means of Q.
      codes: (B, C) codes c from which the samples were generated.

    Returns:
      (B,) values in nats.
    """
    return gaussian_log_likelihood(codes, means, jnp.float32(0.0)) + codes.shape[-1] * math.log(2)


def infogan(
    generator: nn.Module,
    coding_critic: nn.Module,
    *,
    loss: LossPair | Callable[[Array], LossPair],
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    prior: passes.Prior,
    spec: Spec,
    categories: Count,
    continuous: Whole,
    code_weight: NotNegative = 1.0,
    train_trunk: Flag = True,
) -> GAN:
    """Builds a system in which both players add −λ L_I to their adversarial losses.

    Args:
      generator: Module called as ``(z, train)``, where z is (B, dim + K + C): noise, the one-hot category
        and the continuous codes.
      coding_critic: Module called as ``(x, train)``, samples to (B,) logits, (B, K) logits of the category
        and (B, C) means of the continuous codes. Its method ``detached`` returns the same with no gradient
        from the codes to the layers that they share with the logits.
      loss: Loss pair, or a function from the step to one, as for :func:`adversarial`; the paper uses
        ``non_saturating``.
      generator_tx: Optimiser of the generator.
      critic_tx: Optimiser of the critic, with Q.
      prior: Function from (B,) PRNG keys to (B, dim) noise.
      spec: Spec of the data, whose labels and images determine the measures.
      categories: Number of categories K.
      continuous: Number of continuous codes C.
      code_weight: Weight λ of the bound L_I (the paper: 1).
      train_trunk: Whether L_I also trains the layers that Q shares with the critic, as in the authors'
        program. Otherwise the critic's update trains only Q's own layers by L_I, as in equation 6.

    Returns:
      The system. Its batches hold ``real`` and ``row``; its fakes are ``samples`` and their ``codes`` and
      ``continuous``. ``sample`` reads the conditions ``codes``, (B,) integers, and ``continuous``, (B, C),
      where they are given, and otherwise draws them. The critic keeps averages, which its measures read:
      ``code_accuracy`` if the data is labelled, and for images with C > 0 ``slant_correlation`` and
      ``width_correlation``.

    Raises:
      SetupError: Raised by ``init`` if the critic's outputs do not fit the codes.
    """

    def with_codes(z: Array, keys: Array, given: Batch) -> tuple[Array, Array, Array]:
        codes, others = draw_codes(keys, categories=categories, continuous=continuous)
        codes, others = given.get("codes", codes), given.get("continuous", others)
        return jnp.concatenate([z, jax.nn.one_hot(codes, categories), others], 1), codes, others

    def pair_at(step: Array) -> LossPair:
        return loss if isinstance(loss, LossPair) else loss(step)

    def init(key: Array, batch: Batch) -> GANState:
        keys = latents.row_keys(jax.random.fold_in(key, 0), batch["row"][0, :1])
        state = passes.begin(
            key,
            generator=generator,
            generator_inputs=(with_codes(prior(keys), keys, {})[0],),
            generator_tx=generator_tx,
            critic=coding_critic,
            critic_inputs=passes.example(batch, "real"),
            critic_tx=critic_tx,
            critic_ema=True,
        )
        read = passes.evaluate(coding_critic, state.critic, *passes.example(batch, "real"))[1:]
        if (found := tuple(x.shape[-1] for x in read)) != (categories, continuous):
            raise SetupError(
                f"the coding critic estimates {found[0]} categories and {found[1]} continuous codes: give"
                f" {categories} and {continuous}, those of the system"
            )
        return state

    def generate(
        params: PyTree, state: GANState, batch: Batch, key: Array, *, advance: bool
    ) -> tuple[PyTree, PyTree]:
        given = batch.get("conditions", {})
        z = passes.latents_for(prior, passes.keys_for(key, passes.LATENTS, batch), given)
        z, codes, others = with_codes(z, passes.keys_for(key, passes.CODES, batch), given)
        samples, model_state = passes.forward(
            generator, params, state.generator.model_state, z, advance=advance
        )
        return {"samples": samples, "codes": codes, "continuous": others}, model_state

    def information(read: tuple[Array, Array], fakes: PyTree) -> tuple[Array, dict[str, Array]]:
        bounds = {"categorical_information": jnp.mean(categorical_information(read[0], fakes["codes"]))}
        if continuous:
            bounds["continuous_information"] = jnp.mean(
                continuous_information(read[1], fakes["continuous"])
            )
        return sum(bounds.values(), jnp.float32(0)), bounds

    def critic_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
    ) -> tuple[Array, Aux]:
        (real_logits, *_), (fake_logits, *read), model_state = passes.forward_both(
            coding_critic,
            params,
            state.critic.model_state,
            (batch["real"],),
            (fakes["samples"],),
            method=None if train_trunk else "detached",
        )
        bound, metrics = information(read, fakes)
        metrics |= {"real_logits": jnp.mean(real_logits), "fake_logits": jnp.mean(fake_logits)}
        value = pair_at(state.step).critic(real_logits, fake_logits) - code_weight * bound
        return value, Aux(metrics, model_state, state.extra)

    def generator_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
    ) -> tuple[Array, Aux]:
        player = state.critic

        def read(x: Array) -> Any:
            return passes.forward(coding_critic, player.params, player.model_state, x, advance=False)[0]

        fake_logits, *found = read(fakes["samples"])
        pair, logits = pair_at(state.step), [fake_logits]
        if pair.relativistic:
            logits.insert(0, read(batch["real"])[0])
        value = pair.generator(*logits) - code_weight * information(found, fakes)[0]
        return value, Aux({}, None, state.extra)

    def sample(state: GANState, key: Array, conditions: Batch) -> Array:
        keys = latents.row_keys(key, conditions["row"])
        z = passes.latents_for(prior, keys, conditions)
        keys = jax.vmap(jax.random.fold_in, (0, None))(keys, passes.CODES)
        return passes.evaluate(generator, state.generator, with_codes(z, keys, conditions)[0])

    def judge(state: GANState, x: Array) -> Array:
        return passes.evaluate(coding_critic, state.critic, x)[0]

    return GAN(
        jax.jit(init),
        generate,
        critic_loss,
        generator_loss,
        sample,
        generator_tx,
        critic_tx,
        _measures(coding_critic, spec, continuous > 0),
        judge=judge,
        mixes=mixes(loss),
        layout=_layout(categories, continuous),
        options={"codes": categories},
    )


def _measures(coding_critic: nn.Module, spec: Spec, is_continuous: bool) -> dict[str, Measure]:
    """Returns the measures that the fields of the data allow."""

    def read(state: GANState, batch: Batch) -> tuple[Array, Array, Array]:
        return passes.evaluate(coding_critic, state.critic, batch["real"])

    def category(state: GANState, batch: Batch, key: Array) -> dict[str, Array]:
        return {"codes": jnp.argmax(read(state, batch)[1], -1), "labels": batch["labels"]}

    def shape(number: int, state: GANState, batch: Batch, key: Array) -> dict[str, Array]:
        return {"means": read(state, batch)[2], "shape": slant_and_width(batch["real"])[number]}

    measures = {}
    if spec.classes is not None:
        measures["code_accuracy"] = Measure(
            category,
            lambda rows: matched_accuracy(rows["codes"], rows["labels"]),
            "share of real samples whose most probable category is the one matched with their class",
            more_is_better=True,
        )
    if spec.images and is_continuous:
        for number, name in enumerate(("slant", "width")):
            measures[f"{name}_correlation"] = Measure(
                functools.partial(shape, number),
                _rank_correlation,
                f"largest absolute rank correlation of a continuous code's mean with the {name} of real"
                " images",
                more_is_better=True,
            )
    return measures


def _rank_correlation(rows: dict[str, np.ndarray]) -> float:
    """Returns the largest absolute rank correlation of a column of ``means`` with ``shape``."""
    from scipy.stats import spearmanr

    return float(max(abs(spearmanr(column, rows["shape"]).statistic) for column in rows["means"].T))


def _layout(categories: int, continuous: int) -> dict[str, np.ndarray]:
    """Returns a layout of one row per category, whose columns vary one continuous code after another.

    All samples share their noise. Without continuous codes, the columns have different noise.
    """
    columns = len(TRAVERSAL) * max(continuous, 1)
    codes = np.broadcast_to(np.arange(categories, dtype=np.int32)[:, None], (categories, columns))
    if not continuous:
        rows = np.broadcast_to(np.arange(columns, dtype=np.int32), (categories, columns))
        return {"row": rows, "codes": codes}
    values = np.kron(np.eye(continuous, dtype=np.float32), TRAVERSAL[:, None])
    others = np.broadcast_to(values, (categories, columns, continuous))
    return {"row": np.zeros((categories, columns), np.int32), "codes": codes, "continuous": others}
