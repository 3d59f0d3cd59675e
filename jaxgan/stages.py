"""Stages: a run is a list of systems that follow one another, usually one.

Which stage a step belongs to is a function of the step. Between two stages a carry, a pure function, makes
the next stage's state of the last one's and of a fresh one. A checkpoint of step s holds the state of the
stage that trained step s, before any carry.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from jaxgan.state import GANState

PyTree = Any
# carry(old, fresh) -> state: from the last stage's state and a fresh one of this stage.
Carry = Callable[[GANState, GANState], GANState]


def stage_of(untils: Sequence[int], step: int) -> int:
    """Returns the number of the stage that trained a step; of step 0, where nothing is trained, the first.

    Args:
      untils: each stage's last step, in order.
      step: from 0 to the last stage's last.

    >>> [stage_of([3, 5], step) for step in (0, 1, 3, 4, 5)]
    [0, 0, 0, 1, 1]
    """
    return next(number for number, until in enumerate(untils) if step <= until)


def _matching(old: PyTree, fresh: PyTree) -> PyTree:
    """Returns ``fresh`` with every leaf that ``old`` has too, by path, shape and type, taken from it."""
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
    """Carries over all that both stages have by name and shape, and starts the optimisers afresh.

    Parameters, collections and averages that only the new stage has begin as initialised; clocks and the
    key go on. What an owner has in ``extra`` goes on if all of it has the same shapes, and begins afresh if
    not: a pool of small images is of no use to a critic of large ones.

    Args:
      old: the last state of the stage before.
      fresh: a first state of this stage.

    Returns:
      The first state of this stage.

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


# By name; a carry of one's own joins them by one line.
CARRIES: dict[str, Carry] = {"grow": grow}


class Stage(NamedTuple):
    """A part of a run.

    Attributes:
      until: its last step.
      init: makes a fresh first state.
      carry: makes its first state of the last stage's and of a fresh one; None for the first stage.
      step: ``step(state, raw_batch) -> (state, metrics)``, compiled.
      batches: ``batches(start, stop)``, the raw batches of steps start to stop − 1, where the step wants
        them.
    """

    until: int
    init: Callable[[], PyTree]
    carry: Callable[[PyTree, PyTree], PyTree] | None
    step: Callable[[PyTree, Any], tuple[PyTree, dict[str, jax.Array]]]
    batches: Callable[[int, int], Any]
