"""The state of a game between two players: everything a run needs in order to go on."""

import hashlib
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

Array = jax.Array
PyTree = Any

# The one collection that is averaged along with the parameters.
AVERAGED = "batch_stats"


class TrainState(flax.struct.PyTreeNode):
    """One player, immutable: arrays and nothing else.

    Attributes:
      updates: the player's updates so far, an int32 scalar. Lazy terms keep time by it.
      params: what its optimiser changes.
      model_state: its other Flax collections (``batch_stats``, ``spectral``), empty if it has none.
      opt_state: the optimiser's.
      ema_params: moving average of the parameters, or None if the player keeps none.
      ema_model_state: the model state that belongs to them, or None.
    """

    updates: Array
    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    ema_params: PyTree = None
    ema_model_state: PyTree = None

    @classmethod
    def create(cls, *, variables: PyTree, tx: optax.GradientTransformation, ema: bool) -> "TrainState":
        """Makes a player at the start, from a module's ``init`` output.

        Args:
          variables: the module's collections, ``params`` among them.
          tx: the player's optimiser.
          ema: whether the player keeps averages.
        """
        model_state, params = flax.core.pop(variables, "params")
        # Copies, since the step donates its state and one buffer cannot be given away twice.
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
          grads: gradients of the loss, shaped as the parameters.
          model_state: the collections that the update's pass left.
          tx: the player's optimiser.
          step: the game's step, which schedules of hyper-parameters are functions of.
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
        """Returns the player with its averages moved: ema ← decay · ema + (1 − decay) · value.

        Floating-point parameters and batch statistics are averaged alike, so that they belong together.
        All other collections are copied: they are averages already, or have no meaning as one, like the
        singular vectors of ``spectral``. Integers are copied, too.
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
        """The parameters and collections to evaluate with: the averages, or the raw ones without any."""
        if self.ema_params is None:
            return self.params, self.model_state
        return self.ema_params, self.ema_model_state


class GANState(flax.struct.PyTreeNode):
    """Both players, and what belongs to neither.

    Attributes:
      step: steps done, an int32 scalar. Schedules are functions of it.
      key: the run's PRNG key; it never changes, a step folds its number into it.
      generator: the first player.
      critic: the second player, whatever it outputs (the literature's discriminator); None in a game
        without one.
      extra: what belongs to neither, such as BEGAN's k or a memory of past fakes: a dict in which each
        owner has its own name and passes on the rest.
    """

    step: Array
    key: Array
    generator: TrainState
    critic: Any  # a TrainState, or None; whoever has a critic need not ask
    extra: PyTree


def sha256(state: PyTree) -> str:
    """SHA-256 over all leaves of a state: each one's path, dtype, shape and bytes, in tree order.

    Args:
      state: any pytree of arrays; PRNG keys count by their data.

    Returns:
      64 hexadecimal digits, equal exactly if two states are bit for bit the same.

    >>> import jax.numpy as jnp
    >>> sha256({"a": jnp.zeros(2)}) == sha256({"a": jnp.zeros(2)}), sha256(()) == sha256({"a": jnp.ones(1)})
    (True, False)
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(state):
        array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a typed PRNG key array."""
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )
