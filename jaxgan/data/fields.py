"""Checks of the fields of a config's ``data`` against those that a source takes."""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxgan.errors import unknown

# A config may inherit these fields from a config of another source. Every source accepts them with these
# values, which have no effect.
IDLE: Mapping[str, Any] = {"path": "", "skip_bad": False, "label_distribution": "uniform"}
# These fields are not given if they are None. The source itself refuses any other field that is None.
OPTIONAL = ("path", "skip_bad", "split", "size", "channels")


def is_idle(field: str, value: Any) -> bool:
    """Returns whether every source accepts a field with this value, because the value has no effect.

    The field ``seed`` is accepted with any value because it belongs to the run and not to the source.
    """
    if value is None:
        return field in (*OPTIONAL, "seed")
    return field == "seed" or (field in IDLE and value == IDLE[field])


def given_fields(name: str, fields: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Returns the fields that are given to a source, after a check that the source takes them.

    Args:
      name: Name of the source.
      fields: Fields of ``config.data``. A field of ``OPTIONAL`` that is None is not given.
      known: Names of the fields that the source takes.

    Returns:
      The fields among ``known`` that are given.

    Raises:
      SetupError: The source does not take one of the fields.
    """
    known = tuple(known)
    for field, value in fields.items():
        if field not in known and not is_idle(field, value):
            raise unknown(f"data field of {name}", field, known)
    return {
        field: fields[field]
        for field in known
        if field in fields and (fields[field] is not None or field not in OPTIONAL)
    }
