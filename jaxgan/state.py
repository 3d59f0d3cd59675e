"""The state of a game between two players: everything a run needs in order to go on."""

import hashlib
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import spectral

Array = jax.Array
PyTree = Any


class TrainState(flax.struct.PyTreeNode):
    """One player, immutable.

    Attributes:
      params: what its optimiser changes.
      model_state: its other Flax collections (``batch_stats``, ``spectral``), empty if it has none.
      opt_state: the optimiser's.
      ema_params: moving average of the parameters, or None if the player keeps none.
      ema_model_state: the model state that belongs to them, or None.
      apply_fn: the network, ``apply_fn(variables, inputs, train, mutable=...)``.
      tx: the optimiser.
    """

    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    ema_params: PyTree = None
    ema_model_state: PyTree = None
    apply_fn: Callable[..., Any] = flax.struct.field(pytree_node=False, default=None)
    tx: optax.GradientTransformation = flax.struct.field(pytree_node=False, default=None)

    @classmethod
    def create(
        cls,
        *,
        variables: PyTree,
        apply_fn: Callable[..., Any],
        tx: optax.GradientTransformation,
        ema: bool,
    ) -> "TrainState":
        """A player at the start, from a module's ``init`` output."""
        model_state, params = flax.core.pop(variables, "params")
        # Copies, since the step donates its state and one buffer cannot be given away twice.
        ema_params, ema_model_state = jax.tree.map(jnp.copy, (params, model_state)) if ema else (None, None)
        return cls(
            params=params,
            model_state=model_state,
            opt_state=tx.init(params),
            ema_params=ema_params,
            ema_model_state=ema_model_state,
            apply_fn=apply_fn,
            tx=tx,
        )

    def apply_gradients(self, grads: PyTree, model_state: PyTree) -> "TrainState":
        """The player after one update by its optimiser, with the model state its pass left."""
        updates, opt_state = self.tx.update(grads, self.opt_state, self.params)
        params = optax.apply_updates(self.params, updates)
        return self.replace(params=params, opt_state=opt_state, model_state=model_state)

    def update_ema(self, decay: Array | float) -> "TrainState":
        """The player with its averages moved: ema ← decay · ema + (1 − decay) · value.

        Floating-point parameters and batch statistics are averaged alike, so that they go together;
        integers and the ``spectral`` collection, whose σ is meaningless as an average, are copied.
        """

        def average(ema: Array, value: Array) -> Array:
            if not jnp.issubdtype(value.dtype, jnp.floating):
                return value
            return ema + (1.0 - decay) * (value - ema)

        ema_model_state = {
            name: collection
            if name == spectral.COLLECTION
            else jax.tree.map(average, self.ema_model_state[name], collection)
            for name, collection in self.model_state.items()
        }
        ema_params = jax.tree.map(average, self.ema_params, self.params)
        return self.replace(ema_params=ema_params, ema_model_state=ema_model_state)


class GANState(flax.struct.PyTreeNode):
    """Both players, and what belongs to neither.

    Attributes:
      step: generator updates done, an int32 scalar.
      key: the run's PRNG key; it never changes, a step folds its number into it.
      generator: the first player.
      critic: the second player, whatever it outputs (the literature's discriminator).
      extra: what belongs to neither, such as BEGAN's k or a memory of past fakes: a dict in which each
        owner has its own name and hands on the rest.
    """

    step: Array
    key: Array
    generator: TrainState
    critic: TrainState
    extra: PyTree = None


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
