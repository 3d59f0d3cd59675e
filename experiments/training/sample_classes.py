"""Samples by class: which value of a condition, such as the label, each sample of a picture is given."""

import re
from typing import Any, NamedTuple

import numpy as np

from jaxgan import data
from jaxgan.errors import SetupError
from jaxgan.steps import GAN

LABELS = "labels"
MOST_NAMES = 20  # Longer lists of class names are left out of messages.
MOST_ROWS, COLUMNS = 10, 8  # Size of the pictures that a run draws while it trains.


class ByClass(NamedTuple):
    """Samples with the same number of samples for each of several values of a condition.

    Samples of the same number within their values have the same latents, so that the samples of two values
    differ only by the condition.

    Attributes:
      condition: Name of the condition, such as ``labels``.
      values: Values of the condition.
      names: Name of each value.
      per_value: Number of samples of each value.
    """

    condition: str
    values: tuple[int, ...]
    names: tuple[str, ...]
    per_value: int

    @property
    def rows(self) -> np.ndarray:
        """Rows of the latents, (B,), in the order of the values."""
        return np.tile(np.arange(self.per_value, dtype=np.int32), len(self.values))

    @property
    def given(self) -> dict[str, Any]:
        """Conditions of the samples, (B,) values by name."""
        return {self.condition: np.repeat(np.asarray(self.values, np.int32), self.per_value)}


def names_of(gan: GAN, spec: data.Spec, condition: str) -> tuple[str, ...]:
    """Returns the name of each value of a condition; empty if the system has no such condition.

    Args:
      gan: The system.
      spec: Spec of its data.
      condition: Name of the condition, ``labels`` or one of ``gan.options``.
    """
    if condition == LABELS and LABELS in gan.reads:
        return spec.names
    return tuple(f"{condition.removesuffix('s')} {k}" for k in range(gan.options.get(condition, 0)))


def of_system(gan: GAN, spec: data.Spec) -> ByClass | None:
    """Returns the samples for a picture with a row for each of the first values of a system's condition.

    Args:
      gan: The system.
      spec: Spec of its data.

    Returns:
      The samples; None for points and for systems without labels and optional conditions.
    """
    for condition in (LABELS, *gan.options):
        if spec.images and (names := names_of(gan, spec, condition)[:MOST_ROWS]):
            return ByClass(condition, tuple(range(len(names))), names, COLUMNS)
    return None


def parse(condition: str, given: str, num: int, gan: GAN, spec: data.Spec) -> ByClass:
    """Reads the value of the flag ``--labels`` or ``--codes``.

    Args:
      condition: Name of the condition and of its flag.
      given: Value of the flag: a number, several numbers joined by commas, or ``all``.
      num: Largest number of samples in all.
      gan: The system.
      spec: Spec of its data.

    Returns:
      The samples, of which there are ``num`` or, if the values do not divide ``num``, a few less.

    Raises:
      SetupError: The system has no such condition, the value is malformed, one of its numbers is out of
        range, or there are more numbers than samples.
    """
    names = names_of(gan, spec, condition)
    if not names:
        raise SetupError(
            f"--{condition}={given}: the system of this run takes no {condition}, leave it out"
        )
    if given == "all":
        values = list(range(len(names)))
    elif re.fullmatch(r"-?\d+(,-?\d+)*", given, re.ASCII):
        values = [int(number) for number in given.split(",")]
    else:
        raise SetupError(f"--{condition} is {given!r}: give numbers, such as 0 or 0,1, or all")
    for value in values:
        if not 0 <= value < len(names):
            raise SetupError(
                f"--{condition} has {value}: give 0 to {len(names) - 1}, or all{_listed(names)}"
            )
    if num < len(values):
        raise SetupError(
            f"--num is {num}: give at least {len(values)}, one sample for each of --{condition}"
        )
    return ByClass(condition, tuple(values), tuple(names[value] for value in values), num // len(values))


def _listed(names: tuple[str, ...]) -> str:
    """Lists the names of classes for a message, unless they are numbers or many."""
    if len(names) > MOST_NAMES or all(name.endswith(str(k)) for k, name in enumerate(names)):
        return ""
    return "; the classes are " + ", ".join(f"{k} {name}" for k, name in enumerate(names))
