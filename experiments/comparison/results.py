"""Results of a comparison, read from the folders of its runs."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.comparison import runs
from experiments.comparison.entries import Entry
from experiments.comparison.plan import Plan
from experiments.scoring import intervals, receipts
from experiments.training import workdir
from jaxgan import files

# Scores of the table and whether more is better.
SCORES: Mapping[str, bool] = {"fcd": False, "precision": True, "recall": True, "class_accuracy": True}
COSTS = ("seconds_per_step", "minutes")  # What the table shows of the time of the runs.


class Run(NamedTuple):
    """A run that has been trained and scored.

    Attributes:
      entry: Entry of the run.
      seed: Seed of the run.
      steps: Number of steps.
      device: Number and kind of its devices.
      state_sha256: Hash of its last state.
      values: Its scores, and its time in ``seconds_per_step`` and ``minutes``.
      result: Its scores with their receipt.
    """

    entry: Entry
    seed: int
    steps: int
    device: str
    state_sha256: str
    values: dict[str, float]
    result: receipts.Result


class Failure(NamedTuple):
    """A run that failed, or an entry whose steps could not be timed, for which ``seed`` is None."""

    entry: str
    seed: int | None
    message: str


class Row(NamedTuple):
    """The runs of an entry whose scores may share a table.

    Attributes:
      entry: The entry.
      steps: Number of steps of each run.
      seeds: Seeds of the runs.
      values: Mean over the seeds of each of the values of ``Run``, with its interval.
    """

    entry: Entry
    steps: int
    seeds: list[int]
    values: dict[str, intervals.Interval]


class Group(NamedTuple):
    """Rows whose scores may share a table.

    Attributes:
      differs: Settings in which the group differs from an earlier one; empty for the first group.
      rows: The rows, in the order of the comparison.
      receipt: Settings that the scores share.
    """

    differs: list[str]
    rows: list[Row]
    receipt: dict[str, Any]


def _read_run(directory: Path, entry: Entry, seed: int, plan: Plan) -> Run | None:
    steps = plan.steps[entry.name]["num_steps"]
    folder = runs.folder(directory, entry.name, seed)
    receipt, result = runs.receipt_of(folder, steps), runs.result_of(folder, entry, steps, plan.num)
    if receipt is None or result is None:
        return None
    values = dict(result["scores"])
    if (seconds := receipt["seconds_per_step"]) is not None:
        values |= {"seconds_per_step": seconds, "minutes": seconds * steps / 60}
    device = f"{receipt['device_count']} × {receipt['device_kind']}"
    return Run(entry, seed, steps, device, receipt["state_sha256"], values, result)


def read(directory: Path, plan: Plan, entries: Sequence[Entry]) -> tuple[list[Run], list[Failure]]:
    """Returns the runs that have been scored, and all failures, in the order of the comparison.

    Args:
      directory: Work directory of the comparison.
      plan: Plan of the comparison.
      entries: Entries of the comparison.
    """
    found, failures = [], []
    for entry in entries:
        if failure := runs.failure_of(directory / entry.name):
            failures.append(Failure(entry.name, None, failure["message"]))
        for seed in range(plan.seeds if entry.name in plan.steps else 0):
            if failure := runs.failure_of(runs.folder(directory, entry.name, seed)):
                failures.append(Failure(entry.name, seed, failure["message"]))
            elif run := _read_run(directory, entry, seed, plan):
                found.append(run)
    return found, failures


def group(found: Sequence[Run]) -> list[Group]:
    """Groups runs whose receipts agree, and computes statistics over the seeds of each entry."""
    groups = []
    for differs, members in receipts.tables([{**run.result, "run": run} for run in found]):
        by_entry: dict[str, list[Run]] = {}
        for member in members:
            by_entry.setdefault(member["run"].entry.name, []).append(member["run"])
        rows = []
        for same in by_entry.values():
            names = [name for name in (*SCORES, *COSTS) if all(name in run.values for run in same)]
            values = {name: intervals.interval([run.values[name] for run in same]) for name in names}
            rows.append(Row(same[0].entry, same[0].steps, [run.seed for run in same], values))
        # The receipt with the most metrics says how the labels were chosen, if any system reads labels.
        made = max((each["receipt"] for each in members), key=lambda receipt: len(receipt["metrics"]))
        shared = {name: value for name, value in made.items() if name not in receipts.IDENTITY}
        groups.append(Group(differs, rows, shared))
    return groups


def write_csv(path: Path, found: Sequence[Run], failures: Sequence[Failure]) -> None:
    """Writes a table with one line per run.

    Args:
      path: Path of the file to write.
      found: Runs that have been scored.
      failures: Runs that failed, whose lines have the message instead of values.
    """
    names = list(dict.fromkeys([*COSTS, *(name for run in found for name in run.values)]))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["entry", "seed", "failed", "steps", *names, "state_sha256"])
    for run in found:
        values = [run.values.get(name, "") for name in names]
        writer.writerow([run.entry.name, run.seed, "", run.steps, *values, run.state_sha256])
    for failure in failures:
        seed = "" if failure.seed is None else failure.seed
        writer.writerow([failure.entry, seed, failure.message, "", *("" for _ in names), ""])
    files.write(path, text.getvalue().encode())


def write_json(path: Path, plan: Plan, groups: Sequence[Group], failures: Sequence[Failure]) -> None:
    """Writes the tables of a comparison as JSON, with means and intervals.

    Args:
      path: Path of the file to write.
      plan: Plan of the comparison.
      groups: Tables of comparable scores.
      failures: Runs that failed.
    """

    def row(each: Row) -> dict[str, Any]:
        # JSON has no NaN, which a single value has as its interval.
        values = {
            name: {key: x if math.isfinite(x) else None for key, x in value._asdict().items()}
            for name, value in each.values.items()
        }
        sizes = {"generator": each.entry.generator, "critic": each.entry.critic}
        return {
            "entry": each.entry.name,
            "seeds": each.seeds,
            "steps": each.steps,
            "parameters": sizes,
            "values": values,
        }

    tables = [
        {"differs": each.differs, "rows": [row(x) for x in each.rows], "receipt": each.receipt}
        for each in groups
    ]
    settings = {name: value for name, value in plan._asdict().items() if name != "steps"}
    content = {**settings, "tables": tables, "failures": [each._asdict() for each in failures]}
    workdir.write_json(path, content)
