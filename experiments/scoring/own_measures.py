"""Measures that systems define themselves, computed over all samples of a source."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data
from jaxgan.state import GANState
from jaxgan.steps import CONDITIONS, GAN

BATCH = 250
NUM_ROWS = 2048  # Number of samples taken from an endless source.
MEASURE_KEY = 0x3EA5  # Folded into the key of the seed.


def scored_data(config: ConfigDict) -> dict[str, Any]:
    """Returns the fields of the real samples to measure: those of ``score.split``, or those of training."""
    split = config.score.get("split") if "score" in config else None
    return data.fields_of_split(config.data, split) if split else {**config.data}


def rows_of(source: data.Source, most: int | None = None) -> np.ndarray:
    """Returns the rows to measure: all rows of a source, or ``NUM_ROWS`` of an endless one.

    Args:
      source: Source of the real samples.
      most: Largest number of rows to return; None for no limit.
    """
    count = NUM_ROWS if source.num_examples is None else source.num_examples
    return np.arange(count if most is None else min(count, most))


def examples(source: data.Source, rows: np.ndarray, key: jax.Array) -> dict[str, jax.Array]:
    """Returns prepared real samples of (B,) rows of a source, with the conditions for these rows."""
    raw = {name: values[None] for name, values in source.examples[rows].items()}
    prepared = {name: values[0] for name, values in jax.jit(source.prepare)(raw).items()}
    conditions = source.conditions(jax.random.fold_in(key, CONDITIONS), prepared["row"])
    return {**prepared, "conditions": conditions}


def measure(
    gan: GAN, state: GANState, source: data.Source, names: Iterable[str], *, seed: int
) -> dict[str, float]:
    """Computes a system's own measures over all samples of a source.

    Args:
      gan: System to be measured.
      state: State of the system; its averaged weights are measured.
      source: Source of the real samples; ``NUM_ROWS`` samples are taken from an endless source.
      names: Names of the measures.
      seed: Seed of the random numbers that the measures draw.

    Returns:
      Scores by name.
    """
    rows, key = rows_of(source), jax.random.fold_in(jax.random.key(seed), MEASURE_KEY)
    found = {}
    for name in names:
        per_row = jax.jit(gan.measures[name].per_row)
        parts: list[dict[str, np.ndarray]] = []
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            # The last batch is padded to the shape of the others, and the padding is dropped below.
            full = np.concatenate([chosen, np.repeat(chosen[-1:], BATCH - len(chosen))])
            values = per_row(state, examples(source, full, key), key)
            parts.append({x: np.asarray(y)[: len(chosen)] for x, y in values.items()})
        columns = {x: np.concatenate([part[x] for part in parts]) for x in parts[0]}
        found[name] = float(gan.measures[name].reduce(columns))
    return found
