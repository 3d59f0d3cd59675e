"""Tests of path lengths for generators whose paths are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.errors import SetupError
from jaxgan.metrics.path_length import lerp, perceptual_path_length, slerp

MATRIX = np.random.default_rng(0).normal(size=(4, 6))


def linear(latents):
    return latents @ MATRIX


def squared(a, b):
    return np.sum(np.square(a - b), axis=-1)


def ends(count=50, dim=4, dtype=np.float64):
    start, end = np.random.default_rng(1).normal(size=(2, count, dim)).astype(dtype)
    return start, end


@pytest.mark.parametrize("batch_size", [7, 64])
def test_a_linear_generator(batch_size):
    # The speed on a straight path is ‖(end − start) A‖² everywhere.
    start, end = ends()
    found = perceptual_path_length(linear, squared, start, end, space="w", batch_size=batch_size)
    exact = squared(end @ MATRIX, start @ MATRIX)
    np.testing.assert_allclose(found.distances, exact, rtol=1e-8)
    # The 1st and the 99th percentile of 50 values, rounded outwards, are the smallest and largest values.
    assert found.mean == pytest.approx(exact.mean(), rel=1e-8)


def test_the_extremes_are_left_out():
    start, end = np.zeros((200, 1)), np.arange(200.0)[:, None]
    found = perceptual_path_length(lambda z: z, squared, start, end, space="w")
    # The percentiles are at the indices 1.99 and 197.01, so the indices from 1 to 198 are kept.
    kept = np.arange(1, 199.0) ** 2
    assert (found.mean, found.std) == pytest.approx((kept.mean(), kept.std()), rel=1e-8)
    assert len(found.distances) == 200


def test_float32_costs_three_digits():
    start, end = ends(500, dtype=np.float32)
    found = perceptual_path_length(linear, squared, start, end, space="w")
    exact = np.sort(squared(end.astype(float) @ MATRIX, start.astype(float) @ MATRIX))
    assert found.mean == pytest.approx(exact[4:-4].mean(), rel=2e-3)


def test_arcs_of_unit_vectors():
    # If the generator is the identity, the distance is the chord of the angle ε ω, 4 sin²(ε ω / 2) / ε².
    start, end = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in ends())
    found = perceptual_path_length(lambda z: z, squared, start, end, space="z", epsilon=1e-2)
    omega = np.arccos(np.sum(start * end, axis=1))
    np.testing.assert_allclose(found.distances, (2 * np.sin(0.005 * omega) / 0.01) ** 2, rtol=1e-10)


@given(t=st.floats(0, 1), seed=st.integers(0, 99))
def test_slerp(t, seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 5, 3))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    point = slerp(a, b, np.full((5, 1), t))
    omega = np.arccos(np.sum(a * b, axis=1))
    np.testing.assert_allclose(np.linalg.norm(point, axis=1), 1, rtol=1e-9)
    np.testing.assert_allclose(np.arccos(np.clip(np.sum(a * point, axis=1), -1, 1)), t * omega, atol=1e-6)
    np.testing.assert_allclose(slerp(7 * a, 7 * b, np.full((5, 1), t)), 7 * point, rtol=1e-9)


def test_slerp_where_there_is_no_arc():
    a = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
    b = np.array([[6.0, 8.0], [1.0, 1.0], [-1.0, 0.0]])
    t = np.full((3, 1), 0.25)
    np.testing.assert_allclose(slerp(a, b, t), lerp(a, b, t), rtol=1e-12)


def test_places_are_drawn_by_the_seed():
    start, end = ends()

    def curved(latents):
        return latents**3

    def run(**options):
        return perceptual_path_length(curved, squared, start, end, space="w", **options)

    assert run(seed=3).mean == run(seed=3, batch_size=9).mean
    assert run(seed=3).mean != run(seed=4).mean
    # The derivative of p³ along the path p = s + t (e − s) is 3 p² (e − s).
    t = np.random.default_rng(3).uniform(size=(len(start), 1))
    exact = np.sum(np.square(3 * (start + t * (end - start)) ** 2 * (end - start)), axis=1)
    np.testing.assert_allclose(run(seed=3, epsilon=1e-6).distances, exact, rtol=1e-3)


def test_refusals():
    start, end = ends()
    with pytest.raises(SetupError, match="unknown space 'x'"):
        perceptual_path_length(linear, squared, start, end, space="x")
    with pytest.raises(SetupError, match="epsilon 0"):
        perceptual_path_length(linear, squared, start, end, space="w", epsilon=0)
    with pytest.raises(SetupError, match=r"start has shape \(50, 4\) and end \(49, 4\)"):
        perceptual_path_length(linear, squared, start, end[1:], space="w")
    with pytest.raises(SetupError, match=r"distance gave shape \(50, 6\)"):
        perceptual_path_length(linear, lambda a, b: (a - b) ** 2, start, end, space="w")
    with pytest.raises(SetupError, match="distances has NaN or infinite values in 50 of 50 rows"):
        perceptual_path_length(lambda z: z * np.nan, squared, start, end, space="w")
