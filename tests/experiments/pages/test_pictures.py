"""Tests of pictures of samples of several kinds."""

import numpy as np
import pytest

from experiments.pages import pictures
from experiments.training import sampling

SIDE, SCALE, GAP, HEADER = 28, 2, 2, 14


def constant(value, count=3):
    return np.full((count, SIDE, SIDE, 1), value, np.float32)


def test_each_kind_is_a_column_source_then_translation_then_cycle():
    samples = {"a_cycle": constant(0.0), "a": constant(-1.0), "a_to_b": constant(1.0)}
    image = pictures.picture(samples, None, "")
    line = 3 * SIDE * SCALE + 2 * GAP  # three images in two blocks of two and one
    assert image.shape == (HEADER + 2 * (SIDE * SCALE + 2 * GAP), 2 * line, 3)
    middle = HEADER + GAP + SIDE * SCALE // 2
    places = [GAP + (i * SIDE + SIDE // 2) * SCALE for i in range(3)]
    for left in (0, line):
        assert [image[middle, left + place, 0] for place in places] == [0, 255, 128]
    assert (image[:HEADER] < 128).any()  # the names are drawn in the header


@pytest.mark.parametrize("dim", [1, 2])
def test_points_of_each_kind_are_a_panel_over_the_real_ones_of_their_domain(dim):
    rng = np.random.default_rng(0)
    real = {"a": rng.normal(size=(50, dim)), "b": rng.normal(size=(50, dim)) + 5}
    samples = {name: real[sampling.domain_of(name)] for name in ("a", "a_to_b", "a_cycle", "b")}
    image = pictures.picture(samples, real, "step 3")
    assert image.shape == (1200, 1800, 3)
    assert (image[600:, 600:] == 255).all()  # two of the six places have no panel
    assert all((image[:600, i * 600 : (i + 1) * 600] < 255).any() for i in range(3))
