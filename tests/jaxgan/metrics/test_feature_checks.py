"""Tests that every metric on features refuses invalid input with a message of one line."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.errors import SetupError
from jaxgan.metrics import frechet, inception_score, kid, moments, neighbours, parzen, prdc
from jaxgan.metrics.feature_checks import check_features

LABELS = np.arange(20) % 2
GOOD = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)

# Each function takes two sets of features.
METRICS = {
    "moments": lambda x, y: [moments.from_features(z) for z in (x, y)],
    "class_frechet": lambda x, y: frechet.class_frechet_distance(x, LABELS, y, LABELS),
    "frechet_infinity": lambda x, y: frechet.frechet_infinity(
        moments.from_features(y), x, smallest=5, points=2
    ),
    "inception_score": lambda x, y: [inception_score.inception_score(z, splits=2) for z in (x, y)],
    "kid": lambda x, y: kid.kernel_inception_distance(x, y, subset_size=5, subsets=2),
    "prdc": prdc.precision_recall_density_coverage,
    "nearest": neighbours.nearest,
    "copying": lambda x, y: neighbours.data_copying(x, GOOD, y),
    "parzen": lambda x, y: parzen.parzen_log_likelihood(x, GOOD, y),
}
PAIRED = [name for name in METRICS if name not in ("moments", "inception_score")]


def one_line(error):
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:sigma")
@pytest.mark.parametrize("name", METRICS)
def test_good_features_pass(name):
    assert METRICS[name](GOOD, GOOD[::-1]) is not None
    assert METRICS[name](jnp.asarray(GOOD), GOOD.astype(np.float64)) is not None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", METRICS)
def test_what_is_not_finite(name, place, value):
    sets = [GOOD, GOOD.copy()]
    sets[1][[7, 9], 2] = value
    with pytest.raises(SetupError, match="NaN or infinite values in 2 of 20 rows, first in row 7") as error:
        METRICS[name](*sets[:: 1 - 2 * place])
    one_line(error)


@pytest.mark.parametrize("bad", [GOOD[:, 0], GOOD[None], GOOD[:, :0]])
@pytest.mark.parametrize("name", METRICS)
def test_other_ranks(name, bad):
    with pytest.raises(SetupError, match=r"features are \(samples, dimensions\)") as error:
        METRICS[name](GOOD, bad)
    one_line(error)


@pytest.mark.parametrize("name", PAIRED)
def test_other_dimensions(name):
    with pytest.raises(SetupError, match=r"(?=.*\b2\b)(?=.*\b3\b).*dimensions") as error:
        METRICS[name](GOOD, GOOD[:, :2])
    one_line(error)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "nearest"])
@pytest.mark.parametrize("count", [0, 1])
def test_too_few(name, count):
    with pytest.raises(SetupError, match="at least 2 samples") as error:
        METRICS[name](GOOD, GOOD[:count])
    one_line(error)


def test_large_features_are_finite():
    (found,) = check_features(x=np.full((4, 2), 3e38, np.float32))
    assert found.dtype == np.float32
    check_features(x=np.full((4, 2), 1e308))  # the values are finite, although their sum is not
