"""Tests of slant and width against sheared rectangles, whose moments have closed forms."""

import numpy as np
import pytest

from jaxgan.metrics.image_moments import slant_and_width


def sheared(width, height, shear, *, side=40, left=12, top=5):
    """Returns an image of a rectangle whose row at height y is moved by ``shear`` · y pixels."""
    image = np.full((side, side, 1), -1.0, np.float32)
    for y in range(height):
        start = left + shear * y
        image[top + height - 1 - y, start : start + width] = 1.0
    return image


@pytest.mark.parametrize("shear", [-1, 0, 1, 2])
@pytest.mark.parametrize(("width", "height"), [(3, 9), (8, 5), (1, 7)])
def test_a_sheared_rectangle(width, height, shear):
    left = 12 if shear >= 0 else 20
    slant, spread = slant_and_width(sheared(width, height, shear, left=left)[None])
    np.testing.assert_allclose(slant, [shear], atol=2e-6 * (1 + abs(shear)))
    # The variance of n equidistant points is (n² − 1) / 12.
    variance = (width**2 - 1) / 12 + shear**2 * (height**2 - 1) / 12
    np.testing.assert_allclose(spread, [np.sqrt(variance)], rtol=1e-5, atol=1e-5)


def test_place_brightness_and_colour_do_not_matter():
    image = sheared(4, 7, 1)
    grey = (image + 1) * 0.3 - 1
    colour = np.concatenate([image, -np.ones_like(image), image], -1)
    moved = np.roll(image, (6, -8), (0, 1))
    expected = slant_and_width(image[None])
    for other in (grey, colour, moved):
        np.testing.assert_allclose(slant_and_width(other[None]), expected, rtol=1e-4)


def test_an_image_without_ink_has_neither():
    np.testing.assert_array_equal(slant_and_width(np.full((2, 8, 8, 1), -1.0)), np.zeros((2, 2)))
