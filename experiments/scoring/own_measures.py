"""Computes the scores that a system gives to itself, over all samples of a source."""

from collections.abc import Iterable

import jax
import numpy as np

from jaxgan import data
from jaxgan.state import GANState
from jaxgan.steps import CONDITIONS, GAN

BATCH = 250
NUM_ROWS = 2048  # of an endless source
MEASURE_KEY = 0x3EA5  # folded into the seed's key


def rows_of(source: data.Source, most: int | None = None) -> np.ndarray:
    """Returns the rows to measure: all of a source, ``NUM_ROWS`` of an endless one, at most ``most``."""
    count = NUM_ROWS if source.num_examples is None else source.num_examples
    return np.arange(count if most is None else min(count, most))


def examples(source: data.Source, rows: np.ndarray, key: jax.Array) -> dict[str, jax.Array]:
    """Returns prepared real samples for (B,) rows, with the conditions that their data has."""
    raw = {name: values[None] for name, values in source.examples[rows].items()}
    prepared = {name: values[0] for name, values in jax.jit(source.prepare)(raw).items()}
    conditions = source.conditions(jax.random.fold_in(key, CONDITIONS), prepared["row"])
    return {**prepared, "conditions": conditions}


def measure(
    gan: GAN, state: GANState, source: data.Source, names: Iterable[str], *, seed: int
) -> dict[str, float]:
    """Computes a system's own measures over all samples of a source.

    Args:
      gan: the system.
      state: whose averages are measured.
      source: open; of an endless one ``NUM_ROWS`` samples are taken.
      names: of the measures.
      seed: of what they draw.

    Returns:
      The scores by name.
    """
    rows, key = rows_of(source), jax.random.fold_in(jax.random.key(seed), MEASURE_KEY)
    found = {}
    for name in names:
        per_row = jax.jit(gan.measures[name].per_row)
        parts: list[dict[str, np.ndarray]] = []
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            # One shape for all: the last batch is filled up, and what fills it is dropped.
            full = np.concatenate([chosen, np.repeat(chosen[-1:], BATCH - len(chosen))])
            values = per_row(state, examples(source, full, key), key)
            parts.append({x: np.asarray(y)[: len(chosen)] for x, y in values.items()})
        columns = {x: np.concatenate([part[x] for part in parts]) for x in parts[0]}
        found[name] = float(gan.measures[name].reduce(columns))
    return found
