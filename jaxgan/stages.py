"""Stages of a run, which is a sequence of systems, usually of only one.

The step alone determines the stage. Between two stages a carry, which is a pure function, makes the next
stage's state from the last stage's state and a freshly initialised one. The checkpoint of step s holds the
state of the stage that trained step s, before any carry.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from jaxgan.state import GANState

PyTree = Any
# carry(old, fresh) -> state, from the last stage's state and a freshly initialised state of the next stage.
Carry = Callable[[GANState, GANState], GANState]


def stage_of(untils: Sequence[int], step: int) -> int:
    """Returns the index of the stage that trained a step; step 0, which trains nothing, is in the first.

    Args:
      untils: Last step of each stage, in order.
      step: Step to look up, from 0 to the last step of the last stage.

    >>> [stage_of([3, 5], step) for step in (0, 1, 3, 4, 5)]
    [0, 0, 0, 1, 1]
    """
    return next(number for number, until in enumerate(untils) if step <= until)


def _matching(old: PyTree, fresh: PyTree) -> PyTree:
    """Returns ``fresh`` with every leaf taken from ``old`` where path, shape and type match."""
    known = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(old)}

    def choose(path: Any, leaf: jax.Array) -> jax.Array:
        found = known.get(jax.tree_util.keystr(path))
        if found is None or found.shape != leaf.shape or found.dtype != leaf.dtype:
            return leaf
        return found

    return jax.tree_util.tree_map_with_path(choose, fresh)


def _alike(old: PyTree, fresh: PyTree) -> bool:
    def shapes(tree: PyTree) -> list[Any]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return [(jax.tree_util.keystr(path), leaf.shape, leaf.dtype) for path, leaf in leaves]

    return shapes(old) == shapes(fresh)


def _grown_player(old: Any, fresh: Any) -> Any:
    if old is None or fresh is None:
        return fresh
    kept = _matching(old.replace(opt_state=None), fresh.replace(opt_state=None))
    return kept.replace(opt_state=fresh.opt_state)


def grow(old: GANState, fresh: GANState) -> GANState:
    """Carries over everything that both stages share by name and shape, and resets the optimisers.

    Parameters, collections and averages that only the new stage has start as initialised; the clocks and
    the PRNG key continue. An entry of ``extra`` is carried over if all its arrays keep their shapes, and
    starts afresh otherwise: a pool of small images is of no use to a critic of large ones.

    Args:
      old: Last state of the previous stage.
      fresh: Freshly initialised state of the next stage.

    Returns:
      The first state of the next stage.

    References:
      Karras et al., 2018, Progressive Growing of GANs, https://arxiv.org/abs/1710.10196
    """
    return GANState(
        step=old.step,
        key=old.key,
        generator=_grown_player(old.generator, fresh.generator),
        critic=_grown_player(old.critic, fresh.critic),
        extra={
            name: old.extra[name] if _alike(old.extra.get(name), values) else values
            for name, values in fresh.extra.items()
        },
    )


# Carries by name; to add one, add a line here.
CARRIES: dict[str, Carry] = {"grow": grow}


class Stage(NamedTuple):
    """A part of a run that trains one system.

    Attributes:
      until: Last step of the stage.
      init: Function that makes a freshly initialised state.
      carry: Function that makes the stage's first state from the previous stage's last state and a freshly
        initialised one; None for the first stage.
      step: Compiled ``step(state, raw_batch) -> (state, metrics)``.
      batches: ``batches(start, stop)``, returns the raw batches of steps start to stop − 1, placed where
        ``step`` expects them.
    """

    until: int
    init: Callable[[], PyTree]
    carry: Callable[[PyTree, PyTree], PyTree] | None
    step: Callable[[PyTree, Any], tuple[PyTree, dict[str, jax.Array]]]
    batches: Callable[[int, int], Any]
