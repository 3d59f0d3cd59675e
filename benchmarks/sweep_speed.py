"""Compares a sweep of 64 small MLP GANs with PyTorch, which trains them one after another.

    python -m benchmarks.sweep_speed [--rounds=3] [--json=sweep_speed.json]

In each round, ``experiments.sweep`` trains 64 seeds on the ring in a process of its own, between two turns
of PyTorch. PyTorch is warm and trains all 64 models without scores, checkpoints or reports; its rate in a
round is that of both turns. "Training" is the rate of the sweep between scores. "Whole" divides by the time
of the entire command, including start, compilation, 8 scorings of every member, checkpoints and the report.
The extra ``bench`` is needed.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks import command, step_time

MEMBERS, STEPS, SCORED, THEIR_STEPS = 64, 4000, 500, 60
WORKLOAD = "mlp_x64"
OPTIONS = {
    "config.models.generator.hidden": "(64, 64)",
    "config.models.critic.hidden": "(64, 64)",
    "config.batch_size": 128,
    "config.num_steps": STEPS,
    "config.sample_every": SCORED,
    "config.log_every": SCORED // 2,
    "config.checkpoint_every": STEPS // 2,
    "seeds": MEMBERS,
}
LINE = re.compile(r"step (\d+)/\d+, ([\d,]+) model-steps/s")


def training_rate(printed: str) -> float:
    """Returns the median model-steps per second of the printed lines without a score.

    The first lines are left out, because they include compilation.
    """
    rates = {int(step): float(rate.replace(",", "")) for step, rate in LINE.findall(printed)}
    return statistics.median(rate for step, rate in rates.items() if step % SCORED and step > SCORED)


def sweep() -> tuple[float, float]:
    """Returns the model-steps per second of a sweep, between scores and of the whole command."""
    with tempfile.TemporaryDirectory() as directory:
        options = {**OPTIONS, "config": "gan_gaussians.py", "workdir": f"{directory}/out"}
        given = [f"--{name}={value}" for name, value in options.items()]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "experiments.sweep", *given],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        seconds = time.perf_counter() - start
    return training_rate(done.stdout), MEMBERS * STEPS / seconds


def main() -> None:
    """Measures, prints the figures and writes them to a file."""
    parser = command.parser(__doc__, [WORKLOAD], rounds=3)
    parser.add_argument("--json", default="sweep_speed.json", help="file to write the figures to")
    _, given = command.parse(parser, [WORKLOAD])
    command.need_torch(parser)
    theirs = step_time.Side("torch_side", WORKLOAD)
    rounds: list[dict[str, Any]] = []
    before = theirs.ask("step", THEIR_STEPS)
    for _ in range(given.rounds):
        training, whole = sweep()
        after = theirs.ask("step", THEIR_STEPS)
        pytorch = 2 * MEMBERS * THEIR_STEPS / (before + after)
        before = after
        rounds.append({"training": training, "whole": whole, "pytorch": pytorch})
        print(
            f"model-steps/s: training {training:,.0f}, whole {whole:,.0f}, PyTorch {pytorch:,.0f};"
            f" ratios {training / pytorch:.2f}, {whole / pytorch:.2f}",
            flush=True,
        )
    theirs.close()
    for name in ("training", "whole"):
        ratio = statistics.median(each[name] / each["pytorch"] for each in rounds)
        print(f"{name}: {ratio:.2f} times PyTorch (wanted 10)")
    command.write(given.json, rounds)


if __name__ == "__main__":
    main()
