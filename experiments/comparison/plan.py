"""The plan of a comparison: its settings, and the number of steps that takes each entry the same time."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from experiments.comparison.entries import Entry
from experiments.training import workdir
from jaxgan import host
from jaxgan.errors import SetupError

FILE = "plan.json"
FIXED = ("comparison", "machine", "minutes", "num")  # Settings that a comparison keeps.


class Plan(NamedTuple):
    """The plan of a comparison.

    Attributes:
      comparison: Name of the comparison.
      machine: Name of the processor and number of its cores.
      minutes: Minutes of training of each run.
      num: Number of samples that are scored.
      seeds: Number of runs of each entry.
      steps: By the name of each entry whose time was measured: ``seconds_per_step``, ``num_steps``, and the
        ``config`` that was measured.
    """

    comparison: str
    machine: str
    minutes: float
    num: int
    seeds: int
    steps: dict[str, dict[str, Any]]


def machine() -> str:
    """Returns the name of this machine's processor and the number of cores that a run may use."""
    return f"{host.processor()}, {host.count_cores()} cores"


def num_steps(minutes: float, seconds_per_step: float) -> int:
    """Returns the number of steps that fit into a time, at least 1.

    >>> num_steps(5, 0.04), num_steps(0.01, 2.0)
    (7500, 1)
    """
    return max(1, math.floor(60 * minutes / seconds_per_step))


def open_plan(directory: Path, new: Plan) -> Plan:
    """Returns the plan of a work directory, or a new one if the directory has none.

    Args:
      directory: Work directory of the comparison. Nothing is written to it.
      new: Plan with the given settings and no entries.

    Returns:
      The plan, with the number of seeds that is given.

    Raises:
      SetupError: The directory belongs to something else, or its plan has other settings.
    """
    if directory.exists() and not directory.is_dir():
        raise SetupError(f"--workdir {directory} is a file: give a folder")
    if (directory / "config.json").exists():
        raise SetupError(f"--workdir {directory} belongs to a run or a sweep: give another --workdir")
    path = directory / FILE
    if not path.exists():
        return new
    found = workdir.read_json(path)
    if not isinstance(found, dict) or set(found) != set(Plan._fields):
        raise SetupError(f"{path} holds no plan of a comparison: give another --workdir")
    old = Plan(**found)
    for name in FIXED:
        before, now = getattr(old, name), getattr(new, name)
        if before != now:
            raise SetupError(
                f"--workdir {directory} belongs to a comparison of another plan ({name} was {before!r} and"
                f" is now {now!r}): give the same, or another --workdir"
            )
    if new.seeds < old.seeds:
        raise SetupError(f"--seeds is {new.seeds}, but {directory} has {old.seeds}: give at least as many")
    return old._replace(seeds=new.seeds)


def check_entry(directory: Path, plan: Plan, entry: Entry) -> None:
    """Checks that an entry still has the config whose time was measured.

    Raises:
      SetupError: The config is another one. The message names the fields that differ.
    """
    measured = plan.steps.get(entry.name)
    if measured and (differs := workdir.differences(measured["config"], workdir.as_json(entry.config))):
        raise SetupError(
            f"--workdir {directory} has runs of another config of the entry {entry.name} ({differs}): give"
            " the same config, or another --workdir"
        )


def add(plan: Plan, entry: Entry, seconds_per_step: float) -> Plan:
    """Returns the plan with the number of steps of an entry, from the time of a step."""
    steps = {
        "seconds_per_step": seconds_per_step,
        "num_steps": num_steps(plan.minutes, seconds_per_step),
        "config": workdir.as_json(entry.config),
    }
    return plan._replace(steps={**plan.steps, entry.name: steps})


def write(directory: Path, plan: Plan) -> None:
    """Writes the plan into the work directory of a comparison."""
    workdir.write_json(directory / FILE, plan._asdict())
