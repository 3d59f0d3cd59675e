"""Runs one step on many devices: ``jit`` over a mesh of them, or ``pmap`` over a named axis.

The batch is global and only its batch axis is split; the state is replicated on every device. Under ``jit``
the compiler inserts the collectives, so batch statistics and losses are those of the global batch. Under
``pmap`` each device sees its own rows alone, and whatever needs a mean over the global batch asks
:func:`global_mean` for it. Samples draw their randomness by their place in the global batch
(``batch["row"]``), so the number of devices changes nothing but time.

A population has a mesh axis of its own, ``members``: nothing may be averaged over it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgan.errors import SetupError

PyTree = Any
AXIS, MEMBERS_AXIS = "batch", "members"
EVERYWHERE, MEMBERS = PartitionSpec(), PartitionSpec(MEMBERS_AXIS)
# Leaves that all members of a population share, by the last name of their path. Mapped, they would turn
# every `lax.cond` on them into a `select` that runs both branches.
CLOCKS = ("step", "updates")

# Which operations XLA's CPU backend gives to YNNPACK. By default matrix products are among them, and run on
# one thread each; without them they run on all: right for one run, not for a population whose members are
# shared by a device a core. (The option is a list; it has to name something.)
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


def is_clock(path: tuple[Any, ...]) -> bool:
    """Whether the leaf at a tree path is one that all members of a population share, see ``CLOCKS``."""
    return bool(path) and getattr(path[-1], "name", None) in CLOCKS


def _is_bound(axis: str) -> bool:
    try:
        jax.lax.axis_index(axis)
    except NameError:
        return False
    return True


def global_mean(tree: PyTree) -> PyTree:
    """Averages over the devices that share a batch under ``pmap``; the identity everywhere else.

    Under ``jit`` a mean over the batch axis is one over the global batch already.

    Args:
      tree: arrays that are means over this device's rows.

    Returns:
      The means over the global batch.
    """
    return jax.lax.pmean(tree, AXIS) if _is_bound(AXIS) else tree


def global_rows(x: jax.Array) -> jax.Array:
    """Gathers the global batch: (B, ...) of this device to (devices · B, ...) under ``pmap``."""
    return jax.lax.all_gather(x, AXIS, tiled=True) if _is_bound(AXIS) else x


def first_row(count: int) -> jax.Array | int:
    """Returns the place in the global batch of the first of this device's ``count`` rows."""
    return jax.lax.axis_index(AXIS) * count if _is_bound(AXIS) else 0


def device_mesh(devices: Sequence[jax.Device] | None = None, *, axis: str = AXIS) -> Mesh:
    """Makes a one-dimensional mesh over the devices, all of them by default.

    Args:
      devices: in order.
      axis: name of the mesh's axis: ``AXIS`` for a batch, ``MEMBERS_AXIS`` for a population.
    """
    devices = jax.devices() if devices is None else list(devices)
    return jax.make_mesh((len(devices),), (axis,), axis_types=(AxisType.Auto,), devices=devices)


def check_batch_size(batch_size: int, num_devices: int) -> None:
    """Refuses a global batch that devices cannot share evenly.

    Raises:
      SetupError: it names the nearest sizes that would do.
    """
    if batch_size < 1 or batch_size % num_devices:
        below = batch_size // num_devices * num_devices
        nearest = f"{below} or {below + num_devices}" if below > 0 else f"{num_devices}"
        raise SetupError(
            f"batch_size {batch_size} cannot be shared evenly by {num_devices} devices: try {nearest}"
        )


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts a copy of every leaf on every device."""
    return jax.device_put(tree, NamedSharding(mesh, EVERYWHERE))


def split_members(population: PyTree, mesh: Mesh) -> PyTree:
    """Gives each device its share of a population: of every leaf's first axis.

    Raises:
      ValueError: the devices cannot share the members evenly.
    """
    return jax.device_put(population, NamedSharding(mesh, MEMBERS))


def shard_batch(batch: Mapping[str, np.ndarray], mesh: Mesh, *, axis: int = 1) -> dict[str, jax.Array]:
    """Splits a batch over the devices.

    Args:
      batch: this process's rows of the global batch (all of them if there is one process).
      mesh: from :func:`device_mesh`.
      axis: the batch axis: 1 behind the critic's axis in training, 0 for sampling.

    Returns:
      Global arrays.
    """
    sharding = NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))
    if jax.process_count() == 1:  # the same in half the time
        return jax.device_put(dict(batch), sharding)
    return {name: jax.make_array_from_process_local_data(sharding, x) for name, x in batch.items()}


def jit_step(step: Callable[..., PyTree], mesh: Mesh) -> Callable[..., PyTree]:
    """Compiles ``step(state, batch) -> (state, metrics)``; the state is donated.

    Args:
      step: one train step.
      mesh: the devices; the state and the metrics lie on each, while the batch is split.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return jax.jit(
        step,
        donate_argnums=0,
        out_shardings=NamedSharding(mesh, EVERYWHERE),
        compiler_options=CPU_OPTIONS if on_cpu else None,
    )


def jit_members(step: Callable[..., PyTree], mesh: Mesh, *, in_turn: bool = False) -> Callable[..., PyTree]:
    """Compiles ``step(member, batch) -> (member, metrics)`` for a population; it is donated.

    Args:
      step: one member's step.
      mesh: the devices, along ``MEMBERS_AXIS``; each trains its share of the members on all of the batch,
        and none waits for another.
      in_turn: whether a device trains its members one after another instead of all at once.
    """

    def axes(tree: PyTree) -> PyTree:
        return jax.tree_util.tree_map_with_path(lambda path, _: None if is_clock(path) else 0, tree)

    def share(population: PyTree, batch: PyTree) -> PyTree:
        if in_turn:
            return jax.lax.map(lambda member: step(member, batch), population)
        count = len(jax.tree.leaves(population)[0])

        def first(path: tuple[Any, ...], x: jax.Array) -> jax.Array:
            return x[0] if is_clock(path) else x

        def spread(path: tuple[Any, ...], x: jax.Array) -> jax.Array:
            return jnp.broadcast_to(x, (count,)) if is_clock(path) else x

        members = jax.tree_util.tree_map_with_path(first, population)
        mapped_axes = axes(members)
        members, metrics = jax.vmap(step, (mapped_axes, None), (mapped_axes, 0))(members, batch)
        return jax.tree_util.tree_map_with_path(spread, members), metrics

    # What all members have in common is on every device as it is; that it stays so needs no proof.
    mapped = jax.shard_map(
        share, mesh=mesh, in_specs=(MEMBERS, EVERYWHERE), out_specs=MEMBERS, check_vma=False
    )
    return jax.jit(mapped, donate_argnums=0)


def pmap_step(step: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """Compiles ``step(state, batch) -> (state, metrics)`` with ``jax.pmap`` over the axis ``AXIS``.

    Args:
      step: one train step.

    Returns:
      A function of a state and a batch with a leading device axis each, see :func:`copy_for_pmap` and
      :func:`split_for_pmap`; the state is donated.
    """
    return jax.pmap(step, axis_name=AXIS, donate_argnums=0)


def copy_for_pmap(tree: PyTree, num_devices: int) -> PyTree:
    """Adds the leading device axis of a replicated state: every leaf (...) to (devices, ...)."""
    return jax.tree.map(lambda x: jnp.stack([x] * num_devices), tree)


def split_for_pmap(batch: Mapping[str, np.ndarray], num_devices: int) -> dict[str, np.ndarray]:
    """(n_critic, B, ...) arrays to (devices, n_critic, B / devices, ...)."""

    def split(x: np.ndarray) -> np.ndarray:
        n, batch_size, *rest = x.shape
        return np.swapaxes(np.reshape(x, (n, num_devices, batch_size // num_devices, *rest)), 0, 1)

    return {name: split(np.asarray(x)) for name, x in batch.items()}
