"""Tests of orbits of small games against the matrices of their steps and against proven results."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.theory import minmax
from jaxgan.theory.minmax import bilinear, dirac_gan

ETA, GAMMA, BETA = 0.2, 0.7, -0.5
METHODS = {
    "simultaneous": minmax.simultaneous,
    "alternating": minmax.alternating,
    "negative_momentum": functools.partial(minmax.negative_momentum, momentum=BETA),
    "extra_gradient": minmax.extra_gradient,
    "optimistic": minmax.optimistic,
    "consensus": functools.partial(minmax.consensus, weight=GAMMA),
}
CONVERGENT = ["negative_momentum", "extra_gradient", "optimistic", "consensus"]


def matrices(eta, rotation):
    """Returns each method's step matrix on the field v(z) = −rotation z.

    The matrices act on (x, y), or on (x, y) and the previous point.
    """
    one, zero = np.eye(2), np.zeros((2, 2))
    j = eta * rotation
    a, b = j[0, 1], j[1, 0]  # x ← x + a y, y ← y + b x
    y_first = np.array([[1, 0, 0, 0], [b, 1 + BETA, 0, -BETA], [0, 0, 1, 0], [0, 0, 0, 1]])
    x_then = np.array([[1 + BETA, a, -BETA, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    shift = x_then @ y_first
    momentum = np.vstack([shift[:2], np.eye(4)[:2]])
    return {
        "simultaneous": one + j,
        "alternating": np.array([[1, a], [0, 1]]) @ np.array([[1, 0], [b, 1]]),
        "negative_momentum": momentum,
        "extra_gradient": one + j @ (one + j),
        "optimistic": np.block([[one + 2 * j, -j], [one, zero]]),
        "consensus": one + j - eta * GAMMA * rotation.T @ rotation,
    }


TURN = np.array([[0.0, -1.0], [1.0, 0.0]])
RADIUS = {name: np.abs(np.linalg.eigvals(m)).max() for name, m in matrices(ETA, TURN).items()}


def orbit(name, game=bilinear, x=1.0, y=-0.5, steps=60, eta=ETA):
    method = jax.jit(lambda x, y: METHODS[name](game, x, y, steps=steps, learning_rate=eta))
    return np.stack(method(x, y), axis=1).astype(np.float64)


@pytest.mark.parametrize("name", METHODS)
def test_an_orbit_is_the_powers_of_a_matrix(name):
    matrix = matrices(ETA, TURN)[name]
    z = np.tile([1.0, -0.5], len(matrix) // 2)
    points = orbit(name)
    assert points.shape == (61, 2)
    for point in points:
        np.testing.assert_allclose(point, z[:2], rtol=1e-5, atol=2e-6)
        z = matrix @ z


@pytest.mark.parametrize("name", METHODS)
def test_the_distance_changes_by_the_spectral_radius(name):
    """Compares mean rates over 300 steps; the tolerance allows for the variation along the ellipses."""
    norms = np.linalg.norm(orbit(name, steps=400), axis=1)
    rate = (norms[400] / norms[100]) ** (1 / 300)
    assert rate == pytest.approx(RADIUS[name], abs=1.5e-3)


def test_radii_are_as_the_docstrings_say():
    assert RADIUS["simultaneous"] == pytest.approx(math.sqrt(1 + ETA**2), rel=1e-12)
    assert RADIUS["alternating"] == pytest.approx(1, rel=1e-12)
    assert RADIUS["extra_gradient"] == pytest.approx(math.sqrt(1 - ETA**2 + ETA**4), rel=1e-12)
    assert RADIUS["optimistic"] == pytest.approx(math.sqrt((1 + math.sqrt(1 - 4 * ETA**2)) / 2), rel=1e-12)
    assert RADIUS["consensus"] == pytest.approx(math.sqrt((1 - ETA * GAMMA) ** 2 + ETA**2), rel=1e-12)
    assert all(RADIUS[name] < 0.995 for name in CONVERGENT)
    for eta, converges in ((0.57, True), (0.58, False)):  # 1/√3 = 0.577
        matrix = matrices(eta, TURN)["optimistic"]
        assert (np.abs(np.linalg.eigvals(matrix)).max() < 1) == converges


@given(x=st.floats(-3, 3), y=st.floats(-3, 3), eta=st.floats(0.01, 1.0))
def test_simultaneous_steps_lead_away_by_the_same_factor_each(x, y, eta):
    points = orbit("simultaneous", x=x, y=y, eta=eta, steps=10)
    norms = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(norms[1:], math.sqrt(1 + eta**2) * norms[:-1], rtol=2e-6, atol=1e-30)


@given(x=st.floats(-3, 3), y=st.floats(-3, 3), eta=st.floats(0.01, 1.9))
def test_alternating_steps_keep_their_ellipse(x, y, eta):
    points = orbit("alternating", x=x, y=y, eta=eta, steps=50)
    invariant = (points**2).sum(1) + eta * points.prod(1)
    np.testing.assert_allclose(invariant, x**2 + y**2 + eta * x * y, rtol=2e-4, atol=1e-6)


def test_the_momenta_that_converge_are_those_of_the_docstring():
    for beta in np.linspace(-1.25, 0.75, 41):
        for eta in np.linspace(0.01, 4.51, 46):
            # The player y steps first, then x steps against the new y. The state consists of x and y, then
            # x and y before.
            y_next = np.array([eta, 1 + beta, 0, -beta])
            x_next = np.array([1 + beta, 0, -beta, 0]) - eta * y_next
            matrix = np.stack([x_next, y_next, *np.eye(4)[:2]])
            roots = np.polynomial.Polynomial.fromroots([1, 1, beta, beta]) + np.polynomial.Polynomial(
                [0, 0, 0, eta**2]
            )
            np.testing.assert_allclose(np.poly(matrix)[::-1], roots.coef, atol=1e-12)
            radius = np.abs(np.linalg.eigvals(matrix)).max()
            if abs(beta) < 1e-12:
                assert (radius > 1 + 1e-9) == (eta > 2)
            else:
                assert (radius < 1) == (-1 < beta < 0 and eta < 2 * (1 + beta)), (beta, eta)


@pytest.mark.parametrize("beta", [-0.7, -0.4, -0.1])
@pytest.mark.parametrize("share", [0.9, 1.1])
def test_momentum_converges_up_to_the_rate_of_the_docstring(beta, share):
    eta = share * 2 * (1 + beta)
    points = minmax.negative_momentum(bilinear, 1.0, 1.0, steps=110, learning_rate=eta, momentum=beta)
    norms = np.hypot(*np.asarray(points, np.float64))
    assert np.isfinite(norms).all()
    assert (norms[-20:].max() < norms[40:60].max()) == (share < 1)


def test_positive_momentum_diverges():
    points = minmax.negative_momentum(bilinear, 1.0, 0.0, steps=200, learning_rate=ETA, momentum=0.3)
    assert float(jnp.hypot(points.x[-1], points.y[-1])) > 5


def test_players_may_be_vectors(key):
    x, y = jax.random.normal(key, (2, 3))
    for method in METHODS.values():
        together = method(bilinear, x, y, steps=5, learning_rate=ETA)
        assert together.x.shape == (6, 3)
        alone = method(bilinear, x[1], y[1], steps=5, learning_rate=ETA)
        np.testing.assert_allclose(together.x[:, 1], alone.x, rtol=1e-6)
        np.testing.assert_allclose(together.y[:, 1], alone.y, rtol=1e-6)


def test_learning_rates_may_be_traced():
    rates = jnp.array([0.1, 0.3])
    together = jax.vmap(lambda eta: minmax.extra_gradient(bilinear, 1.0, 0.0, steps=5, learning_rate=eta))(
        rates
    )
    for k, eta in enumerate((0.1, 0.3)):
        alone = orbit("extra_gradient", x=1.0, y=0.0, eta=eta, steps=5)
        np.testing.assert_allclose(np.stack(together, axis=-1)[k], alone, rtol=1e-6, atol=1e-7)


def test_optimistic_steps_are_optaxs():
    tx = optax.optimistic_gradient_descent(ETA)
    z = (jnp.float32(0.8), jnp.float32(-0.6))
    state = tx.init(z)
    for point in orbit("optimistic", dirac_gan, x=0.8, y=-0.6, steps=20):
        np.testing.assert_allclose(np.stack(z), point, rtol=1e-5, atol=1e-6)
        dx, dy = jax.grad(dirac_gan, (0, 1))(*z)
        updates, state = tx.update((dx, -dy), state)
        z = optax.apply_updates(z, updates)


# The Dirac-GAN


def test_dirac_gan_is_the_papers():
    x, y = 0.7, -1.3
    value = -math.log(1 + math.exp(-x * y)) - math.log(2)
    assert dirac_gan(x, y) == pytest.approx(value, rel=1e-6)
    # The game has one fake at x, one real sample at 0 and the critic D(t) = y t.
    dx, dy = jax.grad(dirac_gan, (0, 1))(x, y)
    assert (dx, dy) == pytest.approx((y / (1 + math.exp(x * y)), x / (1 + math.exp(x * y))), rel=1e-5)


@pytest.mark.parametrize("r1", [0.0, 0.5, 2.0])
def test_dirac_gan_turns_as_the_paper_says(r1):
    def field(z):
        dx, dy = jax.grad(functools.partial(dirac_gan, r1=r1), (0, 1))(z[0], z[1])
        return jnp.stack([-dx, dy])

    found = np.linalg.eigvals(jax.jacobian(field)(jnp.zeros(2)))
    root = np.emath.sqrt(r1**2 - 1) / 2
    truth = np.array([-r1 / 2 - root, -r1 / 2 + root])
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(truth), atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_near_its_equilibrium_the_dirac_gan_is_a_slower_turn(name):
    matrix = matrices(ETA, TURN / 2)[name]
    z = np.tile([1e-3, 5e-4], len(matrix) // 2)
    for point in orbit(name, dirac_gan, x=1e-3, y=5e-4, steps=40):
        np.testing.assert_allclose(point, z[:2], rtol=1e-3, atol=1e-8)
        z = matrix @ z


def test_on_the_dirac_gan_the_remedies_converge_and_descent_does_not():
    start, steps, eta = 1.0, 1000, 0.8
    last = {
        name: np.linalg.norm(orbit(name, dirac_gan, x=start, y=start, steps=steps, eta=eta)[-1])
        for name in METHODS
    }
    assert last["simultaneous"] > math.sqrt(2)
    assert last["alternating"] > 1
    assert all(last[name] < 1e-3 for name in CONVERGENT)
    regularised = orbit("simultaneous", functools.partial(dirac_gan, r1=0.5), x=start, y=start, steps=400)
    assert np.linalg.norm(regularised[-1]) < 1e-3
