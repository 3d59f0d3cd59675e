"""Operations on the fields of a config."""

from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict


def unshared(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """Returns a copy of a config in which no two sections are the same object.

    In the copy, a flag that sets a field of one player does not set the field of the other.

    >>> adam = {"learning_rate": 1e-3}
    >>> config = unshared(config_dict.ConfigDict({"generator": adam, "critic": adam}))
    >>> config.generator.learning_rate = 1e-4
    >>> config.critic.learning_rate
    0.001
    """
    return config_dict.ConfigDict(
        {
            name: unshared(value) if isinstance(value, config_dict.ConfigDict) else value
            for name, value in config.items(preserve_field_references=True)
        }
    )


def with_values(config: config_dict.ConfigDict, values: Mapping[str, Any]) -> config_dict.ConfigDict:
    """Returns a copy of a config with other values in some fields.

    Args:
      config: Config to copy.
      values: New values, which may be traced, by dotted names of fields.
    """
    copy = unshared(config)
    with copy.ignore_type():
        for name, value in values.items():
            *parents, field = name.split(".")
            node = copy
            for parent in parents:
                if parent not in node:
                    node[parent] = config_dict.ConfigDict()
                node = node[parent]
            # The section is copied because a sweep may give the same section to several points and then
            # change a field of the section for each point.
            node[field] = unshared(value) if isinstance(value, config_dict.ConfigDict) else value
    return copy


def flatten(config: config_dict.ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Returns the leaves and the empty sections of a config by their dotted names.

    >>> flatten(config_dict.ConfigDict({"a": {"b": 1}, "c": 2, "d": {}}))
    {'a.b': 1, 'c': 2, 'd': {}}
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if not isinstance(value, config_dict.ConfigDict):
            flat[prefix + name] = value
        elif value:
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = {}
    return flat
