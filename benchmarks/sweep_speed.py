"""A sweep of 64 small MLP GANs beside PyTorch, which trains them in turn.

    python -m benchmarks.sweep_speed [--rounds=3] [--json=sweep_speed.json]

A round is ``experiments.sweep`` on the ring with 64 seeds, in a process of its own, between two turns of
PyTorch, warm, with all 64, whose steps are neither scored, saved nor reported; its rate is both turns'.
"Training" is the sweep's rate between scores; "whole" divides by all of the command's time, with start,
compilation, 8 scorings of every member, checkpoints and report. Needs the extra ``bench``.
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
    """The median model-steps a second of the lines without a score, but for the first, which compiles."""
    rates = {int(step): float(rate.replace(",", "")) for step, rate in LINE.findall(printed)}
    return statistics.median(rate for step, rate in rates.items() if step % SCORED and step > SCORED)


def sweep() -> tuple[float, float]:
    """Model-steps a second of a sweep: between scores, and of the whole command."""
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
    """Measures, prints, and writes."""
    parser = command.parser(__doc__, [WORKLOAD], rounds=3)
    parser.add_argument("--json", default="sweep_speed.json", help="where the figures go")
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
