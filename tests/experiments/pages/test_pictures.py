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


@pytest.mark.parametrize("names", [("cats", "dogs", "ж" * 40), ("3",)])
def test_the_name_of_a_class_stands_at_the_left_of_its_images(names):
    images = np.random.default_rng(0).uniform(-1, 1, (len(names) * 4, 28, 28, 1))
    sheet = pictures.named_rows(images, names)
    stacked = np.concatenate(
        [pictures.grid(part, columns=4 if len(names) > 1 else 2) for part in np.split(images, len(names))]
    )
    margin, shown = np.split(sheet, [sheet.shape[1] - stacked.shape[1]], axis=1)
    np.testing.assert_array_equal(shown, stacked)
    assert margin.shape[1] < 400  # A long name is shortened.
    for block in np.split(margin, len(names)):
        # Each name stands at the middle of the images of its class.
        height = len(block)
        assert (block[height // 2 - 10 : height // 2 + 10] < 128).any()
        assert (block[: height // 2 - 20] == 255).all()
    assert (margin[:, : pictures.MARGIN - 1] == 255).all()  # No name is cut off.


def test_long_rows_go_on_below():
    sheet = pictures.named_rows(np.zeros((80, 28, 28, 1)), ("a", "b"))
    assert sheet.shape[0] == 2 * (2 * 58 + 2)
    assert sheet.shape[1] > 32 * 58


def test_points_of_each_class_have_a_plot():
    points = np.random.default_rng(0).normal(size=(8, 2))
    image = pictures.picture(points, None, "step 3", names=("code 0", "code 1"))
    assert image.shape == (600, 1200, 3)
