"""Tests of MS-SSIM against the paper's formula in SciPy and TensorFlow, and of the diversity score."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgan.errors import SetupError
from jaxgan.metrics.ms_ssim import ms_ssim, ms_ssim_diversity, smallest_side

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def by_the_paper(x, y, scales):
    """Evaluates the paper's formula for two (H, W) images."""
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(z):
        return scipy.signal.correlate2d(z, window, mode="valid")

    weights, score = WEIGHTS[:scales] / WEIGHTS[:scales].sum(), 1.0
    for scale in range(scales):
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        contrast_structure = (2 * cov + (0.03 * 255) ** 2) / (vx + vy + (0.03 * 255) ** 2)
        luminance = (2 * mx * my + (0.01 * 255) ** 2) / (mx**2 + my**2 + (0.01 * 255) ** 2)
        last = scale == scales - 1
        score *= np.mean(contrast_structure * luminance if last else contrast_structure) ** weights[scale]
        x, y = (np.pad(z, [(0, side % 2) for side in z.shape], mode="edge") for z in (x, y))
        x, y = (sum(z[i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4 for z in (x, y))
    return score


def blobs(count, side, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, size=(count, -(-side // 8), -(-side // 8), channels))
    return np.clip(
        np.kron(coarse, np.ones((1, 8, 8, 1)))[:, :side, :side] + rng.normal(size=channels), 0, 255
    )


def noisy(images, std, seed=1):
    noise = np.random.default_rng(seed).normal(size=images.shape)
    return np.clip(images + std * noise, 0, 255)


@pytest.mark.parametrize(("side", "scales"), [(176, 5), (47, 3), (24, 2), (12, 1)])
def test_by_the_paper(side, scales):
    x = blobs(2, side, channels=2)
    y = noisy(x, 40)
    expected = [
        np.mean([by_the_paper(a[..., c], b[..., c], scales) for c in (0, 1)])
        for a, b in zip(x, y, strict=True)
    ]
    found = ms_ssim(x, y, scales=scales)
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    assert found.dtype == np.float64
    assert jnp.zeros(1).dtype == jnp.float32


def test_agrees_with_tensorflow():
    # The expected values are from tf.image.ssim_multiscale of TensorFlow 2.21, in float32, for images whose
    # sides are odd at every scale:
    #   python -c "from tests.jaxgan.metrics.test_ms_ssim import odd; import tensorflow as tf; x, y = odd()
    #   print(tf.image.ssim_multiscale(x, y, 255.0).numpy().tolist())"
    np.testing.assert_allclose(ms_ssim(*odd()), [0.9821463227272034, 0.9134756922721863], rtol=2e-5)


def odd():
    x = blobs(2, 161, channels=3).astype(np.float32)
    return x, noisy(x, np.array([20, 60])[:, None, None, None]).astype(np.float32)


@settings(max_examples=10)
@given(seed=st.integers(0, 99), std=st.floats(0, 100), rows=st.permutations(range(3)))
def test_identical_images_and_symmetry(seed, std, rows):
    x = blobs(3, 24, seed=seed)
    y = noisy(x, std)
    np.testing.assert_allclose(ms_ssim(x, x, scales=2), 1, rtol=1e-12)
    found = ms_ssim(x, y, scales=2)
    np.testing.assert_allclose(found, ms_ssim(y, x, scales=2), rtol=1e-10)
    np.testing.assert_allclose(
        found[list(rows)], ms_ssim(x[list(rows)], y[list(rows)], scales=2), rtol=1e-12
    )
    assert np.all((found >= 0) & (found <= 1 + 1e-12))


def test_opposed_images_score_0_and_flat_ones_by_luminance():
    x = blobs(1, 24)
    np.testing.assert_array_equal(ms_ssim(x, 255 - x, scales=2), 0)
    c1 = (0.01 * 255) ** 2
    weight = WEIGHTS[1] / WEIGHTS[:2].sum()
    flat = ms_ssim(np.full((1, 24, 24, 1), 50), np.full((1, 24, 24, 1), 150), scales=2)
    np.testing.assert_allclose(flat, ((2 * 50 * 150 + c1) / (50**2 + 150**2 + c1)) ** weight, rtol=1e-9)


def test_bytes_are_pixels():
    x = blobs(2, 24).astype(np.uint8)
    y = noisy(x, 30).astype(np.uint8)
    np.testing.assert_array_equal(
        ms_ssim(x, y, scales=2), ms_ssim(x.astype(float), y.astype(float), scales=2)
    )


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_the_smallest_side_will_do(scales):
    side = smallest_side(scales)
    x = blobs(1, side)
    assert ms_ssim(x, x, scales=scales) == pytest.approx(1)
    with pytest.raises(SetupError, match=f"smallest side that will do is {side}"):
        ms_ssim(x[:, 1:], x[:, 1:], scales=scales)


def test_diversity_without_and_with_classes():
    kinds = blobs(2, 12)
    images = np.concatenate([np.tile(kinds[:1], (3, 1, 1, 1)), kinds])  # a, a, a, a, b
    between = ms_ssim(kinds[:1], kinds[1:], scales=1)[0]
    found = ms_ssim_diversity(images, pairs=400, scales=1)
    # Two in five pairs of different images contain b.
    share = 2 / 5
    assert found.mean == pytest.approx(share * between + 1 - share, abs=4 * found.std_error)
    deviation = np.sqrt(share * (1 - share)) * (1 - between)
    assert found.std_error == pytest.approx(deviation / 20, rel=0.1)
    assert found.per_class == {}
    labels = np.array([4, 4, 9, 9, 9])
    found = ms_ssim_diversity(images, labels=labels, pairs=400, scales=1)
    assert found.per_class[4] == pytest.approx(1)  # the class has collapsed
    assert found.per_class[9] == pytest.approx((1 + 2 * between) / 3, abs=0.12 * (1 - between))
    assert found.mean == pytest.approx(np.mean(list(found.per_class.values())))
    assert found == ms_ssim_diversity(images, labels=labels, pairs=400, scales=1)
    assert found != ms_ssim_diversity(images, labels=labels, pairs=400, scales=1, seed=1)


def test_no_image_is_its_own_partner():
    kinds = blobs(2, 12)
    between = ms_ssim(kinds[:1], kinds[1:], scales=1)[0]
    found = ms_ssim_diversity(kinds, pairs=50, scales=1)
    assert (found.mean, found.std_error) == pytest.approx((between, 0), abs=1e-12)


def test_refusals():
    x = blobs(2, 32)
    with pytest.raises(
        SetupError, match=r"32 × 32 pixels are too small.* 5 scales.* is 161, or take scales 2"
    ):
        ms_ssim(x, x)
    with pytest.raises(SetupError, match="scales 6: give 1 to 5"):
        ms_ssim(x, x, scales=6)
    with pytest.raises(SetupError, match=r"values from -\d.* to .*pixels in \[0, 255\]"):
        ms_ssim(x, x / 127.5 - 1, scales=2)
    with pytest.raises(SetupError, match=r"x has shape \(2, 32, 32, 1\) and y \(1, 32, 32, 1\)"):
        ms_ssim(x, x[:1], scales=2)
    with pytest.raises(SetupError, match=r"y has shape \(2, 32, 32\)"):
        ms_ssim(x, x[..., 0], scales=2)
    with pytest.raises(SetupError, match="y has NaN"):
        ms_ssim(x, x * np.nan, scales=2)
    with pytest.raises(SetupError, match="number of images of class 1 is 1: give"):
        ms_ssim_diversity(x, labels=np.arange(1, 3), scales=2)
    with pytest.raises(SetupError, match="at least 2 samples"):
        ms_ssim_diversity(x[:1], scales=2)
