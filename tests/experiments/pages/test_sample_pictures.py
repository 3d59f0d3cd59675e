"""Tests of the layout of sample pictures that a system defines."""

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.pages import sample_pictures
from jaxgan.data import from_digits
from jaxgan.steps import GAN

COLUMNS, SIDE = 4, 28 * 2 + 2


def paint(state, key, conditions):
    """Returns images whose brightness is that of their condition."""
    shape = (len(conditions["row"]), 28, 28, 1)
    return conditions["shade"].reshape(-1, 1, 1, 1) * np.ones(shape, np.float32)


def test_the_picture_has_the_layout_of_the_system():
    shades = np.linspace(-1, 1, 3 * COLUMNS, dtype=np.float32).reshape(3, COLUMNS)
    layout = {"row": np.zeros((3, COLUMNS), np.int32), "shade": shades}
    gan = GAN(None, None, None, None, paint, None, None, layout=layout)
    draw = sample_pictures.make_sample(gan, from_digits(), ConfigDict({"seed": 0}))
    picture = draw(jax.numpy.zeros(()), 0)
    # Each row is a grid of its own with a border around its images, and has its name at the left.
    height, width = SIDE + 2, COLUMNS * SIDE + 2
    assert picture.shape[0] == 3 * height
    assert picture.shape[1] > width
    margin, images = picture[:, :-width], picture[:, -width:]
    assert all((part < 100).any() and (part == 255).any() for part in np.split(margin, 3))  # black on white
    middles = images[height // 2 :: height, SIDE // 2 :: SIDE, 0][:, :COLUMNS]
    np.testing.assert_allclose(middles, (shades + 1) * 127.5, atol=0.51)
