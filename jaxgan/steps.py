"""The train step, which is independent of models and losses: a GAN is a pair of pure loss functions.

generate(generator_params, state, batch, key, *, advance)     -> (fakes, model_state)
critic_loss(critic_params, state, batch, fakes, key)          -> (loss, Aux)
generator_loss(generator_params, state, batch, fakes, key)    -> (loss, Aux)
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import parallel
from jaxgan.errors import SetupError
from jaxgan.state import GANState, TrainState

Array = jax.Array
PyTree = Any
Batch = Mapping[str, Any]
Schedule = Callable[[Array], Array]

# Metrics that must stay finite: a run stops when one of them does not, and so does a member of a sweep.
WATCHED = ("critic_loss", "critic_grad_norm", "generator_loss", "generator_grad_norm")


class Aux(NamedTuple):
    """Results of a player's update other than its loss and its parameters.

    Attributes:
      metrics: Scalars to be logged, by name.
      model_state: The critic's collections after its forward pass. The generator's loss sets this to None,
        since ``GAN.generate`` has already updated the generator's collections.
      extra: The new ``GANState.extra``. This field has no default because a loss that omitted it would drop
        the state that others keep there.
    """

    metrics: dict[str, Array]
    model_state: PyTree
    extra: PyTree


Loss = Callable[[PyTree, GANState, Batch, PyTree, Array], tuple[Array, Aux]]


class Measure(NamedTuple):
    """A score that a system gives to its own samples, such as a cycle error or a bound on the likelihood.

    Attributes:
      per_row: ``per_row(state, batch, key) -> dict of (B, ...) arrays``, traceable; the values of a row
        depend on that row alone.
      reduce: Function that reduces the values of all rows, as NumPy arrays, to the score.
      meaning: Description of the score, with its unit.
      more_is_better: Whether higher scores are better.
    """

    per_row: Callable[[GANState, Batch, Array], dict[str, Array]]
    reduce: Callable[[dict[str, np.ndarray]], float]
    meaning: str
    more_is_better: bool = False


class GAN(NamedTuple):
    """A system: a tuple of functions, without any state.

    Attributes:
      init: ``init(key, batch) -> GANState``, where the batch is shaped as for :func:`train_step`.
      generate: ``generate(generator_params, state, batch, key, *, advance) -> (fakes, model_state)``, the
        generator's forward pass, which both players share. ``fakes`` is any pytree. The step keeps the
        collections of the pass with ``advance=True``, which is the pass of the generator's own update.
      critic_loss: Loss of the critic, see the module's docstring. Its batch is (B, ...), without the axis
        of critic updates, and its fakes are constants. None in a system without a critic.
      generator_loss: Loss of the generator; its gradient also flows through the fakes.
      sample: ``sample(state, key, conditions) -> samples``, from averaged weights. The conditions are a
        dict of (B, ...) arrays that holds ``row``, the position of each sample, and any other inputs that
        the system reads (``labels``, ``z``, ``truncation``). Samples are one array or a dict of arrays.
      generator_tx: Optimiser of the generator.
      critic_tx: Optimiser of the critic; None in a system without one.
      measures: Scores defined by the system itself, by name.
      judge: ``judge(state, x) -> (B,) logits``, the critic's logits of unaugmented samples, used to plot
        the critic; None if a sample alone does not determine a logit.
      reads: Names of the conditions that ``sample`` requires besides ``row``: ``labels``, or fields of real
        samples such as images to translate.
      mixes: Description of what in the losses depends on the whole batch at once, such as a relativistic
        loss; empty if the losses are means over samples.
      options: Number of values of each categorical condition, such as ``codes``, that ``sample`` accepts
        besides those that it requires, by name. ``sample`` draws a condition that it is not given.
      layout: Conditions of the picture of samples drawn while training, arrays of shape (rows, columns,
        ...) by name. They include ``row``: samples of the same row share their latents. Empty for a
        picture of independent samples.
    """

    init: Callable[[Array, Batch], GANState]
    generate: Callable[..., tuple[PyTree, PyTree]]
    critic_loss: Loss | None
    generator_loss: Loss
    sample: Callable[[GANState, Array, Batch], PyTree]
    generator_tx: optax.GradientTransformation
    critic_tx: optax.GradientTransformation | None
    measures: Mapping[str, Measure] = {}
    judge: Callable[[GANState, Array], Array] | None = None
    reads: tuple[str, ...] = ()
    mixes: str = ""
    options: Mapping[str, int] = {}
    layout: Mapping[str, np.ndarray] = {}


class _Update(NamedTuple):
    """Gradients of a player's loss, with its value and auxiliary results."""

    grads: PyTree
    loss: Array
    aux: Aux


def _averaged(function: Callable[[Batch], _Update], batch: Batch, accumulate: int) -> _Update:
    """Averages ``function`` over equal slices of a batch, computed one after another to save memory."""
    if accumulate == 1:
        return function(batch)
    # The slices are strided so that each device's rows stay on that device.
    slices = jax.tree.map(
        lambda x: jnp.moveaxis(x.reshape(x.shape[0] // accumulate, accumulate, *x.shape[1:]), 1, 0), batch
    )

    def mean(total: Array, value: Array) -> Array:
        return total + value / accumulate if jnp.issubdtype(value.dtype, jnp.floating) else value

    def add(total: _Update, piece: Batch) -> tuple[_Update, None]:
        return jax.tree.map(mean, total, function(piece)), None

    shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], slices))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.scan(add, zeros, slices)[0]


def check_accumulate(
    gan: GAN, state: GANState, batch_size: int, accumulate: int, mixing: tuple[str, ...]
) -> None:
    """Checks that gradients accumulated over slices equal the gradient of the whole batch.

    Args:
      gan: System to train.
      state: A state of the system, or its shapes.
      batch_size: Global batch size.
      accumulate: Number of slices that a batch is cut into.
      mixing: Names of the collections of layers that mix the samples of a batch.

    Raises:
      SetupError: A network or a loss mixes samples, ``state.extra`` holds anything but floating-point
        scalars, or the batch cannot be cut evenly.
    """
    if accumulate == 1:
        return
    if batch_size % accumulate:
        raise SetupError(f"accumulate {accumulate} does not divide batch_size {batch_size}: give a divisor")
    if gan.mixes:
        raise SetupError(
            f"accumulate {accumulate}: {gan.mixes}, so slices differ from the whole: give accumulate 1"
        )
    for name, player in (("generator", state.generator), ("critic", state.critic)):
        found = [x for x in mixing if player is not None and x in player.model_state]
        if found:
            raise SetupError(
                f"accumulate {accumulate}: the {name} mixes the samples of a batch (its collection"
                f" {found[0]!r}), so slices differ from the whole: give accumulate 1, or another norm"
            )
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.extra):
        if leaf.shape or not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise SetupError(
                f"accumulate {accumulate}: the state {jax.tree_util.keystr(path)} is no scalar that could"
                " be averaged over slices: give accumulate 1"
            )


def train_step(
    state: GANState,
    batch: Batch,
    *,
    gan: GAN,
    ema_decay: float | Schedule,
    n_critic: int | None = None,
    accumulate: int = 1,
) -> tuple[GANState, dict[str, Array]]:
    """Performs one train step: the critic's updates, then one update of the generator.

    The critic's last update and the generator's update share one forward pass of the generator. The
    generator's gradient is the sum of the loss's direct gradient and the gradient through the fakes.

    Args:
      state: Current state of the system.
      batch: Arrays of shape (max(n_critic, 1), B, ...), with one slice for each of the critic's updates;
        the generator's update uses the last one. ``batch["row"]`` holds each sample's position in the
        global batch.
      gan: System to train (static).
      ema_decay: Decay of the players' averages, a number or a function of the step. The decay is ramped up
        as min(ema_decay, (1 + t) / (10 + t)), so that the averages of a short run forget the initial
        weights (static).
      n_critic: Number of critic updates; None for one per slice of the batch. With 0, or in a system
        without a critic, only the generator is updated (static).
      accumulate: Number of slices that each update's batch is cut into, to save memory. Gradients are
        averaged over the slices, and each player's update generates its own fakes (static).

    Returns:
      The new state and scalar metrics: both losses, both gradient norms and the metrics that the losses
      report; those of the critic are from its last update.
    """
    key = jax.random.fold_in(state.key, state.step)
    critic_loss, critic_tx = gan.critic_loss, gan.critic_tx
    if critic_loss is None:
        n_critic = 0
    elif n_critic is None:
        n_critic = len(jax.tree.leaves(batch)[0])

    def settle(
        player: TrainState, name: str, tx: optax.GradientTransformation, update: _Update
    ) -> tuple[TrainState, dict[str, Array]]:
        update = parallel.global_mean(update._replace(aux=update.aux._replace(extra=None)))
        metrics = {
            f"{name}_loss": update.loss,
            f"{name}_grad_norm": optax.global_norm(update.grads),
            **update.aux.metrics,
        }
        return player.apply_gradients(update.grads, update.aux.model_state, tx, state.step), metrics

    def update_critic(
        state: GANState, batch: Batch, key: Array, fakes: PyTree = None
    ) -> tuple[GANState, dict[str, Array]]:
        def of(batch: Batch) -> _Update:
            shown = fakes
            if shown is None:
                shown, _ = gan.generate(state.generator.params, state, batch, key, advance=False)
            shown = jax.lax.stop_gradient(shown)
            assert critic_loss is not None
            (loss, aux), grads = jax.value_and_grad(critic_loss, has_aux=True)(
                state.critic.params, state, batch, shown, key
            )
            return _Update(grads, loss, aux)

        update = _averaged(of, batch, accumulate)
        critic, metrics = settle(state.critic, "critic", critic_tx, update)
        return state.replace(critic=critic, extra=update.aux.extra), metrics

    first, last = (jax.tree.map(lambda x, i=i: x[i], dict(batch)) for i in (slice(0, -1), -1))
    last_key = jax.random.fold_in(key, max(n_critic, 1) - 1)
    metrics: dict[str, Array] = {}
    if n_critic > 1:

        def body(state: GANState, number_and_batch: tuple[Array, Batch]) -> tuple[GANState, None]:
            number, batch = number_and_batch
            return update_critic(state, batch, jax.random.fold_in(key, number))[0], None

        state, _ = jax.lax.scan(body, state, (jnp.arange(n_critic - 1), first))

    def forward(batch: Batch) -> tuple[PyTree, Callable[[PyTree], tuple[PyTree]], PyTree]:
        return jax.vjp(
            lambda params: gan.generate(params, state, batch, last_key, advance=True),
            state.generator.params,
            has_aux=True,
        )

    shared = forward(last) if accumulate == 1 else None
    before = state
    if n_critic:
        state, metrics = update_critic(state, last, last_key, shared[0] if shared else None)

    def of_generator(batch: Batch) -> _Update:
        fakes, pull, model_state = shared or forward(batch)
        (loss, aux), (direct, through) = jax.value_and_grad(
            gan.generator_loss, argnums=(0, 3), has_aux=True, allow_int=True
        )(before.generator.params, state, batch, fakes, last_key)
        grads = jax.tree.map(jnp.add, direct, pull(through)[0])
        return _Update(grads, loss, aux._replace(model_state=model_state))

    update = _averaged(of_generator, last, accumulate)
    generator, generator_metrics = settle(before.generator, "generator", gan.generator_tx, update)
    decay = ema_decay(state.step) if callable(ema_decay) else ema_decay
    decay = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
    critic = state.critic
    if generator.ema_params is not None:
        generator = generator.update_ema(decay)
    if n_critic and critic.ema_params is not None:
        critic = critic.update_ema(decay)
    state = state.replace(step=state.step + 1, generator=generator, critic=critic, extra=update.aux.extra)
    return state, {**metrics, **generator_metrics}


CONDITIONS = 0xC0D1  # folded into a step's key; far from the numbers of the critic's updates


def with_conditions(
    batch: Batch, state: GANState, conditions: Callable[[Array, Array], dict[str, Array]]
) -> dict[str, Any]:
    """Adds the generator's conditions for each of its updates to a batch.

    Args:
      batch: Prepared batch, arrays of shape (n_critic, B, ...).
      state: Current state of the system.
      conditions: ``conditions(key, rows)``, see ``data.Source``.

    Returns:
      The batch with an entry ``conditions``, a dict of (n_critic, B, ...) arrays.
    """
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), CONDITIONS)
    rows = batch["row"]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(rows)))
    return {**batch, "conditions": jax.vmap(conditions)(keys, rows)}
