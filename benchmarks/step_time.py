"""Step times of jaxgan beside PyTorch's, run alternately in one process tree.

    python -m benchmarks.step_time [--only=dcgan64,mlp] [--rounds=9] [--json=step_time.json]

Each side has a process of its own, warm, and they take turns: a round is some steps of ours, then as many
of theirs, so that whatever else the machine does falls on both. Printed are the medians, and the median of
the rounds' ratios with its quartiles. Needs the extra ``bench``.

"Of peak" is the rate of the FLOPs that a step needs, counted by hand with direct convolutions, over each
side's own best rate of 2048³ matrix products in the same run.
"""

import importlib
import os
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple

from benchmarks import arithmetic, command
from jaxgan import host


class Workload(NamedTuple):
    """What is measured.

    Attributes:
      title: for people.
      steps: in a round.
      target: the ratio wanted.
      flops: that all matrix products of a step need, by hand.
    """

    title: str
    steps: int
    target: float
    flops: int


def _dcgan(size: int, **more: Any) -> int:
    networks = (
        arithmetic.dcgan_generator(size, 3, width=64, kernel=4, dim=100),
        arithmetic.dcgan_critic(size, 3, width=64, kernel=4),
    )
    return arithmetic.step(*networks, batch=64, **more)


def _resnet() -> int:
    generator = arithmetic.resnet_generator(32, 3, width=256, dim=128)
    return arithmetic.step(generator, arithmetic.resnet_critic(32, 3, width=128, spectral=True), batch=16)


def _mlp(hidden: int, layers: int, batch: int) -> int:
    widths = (hidden,) * layers
    return arithmetic.step(arithmetic.mlp(2, widths, 2), arithmetic.mlp(2, widths, 1), batch=batch)


WORKLOADS = {
    "dcgan64": Workload("DCGAN-64, batch 64", 3, 1.2, _dcgan(64)),
    "wgan_gp32": Workload(
        "WGAN-GP DCGAN-32, n_critic 5, batch 64",
        2,
        1.2,
        _dcgan(32, n_critic=5, gradient_penalty=True, curved=True),
    ),
    "sn_resnet32": Workload("SN-ResNet-32, batch 16", 3, 1.2, _resnet()),
    "mlp": Workload("8 Gaussians, MLP 3×128, batch 256", 300, 4.0, _mlp(128, 3, 256)),
    "mlp_x16": Workload("16 such MLPs", 20, 4.0, 16 * _mlp(128, 3, 256)),
    "mlp_x64": Workload("64 MLPs 2×64, batch 128", 10, 10.0, 64 * _mlp(64, 2, 128)),
}


FOOTNOTE = (
    "Of peak (jaxgan, PyTorch): needed FLOPs, convolutions by their definition, over the time and the\n"
    "side's rate of 2048³ products in this run. Minimal filtering multiplies less than the definition:\n"
    "on a CPU it may pass what direct convolutions could reach, 100 % included."
)


class Side:
    """A process that runs steps on request: ours or theirs."""

    def __init__(self, module: str, workload: str):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.step_time", "--serve", module, workload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        self.ask("step", 3)

    def ask(self, what: str, times: int) -> float:
        """Seconds that many steps, or matrix products, took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {times}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"error: a side ended with status {self._process.wait()}")
        return float(answer)

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def serve(module: str, workload: str) -> None:
    """A side's process: answers requests on standard input until it ends."""
    host.keep_freed_memory()  # as experiments/cli.py does; it helps PyTorch too
    side = importlib.import_module(f"benchmarks.{module}")
    calls = {"step": side.build(workload), "matmul": side.matmul()}
    for line in sys.stdin:
        what, times = line.split()
        start = time.perf_counter()
        calls[what](int(times))
        print(time.perf_counter() - start, flush=True)


def measure(name: str, rounds: int) -> dict[str, Any]:
    """One workload, both sides in turn."""
    workload = WORKLOADS[name]
    sides = [Side(module, name) for module in ("jax_side", "torch_side")]
    pairs: list[list[float]] = []
    peaks: list[list[float]] = []
    for side in sides:
        side.ask("step", workload.steps)
    for _ in range(rounds):
        pairs.append([side.ask("step", workload.steps) / workload.steps for side in sides])
        peaks.append([2 * 2048**3 / side.ask("matmul", 1) / 1e9 for side in sides])
    for side in sides:
        side.close()
    return summary(name, pairs, peaks)


def summary(name: str, pairs: list[list[float]], peaks: list[list[float]]) -> dict[str, Any]:
    """What is kept of a workload's rounds.

    Args:
      name: the workload's.
      pairs: a round's seconds a step, ours and theirs.
      peaks: a round's GFLOP/s of matrix products, ours and theirs.
    """
    workload = WORKLOADS[name]
    ratios = sorted(theirs / ours for ours, theirs in pairs)
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    low, ratio, high = statistics.quantiles(ratios, n=4)
    best = [max(values) for values in zip(*peaks, strict=True)]
    return {
        "name": name,
        "title": workload.title,
        "jaxgan_ms": 1e3 * ours,
        "pytorch_ms": 1e3 * theirs,
        "ratio": ratio,
        "quartiles": [low, high],
        "target": workload.target,
        "needed_gflop": workload.flops / 1e9,
        "peak_gflops": best,
        "of_peak": [
            workload.flops / 1e9 / seconds / peak
            for seconds, peak in zip((ours, theirs), best, strict=True)
        ],
        "rounds": len(pairs),
    }


def line(result: dict[str, Any]) -> str:
    """A row of the table."""
    low, high = result["quartiles"]
    ours, theirs = result["of_peak"]
    return (
        f"{result['title']:<40} {result['jaxgan_ms']:9.1f} ms {result['pytorch_ms']:9.1f} ms"
        f"  {result['ratio']:5.2f} ({low:.2f} to {high:.2f})  wanted {result['target']:<4.1f}"
        f" {ours:8.0%} {theirs:8.0%}"
    )


def main() -> None:
    """Measures, prints, and writes."""
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:4])
        return
    parser = command.parser(__doc__, WORKLOADS, rounds=9)
    parser.add_argument("--json", default="step_time.json", help="where the figures go")
    names, given = command.parse(parser, WORKLOADS)
    command.need_torch(parser)
    print(f"{'':<40} {'jaxgan':>12} {'PyTorch':>12}  ratio (quartiles)                 of peak", flush=True)
    results = []
    for name in names:
        results.append(measure(name, given.rounds))
        print(line(results[-1]), flush=True)
    print(FOOTNOTE)
    command.write(given.json, results)


if __name__ == "__main__":
    main()
