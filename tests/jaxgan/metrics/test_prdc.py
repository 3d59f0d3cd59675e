"""Tests of precision, recall, density and coverage against the papers' formulas."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxgan.errors import SetupError
from jaxgan.metrics import distances
from jaxgan.metrics.prdc import precision_recall_density_coverage


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    # With small tiles, sets of a few samples span several tiles.
    monkeypatch.setattr(distances, "ROWS", 7)
    monkeypatch.setattr(distances, "COLUMNS", 5)


def by_formula(real, fake, k):
    """Evaluates the formulas from exact squared distances, of integers or of differences in float64."""

    def squares(a, b):
        return np.sum(np.square(np.asarray(a)[:, None] - np.asarray(b)[None]), axis=-1)

    def radii(x):
        return np.array([np.sort(np.delete(row, i))[k - 1] for i, row in enumerate(squares(x, x))])

    between = squares(real, fake)
    in_real, in_fake = between <= radii(real)[:, None], between <= radii(fake)[None]
    return (
        in_real.any(axis=0).mean(),
        in_fake.any(axis=1).mean(),
        in_real.sum() / (k * len(fake)),
        in_real.any(axis=1).mean(),
    )


def clouds(seed, n=40, m=33, dim=3, shift=0.7):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(n, dim)), 0.8 * rng.normal(size=(m, dim)) + shift
    return real.astype(np.float32), fake.astype(np.float32)


@pytest.mark.parametrize("k", [1, 3, 5, 12])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_the_formulas(k, offset):
    # At an offset of 1000, ‖a‖² + ‖b‖² − 2ab in float32 would not have a single correct digit.
    real, fake = (x + np.float32(offset) for x in clouds(0))
    expected = by_formula(real.astype(np.float64), fake.astype(np.float64), k)
    assert precision_recall_density_coverage(real, fake, k=k) == pytest.approx(expected, abs=1e-12)
    assert len(set(expected)) == 4 or k == 12  # no score can be mistaken for another


LATTICE = hnp.arrays(np.int64, st.tuples(st.integers(4, 12), st.just(2)), elements=st.integers(-3, 3))


@given(real=LATTICE, fake=LATTICE, k=st.integers(1, 3))
def test_ties_and_copies_are_within(real, fake, k):
    # On a lattice, many points lie exactly on the edge of a ball, and radii of repeated points are 0.
    found = precision_recall_density_coverage(real / 10, fake / 10, k=k)
    assert found == pytest.approx(by_formula(real, fake, k), abs=1e-12)


@given(seed=st.integers(0, 99), rows=st.permutations(range(40)), columns=st.permutations(range(33)))
def test_no_order_and_no_place_matters(seed, rows, columns):
    real, fake = clouds(seed)
    found = precision_recall_density_coverage(real, fake, k=3)
    moved = precision_recall_density_coverage(2 * real[list(rows)] + 5, 2 * fake[list(columns)] + 5, k=3)
    assert found == pytest.approx(moved, abs=1e-12)
    other = precision_recall_density_coverage(fake, real, k=3)
    assert (other.precision, other.recall) == (found.recall, found.precision)


def test_a_set_against_itself():
    real, _ = clouds(1)
    assert precision_recall_density_coverage(real, real[::-1], k=4) == pytest.approx((1, 1, 5 / 4, 1))


def test_by_hand():
    # There are two clusters of real samples, and the fakes lie in one of them. Precision is therefore 1 and
    # recall ½.
    left, right = np.arange(4.0)[:, None], 100 + np.arange(4.0)[:, None]
    real = np.concatenate([left, right])
    found = precision_recall_density_coverage(real, left + 0.25, k=1)
    # Each real ball has radius 1, so the fakes 0.25, 1.25, 2.25 and 3.25 lie in 2, 2, 2 and 1 real balls.
    assert found == (1.0, 0.5, 7 / 4, 0.5)
    found = precision_recall_density_coverage(left, np.concatenate([left + 0.25, [[50.0]]]), k=1)
    # The fake at 50 lies in no ball, and its own ball, which reaches to 3.25, contains no real sample.
    assert found == (0.8, 1.0, 7 / 5, 1.0)


PEAK = """
import re, sys
from pathlib import Path
import numpy as np
from jaxgan.metrics.prdc import precision_recall_density_coverage
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
real, fake = np.random.default_rng(0).normal(size=(2, 12_000, 4)).astype(np.float32)
precision_recall_density_coverage(real[:2000], fake[:2000])
before = peak()
precision_recall_density_coverage(real, fake)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells a process's peak of memory")
def test_memory():
    # The script prints the memory needed beyond that of 2000 samples per set. All distances would take
    # 1,125,000 kB in float64, or 141,000 kB at one byte each. With one arena, the allocator does not keep
    # freed memory separately for each thread.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", PEAK]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert int(out.stdout) < 100_000


def test_refusals():
    real, fake = clouds(0)
    with pytest.raises(SetupError, match="k 33 with 40 real and 33 fake samples"):
        precision_recall_density_coverage(real, fake, k=33)
    with pytest.raises(SetupError, match="k is 0: give"):
        precision_recall_density_coverage(real, fake, k=0)
