"""Tests of the values of ``--labels`` and ``--codes``."""

import numpy as np
import pytest

from experiments.training import sample_classes
from jaxgan import data
from jaxgan.errors import SetupError
from jaxgan.steps import GAN

SPEC = data.make_spec((4, 4, 1), labelled=True, classes=3, class_names=("cats", "dogs", "dogs/small"))
GENERAL = GAN(*[None] * 7)
LABELLED, CODED = GENERAL._replace(reads=("labels",)), GENERAL._replace(options={"codes": 12})


@pytest.mark.parametrize(
    ("given", "num", "values", "per_value"),
    [("2", 7, (2,), 7), ("2,0", 8, (2, 0), 4), ("all", 8, (0, 1, 2), 2), ("1,1", 3, (1, 1), 1)],
)
def test_values_share_the_samples(given, num, values, per_value):
    found = sample_classes.parse("labels", given, num, LABELLED, SPEC)
    assert (found.values, found.per_value) == (values, per_value)
    assert found.names == tuple(SPEC.class_names[k] for k in values)
    assert found.given.keys() == {"labels"}
    labels = found.given["labels"].reshape(len(values), per_value)
    np.testing.assert_array_equal(labels, np.array(values)[:, None] * np.ones(per_value, int))
    np.testing.assert_array_equal(found.rows.reshape(labels.shape), [range(per_value)] * len(values))


def test_codes_are_numbered():
    found = sample_classes.parse("codes", "0,11", 5, CODED, SPEC)
    assert (found.condition, found.names, found.per_value) == ("codes", ("code 0", "code 11"), 2)


@pytest.mark.parametrize(
    ("condition", "given", "num", "gan", "message"),
    [
        (
            "labels",
            "0,3",
            9,
            LABELLED,
            "--labels has 3: give 0 to 2, or all; .* 0 cats, 1 dogs, 2 dogs/small",
        ),
        ("labels", "-1", 9, LABELLED, "--labels has -1: give 0 to 2"),
        ("codes", "12", 9, CODED, "--codes has 12: give 0 to 11, or all$"),
        ("labels", "cats", 9, LABELLED, "--labels is 'cats': give numbers, such as 0 or 0,1, or all"),
        ("labels", "", 9, LABELLED, "--labels is ''"),
        ("labels", "1,", 9, LABELLED, "--labels is '1,'"),
        ("labels", "0, 1", 9, LABELLED, "--labels is '0, 1'"),
        ("labels", "0", 9, CODED, "--labels=0: the system of this run takes no labels, leave it out"),
        ("codes", "all", 9, LABELLED, "--codes=all: the system of this run takes no codes"),
        ("labels", "all", 2, LABELLED, "--num is 2: give at least 3, one sample for each of --labels"),
    ],
)
def test_mistakes_are_refused_in_one_line(condition, given, num, gan, message):
    with pytest.raises(SetupError, match=message) as caught:
        sample_classes.parse(condition, given, num, gan, SPEC)
    assert "\n" not in str(caught.value)


def test_a_running_picture_has_at_most_ten_rows():
    found = sample_classes.of_system(CODED, SPEC)
    assert (found.values, found.per_value) == (tuple(range(10)), 8)
    assert sample_classes.of_system(LABELLED, SPEC).names == SPEC.class_names
    assert sample_classes.of_system(GENERAL, SPEC) is None
    assert sample_classes.of_system(CODED, data.make_spec((2,))) is None
