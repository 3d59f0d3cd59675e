"""Flags that choose the real data a command compares with."""

from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from jaxgan import data
from jaxgan.errors import SetupError

DATA_FLAGS: Mapping[str, Callable[..., Any]] = {
    "name": flags.DEFINE_string,
    "path": flags.DEFINE_string,
    "split": flags.DEFINE_string,
    "size": flags.DEFINE_integer,
    "channels": flags.DEFINE_integer,
    "skip_bad": flags.DEFINE_bool,
}


def define_data_flags(values: flags.FlagValues) -> None:
    """Adds ``--data.name`` and its like, for :func:`data_fields`."""
    for name, define in DATA_FLAGS.items():
        define(f"data.{name}", None, "Of the real images, instead of the run's.", flag_values=values)


def given_data(fields: Mapping[str, Any], values: flags.FlagValues) -> dict[str, Any]:
    """Returns a config's ``data``, with what the flags of :func:`define_data_flags` put in its place."""
    given = {name: values[f"data.{name}"].value for name in DATA_FLAGS}
    return {"path": None, **fields, **{name: value for name, value in given.items() if value is not None}}


def data_fields(fields: Mapping[str, Any], values: flags.FlagValues) -> dict[str, Any]:
    """What ``jaxgan.data.open_source`` takes: a config's ``data``, with what flags put in its place.

    Args:
      fields: the config's ``data``; empty where there is no config.
      values: with the flags of :func:`define_data_flags`.

    Raises:
      SetupError: a field is missing, or the data are points.
    """
    fields = given_data(fields, values)
    if fields.get("name") in data.PROBLEMS:
        raise SetupError(f"data.name {fields['name']} has points: give the data of images")
    for name in ("name", "size", "channels"):
        if name not in fields:
            raise SetupError(f"there is no run that tells data.{name}: give --data.{name}, or --workdir")
    return fields
