"""Train steps on many devices, with ``jit`` over a device mesh or ``pmap`` over a named axis.

The batch is global and only its batch axis is split; the state is replicated on every device. Under ``jit``
the compiler inserts the collectives, so batch statistics and losses are those of the global batch. Under
``pmap`` each device sees only its own rows, and code that needs a mean over the global batch calls
:func:`global_mean`. The randomness of a sample depends on its position in the global batch
(``batch["row"]``), so the number of devices affects nothing but speed.

A population has a separate mesh axis, ``members``, over which nothing may be averaged.
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
# Leaves that all members of a population share, by the last name of their path. If `vmap` mapped them, it
# would turn every `lax.cond` on them into a `select` that runs both branches.
CLOCKS = ("step", "updates")

# The operations that XLA's CPU backend gives to YNNPACK. By default these include matrix products, each of
# which then runs on one thread; without YNNPACK a product runs on all threads. The latter is better for a
# single run, but not for a population whose members are split over one device per core. (The option is a
# list that must not be empty, so it names the one fusion type that is kept.)
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


def is_clock(path: tuple[Any, ...]) -> bool:
    """Returns whether the leaf at a tree path is shared by all members of a population, see ``CLOCKS``."""
    return bool(path) and getattr(path[-1], "name", None) in CLOCKS


def _is_bound(axis: str) -> bool:
    try:
        jax.lax.axis_index(axis)
    except NameError:
        return False
    return True


def global_mean(tree: PyTree) -> PyTree:
    """Averages over the devices that share a batch under ``pmap``; elsewhere returns the tree unchanged.

    Under ``jit`` a mean over the batch axis already covers the global batch.

    Args:
      tree: Arrays that are means over this device's rows.

    Returns:
      The means over the global batch.
    """
    return jax.lax.pmean(tree, AXIS) if _is_bound(AXIS) else tree


def global_rows(x: jax.Array) -> jax.Array:
    """Gathers the global batch under ``pmap``: (B, ...) on this device to (devices · B, ...)."""
    return jax.lax.all_gather(x, AXIS, tiled=True) if _is_bound(AXIS) else x


def first_row(count: int) -> jax.Array | int:
    """Returns the position in the global batch of the first of this device's ``count`` rows."""
    return jax.lax.axis_index(AXIS) * count if _is_bound(AXIS) else 0


def device_mesh(devices: Sequence[jax.Device] | None = None, *, axis: str = AXIS) -> Mesh:
    """Makes a one-dimensional mesh over the given devices, or over all devices by default.

    Args:
      devices: Devices, in the order of the mesh; None for all.
      axis: Name of the mesh axis: ``AXIS`` for a batch, ``MEMBERS_AXIS`` for a population.
    """
    devices = jax.devices() if devices is None else list(devices)
    return jax.make_mesh((len(devices),), (axis,), axis_types=(AxisType.Auto,), devices=devices)


def check_batch_size(batch_size: int, num_devices: int) -> None:
    """Checks that the devices can share a global batch evenly.

    Raises:
      SetupError: The batch size is not a multiple of the number of devices; the message names the nearest
        sizes that are.
    """
    if batch_size < 1 or batch_size % num_devices:
        below = batch_size // num_devices * num_devices
        nearest = f"{below} or {below + num_devices}" if below > 0 else f"{num_devices}"
        raise SetupError(
            f"batch_size {batch_size} cannot be shared evenly by {num_devices} devices: try {nearest}"
        )


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts a copy of every leaf on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, EVERYWHERE))


def split_members(population: PyTree, mesh: Mesh) -> PyTree:
    """Splits the first axis of every leaf, the axis of the population's members, over the devices.

    Raises:
      ValueError: The devices cannot share the members evenly.
    """
    return jax.device_put(population, NamedSharding(mesh, MEMBERS))


def shard_batch(batch: Mapping[str, np.ndarray], mesh: Mesh, *, axis: int = 1) -> dict[str, jax.Array]:
    """Splits a batch over the devices.

    Args:
      batch: This process's rows of the global batch (all rows if there is only one process).
      mesh: Mesh made by :func:`device_mesh`.
      axis: Index of the batch axis: 1 in training, after the axis of critic updates; 0 for sampling.

    Returns:
      The batch as global arrays.
    """
    sharding = NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))
    if jax.process_count() == 1:  # `device_put` gives the same arrays faster
        return jax.device_put(dict(batch), sharding)
    return {name: jax.make_array_from_process_local_data(sharding, x) for name, x in batch.items()}


def jit_step(step: Callable[..., PyTree], mesh: Mesh) -> Callable[..., PyTree]:
    """Compiles ``step(state, batch) -> (state, metrics)``; the state is donated.

    Args:
      step: A train step.
      mesh: Devices to run on. The state and the metrics are replicated, and the batch is split.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return jax.jit(
        step,
        donate_argnums=0,
        out_shardings=NamedSharding(mesh, EVERYWHERE),
        compiler_options=CPU_OPTIONS if on_cpu else None,
    )


def jit_members(step: Callable[..., PyTree], mesh: Mesh, *, in_turn: bool = False) -> Callable[..., PyTree]:
    """Compiles ``step(member, batch) -> (member, metrics)`` for a population, which is donated.

    Args:
      step: Train step of one member.
      mesh: Devices along ``MEMBERS_AXIS``. Each device trains its share of the members on the whole batch,
        without waiting for other devices.
      in_turn: Whether a device trains its members one after another instead of all at once.
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

    # The batch is replicated on every device, so the check of replication is not needed.
    mapped = jax.shard_map(
        share, mesh=mesh, in_specs=(MEMBERS, EVERYWHERE), out_specs=MEMBERS, check_vma=False
    )
    return jax.jit(mapped, donate_argnums=0)


def gather_batch(batch: Mapping[str, np.ndarray], *, axis: int = 1) -> dict[str, Any]:
    """Gathers the global batch on every process.

    Args:
      batch: This process's rows of the global batch, arrays on the host.
      axis: Index of the batch axis.

    Returns:
      The rows of all processes, in the order of the processes.
    """
    if jax.process_count() == 1:
        return dict(batch)
    from jax.experimental import multihost_utils

    gathered = multihost_utils.process_allgather(dict(batch))
    return {name: np.concatenate(np.asarray(x), axis) for name, x in gathered.items()}


def pmap_step(step: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """Compiles ``step(state, batch) -> (state, metrics)`` with ``jax.pmap`` over the axis ``AXIS``.

    Args:
      step: A train step.

    Returns:
      A function of a state and a batch that both have a leading device axis, see :func:`copy_for_pmap` and
      :func:`split_for_pmap`; the state is donated.
    """
    return jax.pmap(step, axis_name=AXIS, donate_argnums=0)


def copy_for_pmap(tree: PyTree, num_devices: int) -> PyTree:
    """Adds a leading device axis to a replicated state: every leaf (...) becomes (devices, ...)."""
    return jax.tree.map(lambda x: jnp.stack([x] * num_devices), tree)


def split_for_pmap(batch: Mapping[str, np.ndarray], num_devices: int) -> dict[str, np.ndarray]:
    """Splits a batch over devices: (n_critic, B, ...) arrays to (devices, n_critic, B / devices, ...)."""

    def split(x: np.ndarray) -> np.ndarray:
        n, batch_size, *rest = x.shape
        return np.swapaxes(np.reshape(x, (n, num_devices, batch_size // num_devices, *rest)), 0, 1)

    return {name: split(np.asarray(x)) for name, x in batch.items()}
