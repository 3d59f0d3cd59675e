"""Kinds of hyper-parameters, as annotations against which config values are validated.

A factory annotates its parameters with kinds, and the fields of a config are checked against them::

    >>> def scaled(*, weight: NotNegative, every: Count = 1): ...
    >>> check_fields("penalties.r1", {"weight": -1.0}, scaled)
    Traceback (most recent call last):
    ...
    jaxgan.errors.SetupError: config field penalties.r1.weight is -1.0: give 0 or more
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import jax

from jaxgan.errors import SetupError, unknown


def is_number(value: Any) -> bool:
    """Returns whether a value is a finite number; a traced scalar counts as one."""
    if isinstance(value, jax.Array):
        return value.ndim == 0
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Returns whether a value is a whole number; booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


class Kind(NamedTuple):
    """A set of valid values for a hyper-parameter.

    Attributes:
      holds: Predicate that is true for the valid values.
      wanted: Description of the valid values for error messages.
      traced: Whether the value only enters arithmetic, so that a population may trace it.
      scheduled: Whether a schedule of the step is valid as well.
    """

    holds: Callable[[Any], bool]
    wanted: str
    traced: bool = False
    scheduled: bool = False


def _within(low: float, high: float, *, open_low: bool = False) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        if not is_number(value):
            return False
        # A traced number has no concrete value. It was checked before it was traced.
        return isinstance(value, jax.Array) or (
            (low < value if open_low else low <= value) and value <= high
        )

    return holds


_ANY = _within(-math.inf, math.inf)
_UNIT = _within(0, 1)
_NOT_NEGATIVE = _within(0, math.inf)

Number = Annotated[float, Kind(_ANY, "a number", traced=True)]
Unit = Annotated[float, Kind(_UNIT, "a number from 0 to 1", traced=True)]
NotNegative = Annotated[float, Kind(_NOT_NEGATIVE, "0 or more", traced=True)]
Positive = Annotated[float, Kind(_within(0, math.inf, open_low=True), "a positive number", traced=True)]
Scheduled = Annotated[Any, Kind(_NOT_NEGATIVE, "0 or more, or a schedule", traced=True, scheduled=True)]
ScheduledUnit = Annotated[
    Any, Kind(_UNIT, "a number from 0 to 1, or a schedule", traced=True, scheduled=True)
]
ScheduledDecay = Annotated[
    Any,
    Kind(
        lambda x: _UNIT(x) and (isinstance(x, jax.Array) or x < 1),
        "a number from 0 to below 1, or a schedule",
        traced=True,
        scheduled=True,
    ),
]
Count = Annotated[int, Kind(lambda x: is_whole(x) and x >= 1, "a whole number of at least 1")]
Whole = Annotated[int, Kind(lambda x: is_whole(x) and x >= 0, "a whole number of at least 0")]
Seed = Annotated[
    int,
    Kind(
        lambda x: isinstance(x, jax.Array) or (is_whole(x) and 0 <= x < 2**32),
        "a whole number from 0 to 2**32 - 1",
    ),
]
Flag = Annotated[bool, Kind(lambda x: isinstance(x, bool), "True or False")]
Text = Annotated[str, Kind(lambda x: isinstance(x, str), "a name")]


def kind_of(annotation: Any) -> Kind:
    """Returns the kind in an annotation such as :data:`Unit`."""
    return next(x for x in get_args(annotation) if isinstance(x, Kind))


def kinds(function: Callable[..., Any]) -> dict[str, Kind]:
    """Returns the kinds of a function's annotated parameters by name."""
    found = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if get_origin(parameter.annotation) is Annotated:
            found[name] = kind_of(parameter.annotation)
    return found


def check_value(field: str, value: Any, kind: Kind) -> None:
    """Validates the value of a config field.

    Args:
      field: Dotted name of the field.
      value: Value of the field.
      kind: Kind that the value must be of.

    Raises:
      SetupError: The value is not of the kind. The message names the field, the value and the valid values.
    """
    # A schedule is a section, and schedules.build checks its fields.
    if not (kind.scheduled and hasattr(value, "items")) and not kind.holds(value):
        raise SetupError(f"config field {field} is {value!r}: give {kind.wanted}")


def check_fields(
    section: str, values: Mapping[str, Any], function: Callable[..., Any], *, extra: tuple[str, ...] = ()
) -> None:
    """Validates a section of a config against the annotations of the function that takes its fields.

    Args:
      section: Dotted name of the section.
      values: Fields of the section.
      function: Function whose hyper-parameters are annotated with kinds.
      extra: Names of fields that are allowed and checked elsewhere.

    Raises:
      SetupError: A field is unknown, missing or out of range.
    """
    known = kinds(function)
    for name, value in values.items():
        if name in known:
            check_value(f"{section}.{name}", value, known[name])
        elif name not in extra:
            raise unknown(f"{section} field", name, [*known, *extra])
    parameters = inspect.signature(function).parameters
    for name, kind in known.items():
        if name not in values and parameters[name].default is inspect.Parameter.empty:
            raise SetupError(f"the config has no field {section}.{name}: give {kind.wanted}")
