"""Times the steps of jaxgan and PyTorch, which run alternately in one process tree.

    python -m benchmarks.step_time [--only=dcgan64,mlp] [--rounds=9] [--json=step_time.json]

Each side runs in a warm process of its own, and the sides take turns: a round is a number of steps of
jaxgan, followed by as many steps of PyTorch, so that any other load on the machine affects both. The output
lists the medians, and the median of the rounds' ratios with its quartiles. The extra ``bench`` is needed.

The share of peak is the rate of the FLOPs that a step needs, counted by hand with direct convolutions,
relative to the best rate of 2048³ matrix products that each side reaches in the same run.
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
    """A workload to measure.

    Attributes:
      title: Title for people to read.
      steps: Number of steps in a round.
      target: Ratio to reach.
      flops: FLOPs that all matrix products of a step need, counted by hand.
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
    "Share of peak (jaxgan, PyTorch): needed FLOPs (convolutions by their definition), divided by the\n"
    "time and by the side's rate of 2048³ products in this run. Minimal filtering needs fewer\n"
    "multiplications than the definition, so the share may exceed that of direct convolutions, and 100 %."
)


class Side:
    """A process that runs the steps of one side on request."""

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
        """Returns the seconds that a number of steps, or of matrix products, took."""
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
    """Answers requests on standard input until it ends, in the process of a side."""
    host.keep_freed_memory()  # The experiments' commands do the same, and PyTorch benefits as well.
    side = importlib.import_module(f"benchmarks.{module}")
    calls = {"step": side.build(workload), "matmul": side.matmul()}
    for line in sys.stdin:
        what, times = line.split()
        start = time.perf_counter()
        calls[what](int(times))
        print(time.perf_counter() - start, flush=True)


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Measures one workload, with both sides in alternation."""
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
    """Summarises the rounds of a workload.

    Args:
      name: Name of the workload.
      pairs: For each round, the seconds per step of jaxgan and of PyTorch.
      peaks: For each round, the GFLOP/s of matrix products of jaxgan and of PyTorch.
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
    """Formats a row of the table."""
    low, high = result["quartiles"]
    ours, theirs = result["of_peak"]
    return (
        f"{result['title']:<40} {result['jaxgan_ms']:9.1f} ms {result['pytorch_ms']:9.1f} ms"
        f"  {result['ratio']:5.2f} ({low:.2f} to {high:.2f})  wanted {result['target']:<4.1f}"
        f" {ours:8.0%} {theirs:8.0%}"
    )


def main() -> None:
    """Measures, prints the figures and writes them to a file."""
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:4])
        return
    parser = command.parser(__doc__, WORKLOADS, rounds=9)
    parser.add_argument("--json", default="step_time.json", help="file to write the figures to")
    names, given = command.parse(parser, WORKLOADS)
    command.need_torch(parser)
    print(f"{'':<40} {'jaxgan':>12} {'PyTorch':>12}  ratio (quartiles)           share of peak", flush=True)
    results = []
    for name in names:
        results.append(measure(name, given.rounds))
        print(line(results[-1]), flush=True)
    print(FOOTNOTE)
    command.write(given.json, results)


if __name__ == "__main__":
    main()
