"""Time and memory of the metrics on features, at typical sizes.

    python -m benchmarks.metric_speed [--only=prdc,frechet,...]

Each metric runs once, in a process of its own. The output lists the seconds of the call, the memory that
the call adds to the previous use of the process, and the total memory. Linux only.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import command
from jaxgan.metrics import frechet, inception_score, kid, moments, ms_ssim, neighbours, parzen, prdc

MIB = 2**20


def features(count: int, dim: int, seed: int) -> np.ndarray:
    """Returns correlated and positive features, (count, dim) float32."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((count, 64), np.float32)
    mixing = np.random.default_rng(0).standard_normal((64, dim), np.float32) / 8
    return np.abs(hidden @ mixing + 0.5 * rng.standard_normal((count, dim), np.float32))


def _frechet(count: int) -> Callable[[], object]:
    sets = [moments.from_features(features(count, 2048, seed)) for seed in (0, 1)]
    return lambda: frechet.frechet_distance(*sets)


def _on(metric: Callable[..., object], *shapes: tuple[int, int]) -> Callable[[], object]:
    sets = [features(*shape, seed) for seed, shape in enumerate(shapes)]
    return lambda: metric(*sets)


def _images() -> Callable[[], object]:
    images = np.random.default_rng(0).integers(0, 256, (1000, 176, 176, 3)).astype(np.uint8)
    return lambda: ms_ssim.ms_ssim_diversity(images)


WORKLOADS: dict[str, tuple[str, Callable[[], Callable[[], object]]]] = {
    "moments": ("10,000 × 2048", lambda: _on(moments.from_features, (10_000, 2048))),
    "frechet": ("2048, of 10,000 and 10,000", lambda: _frechet(10_000)),
    "frechet_few": ("2048, of 500 and 500", lambda: _frechet(500)),
    "inception_score": ("50,000 × 1008", lambda: _on(inception_score.inception_score, (50_000, 1008))),
    "kid": (
        "100 subsets of 1000 × 2048",
        lambda: _on(kid.kernel_inception_distance, (5000, 2048), (5000, 2048)),
    ),
    "prdc": (
        "50,000 × 64 against as many",
        lambda: _on(prdc.precision_recall_density_coverage, (50_000, 64), (50_000, 64)),
    ),
    "prdc_2048": (
        "10,000 × 2048 against as many",
        lambda: _on(prdc.precision_recall_density_coverage, (10_000, 2048), (10_000, 2048)),
    ),
    "nearest": ("10,000 × 784 in 60,000", lambda: _on(neighbours.nearest, (10_000, 784), (60_000, 784))),
    "parzen": (
        "10,000 × 784, 1000 to choose by, 10,000 to test",
        lambda: _on(parzen.parzen_log_likelihood, (10_000, 784), (1000, 784), (10_000, 784)),
    ),
    "ms_ssim": ("100 pairs of 176 × 176 × 3", _images),
}


def _peak() -> int:
    """Returns the peak memory of the process in bytes.

    The function reads Linux's status file, because ``getrusage`` would include the parent process.
    """
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1]) * 1024


def measure(name: str) -> None:
    """Prints the line of a workload."""
    what, prepare = WORKLOADS[name]
    run = prepare()
    Path("/proc/self/clear_refs").write_text("5")  # Resets the peak, which included creating the input.
    before, start, cpu_start = _peak(), time.perf_counter(), time.process_time()
    run()
    seconds, cpu_seconds, after = time.perf_counter() - start, time.process_time() - cpu_start, _peak()
    print(
        f"{name:<16}{what:<48}{seconds:>8.2f} s{cpu_seconds:>8.2f} s of CPU"
        f"{(after - before) / MIB:>6.0f} MiB of {after / MIB:,.0f}",
        flush=True,
    )


def main() -> None:
    """Runs each workload in a process of its own, because a peak of memory stays."""
    names, _ = command.parse(command.parser(__doc__, WORKLOADS), WORKLOADS)
    if len(names) == 1:
        measure(names[0])
        return
    for name in names:
        subprocess.run([sys.executable, "-m", "benchmarks.metric_speed", "--only", name], check=True)


if __name__ == "__main__":
    main()
