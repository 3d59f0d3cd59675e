"""Regularisers: terms that a system adds to a player's loss, each update or every so many.

A critic's regulariser sees a :class:`Critique`, a generator's a :class:`Synthesis`. Penalties on a critic's
slope are those of :mod:`jaxgan.penalties`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import parallel, penalties, schedules
from jaxgan.errors import unknown
from jaxgan.hyper import Unit
from jaxgan.state import GANState

Array = jax.Array
PyTree = Any

EPSILON = 1e-8  # inside the root: √ has no derivative at 0
LAZY = "lazy"  # the name in ``GANState.extra`` of what lazy terms were when they were last computed


class Critique(NamedTuple):
    """What a critic's regulariser sees.

    Attributes:
      on_real: ``on_real(x) -> logits``, the critic on (B, ...) samples under the real samples' conditions,
        behind the view that the real samples were seen through. It advances no state.
      on_fake: the same under the fakes' conditions.
      real: (B, ...) real samples, before any view.
      fake: (B, ...) generated samples, before any view.
      real_logits: the critic's of the update, (B, ...).
      fake_logits: the same for the fakes.
      params: the critic's parameters.
      state: the game's state; its ``extra`` is what earlier regularisers left.
      keys: (B,) PRNG keys, one a row.
    """

    on_real: Callable[[Array], Array]
    on_fake: Callable[[Array], Array]
    real: Array
    fake: Array
    real_logits: Array
    fake_logits: Array
    params: PyTree
    state: GANState
    keys: Array


class Synthesis(NamedTuple):
    """What a generator's regulariser sees.

    Attributes:
      generate: ``generate(w) -> samples``, (B, dim) codes to (B, ...) samples under the conditions of the
        update. It advances no state.
      w: (B, dim) codes of the update: latents, or what a mapping network made of them.
      params: the generator's parameters.
      state: the game's state; its ``extra`` is what earlier regularisers left.
      keys: (B,) PRNG keys, one a row.
    """

    generate: Callable[[Array], Array]
    w: Array
    params: PyTree
    state: GANState
    keys: Array


class Regularizer(NamedTuple):
    """A term of a loss.

    Attributes:
      term: ``term(seen) -> (value, metrics, extra)``, its weight applied, with the new ``GANState.extra``.
      metrics: the names of its metrics.
      extra: what it adds to ``GANState.extra`` at the start, under its own names.
      per_sample: whether it needs the player's gradient sample by sample, and so a network that does not
        mix the samples of a batch.
      player: whose loss it is a term of, ``critic`` or ``generator``.
    """

    term: Callable[[Any], tuple[Array, dict[str, Array], PyTree]]
    metrics: tuple[str, ...]
    extra: Mapping[str, PyTree] = {}
    per_sample: bool = False
    player: str = "critic"


def penalty(name: str, *, weight: Any, **hyper: Any) -> Regularizer:
    """Makes a regulariser of a penalty by its name.

    The critic is taken as it is on real samples, conditions and view included, or for ``r2`` as it is on
    generated ones. A critic with conditions therefore judges the points between real and fake samples of
    ``gradient_penalty`` under the real samples' conditions.

    Args:
      name: one of :data:`jaxgan.penalties.PENALTIES`; the term is logged by it, weight included.
      weight: a number or a schedule of the step.
      **hyper: the penalty's own.

    Raises:
      SetupError: there is no such penalty.
    """
    if name not in penalties.PENALTIES:
        raise unknown("penalty", name, penalties.PENALTIES)
    function = penalties.PENALTIES[name]

    def term(seen: Critique) -> tuple[Array, dict[str, Array], PyTree]:
        critic_fn = seen.on_fake if name == "r2" else seen.on_real
        value = schedules.at(weight, seen.state.step) * function(
            critic_fn, seen.real, seen.fake, seen.keys, **hyper
        )
        return value, {name: value}, seen.state.extra

    return Regularizer(term, (name,), per_sample=True)


def real_sign(*, decay: float) -> Regularizer:
    """Follows how far the critic has overfitted: r ← decay · r + (1 − decay) · E[sign D(x)].

    A regulariser of value 0 that reads the logits. r, from 0, is ``state.extra["real_sign"]`` and logged.

    Args:
      decay: of the average, from 0 to 1.

    References:
      Karras et al., 2020, Training GANs with Limited Data, section 3.1, https://arxiv.org/abs/2006.06676
    """
    name = "real_sign"

    def term(seen: Critique) -> tuple[Array, dict[str, Array], PyTree]:
        now = parallel.global_mean(jnp.mean(jnp.sign(jax.lax.stop_gradient(seen.real_logits))))
        value = decay * seen.state.extra[name] + (1.0 - decay) * now
        return jnp.float32(0), {name: value}, {**seen.state.extra, name: value}

    return Regularizer(term, (name,), {name: jnp.float32(0)})


def path_length(*, weight: Any, decay: Unit = 0.01) -> Regularizer:
    """Asks for samples that move as far wherever in the space of codes one takes a step.

    (‖Jᵀ y‖ − a)²,  J = ∂G/∂w,  y ~ N(0, I) / √pixels, one a sample;  a ← a + decay · (E‖Jᵀ y‖ − a)

    a, from 0, moves before it is compared, and the gradient passes through the step. It is
    ``state.extra["path_length"]`` and logged, as is the term.

    Args:
      weight: a number or a schedule of the step.
      decay: of the average.

    References:
      Karras et al., 2020, Analyzing and Improving the Image Quality of StyleGAN, section 3.2,
      https://arxiv.org/abs/1912.04958
    """
    name = "path_length"

    def term(seen: Synthesis) -> tuple[Array, dict[str, Array], PyTree]:
        samples, pull = jax.vjp(seen.generate, seen.w)
        pixels = math.prod(samples.shape[1:-1])  # 1 for points
        noise = jax.vmap(lambda key: jax.random.normal(key, samples.shape[1:], samples.dtype))(seen.keys)
        (slope,) = pull(noise / math.sqrt(pixels))
        lengths = jnp.sqrt(jnp.sum(jnp.square(slope), -1) + EPSILON)
        mean = seen.state.extra[name]
        mean = mean + decay * (parallel.global_mean(jnp.mean(lengths)) - mean)
        value = schedules.at(weight, seen.state.step) * jnp.mean(jnp.square(lengths - mean))
        kept = jax.lax.stop_gradient(mean)
        metrics = {name: value, f"{name}_mean": kept}
        return value, metrics, {**seen.state.extra, name: kept}

    extra = {name: jnp.float32(0)}
    return Regularizer(term, (name, f"{name}_mean"), extra, per_sample=True, player="generator")


def every(interval: int, regularizer: Regularizer) -> Regularizer:
    """Computes a regulariser at every ``interval``-th update of its player alone, times ``interval``.

    The first update computes it. Between, its metrics keep their last value, and no arithmetic is spent on
    it: the program branches.

    Args:
      interval: updates from one to the next; 1 changes nothing.
      regularizer: the term.

    References:
      Karras et al., 2020, Analyzing and Improving the Image Quality of StyleGAN, section 4.1,
      https://arxiv.org/abs/1912.04958
    """
    if interval == 1:
        return regularizer

    def term(seen: Any) -> tuple[Array, dict[str, Array], PyTree]:
        kept = {name: seen.state.extra[LAZY][name] for name in regularizer.metrics}

        def compute() -> tuple[Array, dict[str, Array], PyTree]:
            value, metrics, extra = regularizer.term(seen)
            metrics = parallel.global_mean(jax.lax.stop_gradient(metrics))
            return interval * value, metrics, {**extra, LAZY: {**extra[LAZY], **metrics}}

        def skip() -> tuple[Array, dict[str, Array], PyTree]:
            return jnp.float32(0), kept, seen.state.extra

        due = getattr(seen.state, regularizer.player).updates % interval == 0
        # `experiments.dry_run.costs` reads the interval from the name.
        with jax.named_scope(f"every_{interval}"):
            return jax.lax.cond(due, compute, skip)

    metrics = {name: jnp.float32(0) for name in regularizer.metrics}
    return regularizer._replace(term=term, extra={**regularizer.extra, LAZY: metrics})


def initial_extra(regularizers: Mapping[str, Regularizer]) -> dict[str, PyTree]:
    """Returns what regularisers add to ``GANState.extra`` at the start."""
    extra: dict[str, PyTree] = {}
    for regularizer in regularizers.values():
        lazy = {**extra.get(LAZY, {}), **regularizer.extra.get(LAZY, {})}
        extra |= {**regularizer.extra, **({LAZY: lazy} if lazy else {})}
    return extra
