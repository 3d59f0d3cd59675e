"""A generator against a critic: GAN, DCGAN, WGAN, WGAN-GP, LSGAN, SNGAN, DRAGAN and others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan import latents, parallel
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.hyper import Flag
from jaxgan.losses import LossPair
from jaxgan.regularizers import Critique, Regularizer, Synthesis, initial_extra
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch
from jaxgan.views.augmentation import Augmentation
from jaxgan.views.pool import POOL, Pool

Array = jax.Array
PyTree = Any

# What to use instead of the layers that have these collections.
INSTEAD = {
    "batch_stats": "give the {} norm layer, spectral or none",
    "minibatch": "give the {} minibatch none",
}


class Heads(NamedTuple):
    """Terms for the outputs that a critic has besides its logits, such as class logits.

    Attributes:
      logits: ``logits(out) -> (B, ...)``, selects the logits from the critic's outputs. The loss and all
        regularisers are given these logits alone.
      critic_term: ``critic_term(real_out, fake_out, asked, batch) -> (value, metrics)``, which is added to
        the critic's loss. The arguments are the critic's outputs for the real and for the generated samples
        of an update, the conditions of the generated samples by name, and the batch.
      generator_term: ``generator_term(fake_out, asked) -> (value, metrics)``, which is added to the
        generator's loss.
    """

    logits: Callable[[PyTree], Array]
    critic_term: Callable[[PyTree, PyTree, Batch, Batch], tuple[Array, dict[str, Array]]]
    generator_term: Callable[[PyTree, Batch], tuple[Array, dict[str, Array]]]


def mixes(loss: LossPair | Callable[[Array], LossPair], feature_matching: bool = False) -> str:
    """Describes what in an adversarial loss depends on the whole batch at once, see ``GAN.mixes``."""
    if feature_matching:
        return "feature matching compares means over the batch"
    if not isinstance(loss, LossPair):
        return "a loss that changes with the step ranks the samples of a batch"
    return "a relativistic loss compares the samples of a batch" if loss.relativistic else ""


def adversarial(
    generator: nn.Module,
    critic: nn.Module,
    *,
    loss: LossPair | Callable[[Array], LossPair],
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    prior: passes.Prior,
    regularizers: Mapping[str, Regularizer] | None = None,
    augment: Augmentation | None = None,
    pool: Pool | None = None,
    feature_matching: Flag = False,
    conditions: Sequence[str] = (),
    heads: Heads | None = None,
) -> GAN:
    """Builds a system from any combination of loss, regularisers, views and models.

    Args:
      generator: Module called as ``(z, *conditions, train)``, latents to samples.
      critic: Module called as ``(x, *conditions, train)``, samples to logits.
      loss: A pair from :mod:`jaxgan.losses`, or a function from the step to such a pair.
      generator_tx: Optimiser of the generator.
      critic_tx: Optimiser of the critic, including weight clipping if the objective needs it.
      prior: Function from (B,) PRNG keys to (B, dim) latents, e.g. ``partial(latents.normal, dim=100)``.
      regularizers: Terms added to the loss of the player that each belongs to, by name, in order.
      augment: Augmentation that the critic sees all samples through, in both players' updates.
      pool: Past fakes that replace fresh ones in the critic's updates.
      feature_matching: Whether the generator matches the mean of the critic's features instead of
        minimising its own loss: ‖E[f(x)] − E[f(G(z))]‖², where f(x) are the inputs of the critic's output
        layer (Salimans et al., section 3.1).
      conditions: Names of further inputs of both networks, such as ``labels``. For real samples the critic
        gets their values from the batch; for fakes it gets the requested values, ``batch["conditions"]``.
      heads: Terms for further outputs of the critic. With heads, the critic is called as ``(x, train)``,
        the conditions are inputs of the generator alone, and the heads' terms compare the critic's outputs
        with them.

    Returns:
      The system. Its batches hold ``real``, (B, ...), ``row``, (B,), and the conditions; its fakes are the
      critic's inputs for generated samples, a tuple of samples and conditions.

    Raises:
      SetupError: Raised by ``init`` if the data lacks a condition, if a regulariser needs per-sample
        gradients and the critic mixes the samples of a batch, or if features are to be matched and the
        critic sows none.

    References:
      Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661
      Salimans et al., 2016, Improved Techniques for Training GANs, https://arxiv.org/abs/1606.03498
    """
    terms: dict[str, dict[str, Regularizer]] = {"critic": {}, "generator": {}}
    for name, regularizer in (regularizers or {}).items():
        terms[regularizer.player][name] = regularizer

    def asked(batch: Batch) -> tuple[Array, ...]:
        return tuple(batch["conditions"][name] for name in conditions)

    judged = () if heads is not None else conditions  # conditions that the critic is given

    def real_inputs(batch: Batch) -> tuple[Array, ...]:
        return batch["real"], *(batch[name] for name in judged)

    def fake_inputs(fakes: PyTree) -> tuple[Array, ...]:
        return fakes[: 1 + len(judged)]

    def logits_of(out: PyTree) -> Array:
        return out if heads is None else heads.logits(out)

    def asked_by(fakes: PyTree) -> dict[str, Array]:
        return dict(zip(conditions, fakes[1:], strict=True))

    def view(samples: Array, keys: Array, state: GANState, side: int) -> Array:
        if augment is None:
            return samples
        return augment.apply(samples, jax.vmap(jax.random.fold_in, (0, None))(keys, side), state)

    def pair_at(step: Array) -> LossPair:
        return loss if isinstance(loss, LossPair) else loss(step)

    def latents_of(batch: Batch, key: Array) -> Array:
        keys = passes.keys_for(key, passes.LATENTS, batch)
        return passes.latents_for(prior, keys, batch.get("conditions", {}))

    def generate(
        params: PyTree, state: GANState, batch: Batch, key: Array, *, advance: bool
    ) -> tuple[PyTree, PyTree]:
        z = latents_of(batch, key)
        samples, model_state = passes.forward(
            generator, params, state.generator.model_state, z, *asked(batch), advance=advance
        )
        return (samples, *asked(batch)), model_state

    def init(key: Array, batch: Batch) -> GANState:
        for name in conditions:
            if name not in batch:
                has = ", ".join(field for field in batch if field != "conditions")
                raise SetupError(f"the system needs {name}, the data has {has}: give other data")
        keys = latents.row_keys(jax.random.fold_in(key, 0), batch["row"][0, :1])
        given = passes.example(batch, "real", *judged)
        state = passes.begin(
            key,
            generator=generator,
            generator_inputs=(prior(keys), *passes.example(batch, *conditions)),
            generator_tx=generator_tx,
            critic=critic,
            critic_inputs=given,
            critic_tx=critic_tx,
        )
        for player, own in terms.items():
            mixing = [name for name in passes.MIXING if name in getattr(state, player).model_state]
            needing = [name for name, regularizer in own.items() if regularizer.per_sample]
            if needing and mixing:
                raise SetupError(
                    f"penalties {', '.join(needing)} need a gradient for each sample, but the {player}"
                    f" mixes the samples of a batch (its collection {mixing[0]!r}):"
                    f" {INSTEAD[mixing[0]].format(player)}"
                )
        if feature_matching and passes.features(critic, state.critic, *given) is None:
            raise SetupError(
                "feature matching needs a critic that sows its 'features' into 'intermediates', as those of"
                " jaxgan.models do"
            )
        extra = initial_extra(regularizers or {})
        if pool is not None:
            extra[POOL] = pool.init(passes.example(batch, "real", *conditions))
        return state.replace(extra=extra)

    def critic_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
    ) -> tuple[Array, Aux]:
        real, fake, extra = real_inputs(batch), fakes, state.extra
        if pool is not None:
            keys = passes.keys_for(key, passes.REPLAY, batch)
            fake, memory = pool.exchange(extra[POOL], fakes, keys)
            extra = {**extra, POOL: memory}
        requested, fake = asked_by(fake), fake_inputs(fake)
        noise = passes.keys_for(key, passes.NOISE, batch)

        def seen(inputs: tuple[Array, ...], side: int) -> tuple[Array, ...]:
            return view(inputs[0], noise, state, side), *inputs[1:]

        real_out, fake_out, model_state = passes.forward_both(
            critic, params, state.critic.model_state, seen(real, 0), seen(fake, 1)
        )
        real_logits, fake_logits = logits_of(real_out), logits_of(fake_out)

        def judge(given: tuple[Array, ...], side: int) -> Callable[[Array], Array]:
            return lambda x: logits_of(
                passes.forward(critic, params, model_state, *seen((x, *given[1:]), side), advance=False)[0]
            )

        value = pair_at(state.step).critic(real_logits, fake_logits)
        metrics = {"real_logits": jnp.mean(real_logits), "fake_logits": jnp.mean(fake_logits)}
        if heads is not None:
            term, reported = heads.critic_term(real_out, fake_out, requested, batch)
            value, metrics = value + term, metrics | reported
        if augment is not None:
            metrics |= augment.metrics(state)
        keys = passes.keys_for(key, passes.PENALTIES, batch)
        critique = Critique(
            judge(real, 0), judge(fake, 1), real[0], fake[0], real_logits, fake_logits, params, state, keys
        )
        for regularizer in terms["critic"].values():
            term, reported, extra = regularizer.term(critique._replace(state=state.replace(extra=extra)))
            value, metrics = value + term, metrics | reported
        return value, Aux(metrics, model_state, extra)

    def generator_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
    ) -> tuple[Array, Aux]:
        player, noise = state.critic, passes.keys_for(key, passes.NOISE, batch)

        def seen(inputs: tuple[Array, ...], side: int) -> tuple[Array, ...]:
            return view(inputs[0], noise, state, side), *inputs[1:]

        def judge(inputs: tuple[Array, ...], side: int) -> PyTree:
            inputs = seen(inputs, side)
            return passes.forward(critic, player.params, player.model_state, *inputs, advance=False)[0]

        fake_out = judge(fake_inputs(fakes), 1)
        if feature_matching:
            means = [
                jnp.mean(passes.features(critic, player, *seen(inputs, side)), 0, dtype=jnp.float32)
                for side, inputs in enumerate((real_inputs(batch), fake_inputs(fakes)))
            ]
            value = jnp.sum(jnp.square(parallel.global_mean(means[0] - means[1])))
        else:
            pair, logits = pair_at(state.step), [logits_of(fake_out)]
            if pair.relativistic:
                logits.insert(0, logits_of(judge(real_inputs(batch), 0)))
            value = pair.generator(*logits)
        metrics: dict[str, Array] = {}
        if heads is not None:
            term, metrics = heads.generator_term(fake_out, asked_by(fakes))
            value = value + term
        extra, keys = state.extra, passes.keys_for(key, passes.PENALTIES, batch)

        def synthesise(z: Array) -> Array:
            model_state = state.generator.model_state
            return passes.forward(generator, params, model_state, z, *asked(batch), advance=False)[0]

        for regularizer in terms["generator"].values():
            seen_by = Synthesis(
                synthesise, latents_of(batch, key), params, state.replace(extra=extra), keys
            )
            term, reported, extra = regularizer.term(seen_by)
            value, metrics = value + term, metrics | reported
        return value, Aux(metrics, None, extra)

    def sample(state: GANState, key: Array, asked_for: Batch) -> Array:
        z = passes.latents_for(prior, latents.row_keys(key, asked_for["row"]), asked_for)
        return passes.evaluate(generator, state.generator, z, *(asked_for[name] for name in conditions))

    def judge(state: GANState, x: Array) -> Array:
        return logits_of(passes.evaluate(critic, state.critic, x))

    return GAN(
        jax.jit(init),
        generate,
        critic_loss,
        generator_loss,
        sample,
        generator_tx,
        critic_tx,
        judge=None if judged else judge,
        reads=tuple(conditions),
        mixes=mixes(loss, feature_matching),
    )
