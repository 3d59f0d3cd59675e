"""The training state of a generator and a critic, which holds all that a run needs to continue."""

from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

Array = jax.Array
PyTree = Any

# The only Flax collection that is averaged together with the parameters.
AVERAGED = "batch_stats"


class TrainState(flax.struct.PyTreeNode):
    """The immutable state of one player, which holds only arrays.

    Attributes:
      updates: Number of the player's updates so far, an int32 scalar, which schedules lazy terms.
      params: Parameters, which the optimiser changes.
      model_state: Other Flax collections (``batch_stats``, ``spectral``); empty if there are none.
      opt_state: State of the optimiser.
      ema_params: Moving average of the parameters, or None if the player keeps none.
      ema_model_state: Model state that belongs to the averaged parameters, or None.
    """

    updates: Array
    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    ema_params: PyTree = None
    ema_model_state: PyTree = None

    @classmethod
    def create(cls, *, variables: PyTree, tx: optax.GradientTransformation, ema: bool) -> "TrainState":
        """Creates the initial state of a player from the output of a module's ``init``.

        Args:
          variables: Collections of the module, including ``params``.
          tx: Optimiser of the player.
          ema: Whether the player keeps averages.
        """
        model_state, params = flax.core.pop(variables, "params")
        # These are copies because the step donates its state, and a buffer cannot be donated twice.
        ema_params, ema_model_state = jax.tree.map(jnp.copy, (params, model_state)) if ema else (None, None)
        return cls(
            updates=jnp.int32(0),
            params=params,
            model_state=model_state,
            opt_state=tx.init(params),
            ema_params=ema_params,
            ema_model_state=ema_model_state,
        )

    def apply_gradients(
        self, grads: PyTree, model_state: PyTree, tx: optax.GradientTransformation, step: Array
    ) -> "TrainState":
        """Returns the player after one update by its optimiser.

        Args:
          grads: Gradients of the loss with respect to the parameters.
          model_state: Collections after the forward pass of this update.
          tx: Optimiser of the player.
          step: Training step, on which schedules of hyper-parameters depend.
        """
        transform = optax.with_extra_args_support(tx)
        updates, opt_state = transform.update(grads, self.opt_state, self.params, step=step)
        return self.replace(
            updates=self.updates + 1,
            params=optax.apply_updates(self.params, updates),
            opt_state=opt_state,
            model_state=model_state,
        )

    def update_ema(self, decay: Array | float) -> "TrainState":
        """Returns the player with updated averages: ema ← decay · ema + (1 − decay) · value.

        Floating-point parameters and batch statistics are averaged with the same decay, so that they stay
        consistent. All other collections are copied, because they are averages already or because their
        average has no meaning, as for the singular vectors in ``spectral``. Integers are copied, too.
        """

        def average(ema: Array, value: Array) -> Array:
            if not jnp.issubdtype(value.dtype, jnp.floating):
                return value
            return ema + (1.0 - decay) * (value - ema)

        ema_model_state = {
            name: jax.tree.map(average, self.ema_model_state[name], collection)
            if name == AVERAGED
            else collection
            for name, collection in self.model_state.items()
        }
        ema_params = jax.tree.map(average, self.ema_params, self.params)
        return self.replace(ema_params=ema_params, ema_model_state=ema_model_state)

    @property
    def averages(self) -> tuple[PyTree, PyTree]:
        """The averaged parameters and collections, or the raw ones if the player keeps no averages."""
        if self.ema_params is None:
            return self.params, self.model_state
        return self.ema_params, self.ema_model_state


class GANState(flax.struct.PyTreeNode):
    """The states of both players, and the values that belong to neither player.

    Attributes:
      step: Number of steps done, an int32 scalar. Schedules are functions of the step.
      key: PRNG key of the run. The key stays constant, and each step folds its number into the key.
      generator: First player.
      critic: Second player, called the discriminator in the literature; None in a system without a critic.
      extra: Dict of values that belong to neither player, such as BEGAN's k or a memory of past fakes.
        Each owner uses its own name and leaves the other entries unchanged.
    """

    step: Array
    key: Array
    generator: TrainState
    critic: Any  # A TrainState or None. The type is Any so that systems with a critic need no check.
    extra: PyTree


def is_key(leaf: Any) -> bool:
    """Returns whether a leaf is an array of typed PRNG keys."""
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )
