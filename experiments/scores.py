"""How near a population's samples are to the truth, where the truth is known."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.compilations import count_cores
from jaxgan import data
from jaxgan.metrics import points
from jaxgan.state import GANState

Array = jax.Array
Sample = Callable[..., Array]

NUM_POINTS = 2048  # for modes, which cost little
NUM_PAIRED = 512  # for the exact distance, whose cost is cubic, and for pictures
NUM_IMAGES = 16
NUM_DIRECTIONS = 64
SAMPLE_KEY, REAL_KEY, DIRECTIONS_KEY = 0x5A3D, 0x4EA1, 0xD14E  # folded into the data's key

# By name: whether more is better, and what it is.
MEANINGS = {
    "w1": (False, "exact earth mover's distance of 512 samples to 512 held-out points"),
    "sliced_w1": (False, "mean earth mover's distance of 2,048 samples' shadows on 64 lines"),
    "modes": (True, "modes with a sample within 3 standard deviations"),
    "high_quality": (True, "share of samples within 3 standard deviations of a mode"),
    "kl_modes": (False, "KL of the samples' shares of the modes to the true ones, nats"),
}

OF_MODES = ("modes", "high_quality", "kl_modes")  # only where a problem has modes


def draw(sample: Sample, source: data.Source, config: ConfigDict) -> Callable[[GANState], np.ndarray]:
    """A function of all members' states that draws from each by the same latents: (P, N, ...)."""
    rows = np.arange(NUM_IMAGES if source.problem is None else NUM_POINTS)
    key = jax.random.fold_in(jax.random.key(config.data.seed), SAMPLE_KEY)
    drawn = jax.jit(jax.vmap(sample, (0, None, None)))

    return lambda state: np.asarray(drawn(state, key, {"row": rows}))


def held_out(problem: data.Problem, config: ConfigDict, number: int = 0) -> np.ndarray:
    """Real points that no run was shown: (NUM_POINTS, dim), others for another number."""
    key = jax.random.fold_in(jax.random.key(config.data.seed), REAL_KEY)
    keys = jax.random.split(jax.random.fold_in(key, number), NUM_POINTS)
    return np.asarray(jax.jit(jax.vmap(problem.sample))(keys))


def of_points(problem: data.Problem, config: ConfigDict) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """The scores of (P, NUM_POINTS, dim) samples: by name, (P,); NaN where a sample is not finite."""
    real = held_out(problem, config)
    key = jax.random.fold_in(jax.random.key(config.data.seed), DIRECTIONS_KEY)
    lines = np.asarray(points.directions(key, NUM_DIRECTIONS, problem.dim))

    @jax.jit
    @jax.vmap
    def of_modes(samples: Array) -> dict[str, Array]:
        assert problem.modes is not None
        served = points.mode_scores(samples, *problem.modes)
        return {"modes": served.found, "high_quality": served.high_quality, "kl_modes": served.kl}

    def distances(samples: np.ndarray) -> tuple[float, float]:
        if not np.isfinite(samples).all():
            return math.nan, math.nan
        exact = points.w1(samples[:NUM_PAIRED], real[:NUM_PAIRED])
        return exact, points.sliced_w1(samples, real, lines)

    def score(samples: np.ndarray) -> dict[str, np.ndarray]:
        with ThreadPoolExecutor(count_cores()) as pool:
            exact, sliced = np.array(list(pool.map(distances, samples))).T
        found = {"w1": exact, "sliced_w1": sliced}
        if problem.modes is not None:
            found |= {name: np.asarray(column) for name, column in of_modes(samples).items()}
        return found

    return score


def measure(
    sample: Sample, source: data.Source, config: ConfigDict
) -> Callable[[GANState], dict[str, np.ndarray]]:
    """A function of all members' states to their scores by name, (P,) each; none for images."""
    if source.problem is None:
        return lambda state: {}
    samples, score = draw(sample, source, config), of_points(source.problem, config)
    return lambda state: score(samples(state))


def floor(problem: data.Problem, config: ConfigDict) -> dict[str, float]:
    """The scores that another sample of real points gets: as good as it gets."""
    real = held_out(problem, config, number=1)
    return {name: float(column[0]) for name, column in of_points(problem, config)(real[None]).items()}
