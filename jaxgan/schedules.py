"""Schedules of the step by name.

A config describes a schedule by a section with the name of an optax schedule and its arguments::

    >>> rate = build({"schedule": "linear", "init_value": 1.0, "end_value": 0.0, "transition_steps": 10})
    >>> float(at(rate, 5)), at(2.0, 5)
    (0.5, 2.0)

All schedules count ``GANState.step``. An optimiser's own count would run n_critic times too fast for a
critic.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from jaxgan.errors import SetupError, unknown

Array = jax.Array
Schedule = Callable[[Any], Any]

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "linear": optax.linear_schedule,
    "cosine": optax.cosine_decay_schedule,
    "exponential": optax.exponential_decay,
    "polynomial": optax.polynomial_schedule,
    "warmup_cosine": optax.warmup_cosine_decay_schedule,
}


def build(value: Any, field: str = "the schedule") -> Any:
    """Builds the schedule that a section describes, and returns any other value unchanged.

    Args:
      value: Number, or section of the form ``{"schedule": NAME, **arguments}``.
      field: Name of the config field for error messages.

    Returns:
      The schedule, a function of the step, or ``value`` itself if it is not a section.

    Raises:
      SetupError: There is no schedule of that name, or it does not take these arguments.
    """
    if not isinstance(value, Mapping):
        return value
    arguments = dict(value)
    name = arguments.pop("schedule", None)
    if name is None:
        raise SetupError(f"the config has no field {field}.schedule: give {', '.join(SCHEDULES)}")
    if name not in SCHEDULES:
        raise unknown(f"{field}.schedule", name, SCHEDULES)
    parameters = inspect.signature(SCHEDULES[name]).parameters
    for argument, number in arguments.items():
        if argument not in parameters:
            raise unknown(f"{field} argument", argument, ["schedule", *parameters])
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise SetupError(f"config field {field}.{argument} is {number!r}: give a number")
    missing = [
        parameter.name
        for parameter in parameters.values()
        if parameter.default is inspect.Parameter.empty and parameter.name not in arguments
    ]
    if missing:
        raise SetupError(f"the config has no field {field}.{missing[0]}: schedule {name} needs one")
    try:
        return SCHEDULES[name](**arguments)
    except (TypeError, ValueError) as error:
        raise SetupError(f"config field {field}: {error}") from error


def at(value: Any, step: Array | int) -> Any:
    """Returns the value of a schedule at a step, and a number unchanged."""
    return value(step) if callable(value) else value
