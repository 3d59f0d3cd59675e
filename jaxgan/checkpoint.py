"""Checkpoints that are written by Orbax and verified by a hash of the state.

A checkpoint is a folder ``<step>/`` with two items: ``state``, the leaves by their tree path, and ``meta``,
a JSON file of the format version, the state's SHA-256 and the run's config. Orbax writes the folder in the
background and renames it when it is complete, so a killed run leaves no partial checkpoint. The hash is
compared when the checkpoint is read, so damage is found even if the files can still be parsed. Only arrays
and JSON are read; nothing is unpickled.

The state is replicated over all processes. The first process writes a checkpoint, and every process reads
it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from jaxgan.errors import SetupError
from jaxgan.hashing import sha256_of_tree
from jaxgan.state import is_key

FORMAT = 2
KEEP = 3

PyTree = Any
Manager: TypeAlias = ocp.CheckpointManager


def open_manager(directory: Path, *, read_only: bool = False, keep: int = KEEP) -> Manager:
    """Opens a folder of checkpoints, of which the newest ``keep`` are kept.

    The folder is created unless ``read_only`` is set.
    """
    options = ocp.CheckpointManagerOptions(
        preservation_policy=checkpoint_managers.LatestN(keep),
        create=not read_only,
        read_only=read_only,
        cleanup_tmp_directories=not read_only,
    )
    return Manager(Path(directory).absolute(), item_names=("state", "meta"), options=options)


def _flatten(state: PyTree) -> dict[str, Any]:
    leaves = jax.tree.leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _to_host(leaf: Any) -> np.ndarray:
    # This is a copy because on CPU a view would share memory with a buffer that the next step overwrites.
    return np.array(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def save(manager: Manager, state: PyTree, info: dict[str, Any]) -> str:
    """Starts writing a checkpoint and returns as soon as the state is copied to the host.

    Args:
      manager: Manager from :func:`open_manager`.
      state: State of a run or a population. Its ``step`` names the checkpoint.
      info: Other values to restore, as JSON, such as the config and the wall time.

    Returns:
      The SHA-256 of the state.
    """
    host = {name: _to_host(leaf) for name, leaf in _flatten(state).items()}
    digest = sha256_of_tree(host)
    meta = {"format": FORMAT, "state_sha256": digest, "info": info}
    manager.save(
        int(state.step),
        args=ocp.args.Composite(state=ocp.args.StandardSave(host), meta=ocp.args.JsonSave(meta)),
        force=True,
    )
    return digest


class Restored(NamedTuple):
    """A restored checkpoint.

    Attributes:
      state: State on the host. :func:`jaxgan.parallel.replicate` puts the state on devices.
      info: Values that were saved with the state.
      state_sha256: SHA-256 of the state, which has been verified.
    """

    state: PyTree
    info: dict[str, Any]
    state_sha256: str


class Damaged(NamedTuple):
    """A checkpoint that cannot be read.

    Attributes:
      path: Folder of the checkpoint.
      reason: Reason in one line.
    """

    path: Path
    reason: str


def _read(manager: Manager, step: int, abstract_at: Callable[[int], PyTree]) -> Restored:
    meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
    if meta["format"] != FORMAT:
        raise SetupError(
            f"checkpoint {manager.directory / str(step)} has format {meta['format']}, this version of"
            f" jaxgan reads format {FORMAT}: use the version that wrote it, or another --workdir"
        )
    abstract = abstract_at(step)
    shapes = jax.eval_shape(
        lambda state: jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, state), abstract
    )
    template = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in _flatten(shapes).items()}
    host = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(template))).state
    # Orbax returns the arrays that were saved, even if their shapes differ from those of the template.
    for name, leaf in template.items():
        if host[name].shape != leaf.shape or host[name].dtype != leaf.dtype:
            raise ValueError(
                f"it holds {name} of shape {host[name].shape}, the config asks for {leaf.shape}"
            )
    if (found := sha256_of_tree(host)) != meta["state_sha256"]:
        raise ValueError(f"its state hashes to {found[:12]}, not {meta['state_sha256'][:12]}")
    leaves = [
        jax.random.wrap_key_data(host[name]) if is_key(leaf) else host[name]
        for name, leaf in _flatten(abstract).items()
    ]
    state = jax.tree.unflatten(jax.tree.structure(abstract), leaves)
    return Restored(state, meta["info"], found)


def restore(
    manager: Manager, abstract_at: Callable[[int], PyTree], *, newest: int | None = None
) -> tuple[Restored | None, list[Damaged]]:
    """Reads the newest undamaged checkpoint.

    Args:
      manager: Manager from :func:`open_manager`.
      abstract_at: Function of a step that returns the shapes of the state at that step, e.g. from
        ``jax.eval_shape``.
      newest: Last step whose checkpoint is considered, or None for all steps.

    Returns:
      The checkpoint, or None if the folder holds none, and the damaged checkpoints that are newer.

    Raises:
      SetupError: A checkpoint was written in another format, or all checkpoints are damaged.
    """
    damaged: list[Damaged] = []
    for step in sorted(manager.all_steps(), reverse=True):
        if newest is not None and step > newest:
            continue
        try:
            return _read(manager, step, abstract_at), damaged
        except SetupError:
            raise
        except Exception as error:  # Readers raise many types of exceptions for damaged files.
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            damaged.append(Damaged(Path(manager.directory) / str(step), reason))
    if damaged:
        listed = "; ".join(f"{item.path.name}: {item.reason}" for item in damaged)
        raise SetupError(
            f"no checkpoint in {manager.directory} can be read ({listed}): remove that folder to start over"
        )
    return None, damaged


def set_aside(manager: Manager, damaged: Damaged) -> Path:
    """Renames a damaged checkpoint so that the run can write its step again; returns the new path."""
    target = damaged.path.with_name(f"{damaged.path.name}.damaged")
    number = 1
    while target.exists():
        number += 1
        target = damaged.path.with_name(f"{damaged.path.name}.damaged{number}")
    damaged.path.rename(target)
    manager.reload()
    return target
