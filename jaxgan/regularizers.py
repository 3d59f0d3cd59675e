"""Regularisers: terms that a system adds to a player's loss, at every update or at regular intervals.

The argument of a critic's regulariser is a :class:`Critique`, that of a generator's a :class:`Synthesis`.
Penalties on the critic's gradient are in :mod:`jaxgan.penalties`.
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

EPSILON = 1e-8  # added inside the square root because √ has no derivative at 0
LAZY = "lazy"  # key in ``GANState.extra`` of the last computed metrics of lazy regularisers


class Critique(NamedTuple):
    """Inputs of a critic's regulariser.

    Attributes:
      on_real: ``on_real(x) -> logits``, the critic applied to (B, ...) samples under the conditions of the
        real samples and through the view that the real samples were seen through. It does not change the
        critic's state.
      on_fake: The same under the conditions and the view of the generated samples.
      real: (B, ...) real samples, before any view.
      fake: (B, ...) generated samples, before any view.
      real_logits: (B, ...) logits that the critic's update computed for the real samples.
      fake_logits: (B, ...) logits that the critic's update computed for the generated samples.
      params: Parameters of the critic.
      state: State of the system; its ``extra`` includes the changes made by earlier regularisers.
      keys: (B,) PRNG keys, one per row.
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
    """Inputs of a generator's regulariser.

    Attributes:
      generate: ``generate(w) -> samples``, maps (B, dim) codes to (B, ...) samples under the conditions of
        the update. It does not change the generator's state.
      w: (B, dim) codes of the update: latents, or the output of a mapping network.
      params: Parameters of the generator.
      state: State of the system; its ``extra`` includes the changes made by earlier regularisers.
      keys: (B,) PRNG keys, one per row.
    """

    generate: Callable[[Array], Array]
    w: Array
    params: PyTree
    state: GANState
    keys: Array


class Regularizer(NamedTuple):
    """A term of a player's loss.

    Attributes:
      term: ``term(inputs) -> (value, metrics, extra)``, the weighted value, its metrics and the new
        ``GANState.extra``.
      metrics: Names of the term's metrics.
      extra: Initial entries that the term adds to ``GANState.extra``, under names of its own.
      per_sample: Whether the term needs the player's gradient per sample, and thus a network that does not
        mix the samples of a batch.
      player: Player whose loss the term is added to, ``critic`` or ``generator``.
    """

    term: Callable[[Any], tuple[Array, dict[str, Array], PyTree]]
    metrics: tuple[str, ...]
    extra: Mapping[str, PyTree] = {}
    per_sample: bool = False
    player: str = "critic"


def penalty(name: str, *, weight: Any, **hyper: Any) -> Regularizer:
    """Makes a regulariser from the penalty with the given name.

    The penalty is computed under the conditions and the view of the real samples, except for ``r2``, which
    uses those of the generated samples. A conditional critic therefore judges the interpolates of
    ``gradient_penalty`` under the conditions of the real samples.

    Args:
      name: A key of :data:`jaxgan.penalties.PENALTIES`; the weighted term is logged under this name.
      weight: Weight of the penalty, a number or a schedule of the step.
      **hyper: Hyper-parameters of the penalty.

    Raises:
      SetupError: No penalty has that name.
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
    """Tracks how far the critic has overfitted: r ← decay · r + (1 − decay) · E[sign D(x)].

    This regulariser reads the logits and adds nothing to the loss. The average r starts at 0, is stored as
    ``state.extra["real_sign"]`` and is logged.

    Args:
      decay: Decay of the average, from 0 to 1.

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
    """Makes the path length regulariser, by which equal steps of the codes change samples equally.

    (‖Jᵀ y‖ − a)²,  J = ∂G/∂w,  y ~ N(0, I) / √pixels, one y per sample;  a ← a + decay · (E‖Jᵀ y‖ − a)

    The average a starts at 0 and is updated before it is used; the gradient passes through the update. It
    is stored as ``state.extra["path_length"]`` and logged, as is the term.

    Args:
      weight: Weight of the term, a number or a schedule of the step.
      decay: Rate at which the average moves to the current mean, from 0 to 1.

    References:
      Karras et al., 2020, Analyzing and Improving the Image Quality of StyleGAN, section 3.2,
      https://arxiv.org/abs/1912.04958
    """
    name = "path_length"

    def term(seen: Synthesis) -> tuple[Array, dict[str, Array], PyTree]:
        samples, pull = jax.vjp(seen.generate, seen.w)
        pixels = math.prod(samples.shape[1:-1])  # 1 for points, which have no spatial axes
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


def orthogonal(*, weight: Any) -> Regularizer:
    """Makes orthogonal regularisation without the diagonal, by which a generator's filters are orthogonal.

    weight · Σ_W ‖WᵀW ∘ (1 − I)‖²_F

    The sum runs over all kernels, reshaped to (−1, out), whose columns are the filters of the outputs. The
    lengths of the filters are free. Tables of classes (modules named ``Embed``) are left out, except for
    those of a :class:`jaxgan.layers.conditional_norm.ConditionalBatchNorm` of labels, whose names in the
    tree of parameters are those of kernels.

    The term and its usual weight, 1e-4, are the paper's. The authors' code has the gradient of half the
    term, so its strength is half of this weight. For a critic, replace the field ``player``.

    Args:
      weight: Weight of the term, a number or a schedule of the step.

    References:
      Brock et al., 2019, Large Scale GAN Training, equation 3, https://arxiv.org/abs/1809.11096
      The authors' code, https://github.com/ajbrock/BigGAN-PyTorch (``utils.ortho``)
    """
    name = "orthogonal"

    def term(seen: Critique | Synthesis) -> tuple[Array, dict[str, Array], PyTree]:
        total = jnp.float32(0)
        for path, kernel in jax.tree_util.tree_leaves_with_path(seen.params):
            names = [str(getattr(key, "key", key)) for key in path]
            if names[-1] == "kernel" and not any(module.startswith("Embed") for module in names[:-1]):
                total += _off_diagonal(kernel.reshape(-1, kernel.shape[-1]))
        value = schedules.at(weight, seen.state.step) * total
        return value, {name: value}, seen.state.extra

    return Regularizer(term, (name,), player="generator")


def _off_diagonal(matrix: Array) -> Array:
    """Computes ‖WᵀW ∘ (1 − I)‖²_F, the sum of the squared products of different columns of W, (m, n)."""
    if matrix.shape[0] >= matrix.shape[1]:
        products = matrix.T @ matrix
        return jnp.sum(jnp.square(products - jnp.diag(jnp.diag(products))))
    # WᵀW would be large for a wide W, and ‖WᵀW‖ = ‖WWᵀ‖. More columns than rows cannot be orthogonal, so
    # this difference is not one of nearly equal numbers, except for matrices with one nonzero column.
    lengths = jnp.sum(jnp.square(matrix), 0)
    return jnp.sum(jnp.square(matrix @ matrix.T)) - jnp.sum(jnp.square(lengths))


def every(interval: int, regularizer: Regularizer) -> Regularizer:
    """Computes a regulariser at every ``interval``-th update of its player, multiplied by ``interval``.

    The first update computes the term. At other updates its metrics keep their last values and a
    conditional skips the computation.

    Args:
      interval: Number of updates from one computation to the next; 1 leaves the regulariser unchanged.
      regularizer: Regulariser to compute lazily.

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
    """Returns the entries that regularisers add to ``GANState.extra`` at the start of training."""
    extra: dict[str, PyTree] = {}
    for regularizer in regularizers.values():
        lazy = {**extra.get(LAZY, {}), **regularizer.extra.get(LAZY, {})}
        extra |= {**regularizer.extra, **({LAZY: lazy} if lazy else {})}
    return extra
