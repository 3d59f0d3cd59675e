"""Validation of sweeps: of the points that a config adds, of their labels, and of the curves to show."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from experiments.cli import config_fields
from experiments.training import named_parts
from jaxgan.errors import SetupError, unknown


def check_fields(config: ConfigDict, fields: Mapping[str, Any]) -> None:
    """Validates the fields that a point of a sweep sets.

    Args:
      config: Config of the sweep.
      fields: Values by dotted names.

    Raises:
      SetupError: A field does not exist, or its value has another type than in the config.
    """
    known = config_fields.flatten(config)
    for name, value in fields.items():
        # Sections of a point, such as an optimiser, may have fields that the config's own section lacks.
        section, dot, _ = name.rpartition(".")
        starts = (f"{name}.", f"{section}.") if dot else (f"{name}.",)
        optional = name.split(".")[0] in named_parts.OPTIONAL
        if name not in known and not optional and not any(x.startswith(starts) for x in known):
            raise unknown("sweep field", name, known)
        if name in known and not _has_type_of(value, known[name]):
            raise SetupError(
                f"sweep field {name} is {value!r}: give a {type(known[name]).__name__}, as {known[name]!r}"
            )


def _has_type_of(value: Any, old: Any) -> bool:
    if old is None:
        return True
    types: Any = type(old)
    if isinstance(old, float):
        types = (int, float)
    elif isinstance(old, tuple):
        types = (list, tuple)
    return isinstance(value, types) and isinstance(value, bool) == isinstance(old, bool)


def check_columns(labels: Iterable[str], columns: Collection[str]) -> None:
    """Validates that no label has the name of another column of the results.

    Args:
      labels: Names of the labels.
      columns: Names of the other columns.

    Raises:
      SetupError: A label has the name of a column.
    """
    for name in labels:
        if name in columns:
            raise SetupError(f"the sweep has a label {name}, a column of results.csv: give it another name")


def check_labels(labels: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> None:
    """Validates the labels of a point against those of the points before it.

    Args:
      labels: Labels of the point.
      earlier: Labels of the points before it.

    Raises:
      SetupError: An earlier point has the same labels, or labels of other names.
    """
    if labels in earlier:
        raise SetupError(f"the sweep adds {labels} twice: give the second other labels")
    if earlier and list(labels) != list(earlier[0]):
        raise SetupError(f"the sweep labels {list(earlier[0])}, then {list(labels)}: give all the same")


def check_configs_differ(labels: Sequence[Mapping[str, Any]], configs: Sequence[ConfigDict]) -> None:
    """Validates that no two points of a sweep have the same config.

    Args:
      labels: Labels of the points.
      configs: Configs of the points.

    Raises:
      SetupError: Two configs are the same. The message has the labels of both.
    """
    labels_of: dict[str, Mapping[str, Any]] = {}
    for own, config in zip(labels, configs, strict=True):
        fields = repr(sorted(config_fields.flatten(config).items()))
        if fields in labels_of:
            raise SetupError(
                f"the sweep's points {labels_of[fields]} and {own} are one config: leave one out"
            )
        labels_of[fields] = own


def check_seeds(config: ConfigDict, seeds: int) -> None:
    """Validates that consecutive seeds, of which the first is a config's seed, are 32-bit numbers.

    Raises:
      SetupError: The last of the seeds is too large.
    """
    if config.seed + seeds > 2**32:
        raise SetupError(
            f"--seeds is {seeds}: from config field seed {config.seed} on there are {2**32 - config.seed}"
        )


def curves_of(config: ConfigDict, metrics: Collection[str]) -> Sequence[str]:
    """Returns the metrics in the config's field ``curves``, which the page of the sweep plots as well.

    Args:
      config: Config of a point.
      metrics: Names of all metrics that the runs log.

    Raises:
      SetupError: The field is not a tuple, or no run logs one of the metrics.
    """
    shown = config.get("curves", ())
    if isinstance(shown, str) or not isinstance(shown, Sequence):
        raise SetupError(f"config field curves is {shown!r}: give a tuple of names, such as ('sliced_w1',)")
    for name in shown:
        if name not in metrics:
            raise unknown("name in config field curves", name, metrics)
    return shown
