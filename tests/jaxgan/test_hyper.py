"""Kinds of hyper-parameters: their valid values, and the messages for invalid ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxgan import hyper
from jaxgan.errors import SetupError

INF, NAN = float("inf"), float("nan")
KINDS = {
    "Number": (hyper.Number, [-1.5, 0, 3], [True, "1", None, INF, NAN]),
    "Unit": (hyper.Unit, [0, 0.5, 1.0], [-0.1, 1.1, True, NAN]),
    "NotNegative": (hyper.NotNegative, [0, 2.5], [-1e-9, INF, False]),
    "Positive": (hyper.Positive, [1e-9, 2], [0, 0.0, -1, NAN]),
    "Scheduled": (hyper.Scheduled, [0, 7.0], [-1, "linear"]),
    "ScheduledUnit": (hyper.ScheduledUnit, [0, 1], [2, -1]),
    "ScheduledDecay": (hyper.ScheduledDecay, [0, 0.999], [1, 1.0, -0.1]),
    "Count": (hyper.Count, [1, 50], [0, -1, 1.0, True]),
    "Whole": (hyper.Whole, [0, 5], [-1, 0.0, False]),
    "Seed": (hyper.Seed, [0, 2**32 - 1], [-1, 2**32, 1.0]),
    "Flag": (hyper.Flag, [True, False], [0, 1, "True"]),
    "Text": (hyper.Text, ["", "digits"], [1, None]),
}


def test_every_kind_is_tested():
    kinds = {name for name, value in vars(hyper).items() if hasattr(value, "__metadata__")}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_accepts_its_values_and_refuses_others(name):
    annotation, good, bad = KINDS[name]
    kind = hyper.kind_of(annotation)
    for value in good:
        hyper.check_value("section.field", value, kind)
    for value in bad:
        with pytest.raises(SetupError) as error:
            hyper.check_value("section.field", value, kind)
        assert str(error.value) == f"config field section.field is {value!r}: give {kind.wanted}"
        assert "\n" not in str(error.value)


def test_sections_of_schedules_are_accepted_by_scheduled_kinds_only():
    section = ConfigDict({"schedule": "linear"})
    for name, (annotation, _, _) in KINDS.items():
        kind = hyper.kind_of(annotation)
        assert kind.scheduled == name.startswith("Scheduled")
        if kind.scheduled:
            hyper.check_value("weight", section, kind)
        else:
            with pytest.raises(SetupError, match="config field weight is "):
                hyper.check_value("weight", section, kind)


def test_traced_numbers_are_accepted_by_traced_kinds_only():
    # Numbers that only enter arithmetic may be traced, but not those that determine shapes or loops.
    def check(value):
        for annotation in (hyper.Number, hyper.Unit, hyper.Positive, hyper.Scheduled, hyper.ScheduledDecay):
            hyper.check_value("field", value, hyper.kind_of(annotation))
        for annotation in (hyper.Count, hyper.Whole, hyper.Flag):
            with pytest.raises(SetupError):
                hyper.check_value("field", value, hyper.kind_of(annotation))
        return value

    np.testing.assert_array_equal(jax.jit(jax.vmap(check))(jnp.array([3.0, -2.0])), [3, -2])
    traced = {name for name, (annotation, _, _) in KINDS.items() if hyper.kind_of(annotation).traced}
    assert traced == set(KINDS) - {"Count", "Whole", "Seed", "Flag", "Text"}


def factory(network: object, *, gamma: hyper.Unit, every: hyper.Count = 4, note: str = ""):
    """Has two hyper-parameters that are annotated with a kind."""


def test_kinds_are_those_of_a_signature():
    assert hyper.kinds(factory) == {"gamma": hyper.kind_of(hyper.Unit), "every": hyper.kind_of(hyper.Count)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gamma": 2.0}, "config field gan.gamma is 2.0: give a number from 0 to 1"),
        ({"gamma": 0.5, "every": 0}, "config field gan.every is 0: give a whole number of at least 1"),
        ({"every": 2}, "the config has no field gan.gamma: give a number from 0 to 1"),
        ({"gamma": 0.5, "gama": 1}, "unknown gan field 'gama': did you mean 'gamma'?"),
        ({"gamma": 0.5, "note": "x"}, "unknown gan field 'note'"),
    ],
)
def test_fields_that_do_not_fit_a_function_are_refused(values, message):
    with pytest.raises(SetupError) as error:
        hyper.check_fields("gan", values, factory)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_fields_that_fit_a_function_pass():
    hyper.check_fields("gan", {"gamma": 0.5}, factory)
    hyper.check_fields("gan", {"gamma": 0.5, "every": 2, "name": 3}, factory, extra=("name",))
