"""Checkpoints that are either whole or skipped: Orbax for the files, a hash for the truth.

A checkpoint is one folder ``<step>/`` with two items: ``state``, the leaves by their tree path, and
``meta``, a JSON of the format version, the state's SHA-256 and the run's config. Orbax writes it in the
background and renames it into place when it is complete, so a killed run leaves no half of one. The hash
is compared on reading, so a damaged one is found even where its files still parse. Only arrays and JSON
are read; nothing is unpickled.

Every process holds the whole state (it is replicated), so the first writes it and each reads it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from jaxgan.errors import SetupError
from jaxgan.state import is_key, sha256

FORMAT = 2
KEEP = 3

PyTree = Any
Manager: TypeAlias = ocp.CheckpointManager


def open_manager(directory: Path, *, read_only: bool = False, keep: int = KEEP) -> Manager:
    """Opens a folder of checkpoints, creating it unless ``read_only``; the newest ``keep`` stay."""
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
    # A copy: on CPU a view would share memory with a buffer that the next step overwrites.
    return np.array(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def save(manager: Manager, state: PyTree, info: dict[str, Any]) -> str:
    """Starts writing a checkpoint of the state; returns as soon as the state is copied to the host.

    Args:
      manager: from :func:`open_manager`.
      state: a game's, or a population's; its ``step`` names the checkpoint.
      info: what else the run wants back, as JSON: its config, its wall time.

    Returns:
      The state's SHA-256.
    """
    host = {name: _to_host(leaf) for name, leaf in _flatten(state).items()}
    digest = sha256(host)
    meta = {"format": FORMAT, "state_sha256": digest, "info": info}
    manager.save(
        int(state.step),
        args=ocp.args.Composite(state=ocp.args.StandardSave(host), meta=ocp.args.JsonSave(meta)),
        force=True,
    )
    return digest


class Restored(NamedTuple):
    """A checkpoint read back.

    Attributes:
      state: the state, on the host; put it on devices with :func:`jaxgan.parallel.replicate`.
      info: what was saved with it.
      state_sha256: the state's hash, verified.
    """

    state: PyTree
    info: dict[str, Any]
    state_sha256: str


class Damaged(NamedTuple):
    """A checkpoint that could not be read: its folder and why."""

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
    # Orbax gives what was saved, whatever the template's shapes are.
    for name, leaf in template.items():
        if host[name].shape != leaf.shape or host[name].dtype != leaf.dtype:
            raise ValueError(
                f"it holds {name} of shape {host[name].shape}, the config asks for {leaf.shape}"
            )
    if (found := sha256(host)) != meta["state_sha256"]:
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
    """Reads the newest whole checkpoint.

    Args:
      manager: from :func:`open_manager`.
      abstract_at: a step to the shapes of its checkpoint's state, e.g. from ``jax.eval_shape``.
      newest: the last step whose checkpoint counts; None for all.

    Returns:
      The checkpoint, or None if the folder has none, and the damaged ones newer than it.

    Raises:
      SetupError: a checkpoint was written in another format, or there are some and none can be read.
    """
    damaged: list[Damaged] = []
    for step in sorted(manager.all_steps(), reverse=True):
        if newest is not None and step > newest:
            continue
        try:
            return _read(manager, step, abstract_at), damaged
        except SetupError:
            raise
        except Exception as error:  # whatever a damaged file makes the readers say
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            damaged.append(Damaged(Path(manager.directory) / str(step), reason))
    if damaged:
        listed = "; ".join(f"{item.path.name}: {item.reason}" for item in damaged)
        raise SetupError(
            f"no checkpoint in {manager.directory} can be read ({listed}): remove that folder to start over"
        )
    return None, damaged


def set_aside(manager: Manager, damaged: Damaged) -> Path:
    """Renames a damaged checkpoint, so that the run may write its step again, and returns the new name."""
    target = damaged.path.with_name(f"{damaged.path.name}.damaged")
    number = 1
    while target.exists():
        number += 1
        target = damaged.path.with_name(f"{damaged.path.name}.damaged{number}")
    damaged.path.rename(target)
    manager.reload()
    return target
