"""Tests of nearest neighbours by brute force, and of the copying test on known generators."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from jaxgan.metrics import distances
from jaxgan.metrics.neighbours import data_copying, nearest


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    monkeypatch.setattr(distances, "ROWS", 7)
    monkeypatch.setattr(distances, "COLUMNS", 5)


def draw(seed, count=40, dim=3):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


@given(seed=st.integers(0, 99), rows=st.permutations(range(40)))
def test_nearest(seed, rows):
    train, queries = draw(seed), draw(seed + 100, 23)
    matrix = cdist(queries.astype(np.float64), train.astype(np.float64))
    found = nearest(queries, train)
    np.testing.assert_array_equal(found.index, matrix.argmin(axis=1))
    np.testing.assert_allclose(found.distance, matrix.min(axis=1), rtol=1e-13)
    moved = nearest(queries, train[list(rows)])
    np.testing.assert_array_equal(np.array(rows)[moved.index], found.index)


def test_near_copies_far_from_the_origin():
    # Each sample occurs a second time, moved by 1e-4, and the queries lie nearer to the first occurrence.
    train = 30_000 + draw(0).astype(np.float64)
    step = 1e-5 * np.eye(3)[0]
    queries = train[::-1] + step
    found = nearest(queries, np.concatenate([train, train + 10 * step]))
    np.testing.assert_array_equal(found.index, np.arange(40)[::-1])
    np.testing.assert_allclose(found.distance, 1e-5, rtol=1e-5)
    assert np.all(nearest(train, train).distance == 0)


def test_copying_by_the_formula():
    train, held_out, fake = draw(0), draw(1, 21), 1.3 * draw(2, 17)
    new, made = (cdist(x.astype(float), train.astype(float)).min(axis=1) for x in (held_out, fake))
    u = np.sum(made[:, None] > new[None])
    found = data_copying(train, held_out, fake)
    assert found.farther == pytest.approx(u / (21 * 17), rel=1e-12)
    assert found.z == pytest.approx((u - 21 * 17 / 2) / math.sqrt(21 * 17 * 39 / 12), rel=1e-12)
    np.testing.assert_allclose(found.nearest.distance, made, rtol=1e-12)


def test_what_it_says():
    train, held_out = draw(0, 200), draw(1, 200)
    honest = data_copying(train, held_out, draw(2, 200))
    assert abs(honest.z) < 3
    assert honest.farther == pytest.approx(0.5, abs=0.1)
    copies = data_copying(train, held_out, train[::-1])
    assert copies.farther == 0
    assert copies.z < -15
    noisy = data_copying(train, held_out, train + 0.1 * draw(3, 200))
    assert noisy.z < -3
    blurred = data_copying(train, held_out, 2 * draw(4, 200))
    assert blurred.z > 3
    # If the data repeats itself, all distances are tied at 0.
    assert data_copying(train, train, train[:50])[:2] == (0.5, 0)
