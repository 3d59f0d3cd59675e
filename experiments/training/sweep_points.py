"""The points of a sweep and the runs they stand for."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.cli import config_fields, config_files
from experiments.training import derived, named_parts, sweep_results
from jaxgan.errors import SetupError, unknown

PyTree = Any


class Point(NamedTuple):
    """What a sweep adds.

    Attributes:
      labels: what the results call it, by column.
      config: the whole of it.
    """

    labels: dict[str, Any]
    config: ConfigDict


def _fits(value: Any, old: Any) -> bool:
    kinds = (
        (int, float) if isinstance(old, float) else (list, tuple) if isinstance(old, tuple) else type(old)
    )
    return old is None or (isinstance(value, kinds) and isinstance(value, bool) == isinstance(old, bool))


def check_labels(labels: Iterable[str], taken: Collection[str]) -> None:
    """Refuses labels that the results call something else.

    Raises:
      SetupError: the message names the label.
    """
    for name in labels:
        if name in taken:
            raise SetupError(f"the sweep has a label {name}, a column of results.csv: give it another name")


def expand(config: config_files.Config, taken: Collection[str] = ()) -> list[Point]:
    """The points of a config's ``sweep(add)``; without one, the config alone.

    ``add(fields, **labels)`` takes values by dotted names, whole sections too, and what the results are to
    call them, the fields' own names if nothing is given.

    Args:
      config: The config.
      taken: Names that no label may have, besides the columns of the results.

    Raises:
      SetupError: a field does not exist or has a value of another kind, a label is a column of the results'
        own, or no point is added, or one twice, by its labels or by its config.
    """
    points: list[Point] = []

    def add(fields: Mapping[str, Any], **labels: Any) -> None:
        known = config_fields.flatten(config.values)
        for name in fields:
            # An optimiser, a model or a problem may have fields that the config's own has not.
            section, dot, _ = name.rpartition(".")
            starts = (f"{name}.", f"{section}.") if dot else (f"{name}.",)
            optional = name.split(".")[0] in named_parts.OPTIONAL
            if name not in known and not optional and not any(x.startswith(starts) for x in known):
                raise unknown("sweep field", name, known)
            if name in known and not _fits(fields[name], known[name]):
                raise SetupError(
                    f"sweep field {name} is {fields[name]!r}: give a {type(known[name]).__name__}, as"
                    f" {known[name]!r}"
                )
        labels = labels or dict(fields)
        check_labels(labels, (*sweep_results.COLUMNS, *taken))
        if any(point.labels == labels for point in points):
            raise SetupError(f"the sweep adds {labels} twice: give the second other labels")
        if points and list(labels) != list(points[0].labels):
            raise SetupError(
                f"the sweep labels {list(points[0].labels)}, then {list(labels)}: give all the same"
            )
        points.append(Point(labels, config_fields.with_values(config.values, fields)))

    if config.sweep is None:
        add({}, config=config.name)
    else:
        try:
            config.sweep(add)
        except SetupError:
            raise
        except Exception as error:
            raise SetupError(f"the sweep of {config.name}: {type(error).__name__}: {error}") from error
    if not points:
        raise SetupError(f"the sweep of {config.name} adds nothing: call add({{field: value}}) in it")
    seen: dict[str, Point] = {}
    for point in points:
        same = seen.setdefault(repr(sorted(config_fields.flatten(point.config).items())), point)
        if same is not point:
            raise SetupError(
                f"the sweep's points {same.labels} and {point.labels} are one config: leave one out"
            )
    return points


def members(points: Sequence[Point], seeds: int) -> list[ConfigDict]:
    """A config a point and seed; seeds count on from the config's own, batches are the same for all.

    Raises:
      SetupError: they would count past the last seed there is.
    """
    found = []
    for point in points:
        if point.config.seed + seeds > 2**32:
            raise SetupError(
                f"--seeds is {seeds}: from config field seed {point.config.seed} on there are"
                f" {2**32 - point.config.seed}"
            )
        data_seed = derived.data_seed(point.config)
        for i in range(seeds):
            values = {"seed": point.config.seed + i, "data.seed": data_seed}
            found.append(config_fields.with_values(point.config, values))
    return found


def problem_of(config: ConfigDict) -> str:
    """What a config trains on, as text: its data's fields, whatever the seed."""
    return repr(
        sorted(
            (name, value) for name, value in config_fields.flatten(config.data).items() if name != "seed"
        )
    )
