"""What a sweep came to, as files: a folder a group, and one table of all runs."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.training import workdir
from jaxgan import files

DONE = "done.json"
COLUMNS = ("seed", "failed")  # of the table, between a point's labels and the metrics


class Run(NamedTuple):
    """A member's results.

    Attributes:
      labels: its point's.
      seed: its own.
      failed: the step at which it went non-finite, 0 for none.
      curves: by metric, its values at ``steps``; None where there is none.
      steps: of the curves.
      samples: (N, ...) of its last state, or a dict of such.
      problem: what it was trained on: the same text for the same data.
      meanings: of its scores by name: whether more is better, and what each is.
    """

    labels: Mapping[str, Any]
    seed: int
    failed: int
    curves: Mapping[str, list[float | None]]
    steps: list[int]
    samples: Any
    problem: str = ""
    meanings: Mapping[str, tuple[bool, str]] = {}

    def last(self, name: str) -> float | None:
        """The last value of a metric, None if the run failed before it."""
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
) -> None:
    """Writes a group's last samples, and with its last file that it is done."""
    named = samples if isinstance(samples, Mapping) else {"": samples}
    arrays = {f"samples/{name}" if name else "samples": values for name, values in named.items()}
    with (directory / "last.npz").open("wb") as file:
        np.savez_compressed(file, failed=failed, **arrays)
    done = {"members": len(failed), "seconds": round(seconds, 1), "in_turn": in_turn}
    workdir.write_json(directory / DONE, {**done, "meanings": dict(meanings)})


def read(
    directory: Path,
    places: Sequence[Sequence[int]],
    identities: Sequence[tuple[Mapping[str, Any], int, str]],
) -> list[Run]:
    """All runs of a finished sweep, in the order they were asked for.

    Args:
      directory: the sweep's.
      places: for each group its members' places in that order.
      identities: each run's labels, seed and problem, in that order.
    """
    found: dict[int, Run] = {}
    for number, indices in enumerate(places):
        folder = directory / "groups" / str(number)
        lines = workdir.read_lines(folder / "curves.jsonl")
        with np.load(folder / "last.npz", allow_pickle=False) as file:
            arrays, failed = {name: file[name] for name in file.files}, file["failed"]
        del arrays["failed"]
        meanings = workdir.read_json(folder / DONE)["meanings"]
        names = [name for name in lines[-1] if name != "step"]
        for place, index in enumerate(indices):
            labels, seed, problem = identities[index]
            found[index] = Run(
                labels,
                seed,
                int(failed[place]),
                {name: [line[name][place] if name in line else None for line in lines] for name in names},
                [line["step"] for line in lines],
                _of_member(arrays, place),
                problem,
                {name: (bool(more), text) for name, (more, text) in meanings.items()},
            )
    return [found[index] for index in sorted(found)]


def _of_member(arrays: Mapping[str, np.ndarray], place: int) -> Any:
    if "samples" in arrays:
        return arrays["samples"][place]
    return {name.removeprefix("samples/"): values[place] for name, values in arrays.items()}


def write_csv(path: Path, runs: Sequence[Run]) -> None:
    """One line a run: its labels, its seed, where it failed, and the last value of every metric."""
    names = list(dict.fromkeys(name for run in runs for name in run.curves))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*runs[0].labels, *COLUMNS, *names])
    for run in runs:
        last = [run.last(name) for name in names]
        writer.writerow([*run.labels.values(), run.seed, run.failed or "", *last])
    files.write(path, text.getvalue().encode())
