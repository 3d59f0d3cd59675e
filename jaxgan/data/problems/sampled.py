"""Endless sources of points, drawn inside the step as functions of the seed, the update and the row."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import grain
import jax
import numpy as np

from jaxgan.data.fields import given_fields
from jaxgan.data.problems.curves import spiral, swiss_roll
from jaxgan.data.problems.points import Problem, gaussian, grid, mixture, parallel_lines, ring, uniforms
from jaxgan.data.source import Source, make_conditions, make_spec
from jaxgan.errors import SetupError

Array = jax.Array

# Functions that make problems, by name. All parameters are keyword-only hyper-parameters.
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


def make_problem(name: str, **fields: Any) -> Problem:
    """Makes a problem by the fields of ``config.data``.

    Args:
      name: One of ``PROBLEMS``.
      **fields: Hyper-parameters of the problem. A field that is None is not given. ``seed``, which belongs
        to the run, and an empty ``path`` are accepted and not used.

    Returns:
      The problem.

    Raises:
      SetupError: The problem has no such field, or a value is out of range.
    """
    make = PROBLEMS[name]
    given = given_fields(name, fields, inspect.signature(make).parameters)
    try:
        return make(**given)
    except (TypeError, ValueError) as error:  # A value is a string, or rows differ in length.
        raise SetupError(f"data.name {name}: {error}") from error


class PointExamples:
    """Random access to the numbers from which points are drawn; an index always gives the same point."""

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        # The keys of runs are folded from their seeds, so this stream differs from the stream of any run.
        key = np.asarray(jax.random.key_data(jax.random.key(0xE8A)))
        return {
            "key": np.broadcast_to(key, (len(indices), *key.shape)),
            "update": np.zeros(len(indices), np.uint32),
            "row": np.asarray(indices, np.int32),
        }


def from_problem(problem: Problem) -> Source:
    """Makes an endless source of the points of a problem.

    Args:
      problem: Problem to sample from.

    Returns:
      The source. Its batches hold ``key``, the PRNG key data of the seed, ``update``, the number of the
      critic's update since the start, and ``row``. A point is a function of these three.
    """

    def batches(*, seed: int, n_critic: int, batch_size: int) -> grain.MapDataset:
        process, processes = jax.process_index(), jax.process_count()
        local = batch_size // processes
        rows = np.arange(process * local, (process + 1) * local, dtype=np.int32)
        # The run folds only small numbers into its own key, so this stream differs from the run's.
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
