"""Tests of the Fréchet distance against closed forms, another method of calculation and torch-fidelity."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.errors import SetupError
from jaxgan.metrics.frechet import class_frechet_distance, frechet_distance, frechet_infinity
from jaxgan.metrics.moments import Moments, from_features
from tests import feature_goldens

COUNT = 1000
# A standard deviation of 1e-8 times the largest is lost in the covariance, which contains its square.
SIDES = st.just(0.0) | st.floats(1e-3, 10.0)
SHIFTS = st.floats(-10.0, 10.0)


def exactly(mean, covariance):
    """Returns the moments of a sample with this mean and this unbiased covariance."""
    return Moments(np.float64(COUNT), np.asarray(mean, float), (COUNT - 1) * np.asarray(covariance, float))


def rotation(dim, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]


@given(
    deviations=st.lists(st.tuples(SIDES, SIDES), min_size=4, max_size=4),
    shift=st.lists(SHIFTS, min_size=4, max_size=4),
    seed=st.integers(0, 9),
)
def test_covariances_that_commute(deviations, shift, seed):
    # Along common axes, the distance is ‖μ₁ − μ₂‖² + Σ (σ₁ − σ₂)². Some of the deviations are 0.
    axes = rotation(4, seed)
    a, b = np.array(deviations).T
    real = exactly(np.ones(4), (axes * a**2) @ axes.T)
    fake = exactly(np.ones(4) + shift, (axes * b**2) @ axes.T)
    truth = np.sum(np.square(shift)) + np.sum((a - b) ** 2)
    assert frechet_distance(real, fake) == pytest.approx(truth, abs=1e-9)
    assert frechet_distance(fake, real) == pytest.approx(truth, abs=1e-9)


@given(a=st.tuples(SIDES, SIDES), b=st.tuples(SIDES, SIDES), angle=st.floats(0, math.pi))
def test_covariances_that_do_not_commute(a, b, angle):
    # For 2 × 2 matrices, tr M^½ = √(tr M + 2 √det M).
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    first, second = np.diag(np.square(a)), turn @ np.diag(np.square(b)) @ turn.T
    product = np.trace(first @ second) + 2 * a[0] * a[1] * b[0] * b[1]
    truth = np.trace(first) + np.trace(second) - 2 * math.sqrt(max(product, 0))
    assert frechet_distance(exactly([0, 0], first), exactly([0, 0], second)) == pytest.approx(
        truth, abs=1e-8
    )


def sample(count, dim, seed, decay=2.0):
    rng = np.random.default_rng(seed)
    scales = np.arange(1, dim + 1) ** -decay
    return ((rng.normal(size=(count, dim)) * scales) @ rotation(dim, 5) + 0.1 * seed).astype(np.float32)


def by_singular_values(x, y):
    """Computes the distance from centred samples instead of covariances.

    The trace tr (Σ₁Σ₂)^½ is the sum of the singular values of X₁ X₂ᵀ / √((n₁ − 1)(n₂ − 1)).
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    a, b = ((z - z.mean(axis=0)) / math.sqrt(len(z) - 1) for z in (x, y))
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) + np.sum(a**2) + np.sum(b**2) - 2 * cross


@pytest.mark.parametrize(("n", "m"), [(30, 20), (30, 200), (2, 2), (200, 150)])
def test_whatever_the_rank(n, m):
    x, y = sample(n, 60, 1), sample(m, 60, 2)
    a, b = from_features(x), from_features(y)
    if min(n, m) > 60:
        found = frechet_distance(a, b)
    else:
        with pytest.warns(UserWarning, match=rf"{min(n, m)}.*samples for 60 dimensions.*biased upwards"):
            found = frechet_distance(a, b)
    assert found == pytest.approx(by_singular_values(x, y), rel=1e-11)


@pytest.mark.filterwarnings("ignore:.*biased upwards")
@pytest.mark.parametrize("count", [30, 200])
def test_a_set_against_itself(count):
    # The root of a product of covariances, clipped at 0, would be wrong by 1e-7 here.
    x = sample(count, 60, 3)
    shuffled = x[np.random.default_rng(0).permutation(count)]
    assert 0 <= frechet_distance(from_features(x), from_features(shuffled)) < 1e-12


@given(shift=SHIFTS, scale=st.floats(0.1, 10))
def test_moving_and_scaling(shift, scale):
    x, y = sample(40, 6, 1), sample(50, 6, 2)
    a, b = from_features(x.astype(np.float64)), from_features(y.astype(np.float64))
    before = frechet_distance(a, b)
    moved = [from_features(scale * z.astype(np.float64) @ rotation(6, 1) + shift) for z in (x, y)]
    assert frechet_distance(*moved) == pytest.approx(scale**2 * before, rel=1e-9)


def test_agrees_with_torch_fidelity():
    # With a biased covariance the distance would be wrong by 1 %.
    found = frechet_distance(*map(from_features, feature_goldens.features()))
    assert found == pytest.approx(feature_goldens.SCORES["frechet_inception_distance"], rel=1e-9)


def test_classes():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 60, 2)).astype(np.float32)
    labels = np.repeat([3, 7, 8], 20)
    real += 10 * labels[:, None]
    fake += 10 * labels[:, None]
    order = rng.permutation(60)
    found = class_frechet_distance(real, labels, fake[order], labels[order])
    assert list(found.per_class) == [3, 7, 8]
    for label, value in found.per_class.items():
        expected = by_singular_values(real[labels == label], fake[labels == label])
        assert value == pytest.approx(expected, rel=1e-10)
    assert found.mean == pytest.approx(np.mean(list(found.per_class.values())))
    # A distance over all samples would not show that two classes are swapped.
    swapped = np.choose(np.searchsorted([3, 7, 8], labels), [7, 3, 8])
    mixed = class_frechet_distance(real, labels, fake, swapped)
    assert mixed.per_class[3] > 1000
    assert mixed.per_class[8] == pytest.approx(found.per_class[8])
    assert found.mean < 5


@pytest.fixture(scope="module")
def extrapolated():
    dim = 8
    reference = exactly(np.zeros(dim), np.eye(dim))
    fake = np.random.default_rng(1).normal(size=(4000, dim))
    return reference, fake, frechet_infinity(reference, fake, smallest=250, points=8, seed=3)


def test_infinity_takes_the_bias_away(extrapolated):
    # Both distributions are N(0, I), so the true distance is 0. At N samples the distance is about
    # (D + D(D + 1)/8) / N.
    reference, fake, found = extrapolated
    bias = 8 + 8 * 9 / 8
    assert found.slope == pytest.approx(bias, rel=0.35)
    assert abs(found.value) < 0.25 * bias / 250
    np.testing.assert_array_equal(found.sizes, np.linspace(250, 4000, 8).astype(int))
    assert found.distances[-1] == pytest.approx(frechet_distance(reference, from_features(fake)), rel=1e-9)
    line = np.stack([np.ones(8), 1 / found.sizes], axis=1)
    value, slope = np.linalg.lstsq(line, found.distances)[0]
    assert (found.value, found.slope) == pytest.approx((value, slope), rel=1e-9)


def test_infinity_draws_by_the_seed(extrapolated):
    reference, fake, found = extrapolated
    again = frechet_infinity(reference, fake, smallest=250, points=8, seed=3)
    other = frechet_infinity(reference, fake, smallest=250, points=8, seed=4)
    np.testing.assert_array_equal(again.distances, found.distances)
    assert np.all(other.distances[:-1] != found.distances[:-1])


def test_refusals():
    x = sample(40, 6, 1)
    labels = np.repeat([0, 1], 20)
    with pytest.raises(SetupError, match="real features have 6 dimensions, fake ones 5"):
        frechet_distance(from_features(x), from_features(x[:, :5]))
    with pytest.raises(SetupError, match="real features have 6 dimensions, fake ones 5"):
        frechet_infinity(from_features(x), x[:, :5], smallest=10, points=2)
    with pytest.raises(SetupError, match="40 fake samples are too few for 15 sizes from smallest 5000"):
        frechet_infinity(from_features(x), x)
    with pytest.raises(SetupError, match="points is 1: give"):
        frechet_infinity(from_features(x), x, smallest=10, points=1)
    with pytest.raises(SetupError, match="class 1 has 0 fake samples"):
        class_frechet_distance(x, labels, x, np.zeros(40, int))
    with pytest.raises(SetupError, match="real_labels are int64 of shape"):
        class_frechet_distance(x, labels[:3], x, labels)
    with pytest.raises(SetupError, match="fake_labels are float64"):
        class_frechet_distance(x, labels, x, labels / 2)
    with pytest.warns(
        UserWarning, match=r"4 real and 4 fake samples of the smallest class for 6 dimensions"
    ):
        class_frechet_distance(x, np.arange(40) // 4, x, np.arange(40) // 4)
