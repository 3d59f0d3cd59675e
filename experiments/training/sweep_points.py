"""Points of a sweep, and the runs of each point."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.cli import config_fields, config_files
from experiments.training import derived, sweep_checks, sweep_results
from jaxgan.errors import SetupError


class Point(NamedTuple):
    """A point of a sweep, which is trained with several seeds.

    Attributes:
      labels: Values that identify the point in the results, by column.
      config: Whole config of the point.
    """

    labels: dict[str, Any]
    config: ConfigDict


def expand(config: config_files.Config, taken: Collection[str] = ()) -> list[Point]:
    """Returns the points of a sweep.

    The config's function ``sweep(add)`` adds the points. ``add(fields, **labels)`` takes the values that a
    point sets, by dotted names of fields or sections, and the labels of the point in the results. Without
    labels, the fields themselves are the labels. A config without this function is the only point itself.

    Args:
      config: Config of the sweep.
      taken: Names that no label may have, besides the columns that the results always have.

    Returns:
      The points in order. Their configs are not validated.

    Raises:
      SetupError: A field does not exist or its value has another type than in the config, a label has the
        name of a column of the results, two points have the same labels or the same config, or there is no
        point.
    """
    points: list[Point] = []

    def add(fields: Mapping[str, Any], **labels: Any) -> None:
        sweep_checks.check_fields(config.values, fields)
        labels = labels or dict(fields)
        sweep_checks.check_columns(labels, (*sweep_results.COLUMNS, *taken))
        sweep_checks.check_labels(labels, [point.labels for point in points])
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
    sweep_checks.check_configs_differ([x.labels for x in points], [x.config for x in points])
    return points


def members(points: Sequence[Point], seeds: int) -> list[ConfigDict]:
    """Returns the configs of all runs of a sweep, with the seeds of a point next to each other.

    The seeds of a point are consecutive and start at its config's seed. All runs of a point have the same
    batches.

    Args:
      points: Points of the sweep.
      seeds: Number of runs of each point.

    Raises:
      SetupError: A seed would be too large.
    """
    configs = []
    for point in points:
        sweep_checks.check_seeds(point.config, seeds)
        data_seed = derived.data_seed(point.config)
        for i in range(seeds):
            values = {"seed": point.config.seed + i, "data.seed": data_seed}
            configs.append(config_fields.with_values(point.config, values))
    return configs


def problem_of(config: ConfigDict) -> str:
    """Returns a text that identifies the data of a config: its fields, except for the seed."""
    return repr(
        sorted(
            (name, value) for name, value in config_fields.flatten(config.data).items() if name != "seed"
        )
    )
