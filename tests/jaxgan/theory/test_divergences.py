"""Tests of divergences and distances against closed forms, sums by hand and general properties."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxgan.data.problems.points import gaussian, mixture
from jaxgan.theory import divergences

COUNTS = st.integers(0, 9)
MASSES = hnp.arrays(float, 5, elements=COUNTS).filter(lambda a: a.sum() > 0).map(lambda a: a / a.sum())
NUMBERS = hnp.arrays(float, st.integers(1, 6), elements=st.floats(-100, 100))
PLACES = hnp.arrays(float, (5, 2), elements=st.integers(-9, 9))


def distances(x, y):
    return np.array([[math.dist(a, b) for b in y] for a in x])


# Divergences


def test_divergences_by_hand():
    p, q = [0.5, 0.5, 0.0], [0.25, 0.5, 0.25]
    assert divergences.kl_divergence(p, q) == pytest.approx(0.5 * math.log(2), rel=1e-15)
    assert divergences.kl_divergence(q, p) == math.inf
    # m = (3/8, 1/2, 1/8)
    js = (0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3) + 0.25 * math.log(2)) / 2
    assert divergences.js_divergence(p, q) == pytest.approx(js, rel=1e-14)
    np.testing.assert_allclose(divergences.optimal_critic(np.array(p), np.array(q)), [2 / 3, 1 / 2, 0])
    value = 0.5 * math.log(2 / 3) + math.log(1 / 2) + 0.25 * math.log(1 / 3)
    assert divergences.game_value(p, q) == pytest.approx(value, rel=1e-14)


@given(p=MASSES, q=MASSES)
def test_divergences_obey_their_bounds_and_the_game_its_identity(p, q):
    js = divergences.js_divergence(p, q)
    assert -1e-15 <= js <= math.log(2) + 1e-15
    assert js == divergences.js_divergence(q, p)
    assert divergences.kl_divergence(p, q) >= -1e-15
    assert (divergences.kl_divergence(p, q) == math.inf) == bool(((p > 0) & (q == 0)).any())
    if np.array_equal(p, q):
        assert js == divergences.kl_divergence(p, q) == 0
    assert divergences.game_value(p, q) == pytest.approx(2 * js - math.log(4), abs=1e-14)
    # By Pinsker's inequality, the divergence is at least half the squared L1 distance.
    assert divergences.kl_divergence(p, q) >= np.abs(p - q).sum() ** 2 / 2 - 1e-14


@given(p=MASSES, q=MASSES, critic=hnp.arrays(float, 5, elements=st.floats(0.01, 0.99)))
def test_no_critic_beats_the_optimal_one(p, q, critic):
    value = (p * np.log(critic) + q * np.log(1 - critic)).sum()
    assert value <= divergences.game_value(p, q) + 1e-12


def test_gaussians_on_a_grid_have_the_closed_form():
    # KL(N(m, s²) ‖ N(n, t²)) = log(t/s) + (s² + (m − n)²) / 2t² − 1/2
    x = np.linspace(-30, 30, 4001)
    width = x[1] - x[0]
    p, q = scipy.stats.norm(1, 2).pdf(x), scipy.stats.norm(-1, 3).pdf(x)
    closed = math.log(1.5) + (4 + 4) / 18 - 0.5
    assert divergences.kl_divergence(p, q, weights=width) == pytest.approx(closed, rel=1e-10)
    js = divergences.js_divergence(p, q, weights=width)
    assert divergences.game_value(p, q, weights=width) == pytest.approx(2 * js - math.log(4), rel=1e-12)


def test_optimal_logits_are_those_of_the_optimal_critic():
    real, fake = gaussian(mean=1.0), gaussian(mean=-1.0, std=2.0)
    x = jnp.linspace(-3, 3, 13)[:, None]
    logits = divergences.optimal_logits(real.log_density(x), fake.log_density(x))
    densities = (jnp.exp(problem.log_density(x)) for problem in (real, fake))
    np.testing.assert_allclose(jax.nn.sigmoid(logits), divergences.optimal_critic(*densities), rtol=2e-6)
    # The difference log N(x; 1, 1) − log N(x; −1, 4) is a parabola.
    truth = math.log(2) - (x[:, 0] - 1) ** 2 / 2 + (x[:, 0] + 1) ** 2 / 8
    np.testing.assert_allclose(logits, truth, rtol=1e-5, atol=1e-6)


def test_masses_are_checked():
    with pytest.raises(ValueError, match="at least 0"):
        divergences.kl_divergence([0.5, -0.5], [0.5, 0.5])
    with pytest.raises(ValueError, match="at least 0"):
        divergences.js_divergence([0.5, math.nan], [0.5, 0.5])
    with pytest.raises(AssertionError):
        divergences.game_value([1.0], [0.5, 0.5])
    for total in (0.0, 1.0):
        with pytest.raises(ValueError, match="give positive sums that are equal"):
            divergences.transport([total], [total / 2], [[1.0]])


@pytest.mark.parametrize(
    ("intervals", "weights", "error"),
    [
        ([(0, 1), (2, 3)], [1.0], AssertionError),  # one weight for two intervals
        ([(0, 1)], [0.5, 0.5], AssertionError),
        ([(0, 1, 2)], [1.0], AssertionError),
        ([], [], AssertionError),
        ([(0, 1), (2, 3)], [0.25, 0.25], "weights sum to 0.5: give"),
        ([(0, 1), (2, 3)], [1.5, -0.5], "at least 0"),
        ([(0, 1)], [math.nan], "at least 0"),
        ([(2, 1)], [1.0], r"intervals are \[\[2.0, 1.0\]\]: give finite pairs \(a, b\) with a < b"),
        ([(1, 1)], [1.0], "with a < b"),
        ([(0, math.inf)], [1.0], "with a < b"),
        ([(math.nan, 1)], [1.0], "with a < b"),
    ],
)
def test_mixtures_of_uniforms_are_checked(intervals, weights, error):
    good = ([(0, 1)], [1.0])
    kind, match = (ValueError, error) if isinstance(error, str) else (error, None)
    for compare in (divergences.uniform_cells, divergences.compare_uniforms):
        for sides in ((good, (intervals, weights)), ((intervals, weights), good)):
            with pytest.raises(kind, match=match):
                compare(*sides)


@pytest.mark.parametrize(
    ("x", "weights", "error"),
    [
        ([1.0], [2.0], "weights sum to 2: give"),
        ([1.0, 2.0], [1.5, -0.5], "at least 0"),
        ([1.0], [math.inf], "at least 0 and finite"),
        ([1.0, 2.0], [1.0], AssertionError),
        ([], None, "at least one"),
        ([math.nan], None, "points are finite"),
        ([math.inf, 1.0], None, "points are finite"),
    ],
)
def test_samples_are_checked(x, weights, error):
    kind, match = (ValueError, error) if isinstance(error, str) else (error, None)
    with pytest.raises(kind, match=match):
        divergences.w1_samples(x, [0.0], x_weights=weights)
    with pytest.raises(kind, match=match):
        divergences.w1_samples([0.0], x, y_weights=weights)
    points = np.reshape(x, (-1, 1))
    with pytest.raises(kind, match=match):
        divergences.compare_points(points, [[0.0]], p=weights)
    with pytest.raises(kind, match=match):
        divergences.compare_points([[0.0]], points, q=weights)


def test_points_and_their_masses_are_checked_together():
    with pytest.raises(ValueError, match="sum to 3"):
        divergences.compare_points([[0.0]], [[0.0]], p=[3], q=[3])
    for real, fake in (([0.0], [0.0]), ([[0.0]], [[0.0, 1.0]])):
        with pytest.raises(AssertionError):
            divergences.compare_points(real, fake)
    # Weights in single precision sum to 1 within the tolerance.
    p = np.full(1000, 1e-3, np.float32)
    assert divergences.w1_samples(np.arange(1000), [0.0], x_weights=p) == pytest.approx(499.5, rel=1e-6)


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        (([1, 0], [0, 1], [1, 0]), "x decreases"),
        (([0, 2, 1], [0, 0, 1], [0, 1, 1]), "x decreases"),
        (([0, math.nan], [0, 1], [1, 0]), "finite"),
        (([0, 1], [0, math.inf], [1, 0]), "finite"),
        (([], [], []), "at least one"),
    ],
)
def test_curves_are_checked(curves, message):
    with pytest.raises(ValueError, match=message):
        divergences.w1_curves(*curves)
    with pytest.raises(AssertionError):
        divergences.w1_curves(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2)))


def test_curves_may_jump():
    # One distribution has all its mass at 1, the other at 3.
    assert divergences.w1_curves([0, 1, 1, 3, 3], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]) == 2


# Disjoint supports


@pytest.mark.parametrize("theta", [-1.5, -0.25, 1e-3, 0.5, 2.0])
def test_parallel_lines_apart(theta):
    y = (np.arange(16) + 0.5) / 16
    real, fake = (np.stack([np.full(16, x), y], axis=1) for x in (0.0, theta))
    kl, reverse_kl, js, w1 = divergences.compare_points(real, fake)
    assert kl == reverse_kl == math.inf
    assert js == pytest.approx(math.log(2), rel=1e-15)
    assert w1 == pytest.approx(abs(theta), rel=1e-9)


def test_parallel_lines_together():
    line = np.stack([np.zeros(16), np.arange(16) / 16], axis=1)
    assert divergences.compare_points(line, line) == (0, 0, 0, 0)


def test_mixtures_of_uniforms_apart():
    # On average, a quarter moves from 1.5 to 5.25, a quarter from 3.5 to 5.75 and a half from 9.5 to 6.5.
    mu = ([(1, 2), (3, 4), (9, 10)], [0.25, 0.25, 0.5])
    kl, reverse_kl, js, w1 = divergences.compare_uniforms(mu, ([(5, 7)], [1.0]))
    assert kl == reverse_kl == math.inf
    assert js == pytest.approx(math.log(2), rel=1e-15)
    assert w1 == pytest.approx(3.75 / 4 + 2.25 / 4 + 3 / 2, rel=1e-15)


@pytest.mark.parametrize("x", [-2.0, -0.6, -0.1, 0.0, 0.25, 0.75, 1.0, 3.0])
def test_js_of_shifted_uniforms_is_deaf_beyond_their_width(x):
    # For two uniforms of width δ at distance x, JS is proportional to min(δ, |x|).
    delta = 0.75
    comparison = divergences.compare_uniforms(([(0, delta)], [1.0]), ([(x, x + delta)], [1.0]))
    assert comparison.js == pytest.approx(math.log(2) / delta * min(delta, abs(x)), rel=1e-12, abs=1e-15)
    assert comparison.w1 == pytest.approx(abs(x), rel=1e-12, abs=1e-15)


def test_overlapping_uniforms_by_hand():
    # The masses are 3/4 and 1/2 on [0, 1], and 1/4 and 1/2 on [1, 2].
    kl, _, _, w1 = divergences.compare_uniforms(([(0, 1), (0, 2)], [0.5, 0.5]), ([(0, 2)], [1.0]))
    assert kl == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-14)
    assert w1 == pytest.approx(0.25, rel=1e-14)  # the area of a triangle of height 1/4 over [0, 2]


# Earth mover's distance on the line


def test_samples_by_hand():
    assert divergences.w1_samples([0.0, 4.0], [1.0, 2.0]) == 1.5
    assert divergences.w1_samples([3.0], [-1.0, 5.0, 3.0]) == pytest.approx(2.0, rel=1e-15)
    weighted = divergences.w1_samples([0.0, 2.0], [1.0], x_weights=[0.25, 0.75])
    assert weighted == 1.0


@given(x=NUMBERS, y=NUMBERS, z=NUMBERS)
def test_w1_is_a_metric(x, y, z):
    distance = divergences.w1_samples(x, y)
    assert distance >= 0
    assert divergences.w1_samples(x, x) < 1e-12
    assert distance == pytest.approx(divergences.w1_samples(y, x), abs=1e-9)
    assert distance <= divergences.w1_samples(x, z) + divergences.w1_samples(z, y) + 1e-9
    assert distance >= abs(x.mean() - y.mean()) - 1e-9  # the bound from the critic D(x) = x
    assert divergences.w1_samples(x + 3, y + 3) == pytest.approx(distance, abs=1e-9)


@given(x=NUMBERS, y=NUMBERS)
def test_samples_agree_with_scipy(x, y):
    assert divergences.w1_samples(x, y) == pytest.approx(scipy.stats.wasserstein_distance(x, y), abs=1e-10)


def test_area_between_crossing_curves_by_hand():
    # The curves x and 1 − x on [0, 1] enclose two triangles of area 1/4.
    assert divergences.w1_curves([0, 1], [0, 1], [1, 0]) == 0.5
    assert divergences.w1_curves([0, 1, 3], [0, 1, 1], [0, 0, 1]) == pytest.approx(0.5 + 1.0)


def test_gaussians_by_distribution_and_by_quantile_functions():
    # The distance is the shift for equal standard deviations, and |s − t| E|Z| for equal means.
    x = np.linspace(-40, 40, 20_001)
    levels = np.linspace(1e-9, 1 - 1e-9, 400_001)
    for (m, s), (n, t), truth in (
        ((0, 2), (3, 2), 3.0),
        ((1, 1), (1, 4), 3 * math.sqrt(2 / math.pi)),
    ):
        p, q = scipy.stats.norm(m, s), scipy.stats.norm(n, t)
        assert divergences.w1_curves(x, p.cdf(x), q.cdf(x)) == pytest.approx(truth, rel=1e-5)
        assert divergences.w1_curves(levels, p.ppf(levels), q.ppf(levels)) == pytest.approx(truth, rel=1e-4)


# The transport plan


def test_a_plan_by_hand():
    # Turning (3, 1, 0) into (1, 1, 2) costs 4: two units move by two places, directly or in two steps.
    places = np.arange(3)[:, None]
    plan, cost, f, g = divergences.transport([3, 1, 0], [1, 1, 2], distances(places, places))
    assert cost == pytest.approx(4, rel=1e-12)
    np.testing.assert_allclose(plan.sum(1), [3, 1, 0], atol=1e-12)
    np.testing.assert_allclose(plan.sum(0), [1, 1, 2], atol=1e-12)
    assert 3 * f[0] + f[1] + g @ [1, 1, 2] == pytest.approx(4, rel=1e-12)
    np.testing.assert_allclose(np.diff(f), -1, atol=1e-12)  # the best critic decreases along the way


@given(x=PLACES, y=PLACES, p=MASSES, q=MASSES)
def test_primal_is_dual_and_both_are_feasible(x, y, p, q):
    cost = distances(x, y)
    plan, value, f, g = divergences.transport(p, q, cost)
    assert (plan >= -1e-12).all()
    np.testing.assert_allclose(plan.sum(1), p, atol=1e-10)
    np.testing.assert_allclose(plan.sum(0), q, atol=1e-10)
    assert (plan * cost).sum() == pytest.approx(value, abs=1e-9)
    assert f @ p + g @ q == pytest.approx(value, abs=1e-9)
    assert (f[:, None] + g <= cost + 1e-9).all()


@given(x=PLACES, y=PLACES)
def test_equal_masses_are_moved_as_the_best_permutation_says(x, y):
    cost = distances(x, y)
    best = min(cost[range(5), order].sum() for order in itertools.permutations(range(5))) / 5
    assert divergences.transport(np.full(5, 0.2), np.full(5, 0.2), cost).cost == pytest.approx(
        best, abs=1e-9
    )


@given(x=NUMBERS, y=NUMBERS)
@example(x=np.array([0.0, 0.0, 0.125]), y=np.array([0.0, 0.0, 2.0**-27]))  # needs tight tolerances
def test_the_plan_on_the_line_agrees_with_the_area(x, y):
    plan_cost = divergences.compare_points(x[:, None], y[:, None]).w1
    spread = max(np.ptp(np.concatenate([x, y])), 1e-100)  # the squares of smaller distances underflow
    assert plan_cost == pytest.approx(divergences.w1_samples(x, y), abs=1e-9 * spread)


def test_small_masses_are_moved_exactly():
    # If the masses were not scaled, they would be below the solver's tolerance of 1e-7 and could stay in
    # place.
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 150, 2))
    cost = distances(x, y)
    rows, columns = scipy.optimize.linear_sum_assignment(cost)
    found = divergences.transport(np.full(150, 1e-9), np.full(150, 1e-9), cost).cost
    assert found == pytest.approx(1e-9 * cost[rows, columns].sum(), rel=1e-9)


def test_a_games_value_by_monte_carlo():
    # The game's value is an expectation under both distributions. A Monte Carlo estimate must agree within
    # five standard errors.
    real, fake = mixture(), mixture(mu=((0.0, 0.0), (-3.0, -4.0)))
    sides = []
    for problem, sign in ((real, 1), (fake, -1)):
        keys = jax.random.split(jax.random.key(0), 20_000)
        x = jax.jit(jax.vmap(problem.sample))(keys)
        logits = jax.jit(lambda x: divergences.optimal_logits(real.log_density(x), fake.log_density(x)))(x)
        sides.append(np.asarray(jax.nn.log_sigmoid(sign * logits), np.float64))
    axis = np.arange(-12, 9, 0.1)
    x = jnp.stack(jnp.meshgrid(axis, axis), axis=-1)
    p, q = (np.exp(np.asarray(problem.log_density(x), np.float64)) for problem in (real, fake))
    truth = 2 * divergences.js_divergence(p, q, weights=0.01) - math.log(4)
    error = math.sqrt(sum(side.var() / 20_000 for side in sides))
    assert abs(sum(side.mean() for side in sides) - truth) < 5 * error
    assert error < 0.01
