"""Tests of the kernel distance against its definition, its expected value and torch-fidelity."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxgan.errors import SetupError
from jaxgan.metrics.kid import kernel_inception_distance, polynomial_mmd
from tests import feature_goldens

CLOUD = hnp.arrays(np.float64, (5, 3), elements=st.floats(-3, 3))


def by_pairs(x, y):
    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    within = [np.mean([k(a, b) for a, b in itertools.permutations(z.tolist(), 2)]) for z in (x, y)]
    return sum(within) - 2 * np.mean([k(a, b) for a in x.tolist() for b in y.tolist()])


def test_by_hand():
    # With k(0, ·) = 1, k(1, 1) = 8 and k(1, 2) = 27, the estimate is 1 + 27 − 2 (1 + 1 + 8 + 27) / 4. The
    # diagonal, such as k(2, 2) = 125, is excluded.
    assert polynomial_mmd(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])) == 28 - 37 / 2


@given(x=CLOUD, y=CLOUD, order=st.permutations(range(5)))
def test_definition_and_order(x, y, order):
    truth = by_pairs(x, y[:4])
    assert polynomial_mmd(x, y[:4]) == pytest.approx(truth, rel=1e-9, abs=1e-9)
    assert polynomial_mmd(y[:4], x[list(order)]) == pytest.approx(truth, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_unbiased(shift):
    # For N(0, 1) and N(m, 1) on the line, k = 1 + 3ab + 3a²b² + a³b³ gives Σ_j c_j (E aʲ − E bʲ)², which is
    # 3 m² + 3 m⁴ + (3 m + m³)². Sets of only 4 samples make a bias visible.
    rng = np.random.default_rng(0)
    repeats = 20_000
    x, y = rng.normal(size=(2, repeats, 4, 1))
    values = np.array([polynomial_mmd(a, b + shift) for a, b in zip(x, y, strict=True)])
    truth = 3 * shift**2 + 3 * shift**4 + (3 * shift + shift**3) ** 2
    error = values.std() / repeats**0.5
    assert abs(values.mean() - truth) < 4 * error
    assert error < 0.2  # including the diagonal, E k(x, x) = 1 + 3 + 9 + 15, would add 14 to 20


def test_a_set_against_itself_is_below_zero():
    # The result is twice the difference between the kernel's mean off the diagonal and its mean.
    x = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    found = kernel_inception_distance(x, x, subsets=3, subset_size=40)
    kernel = (x.astype(np.float64) @ x.T.astype(np.float64) / 3 + 1) ** 3
    off = (kernel.sum() - np.trace(kernel)) / (40 * 39)
    assert found == pytest.approx((2 * (off - kernel.mean()), 0), rel=1e-9, abs=1e-9)
    assert found.mean < 0


def test_agrees_with_torch_fidelity():
    first, second = feature_goldens.features()  # torch-fidelity's input1 and input2
    sizes = {
        "subsets": feature_goldens.KID["kid_subsets"],
        "subset_size": feature_goldens.KID["kid_subset_size"],
    }
    expected = [feature_goldens.SCORES[f"kernel_inception_distance_{name}"] for name in ("mean", "std")]
    assert kernel_inception_distance(second, first, **sizes) == pytest.approx(expected, rel=1e-10)
    other = kernel_inception_distance(first, second, **sizes)  # the order of the sets changes the subsets
    assert other.mean != pytest.approx(expected[0], rel=1e-6)


def test_refusals():
    x = np.ones((30, 2))
    with pytest.raises(SetupError, match="subset_size 1000 is more than there are of 30 real and 20 fake"):
        kernel_inception_distance(x, x[:20])
    with pytest.raises(SetupError, match="subset_size is 1: give"):
        kernel_inception_distance(x, x, subset_size=1)
    with pytest.raises(SetupError, match="subsets is 0"):
        kernel_inception_distance(x, x, subsets=0, subset_size=3)
