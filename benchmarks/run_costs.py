"""Measures the costs of a run besides its steps: data, checkpoints, growth, start and imports.

    python -m benchmarks.run_costs [--only=data,start] [--rounds=7] [--json=run_costs.json]

The runs are real ones (``experiments.run``, on the main example unless stated otherwise) in processes of
their own. They are observed by wrapping the progress report, the batches and the saving of checkpoints;
nothing is simulated. The variants that are compared take turns. Memory is read from Linux's /proc.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import command
from experiments.cli import config_files, exits
from experiments.training import loop, progress_bar, run_program

MAIN, SMALL = "dcgan_mnist.py", "gan_gaussians.py"
NEVER = 10**9
MODULES = (
    "jaxgan",
    "jaxgan.losses",
    "jaxgan.parallel",
    "jaxgan.optimizers",
    "jaxgan.layers",
    "jaxgan.steps",
    "jaxgan.gans.adversarial",
    "jaxgan.data",
    "jaxgan.checkpoint",
)

Row = dict[str, Any]


def row(name: str, value: float, unit: str, wanted: str, met: bool | None, detail: str) -> Row:
    """Returns a row of the table."""
    return {"name": name, "value": value, "unit": unit, "wanted": wanted, "met": met, "detail": detail}


def child(what: str, config: str, options: dict[str, int], cache: str | None = None) -> Any:
    """Runs ``watch(what)`` in a new process and returns what it recorded.

    Args:
      what: What to watch.
      config: Name of the config.
      options: Values of config fields.
      cache: Folder of the compilation cache; the default cache if not given.
    """
    with tempfile.TemporaryDirectory() as directory:
        given = [f"--config.{name}={value}" for name, value in options.items()]
        arguments = ["--watch", what, f"--config={config}", f"--workdir={directory}/out", *given]
        env = {**os.environ, "STARTED": str(time.time()), "SEEN": f"{directory}/seen.json"}
        if cache:
            env = {name: value for name, value in env.items() if name != "JAX_COMPILATION_CACHE_DIR"}
            env["XDG_CACHE_HOME"] = cache
        process = [sys.executable, "-m", "benchmarks.run_costs", *arguments]
        subprocess.run(process, env=env, stdout=subprocess.DEVNULL, check=True)
        return json.loads(Path(env["SEEN"]).read_text())


def watch(what: str) -> None:
    """Runs ``experiments.run`` within a child process and records its progress.

    The records are made at each report of progress, or after the first step.

    Args:
      what: What to watch.
    """
    from experiments import run

    seen: list[Any] = []
    report, save, iterate, make_step = (
        progress_bar.ProgressBar.__call__,
        loop.checkpoint.save,
        run_program.data.iterate,
        run_program.make_step,
    )
    waited, savings = [0.0], [0]

    def timed_batches(*arguments: Any) -> Any:
        batches = iterate(*arguments)
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            waited[0] += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def logged(self: Any, step: int, metrics: Any) -> float:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        seen.append({"step": step, "time": time.perf_counter(), "waited": waited[0], "resident": resident})
        return report(self, step, metrics)

    def every_other_save(*arguments: Any) -> str:
        savings[0] += 1
        seen[-1]["saved"] = savings[0] % 2 == 0
        if not seen[-1]["saved"]:
            return ""
        start = time.perf_counter()
        digest = save(*arguments)
        seen[-1]["blocked"] = time.perf_counter() - start
        return digest

    def first_step(*arguments: Any) -> Any:
        compiled = make_step(*arguments)

        def step(*arguments: Any) -> Any:
            import jax

            out = jax.block_until_ready(compiled(*arguments))
            Path(os.environ["SEEN"]).write_text(json.dumps(time.time() - float(os.environ["STARTED"])))
            return out

        return step

    wrapped: list[tuple[Any, str, Any]] = [
        (progress_bar.ProgressBar, "__call__", logged),
        (run_program.data, "iterate", timed_batches),
    ]
    if what == "saves":
        wrapped.append((loop.checkpoint, "save", every_other_save))
    if what == "start":
        wrapped.append((run_program, "make_step", first_step))
    with ExitStack() as stack:
        for owner, name, by in wrapped:
            stack.enter_context(mock.patch.object(owner, name, by))
        try:
            exits.call(run.main)
        finally:
            if what != "start":
                Path(os.environ["SEEN"]).write_text(json.dumps(seen))


def pairs(seen: list[Row]) -> list[tuple[Row, Row]]:
    """Returns pairs of neighbouring records.

    The first record is left out, because compilation and the start of TensorFlow precede the second one.
    """
    return list(itertools.pairwise(seen[1:]))


def measure_data(rounds: int) -> list[Row]:
    """Measures the share of a step for which the loop waits for its batch."""
    options = {"num_steps": 100 * (rounds + 2), "sample_every": NEVER, "checkpoint_every": NEVER}
    found = pairs(child("data", MAIN, options))
    steps = [(b["time"] - a["time"]) / (b["step"] - a["step"]) for a, b in found]
    shares = [100 * (b["waited"] - a["waited"]) / (b["time"] - a["time"]) for a, b in found]
    value = statistics.median(shares)
    windows = f"windows {min(shares):.1f} to {max(shares):.1f} %"
    detail = f"{1e3 * statistics.median(steps):.1f} ms a step; {windows}"
    return [row("waiting for data", value, "% of a step", "at most 3", value <= 3, detail)]


def measure_checkpoints(rounds: int) -> list[Row]:
    """Measures the cost of a checkpoint.

    Windows of 100 steps that begin with a checkpoint are compared with windows that do not.
    """

    config = config_files.load(MAIN).values
    options = {"num_steps": 200 * rounds + 200, "sample_every": NEVER, "checkpoint_every": 100}
    found = pairs(child("saves", MAIN, options))
    windows = {
        saved: [b["time"] - a["time"] for a, b in found if a["saved"] == saved] for saved in (True, False)
    }
    with_one, without = (statistics.median(windows[saved]) for saved in (True, False))
    cost, blocked = with_one - without, statistics.median(a["blocked"] for a, _ in found if a["saved"])
    value = 100 * cost / (without / 100 * config.checkpoint_every)
    detail = (
        f"one costs {1e3 * cost:.0f} ms (the loop stands still for {1e3 * blocked:.0f}), every"
        f" {config.checkpoint_every} steps of {10 * without:.1f} ms; {len(windows[True])} windows each"
    )
    return [row("checkpoints", value, "% of a run", "at most 2", value <= 2, detail)]


def measure_growth(rounds: int) -> list[Row]:
    """Measures speed and memory over 5,000 steps of a small system.

    The last quarter of the steps is compared with the first.
    """
    found = pairs(child("growth", SMALL, {"num_steps": 5000, "log_every": 100}))
    rates = [(b["step"] - a["step"]) / (b["time"] - a["time"]) for a, b in found]
    resident = [b["resident"] / 2**20 for _, b in found]
    quarter = len(found) // 4
    first, last = (statistics.median(values) for values in (rates[:quarter], rates[-quarter:]))
    start, end = (statistics.median(values) for values in (resident[:quarter], resident[-quarter:]))
    windows = f"medians of {quarter} windows of 100 steps each"
    detail = f"{first:.0f} to {last:.0f} steps/s, {windows}"
    return [
        row("speed over 5,000 steps", last / first, "last / first quarter", "1", None, detail),
        row("memory over 5,000 steps", end - start, "MiB", "0", None, f"{start:.0f} to {end:.0f} MiB"),
    ]


def measure_start(rounds: int) -> list[Row]:
    """Measures the time from the start of the process to the end of its first step, cold and warm."""
    times: dict[str, list[float]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as kept:
        child("start", MAIN, {"num_steps": 1}, kept)
        for _ in range(max(3, rounds // 2)):
            with tempfile.TemporaryDirectory() as empty:
                times["cold"].append(child("start", MAIN, {"num_steps": 1}, empty))
            times["warm"].append(child("start", MAIN, {"num_steps": 1}, kept))
    ratio = statistics.median(c / w for c, w in zip(times["cold"], times["warm"], strict=True))
    cold, warm = (statistics.median(times[how]) for how in ("cold", "warm"))
    detail = f"first step after {cold:.1f} s cold, {warm:.1f} s warm; {len(times['cold'])} rounds"
    return [row("second start", ratio, "times as fast", "at least 2", ratio >= 2, detail)]


def measure_imports(rounds: int) -> list[Row]:
    """Measures the milliseconds of an import in a new process that has already imported JAX."""
    times: dict[str, list[float]] = {name: [] for name in MODULES}
    program = "import time, jax; t = time.perf_counter(); import {}; print(1e3 * (time.perf_counter() - t))"
    for _ in range(rounds):
        for name in MODULES:
            process = [sys.executable, "-c", program.format(name)]
            out = subprocess.run(process, capture_output=True, text=True, check=True).stdout
            times[name].append(float(out))
    rows = []
    for name, values in times.items():
        value, lean = statistics.median(values), name == "jaxgan"
        detail = "its submodules load on first use" if lean else ""
        wanted = "under 50" if lean else ""
        rows.append(row(f"import {name}", value, "ms", wanted, value < 50 if lean else None, detail))
    return rows


MEASURES: dict[str, Callable[[int], list[Row]]] = {
    "data": measure_data,
    "checkpoints": measure_checkpoints,
    "growth": measure_growth,
    "start": measure_start,
    "imports": measure_imports,
}


def line(found: Row) -> str:
    """Formats a row for people to read."""
    wanted = f"wanted {found['wanted']}" if found["wanted"] else ""
    return f"{found['name']:<32} {found['value']:8.2f} {found['unit']:<21} {wanted:<18} {found['detail']}"


def main() -> None:
    """Measures, prints the figures and writes them to a file."""
    if sys.argv[1:2] == ["--watch"]:
        what = sys.argv[2]
        del sys.argv[1:3]
        watch(what)
        return
    parser = command.parser(__doc__, MEASURES, rounds=7)
    parser.add_argument("--json", default="run_costs.json", help="file to write the figures to")
    names, given = command.parse(parser, MEASURES)
    results: list[Row] = []
    for name in names:
        for found in MEASURES[name](given.rounds):
            results.append(found)
            print(line(found), flush=True)
    command.write(given.json, results)


if __name__ == "__main__":
    main()
