"""Tests of TensorFlow 1's resize against its definition, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgan.ops import resize

sides = st.integers(1, 12)


def by_hand(image, size):
    """Resizes (H, W) to (H', W') in float64.

    Pixel (i, j) takes the image's value at (i · H / H', j · W / W').
    """
    height, width = image.shape
    out = np.empty(size)
    for i in range(size[0]):
        for j in range(size[1]):
            y, x = i * height / size[0], j * width / size[1]
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            rows = [(1 - (x - left)) * image[k, left] + (x - left) * image[k, right] for k in (top, bottom)]
            out[i, j] = (1 - (y - top)) * rows[0] + (y - top) * rows[1]
    return out


@settings(max_examples=12)
@given(sides, sides, sides, sides, st.integers(0, 99))
def test_resize_is_the_definition(height, width, new_height, new_width, seed):
    images = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    ours = np.asarray(resize.tensorflow1(images, (new_height, new_width)))
    for b in range(2):
        for c in range(3):
            expected = by_hand(images[b, :, :, c].astype(np.float64), (new_height, new_width))
            np.testing.assert_allclose(ours[b, :, :, c], expected, atol=3e-4)  # pixels go up to 255


def test_four_pixels_of_two_by_hand():
    image = np.array([[[[0], [100]]]], np.uint8)  # half-pixel centres would give 0, 25, 75, 100
    np.testing.assert_array_equal(resize.tensorflow1(image, (1, 4))[0, 0, :, 0], [0, 50, 100, 100])


def test_shrinking_takes_every_other_pixel_without_antialiasing():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(resize.tensorflow1(image, (2, 2))[0, :, :, 0], [[0, 2], [8, 10]])


@pytest.mark.parametrize("side", [7, 299])
def test_own_size_changes_nothing(side):
    images = np.random.default_rng(0).integers(0, 256, (1, side, side, 3)).astype(np.uint8)
    np.testing.assert_array_equal(resize.tensorflow1(images, (side, side)), images)
