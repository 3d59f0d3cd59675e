"""Flags that choose the real images to which a command compares others."""

from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from jaxgan import data
from jaxgan.errors import SetupError

DATA_FLAGS: Mapping[str, tuple[Callable[..., Any], str]] = {
    "name": (flags.DEFINE_string, "Name of the dataset of real images"),
    "path": (flags.DEFINE_string, "Folder of the real images"),
    "split": (flags.DEFINE_string, "Split of the real images"),
    "size": (flags.DEFINE_integer, "Height and width of the real images, in pixels"),
    "channels": (flags.DEFINE_integer, "Number of channels of the real images"),
    "skip_bad": (flags.DEFINE_bool, "Whether to skip files that cannot be decoded"),
}

flags.disclaim_key_flags()  # --help lists the flags defined here with those of the command


def define_data_flags(values: flags.FlagValues) -> None:
    """Defines ``--data.name`` and the other flags that :func:`data_fields` reads."""
    for name, (define, meaning) in DATA_FLAGS.items():
        define(f"data.{name}", None, f"{meaning}; the run's own by default.", flag_values=values)


def given_data(fields: Mapping[str, Any], values: flags.FlagValues) -> dict[str, Any]:
    """Returns a config's section ``data`` with the values of the flags that were given.

    If the flags name another source, the fields of the config that this source does not take are dropped.
    A split of the source ``zipped`` is that of its part ``real``.
    """
    given = {name: values[f"data.{name}"].value for name in DATA_FLAGS}
    given = {name: value for name, value in given.items() if value is not None}
    if given.get("name", fields.get("name")) != fields.get("name"):
        taken = data.fields_of(str(given["name"]))
        fields = {name: value for name, value in fields.items() if name in taken}
    elif "split" in given and fields:
        fields = data.fields_of_split(fields, str(given["split"]))
    return {"path": None, **fields, **given}


def data_fields(fields: Mapping[str, Any], values: flags.FlagValues) -> dict[str, Any]:
    """Returns the arguments of ``jaxgan.data.open_source`` for the real images.

    Args:
      fields: Section ``data`` of a config; empty if there is no config.
      values: Flags of the command, among them those of :func:`define_data_flags`, whose values take
        precedence over those of the config.

    Raises:
      SetupError: A field is missing, or the data are points.
    """
    fields = given_data(fields, values)
    if fields.get("name") in data.PROBLEMS:
        raise SetupError(f"data.name {fields['name']} has points: give the data of images")
    for name in ("name", "size", "channels"):
        if name not in fields:
            raise SetupError(f"there is no run that tells data.{name}: give --data.{name}, or --workdir")
    return fields
