"""Tests of the diversity of real images beside that of the samples."""

import numpy as np
import pytest

from experiments.scoring import image_metrics
from experiments.scoring.image_features import Measured
from jaxgan.metrics.ms_ssim import ms_ssim_diversity


def measured(pixels, labels):
    return Measured(None, pixels=pixels, labels=labels)


def scores(real, fake):
    return image_metrics.compute(image_metrics.Sets(measured(*real), measured(*fake)), ["ms_ssim"])


@pytest.fixture(scope="module")
def digits():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 256, (3, 16, 16, 1))
    labels = np.repeat(np.arange(3), 20)
    noise = rng.normal(0, 60, (60, 16, 16, 1))
    return np.clip(kinds[labels] + noise, 0, 255).astype(np.uint8), labels


def test_real_and_fake_scores_are_of_the_same_classes(digits):
    pixels, labels = digits
    found = scores(digits, digits)
    assert found["ms_ssim"] == found["ms_ssim_real"]
    few = labels < 2
    found = scores(digits, (pixels[few], labels[few]))
    assert found["ms_ssim_real"] == found["ms_ssim"]
    expected = ms_ssim_diversity(pixels[few], labels=labels[few], pairs=image_metrics.PAIRS, scales=1)
    assert found["ms_ssim_real"] == expected.mean


def test_a_collapse_within_classes_is_seen(digits):
    pixels, labels = digits
    collapsed = pixels[labels * 20]  # one image of each class
    found = scores(digits, (collapsed, labels))
    assert found["ms_ssim"] == pytest.approx(1)
    assert found["ms_ssim_real"] < 0.9
    # Without labels, the pairs of different classes hide the collapse.
    found = scores((pixels, None), (collapsed, None))
    assert found["ms_ssim"] < 0.9


def test_without_comparable_real_images_there_is_no_real_score(digits):
    pixels, labels = digits
    assert "ms_ssim_real" not in scores((pixels, None), digits)
    assert "ms_ssim_real" not in scores((pixels[labels < 2], labels[labels < 2]), digits)
    assert "ms_ssim_real" not in scores((pixels[:, :12], labels), digits)
