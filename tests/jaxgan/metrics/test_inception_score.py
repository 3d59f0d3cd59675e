"""Tests of the inception score against closed forms, the paper's formula and torch-fidelity."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxgan.errors import SetupError
from jaxgan.metrics.inception_score import inception_score
from tests import feature_goldens


def test_closed_forms():
    # First the classifier knows nothing about any sample. Then it is certain of every sample, and the
    # samples are spread evenly over all classes, over half of the classes, or belong to one class.
    assert inception_score(np.zeros((20, 5)), splits=2) == pytest.approx((1, 0), abs=1e-12)
    sure = 1e4 * np.eye(4)
    assert inception_score(np.tile(sure, (5, 1)), splits=5, seed=None) == pytest.approx((4, 0), rel=1e-12)
    # Classes 3 and 4 have probability 0 in float64, as happens with a very certain classifier.
    assert inception_score(np.tile(sure[:2], (5, 1)), splits=1) == pytest.approx((2, 0), rel=1e-12)
    assert inception_score(np.tile(sure[:1], (6, 1)), splits=3) == pytest.approx((1, 0), rel=1e-12)


def test_splits_keep_the_order_if_told_to():
    sure = 1e4 * np.eye(2)
    logits = np.concatenate([np.tile(sure, (2, 1)), np.tile(sure[:1], (4, 1))])
    # The splits score 2 and 1, with mean 3/2 and population deviation 1/2.
    found = inception_score(logits, splits=2, seed=None)
    assert found == pytest.approx((1.5, 0.5), rel=1e-12)


@given(
    logits=hnp.arrays(np.float32, (6, 3), elements=st.floats(-5, 5, width=32)),
    rows=st.permutations(range(6)),
)
def test_the_formula_and_no_order(logits, rows):
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    truth = math.exp(np.mean(np.sum(p * np.log(p / p.mean(axis=0)), axis=1)))
    found = inception_score(logits[list(rows)], splits=1)
    assert found == pytest.approx((truth, 0), rel=1e-10, abs=1e-12)
    assert 1 - 1e-12 <= found.mean <= 3


@pytest.mark.parametrize(("seed", "suffix"), [(2020, ""), (None, "_unshuffled")])
def test_agrees_with_torch_fidelity(seed, suffix):
    expected = [feature_goldens.SCORES[f"inception_score_{name}{suffix}"] for name in ("mean", "std")]
    assert inception_score(feature_goldens.logits(), seed=seed) == pytest.approx(expected, rel=1e-12)


def test_refusals():
    with pytest.raises(
        SetupError, match="splits is 10 for 19 samples: each split needs 2 samples, give 9 or fewer"
    ):
        inception_score(np.zeros((19, 3)))
    with pytest.raises(SetupError, match="splits is 0"):
        inception_score(np.zeros((19, 3)), splits=0)
