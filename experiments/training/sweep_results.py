"""Reads and writes the results of a sweep: one folder per group, and one table of all runs."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.training import workdir
from jaxgan import files

DONE = "done.json"
COLUMNS = ("seed", "failed")  # Columns of the table between a point's labels and the metrics.


class Run(NamedTuple):
    """Results of one run of a sweep.

    Attributes:
      labels: Labels of its point.
      seed: Seed of the run.
      failed: Step at which a loss or gradient was not finite; 0 if there is none.
      curves: Values at ``steps`` by metric; None where a metric has no value.
      steps: Steps of the curves.
      samples: (N, ...) samples of its last state, or a dict of such arrays.
      problem: Text that identifies the data: the same text for the same data.
      meanings: By score, whether more is better, and a description of the score.
      class_names: Names of the classes of the samples; empty if they are not in the order of classes.
    """

    labels: Mapping[str, Any]
    seed: int
    failed: int
    curves: Mapping[str, list[float | None]]
    steps: list[int]
    samples: Any
    problem: str = ""
    meanings: Mapping[str, tuple[bool, str]] = {}
    class_names: Sequence[str] = ()

    def last(self, name: str) -> float | None:
        """Returns the last value of a metric, or None if the run failed or does not log the metric."""
        values = self.curves.get(name)
        return None if self.failed or not values else values[-1]


def write_group(
    directory: Path,
    *,
    samples: Any,
    failed: np.ndarray,
    seconds: float,
    in_turn: bool,
    meanings: Mapping[str, tuple[bool, str]],
    class_names: Sequence[str] = (),
) -> None:
    """Writes the results of a group that has been trained, apart from its curves.

    The file ``done.json`` is written last and marks the group as done.

    Args:
      directory: Folder of the group.
      samples: (P, N, ...) samples of all members, or a dict of such arrays.
      failed: (P,) steps at which members failed; 0 for those that did not.
      seconds: Seconds of training.
      in_turn: Whether members were trained one after another.
      meanings: By score, whether more is better, and a description of the score.
      class_names: Names of the classes of the samples; empty if they are not in the order of classes.
    """
    named = samples if isinstance(samples, Mapping) else {"": samples}
    arrays = {f"samples/{name}" if name else "samples": values for name, values in named.items()}
    with (directory / "last.npz").open("wb") as file:
        np.savez_compressed(file, failed=failed, **arrays)
    done = {"members": len(failed), "seconds": round(seconds, 1), "in_turn": in_turn}
    described = {"meanings": dict(meanings), "class_names": list(class_names)}
    workdir.write_json(directory / DONE, {**done, **described})


def read(
    directory: Path,
    places: Sequence[Sequence[int]],
    identities: Sequence[tuple[Mapping[str, Any], int, str]],
) -> list[Run]:
    """Reads the results of all runs of a finished sweep.

    Args:
      directory: Work directory of the sweep.
      places: For each group, the indices of its members in the order of all runs.
      identities: Labels, seed and problem of each run, in the order of all runs.

    Returns:
      The results, in the order of all runs.
    """
    found: dict[int, Run] = {}
    for number, indices in enumerate(places):
        folder = directory / "groups" / str(number)
        lines = workdir.read_lines(folder / "curves.jsonl")
        with np.load(folder / "last.npz", allow_pickle=False) as file:
            arrays, failed = {name: file[name] for name in file.files}, file["failed"]
        del arrays["failed"]
        done = workdir.read_json(folder / DONE)
        names = [name for name in lines[-1] if name != "step"]
        for place, index in enumerate(indices):
            labels, seed, problem = identities[index]
            found[index] = Run(
                labels,
                seed,
                int(failed[place]),
                {name: [line[name][place] if name in line else None for line in lines] for name in names},
                [line["step"] for line in lines],
                _samples_of(arrays, place),
                problem,
                {name: (bool(more), text) for name, (more, text) in done["meanings"].items()},
                done.get("class_names", ()),
            )
    return [found[index] for index in sorted(found)]


def _samples_of(arrays: Mapping[str, np.ndarray], place: int) -> Any:
    if "samples" in arrays:
        return arrays["samples"][place]
    return {name.removeprefix("samples/"): values[place] for name, values in arrays.items()}


def write_csv(path: Path, runs: Sequence[Run]) -> None:
    """Writes a table with one line per run: its labels, seed, step of failure, and last metrics.

    Args:
      path: Path of the file to write.
      runs: Results of all runs of a sweep.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.curves))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*runs[0].labels, *COLUMNS, *names])
    for run in runs:
        last = [run.last(name) for name in names]
        writer.writerow([*run.labels.values(), run.seed, run.failed or "", *last])
    files.write(path, text.getvalue().encode())
