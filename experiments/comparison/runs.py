"""The runs of a comparison: how their steps are timed, and how they are trained and scored."""

import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.comparison import processes
from experiments.comparison.entries import Entry
from experiments.scoring import receipts
from experiments.training import workdir

FAILURE = "failure.json"
PARTS = 5  # Pictures and checkpoints of a run.
LINES = 50  # Log lines of a run.
FOREVER = 10**9  # More steps than a measurement takes.
LOG_EVERY = 25  # Steps between the log lines by which a step is timed.
SHARE = 0.1  # Time of a measurement, as a share of that of a run.
# How samples are drawn, as receipts say it. Other scores in the same file are not those of the comparison.
DRAWN = {"weights": "averaged (EMA)", "batch_statistics": "averaged", "truncation": None, "seed": 0}


def folder(directory: Path, entry: str, seed: int) -> Path:
    """Returns the work directory of a run of a comparison."""
    return directory / entry / f"seed{seed}"


class StepTimer:
    """Times the steps of a run from outside, by the lines of its ``metrics.jsonl``.

    The first line begins the measurement, because the start and the compilation come before it.

    Args:
      path: Path of the file, which need not exist yet.
      seconds: Seconds to measure. The measurement takes longer if fewer than two lines were written.
    """

    def __init__(self, path: Path, seconds: float):
        self._path, self._seconds = path, seconds
        self._lines = 0
        self._times: list[tuple[int, float]] = []  # The first and the last line, and when they appeared.

    def __call__(self) -> bool:
        """Looks at the file, and returns whether the measurement is complete."""
        lines, now = self._path.read_bytes().count(b"\n") if self._path.exists() else 0, time.monotonic()
        if lines > self._lines:
            self._lines = lines
            self._times = [*self._times[:1], (lines, now)]
        return len(self._times) == 2 and now - self._times[0][1] >= self._seconds

    @property
    def seconds_per_step(self) -> float | None:
        """Seconds of a step; None if fewer than two lines were seen."""
        if len(self._times) < 2:
            return None
        (first, began), (last, ended) = self._times
        return (ended - began) / (LOG_EVERY * (last - first))


def _run_words(entry: Entry, directory: Path, seed: int, steps: int, log: int, save: int) -> list[str]:
    fields = {"seed": seed, "num_steps": steps, "log_every": log, "sample_every": save}
    fields["checkpoint_every"] = save
    return [
        "experiments.run",
        f"--config={entry.argument}",
        f"--workdir={directory}",
        *entry.flags,
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]


def commands(entry: Entry, directory: Path, seed: int, steps: int, num: int) -> list[list[str]]:
    """Returns the commands that train a run and score it, each as the name of a module and its arguments.

    Args:
      entry: Entry of the run.
      directory: Work directory of the run.
      seed: Seed of the run.
      steps: Number of steps.
      num: Number of samples to score.
    """
    log, save = -(-steps // LINES), -(-steps // PARTS)
    return [
        _run_words(entry, directory, seed, steps, log, save),
        [
            "experiments.evaluate",
            f"--workdir={directory}",
            *entry.flags,
            f"--metrics={','.join(entry.metrics)}",
            f"--num={num}",
        ],
    ]


def receipt_of(directory: Path, steps: int) -> dict[str, Any] | None:
    """Returns the receipt of a finished run; None if the run has not finished."""
    path = directory / "receipt.json"
    receipt = workdir.read_json(path) if path.exists() else {}
    return receipt if receipt.get("step") == steps else None


def result_of(directory: Path, entry: Entry, steps: int, num: int) -> receipts.Result | None:
    """Returns the scores of a finished run with their receipt; None if it has not been scored."""
    receipt = receipt_of(directory, steps)
    for result in receipts.read(directory / "scores.json") if receipt else ():
        made = result["receipt"]
        drawn = {name: made.get("generated", {}).get(name) for name in (*DRAWN, "count")}
        same = drawn == {**DRAWN, "count": num} and set(entry.metrics) <= set(made["metrics"])
        if receipt and same and made["scored"].get("state_sha256") == receipt["state_sha256"]:
            return result
    return None


def failure_of(directory: Path) -> dict[str, Any] | None:
    """Returns the failure of the last command in a folder, with its ``status`` and its ``message``."""
    return workdir.read_json(directory / FAILURE) if (directory / FAILURE).exists() else None


class Runner:
    """Runs the commands of a comparison, one at a time, and notes their failures.

    Args:
      directory: Work directory of the comparison.
      signals: Signals that the process has received so far.
    """

    def __init__(self, directory: Path, signals: Sequence[int]):
        self._directory, self._signals = directory, signals

    def _note(self, directory: Path, outcome: processes.Outcome, words: Sequence[str]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        workdir.write_json(directory / FAILURE, {"command": words[0], **outcome._asdict()})

    def measure(self, entry: Entry, minutes: float) -> float | None:
        """Trains an entry for a while to time its steps, and returns the seconds of a step.

        Args:
          entry: Entry to time.
          minutes: Minutes that a run of the entry is to take. The measurement takes a tenth of them.

        Returns:
          The seconds of a step; None if the entry cannot be trained, which is noted in its folder.
        """
        parent = self._directory / entry.name
        (parent / FAILURE).unlink(missing_ok=True)
        directory = parent / "calibration"
        shutil.rmtree(directory, ignore_errors=True)
        timer = StepTimer(directory / "metrics.jsonl", 60 * minutes * SHARE)
        words = _run_words(entry, directory, 0, FOREVER, LOG_EVERY, FOREVER)
        outcome = processes.execute(words, self._signals, timer)
        seconds = timer.seconds_per_step
        if outcome.status != 128 + signal.SIGTERM or seconds is None:
            self._note(parent, outcome, words)
            return None
        shutil.rmtree(directory)
        return seconds

    def _remaining(
        self, entry: Entry, directory: Path, seed: int, steps: int, num: int
    ) -> Iterator[list[str]]:
        train, score = commands(entry, directory, seed, steps, num)
        if receipt_of(directory, steps) is None:
            yield train
        if result_of(directory, entry, steps, num) is None:
            yield score

    def finish(self, entry: Entry, seed: int, steps: int, num: int) -> bool:
        """Trains and scores a run, as far as this has not been done yet.

        A run that failed while training is not repeated, because it would fail again.

        Args:
          entry: Entry of the run.
          seed: Seed of the run.
          steps: Number of steps.
          num: Number of samples to score.

        Returns:
          Whether a command was run.
        """
        directory = folder(self._directory, entry.name, seed)
        failure = failure_of(directory)
        if failure and failure["command"] == "experiments.run" and failure["status"] == 1:
            print(f"{directory} failed: {failure['message']}; to try again, remove {FAILURE} there")
            return False
        (directory / FAILURE).unlink(missing_ok=True)
        busy = False
        for words in self._remaining(entry, directory, seed, steps, num):
            busy = True
            outcome = processes.execute(words, self._signals)
            if outcome.status:
                self._note(directory, outcome, words)
                break
        return busy
