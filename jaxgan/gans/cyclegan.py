"""CycleGAN: unpaired translation between two domains, each with a generator and a critic.

References:
  Zhu et al., 2017, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks,
  https://arxiv.org/abs/1703.10593
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import latents
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.hyper import NotNegative
from jaxgan.losses import LossPair
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch, Measure
from jaxgan.views.augmentation import Augmentation
from jaxgan.views.pool import POOL, Pool

Array = jax.Array
PyTree = Any

DOMAINS = ("a", "b")


def cyclegan(
    translators: nn.Module,
    critics: nn.Module,
    *,
    loss: LossPair,
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    cycle: NotNegative = 10.0,
    identity: NotNegative = 5.0,
    augment: Augmentation | None = None,
    pool: Pool | None = None,
) -> GAN:
    """Builds a system of two translators whose outputs look real and whose cycles return to the input.

    With G from a to b and F from b to a, the generators minimise

    L(D_b(G(a))) + L(D_a(F(b))) + λ (E|F(G(a)) − a| + E|G(F(b)) − b|) + λ_id (E|G(b) − b| + E|F(a) − a|)

    and the critics minimise their own losses, summed over the domains. Both generators form one player.

    Args:
      translators: Module with the methods ``a_to_b(x, train)`` and ``b_to_a(x, train)``, called as
        ``(a, b, train)`` for initialisation.
      critics: Module called as ``(a, b, train)``, samples of both domains to the logits of their critics.
      loss: A pair from :mod:`jaxgan.losses` that is not relativistic; the paper uses ``least_squares``.
      generator_tx: Optimiser of the generators.
      critic_tx: Optimiser of the critics.
      cycle: Weight λ of the cycle terms (the paper: 10).
      identity: Weight λ_id of the identity terms (the authors' program: 5).
      augment: Augmentation that the critics see all samples through; it does not affect the cycle and
        identity terms.
      pool: Past fakes that replace fresh ones in the critics' updates, with a separate memory per domain.

    Returns:
      The system. Its batches hold ``a``, ``b`` and ``row``; its fakes are the translations, the cycles and
      the identities by name. ``sample`` reads ``a`` and ``b`` and returns ``a``, ``a_to_b``, ``a_cycle``
      and the same from ``b``. Its measure is ``cycle_error``, which the identity map also brings to 0.
    """
    if not isinstance(loss, LossPair) or loss.relativistic:
        raise SetupError("CycleGAN's critics judge each sample by itself: give a gan.loss that does so")

    def translate(run: Any, a: Array, b: Array) -> dict[str, Array]:
        a_to_b, b_to_a = run(a, "a_to_b"), run(b, "b_to_a")
        return {
            "a_to_b": a_to_b,
            "b_to_a": b_to_a,
            "a_cycle": run(a_to_b, "b_to_a"),
            "b_cycle": run(b_to_a, "a_to_b"),
        }

    def distance(x: Array, y: Array) -> Array:
        return jnp.mean(jnp.abs(x - y))

    def view(
        samples: dict[str, Array], key: Array, state: GANState, batch: Batch, side: int
    ) -> list[Array]:
        keys = latents.row_keys(jax.random.fold_in(key, passes.NOISE), batch["row"])

        def one(number: int, x: Array) -> Array:
            if augment is None:
                return x
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, 2 * number + side)
            return augment.apply(x, own, state)

        return [one(number, samples[domain]) for number, domain in enumerate(DOMAINS)]

    def init(key: Array, batch: Batch) -> GANState:
        real = passes.example(batch, *DOMAINS)
        state = passes.begin(
            key,
            generator=translators,
            generator_inputs=real,
            generator_tx=generator_tx,
            critic=critics,
            critic_inputs=real,
            critic_tx=critic_tx,
        )
        if pool is None:
            return state
        memories = {domain: pool.init(x) for domain, x in zip(DOMAINS, real, strict=True)}
        return state.replace(extra={POOL: memories})

    def generate(
        params: PyTree, state: GANState, batch: Batch, key: Array, *, advance: bool
    ) -> tuple[PyTree, PyTree]:
        model_state = state.generator.model_state

        def run(x: Array, method: str) -> Array:
            nonlocal model_state
            # Only the first pass of each generator in an update advances its collections.
            first = advance and method not in seen
            seen.add(method)
            out, model_state = passes.forward(
                translators, params, model_state, x, advance=first, method=method
            )
            return out

        seen: set[str] = set()
        fakes = translate(run, batch["a"], batch["b"])
        same = {"a_identity": run(batch["a"], "b_to_a"), "b_identity": run(batch["b"], "a_to_b")}
        return {**fakes, **same}, model_state

    def critic_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
    ) -> tuple[Array, Aux]:
        extra, shown = state.extra, {"a": fakes["b_to_a"], "b": fakes["a_to_b"]}
        if pool is not None:
            keys = latents.row_keys(jax.random.fold_in(key, passes.REPLAY), batch["row"])
            memories = dict(extra[POOL])
            for number, domain in enumerate(DOMAINS):
                own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
                shown[domain], memories[domain] = pool.exchange(memories[domain], shown[domain], own)
            extra = {**extra, POOL: memories}
        real = view({domain: batch[domain] for domain in DOMAINS}, key, state, batch, 0)
        fake = view(shown, key, state, batch, 1)
        real_logits, fake_logits, model_state = passes.forward_both(
            critics, params, state.critic.model_state, tuple(real), tuple(fake)
        )
        value = jnp.float32(0)
        metrics = augment.metrics(state) if augment is not None else {}
        for domain, on_real, on_fake in zip(DOMAINS, real_logits, fake_logits, strict=True):
            metrics[f"critic_{domain}"] = loss.critic(on_real, on_fake)
            value += metrics[f"critic_{domain}"]
        return value, Aux(metrics, model_state, extra)

    def generator_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
    ) -> tuple[Array, Aux]:
        player = state.critic
        shown = view({"a": fakes["b_to_a"], "b": fakes["a_to_b"]}, key, state, batch, 1)
        logits, _ = passes.forward(critics, player.params, player.model_state, *shown, advance=False)
        a, b = DOMAINS
        metrics = {
            "adversarial": loss.generator(logits[0]) + loss.generator(logits[1]),
            "cycle": distance(fakes["a_cycle"], batch[a]) + distance(fakes["b_cycle"], batch[b]),
            "identity": distance(fakes["a_identity"], batch[a]) + distance(fakes["b_identity"], batch[b]),
        }
        value = metrics["adversarial"] + cycle * metrics["cycle"] + identity * metrics["identity"]
        return value, Aux(metrics, None, state.extra)

    def sample(state: GANState, key: Array, conditions: Batch) -> dict[str, Array]:
        def run(x: Array, method: str) -> Array:
            return passes.evaluate(translators, state.generator, x, method=method)

        given = {domain: conditions[domain] for domain in DOMAINS}
        found = {**given, **translate(run, **given)}
        return {name: found[name] for name in ("a", "a_to_b", "a_cycle", "b", "b_to_a", "b_cycle")}

    def cycle_error(state: GANState, batch: Batch, key: Array) -> dict[str, Array]:
        found = sample(state, key, batch)

        def error(x: str) -> Array:
            difference = jnp.abs(found[f"{x}_cycle"] - batch[x])
            return jnp.mean(difference.reshape(len(difference), -1), 1)

        return {domain: error(domain) for domain in DOMAINS}

    measures = {
        "cycle_error": Measure(
            cycle_error,
            lambda rows: float(np.mean([np.mean(x, dtype=np.float64) for x in rows.values()])),
            "mean absolute difference of a sample to its cycle, over both domains, in units of x",
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
        reads=DOMAINS,
    )
