"""Scores of all members of a population: distances to a known distribution, and their own measures."""

import functools
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.scoring import own_measures
from experiments.training import sample_classes, sampling, sweep_plan
from jaxgan import data
from jaxgan.host import count_cores
from jaxgan.metrics import point_scores
from jaxgan.state import GANState
from jaxgan.steps import GAN

Array = jax.Array
NUM_POINTS = 2048  # Number of samples for scores with a low cost, such as those of modes.
NUM_PAIRED = 512  # Number of samples for the exact distance, whose cost is cubic, and for pictures.
NUM_IMAGES = 16
NUM_DIRECTIONS = 64
SAMPLE_KEY, REAL_KEY, DIRECTIONS_KEY = 0x5A3D, 0x4EA1, 0xD14E  # Folded into the key of the data's seed.

FAR = 1_000_000  # Index of the first held-out example of an endless source.

# Whether more is better, and the meaning, of each score of points by name.
MEANINGS = {
    "w1": (False, "exact earth mover's distance between 512 samples and 512 held-out points"),
    "sliced_w1": (
        False,
        "mean earth mover's distance between 2,048 samples and 2,048 held-out points, projected onto 64"
        " lines",
    ),
    "modes": (True, "number of modes with a sample within 3 standard deviations"),
    "high_quality": (True, "share of samples within 3 standard deviations of a mode"),
    "kl_modes": (False, "KL divergence of the samples' shares of the modes from the true shares, in nats"),
}

OF_MODES = ("modes", "high_quality", "kl_modes")  # Scores of problems that have modes.


# Function from a member to its own system and its state; None if all members are states of one system.
GANOf = Callable[[Any], tuple[GAN, GANState]] | None


def draw(gan: GAN, source: data.Source, config: ConfigDict, gan_of: GANOf = None) -> Callable[[Any], Any]:
    """Returns a function from P members to (P, N, ...) samples, drawn with the same latents for each.

    Images of a system that reads labels are those of ``sample_classes.of_system``.

    Args:
      gan: System with the hyper-parameters of any member.
      source: Source of the data.
      config: Config of the population.
      gan_of: Function from a member to its system and state; None if members are states of ``gan``.
    """
    by_class = sample_classes.of_system(gan, source.spec)
    rows = np.arange(NUM_IMAGES if source.spec.images else NUM_POINTS)
    rows, chosen = (by_class.rows, by_class.given) if by_class else (rows, {})
    key = jax.random.fold_in(jax.random.key(config.data.seed), SAMPLE_KEY)

    def sample(member: Any, key: Array, rows: Array, given: Mapping[str, Array]) -> Any:
        own, state = gan_of(member) if gan_of else (gan, member)
        return sampling.sampler(own, source.conditions)(state, key, rows, given)

    drawn = jax.jit(jax.vmap(sample, (0, None, None, None)))
    given = {**sampling.real_fields(gan, source, rows), **chosen}
    return lambda members: jax.tree.map(np.asarray, drawn(members, key, rows, given))


def held_out(problem: data.Problem, config: ConfigDict, number: int = 0) -> np.ndarray:
    """Draws real points that no run trains on.

    Args:
      problem: Problem to draw from.
      config: Config of the runs.
      number: Number of the set of points; sets of different numbers are independent.

    Returns:
      Points of shape (NUM_POINTS, dim).
    """
    key = jax.random.fold_in(jax.random.key(config.data.seed), REAL_KEY)
    keys = jax.random.split(jax.random.fold_in(key, number), NUM_POINTS)
    return np.asarray(jax.jit(jax.vmap(problem.sample))(keys))


def of_points(problem: data.Problem, config: ConfigDict) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns a function from (P, NUM_POINTS, dim) samples to (P,) scores by name.

    The distances of a member and its ``kl_modes`` are NaN if one of its samples is not finite.
    """
    real = held_out(problem, config)
    key = jax.random.fold_in(jax.random.key(config.data.seed), DIRECTIONS_KEY)
    lines = np.asarray(point_scores.directions(key, NUM_DIRECTIONS, problem.dim))

    @jax.jit
    @jax.vmap
    def of_modes(samples: Array) -> dict[str, Array]:
        assert problem.modes is not None
        served = point_scores.mode_scores(samples, *problem.modes)
        return {"modes": served.found, "high_quality": served.high_quality, "kl_modes": served.kl}

    def distances(samples: np.ndarray) -> tuple[float, float]:
        if not np.isfinite(samples).all():
            return math.nan, math.nan
        exact = point_scores.w1(samples[:NUM_PAIRED], real[:NUM_PAIRED])
        return exact, point_scores.sliced_w1(samples, real, lines)

    def score(samples: np.ndarray) -> dict[str, np.ndarray]:
        with ThreadPoolExecutor(count_cores()) as pool:
            exact, sliced = np.array(list(pool.map(distances, samples))).T
        found = {"w1": exact, "sliced_w1": sliced}
        if problem.modes is not None:
            found |= {name: np.asarray(column) for name, column in of_modes(samples).items()}
        return found

    return score


def _translations(samples: Mapping[str, Any]) -> list[str]:
    return [name for name in samples if "_to_" in name]


def of_translations(source: data.Source) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """Returns a function from dicts of (P, N, dim) points to each translation's distance to its domain.

    The real points are held out because their indices are far from those of the points to be translated.
    """
    raw = source.examples[np.arange(FAR, FAR + NUM_PAIRED)]
    real = jax.jit(source.prepare)({name: values[None] for name, values in raw.items()})

    def distance(samples: np.ndarray, truth: np.ndarray) -> float:
        return point_scores.w1(samples, truth) if np.isfinite(samples).all() else math.nan

    def score(samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = {}
        with ThreadPoolExecutor(count_cores()) as pool:
            for name in _translations(samples):
                truth = np.asarray(real[sampling.domain_of(name)][0])
                members = samples[name][:, :NUM_PAIRED]
                found[f"w1_{name}"] = np.array(list(pool.map(lambda x, y=truth: distance(x, y), members)))
        return found

    return score


def of_measures(
    gan: GAN, source: data.Source, config: ConfigDict, gan_of: GANOf = None
) -> Callable[[Any], dict[str, np.ndarray]]:
    """Returns a function from P members to the (P,) values of their systems' own measures, by name.

    The real samples are those of ``score.split`` if the config has that field.

    Args:
      gan: System with the hyper-parameters of any member.
      source: Source of the data.
      config: Config of the population.
      gan_of: Function from a member to its system and state; None if members are states of ``gan``.
    """
    if not gan.measures:
        return lambda members: {}
    if "score" in config and config.score.get("split"):
        source = data.open_source(**own_measures.scored_data(config))
    key = jax.random.fold_in(jax.random.key(config.data.seed), own_measures.MEASURE_KEY)
    real = own_measures.examples(source, own_measures.rows_of(source, NUM_POINTS), key)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def per_row(member: Any, real: Mapping[str, Any]) -> dict[str, dict[str, Array]]:
        own, state = gan_of(member) if gan_of else (gan, member)
        return {name: measure.per_row(state, real, key) for name, measure in own.measures.items()}

    def score(members: Any) -> dict[str, np.ndarray]:
        found = {}
        for name, rows in jax.tree.map(np.asarray, per_row(members, real)).items():
            count = len(next(iter(rows.values())))
            each = [{x: y[i] for x, y in rows.items()} for i in range(count)]
            found[name] = np.array([gan.measures[name].reduce(one) for one in each])
        return found

    return score


def meanings(gan: GAN, source: data.Source) -> dict[str, tuple[bool, str]]:
    """Returns whether more is better, and the meaning, of each score of :func:`measure`, by name."""
    found: dict[str, tuple[bool, str]] = {}
    problem = source.problem
    if problem is not None:
        found |= {
            name: meaning
            for name, meaning in MEANINGS.items()
            if problem.modes is not None or name not in OF_MODES
        }
    elif not source.spec.images:
        for name in _translations(_names(gan, source)):
            text = (
                f"exact earth mover's distance between {NUM_PAIRED} translations {name} and {NUM_PAIRED}"
                " held-out points"
            )
            found[f"w1_{name}"] = (False, text)
    return found | {name: (x.more_is_better, x.meaning) for name, x in gan.measures.items()}


def _names(gan: GAN, source: data.Source) -> Mapping[str, Any]:
    state = jax.eval_shape(gan.init, jax.random.key(0), source.spec.zeros(1, 1))
    rows = np.arange(1)
    given = sampling.real_fields(gan, source, rows)
    sample = sampling.sampler(gan, source.conditions)
    samples = jax.eval_shape(sample, state, jax.random.key(0), rows, given)
    return samples if isinstance(samples, Mapping) else {}


def measure(
    gan: GAN, source: data.Source, config: ConfigDict, gan_of: GANOf = None
) -> Callable[[Any], dict[str, np.ndarray]]:
    """Returns a function from P members to their (P,) scores by name, see :func:`meanings`.

    Args:
      gan: System with the hyper-parameters of any member.
      source: Source of the data.
      config: Config of the population.
      gan_of: Function from a member to its system and state; None if members are states of ``gan``.
    """
    own = of_measures(gan, source, config, gan_of)
    if source.spec.images:
        return own
    samples = draw(gan, source, config, gan_of)
    if source.problem is not None:
        score: Callable[[Any], dict[str, np.ndarray]] = of_points(source.problem, config)
    elif _names(gan, source):
        score = of_translations(source)
    else:
        return own
    return lambda members: {**score(samples(members)), **own(members)}


def floor(problem: data.Problem, config: ConfigDict) -> dict[str, float]:
    """Computes the scores of another set of real points, which a perfect generator would have."""
    real = held_out(problem, config, number=1)
    return {name: float(column[0]) for name, column in of_points(problem, config)(real[None]).items()}


SCORING = sweep_plan.Scoring(meanings, measure, draw)
