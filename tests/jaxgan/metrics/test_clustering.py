"""Tests of the matched accuracy against all permutations."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.metrics.clustering import matched_accuracy


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_a_permuted_labelling_is_right(names, labels):
    labels = np.array(labels)
    assert matched_accuracy(np.array(names)[labels], labels) == 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_it_is_the_best_of_all_permutations(pairs):
    clusters, labels = np.array(pairs).T
    best = max(np.mean(np.array(names)[clusters] == labels) for names in itertools.permutations(range(4)))
    np.testing.assert_allclose(matched_accuracy(clusters, labels), best, rtol=1e-12)


def test_the_match_is_one_to_one():
    labels = np.repeat(np.arange(4), 5)
    assert matched_accuracy(np.zeros(20, int), labels) == 0.25  # one cluster matches one class
    assert matched_accuracy(np.arange(20), labels) == 0.2  # a cluster per sample matches one of each class
