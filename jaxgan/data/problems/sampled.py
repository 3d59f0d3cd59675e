"""Endless sources of points, each a function of the seed, the update and the row: drawn inside the step."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import grain
import jax
import numpy as np

from jaxgan.data.problems.curves import spiral, swiss_roll
from jaxgan.data.problems.points import Problem, gaussian, grid, mixture, parallel_lines, ring, uniforms
from jaxgan.data.source import Source, make_conditions, make_spec
from jaxgan.errors import SetupError, unknown

Array = jax.Array

# By name, all with keyword-only hyper-parameters.
PROBLEMS: dict[str, Callable[..., Problem]] = {
    "ring": ring,
    "grid": grid,
    "swiss_roll": swiss_roll,
    "spiral": spiral,
    "mixture": mixture,
    "parallel_lines": parallel_lines,
    "uniforms": uniforms,
    "gaussian": gaussian,
}


def make_problem(name: str, *, path: str | None = None, seed: int = 0, **options: Any) -> Problem:
    """A problem by the fields of ``config.data``.

    Args:
      name: one of ``PROBLEMS``.
      path: no problem has one; every config gives one.
      seed: no problem depends on it.
      **options: the problem's hyper-parameters.

    Returns:
      The problem.

    Raises:
      SetupError: the problem has no such option, or a value will not do.
    """
    make = PROBLEMS[name]
    valid = inspect.signature(make).parameters
    for option in options:
        if option not in valid:
            raise unknown(f"option of data.name {name}", option, valid)
    try:
        return make(**options)
    except (TypeError, ValueError) as error:  # a string for a number, rows of different lengths
        raise SetupError(f"data.name {name}: {error}") from error


class PointExamples:
    """Random access to the numbers that make a problem's points; an index always has the same point."""

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        # Another stream than any run's, whose keys are folds of its seed's.
        key = np.asarray(jax.random.key_data(jax.random.key(0xE8A)))
        return {
            "key": np.broadcast_to(key, (len(indices), *key.shape)),
            "update": np.zeros(len(indices), np.uint32),
            "row": np.asarray(indices, np.int32),
        }


def from_problem(problem: Problem) -> Source:
    """An endless source of a problem's points.

    Args:
      problem: what to sample.

    Returns:
      The source. Its batches are numbers: ``key``, the seed's PRNG key data, ``update``, the number of the
      critic's update since the start, and ``row``; the point is a function of the three.
    """

    def batches(*, seed: int, n_critic: int, batch_size: int) -> grain.MapDataset:
        process, processes = jax.process_index(), jax.process_count()
        local = batch_size // processes
        rows = np.arange(process * local, (process + 1) * local, dtype=np.int32)
        # Known to be another stream than the run's own key, which folds in small numbers only.
        key = np.asarray(jax.random.key_data(jax.random.fold_in(jax.random.key(seed), 0xDA7A)))

        def batch(step: int) -> dict[str, np.ndarray]:
            update = np.arange(step * n_critic, (step + 1) * n_critic, dtype=np.uint32)
            return {
                "key": np.broadcast_to(key, (n_critic, local, *key.shape)),
                "update": np.broadcast_to(update[:, None], (n_critic, local)),
                "row": np.broadcast_to(rows, (n_critic, local)),
            }

        return grain.MapDataset.range(np.iinfo(np.int32).max).map(batch)

    def prepare(batch: Mapping[str, Array]) -> dict[str, Array]:
        def point(key: Array, update: Array, row: Array) -> Array:
            key = jax.random.fold_in(jax.random.wrap_key_data(key), update)
            return problem.sample(jax.random.fold_in(key, row))

        keys, update, row = batch["key"], batch["update"], batch["row"]
        return {"real": jax.vmap(jax.vmap(point))(keys, update, row), "row": row}

    spec = make_spec((problem.dim,))
    return Source(
        batches=batches,
        prepare=prepare,
        spec=spec,
        conditions=make_conditions(spec),
        examples=PointExamples(),
        problem=problem,
    )
