"""Tests of metrics of points against hand-made cases and the properties of a metric."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxgan.data.problems.points import gaussian, grid, mixture, ring
from jaxgan.metrics import point_scores
from jaxgan.metrics.point_scores import directions, nearest_modes, w1
from jaxgan.theory import divergences

CLOUD = hnp.arrays(np.float32, (6, 2), elements=st.integers(-8, 8))
mode_scores, sliced_w1 = jax.jit(point_scores.mode_scores), point_scores.sliced_w1
AXES = np.eye(2, dtype=np.float32)


def draw(problem, count, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.jit(jax.vmap(problem.sample))(keys)


# Modes

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
COVARIANCES = np.array([np.diag([4.0, 1.0]), np.eye(2), [[1.0, 0.5], [0.5, 1.0]]])
WEIGHTS = np.array([0.5, 0.25, 0.25])


def test_modes_by_hand():
    samples = np.array(
        [
            [5.96, 0.0],  # 2.98 standard deviations from the wide mode, 4.04 from the next mode
            [0.0, 3.02],  # 3.02 from the wide mode
            [0.0, -2.9],
            [7.5, 0.0],  # 2.5 from the second mode, 3.75 from the wide mode
            # The variance of the third mode is 3/2 along (1, 1) and 1/2 along (1, −1).
            [2.5, 12.5],  # √(12.5 · 2/3) = 2.89
            [-2.0, 12.0],  # √(8 · 2) = 4
        ]
    )
    mode, distance = nearest_modes(samples, CENTRES, COVARIANCES)
    np.testing.assert_array_equal(mode, [0, 0, 0, 1, 2, 2])
    np.testing.assert_allclose(distance, [2.98, 3.02, 2.9, 2.5, math.sqrt(25 / 3), 4], rtol=1e-5)
    scores = mode_scores(samples, CENTRES, COVARIANCES, WEIGHTS)
    assert scores.found == 3
    assert scores.high_quality == pytest.approx(4 / 6)
    # The shares are (1/2, 1/6, 1/3), the weights (1/2, 1/4, 1/4).
    truth = math.log(2 / 3) / 6 + math.log(4 / 3) / 3
    assert scores.kl == pytest.approx(truth, rel=1e-5)


def test_a_collapsed_generator():
    found, high_quality, kl = mode_scores(np.full((50, 2), 9.5), CENTRES, COVARIANCES, WEIGHTS)
    # The samples are nearest to the second or third mode, but not near.
    assert (found, high_quality) == (0, 0)
    samples = np.tile([10.0, 0.5], (50, 1))
    found, high_quality, kl = mode_scores(samples, CENTRES, COVARIANCES, WEIGHTS)
    assert (found, high_quality) == (1, 1)
    assert kl == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.parametrize(
    ("problem", "share"),
    [
        (ring(), 1 - math.exp(-4.5)),
        (grid(), 1 - math.exp(-4.5)),
        (mixture(), 1 - math.exp(-4.5)),
        (gaussian(mean=-2.0, std=0.3), math.erf(3 / math.sqrt(2))),
    ],
)
def test_the_truth_scores_what_it_should(problem, share):
    count = 20_000
    modes = problem.modes
    scores = mode_scores(draw(problem, count), *modes)
    assert scores.found == len(modes.weights)
    assert scores.high_quality == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / count))
    # 2N·KL is approximately χ² distributed with K − 1 degrees of freedom.
    assert scipy.stats.chi2.sf(2 * count * scores.kl, max(len(modes.weights) - 1, 1)) > 1e-3


@given(samples=CLOUD, order=st.permutations(range(6)), k=st.permutations(range(3)))
def test_neither_order_matters(samples, order, k):
    scores = mode_scores(samples, CENTRES / 2, COVARIANCES, WEIGHTS)
    k = list(k)
    # Integer points may have the same distance to two modes, so they are shifted.
    shifted = [
        mode_scores(s + 0.123, c / 2, v, w)
        for s, c, v, w in (
            (samples, CENTRES, COVARIANCES, WEIGHTS),
            (samples[list(order)], CENTRES[k], COVARIANCES[k], WEIGHTS[k]),
        )
    ]
    np.testing.assert_allclose(shifted[0], shifted[1], rtol=1e-5, atol=1e-6)
    assert 0 <= scores.found <= 3
    assert (scores.found == 0) == (scores.high_quality == 0)
    assert -1e-6 <= scores.kl <= math.log(4) + 1e-6


def test_what_is_not_finite_is_not_hidden():
    samples = np.array([[0.0, 0.0], [math.nan, 0.0], [math.inf, 1.0]])
    found, high_quality, kl = mode_scores(samples, CENTRES, COVARIANCES, WEIGHTS)
    assert found == 1
    assert high_quality == pytest.approx(1 / 3)
    assert math.isnan(kl)


# Distances


def test_sliced_by_hand():
    x, y = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 2.0], [3.0, 0.0]])
    assert sliced_w1(x, y, AXES[:1]) == 1  # The projections are 0, 1 and 0, 3.
    assert sliced_w1(x, y, AXES[1:]) == 1  # The projections are 0, 0 and 0, 2.
    assert sliced_w1(x, 3 * y, AXES) == pytest.approx((4 + 3) / 2)


def test_sliced_distance_of_a_shift_is_its_mean_projection(key):
    # E|cos| is 2/π in the plane and 1/2 in space, where the projections of directions are uniform.
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    angles = np.arange(720) * np.pi / 720
    even = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert sliced_w1(x, x + np.float32([3, 4]), even) == pytest.approx(10 / math.pi, rel=1e-5)
    drawn = directions(key, 20_000, 3)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, rtol=1e-5)
    x = np.zeros((2, 3), np.float32)
    # The standard error is √(1/3 − 1/4) / √20,000 = 0.002.
    assert sliced_w1(x, x + np.float32([0, 2, 0]), drawn) == pytest.approx(1, abs=0.02)


@given(x=CLOUD, y=CLOUD, z=CLOUD)
def test_sliced_is_a_metric_below_w1(x, y, z):
    angles = np.arange(8) * np.pi / 8
    even = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    distance = sliced_w1(x, y, even)
    assert sliced_w1(x, x[::-1], even) <= 1e-5
    assert distance == pytest.approx(float(sliced_w1(y, x, even)), abs=1e-5)
    assert distance <= sliced_w1(x, z, even) + sliced_w1(z, y, even) + 1e-5
    assert distance <= w1(x, y) + 1e-5


@given(x=CLOUD, y=CLOUD)
def test_the_distance_of_one_projection_is_that_on_the_line(x, y):
    found = sliced_w1(x, y, AXES[:1])
    assert found == pytest.approx(divergences.w1_samples(x[:, 0], y[:, 0]), abs=1e-5)
    assert w1(x[:, :1], y[:, :1]) == pytest.approx(divergences.w1_samples(x[:, 0], y[:, 0]), abs=1e-9)


def test_w1_by_hand():
    assert w1(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 1.0], [0.0, 3.0]])) == 2
    assert w1(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])) == 5
    with pytest.raises(AssertionError):
        w1(np.zeros((2, 2)), np.zeros((3, 2)))
    with pytest.raises(AssertionError):
        w1(np.zeros(3), np.zeros(3))
    for bad in (np.full((2, 2), np.nan), np.full((2, 2), np.inf), np.zeros((0, 2))):
        with pytest.raises(ValueError, match="points are finite, and at least one"):
            w1(bad, np.zeros_like(bad))


@given(x=CLOUD, y=CLOUD, z=CLOUD)
def test_w1_is_a_metric_and_the_best_permutation(x, y, z):
    distance = w1(x, y)
    best = min(np.linalg.norm(x - y[list(o)], axis=1).mean() for o in itertools.permutations(range(6)))
    assert distance == pytest.approx(best, abs=1e-5)
    assert w1(x, x[::-1]) == 0
    assert distance == pytest.approx(w1(y, x), abs=1e-9)
    assert distance <= w1(x, z) + w1(z, y) + 1e-9
    assert distance >= np.linalg.norm(x.mean(0) - y.mean(0)) - 1e-5
    assert distance == pytest.approx(divergences.compare_points(x, y).w1, abs=1e-8)


# Populations


def test_a_population_scores_as_its_members_do():
    problem = ring()
    fake = jnp.stack([draw(problem, 64, seed) * scale for seed, scale in ((1, 1.0), (2, 1.01), (3, 2.0))])

    def score(samples):
        return mode_scores(samples, *problem.modes)

    together = jax.jit(jax.vmap(score))(fake)
    alone = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[score(samples) for samples in fake])
    for one, other in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        assert one.shape == (3,)
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
