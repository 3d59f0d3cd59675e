"""Data by name, all with one interface: batches as a pure function of the step."""

from collections.abc import Callable
from typing import Any

from jaxgan.data.arrays import from_arrays, from_digits, load_digits
from jaxgan.data.folder import from_folder
from jaxgan.data.points import Modes, Problem
from jaxgan.data.sampled import PROBLEMS, from_problem, make_problem
from jaxgan.data.source import Source, iterate, to_float, to_uint8
from jaxgan.data.tfds import from_tfds
from jaxgan.errors import SetupError, unknown

__all__ = [
    "PROBLEMS",
    "SOURCES",
    "Modes",
    "Problem",
    "Source",
    "check_name",
    "from_arrays",
    "from_digits",
    "from_folder",
    "from_problem",
    "from_tfds",
    "iterate",
    "load_digits",
    "make_problem",
    "open_source",
    "to_float",
    "to_uint8",
]

SOURCES: dict[str, Callable[..., Source]] = {
    "digits": from_digits,
    "folder": from_folder,
}


def check_name(name: str) -> None:
    """Raises SetupError if no source can have that name; nothing is opened."""
    if not name.startswith("tfds/") and name not in SOURCES and name not in PROBLEMS:
        raise unknown("data.name", name, [*SOURCES, *PROBLEMS, "tfds/DATASET"])


def open_source(name: str, **options: Any) -> Source:
    """Opens a source by its config name.

    Args:
      name: one of ``SOURCES`` or ``PROBLEMS``, or ``tfds/`` and the name of a dataset of TensorFlow
        Datasets.
      **options: the other fields of ``config.data``; a source takes what it needs of them.

    Returns:
      The source.

    Raises:
      SetupError: there is none of that name, it cannot be opened, or it has no splits and one is given.
    """
    check_name(name)
    if name.startswith("tfds/"):
        return from_tfds(name.removeprefix("tfds/"), **options)
    if name in PROBLEMS:
        return from_problem(make_problem(name, **options))
    if options.get("split"):
        raise SetupError(
            f"there is no split {options['split']!r} of {name}, which is one whole: leave it out, or give a"
            " dataset tfds/NAME"
        )
    return SOURCES[name](**options)
