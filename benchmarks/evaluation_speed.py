"""Measures images per second through InceptionV3, by jaxgan and torch-fidelity in alternation.

    python -m benchmarks.evaluation_speed [--rounds=7] [--json=evaluation_speed.json]

Both sides have the same random weights and take the same 32×32 images, resize included, in batches of 64,
which is the batch size of torch-fidelity. Each side runs in a warm process of its own. A round consists of
one batch of jaxgan and one of torch-fidelity. The output lists the medians, the median of the rounds'
ratios with its quartiles, and the difference between the features of the two networks. The extra
``fidelity`` is needed.
"""

import importlib.util
import statistics
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import command, step_time
from jaxgan.metrics import inception_backbone
from jaxgan.models import inception_layers

BATCH, SIDE = 64, 32
TARGET = 1.2
AGREEMENT = 1e-4  # Of the largest feature. Networks that differ by more are not the same.
FILE, SOURCE = "inception.safetensors", "0" * 64
SIDES = ("jax_inception", "torch_inception")


def images() -> np.ndarray:
    """Returns the images that both sides take, (BATCH, SIDE, SIDE, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3)).astype(np.uint8)


def weights() -> dict[str, np.ndarray]:
    """Returns random weights.

    The kernels are scaled for ReLU, and batch normalisation shifts by one and is otherwise the identity.
    """
    rng = np.random.default_rng(0)
    constants = {"running_mean": 0.0, "running_var": 1.0, "bias": 1.0}
    state = {}
    for name, shape in inception_layers.shapes().items():
        if len(shape) > 1:
            drawn = rng.standard_normal(shape, dtype=np.float32)
            state[name] = drawn * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        else:
            state[name] = np.full(shape, constants.get(name.rpartition(".")[2], 1.0), np.float32)
    return state


def measure(rounds: int) -> dict[str, float | list[float]]:
    """Measures both sides in alternation and returns the figures."""
    with tempfile.TemporaryDirectory() as folder:
        inception_backbone.save(Path(folder) / FILE, weights(), source_sha256=SOURCE)
        sides = [step_time.Side(module, folder) for module in SIDES]
        pairs = [[side.ask("step", 1) for side in sides] for _ in range(rounds)]
        peaks = [2 * 2048**3 / 1e9 / side.ask("matmul", 1) for side in sides]
        for side in sides:
            side.close()
        ours, theirs = (np.load(Path(folder) / f"{module}.npy", allow_pickle=False) for module in SIDES)
    rates = [BATCH / statistics.median(times) for times in zip(*pairs, strict=True)]
    low, ratio, high = statistics.quantiles([theirs / ours for ours, theirs in pairs], n=4)
    return {
        "jaxgan": rates[0],
        "torch_fidelity": rates[1],
        "ratio": ratio,
        "quartiles": [low, high],
        "difference": float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))),
        "peak_gflops": peaks,
        "rounds": rounds,
    }


def main() -> None:
    """Measures, prints the figures and writes them to a file."""
    parser = command.parser(__doc__, ["inception"], rounds=7)
    parser.add_argument("--json", default="evaluation_speed.json", help="file to write the figures to")
    _, given = command.parse(parser, ["inception"])
    if importlib.util.find_spec("torch_fidelity") is None:
        parser.error('torch-fidelity is absent: pip install "jaxgan[fidelity]"')
    result = measure(given.rounds)
    if not result["difference"] < AGREEMENT:
        raise SystemExit(
            f"error: features differ by {result['difference']:.1e} of the largest: not the same network"
        )
    low, high = result["quartiles"]
    print(
        f"images/s: jaxgan {result['jaxgan']:.2f}, torch-fidelity {result['torch_fidelity']:.2f};"
        f" ratio {result['ratio']:.2f} ({low:.2f} to {high:.2f}), wanted {TARGET};"
        f" features differ by {result['difference']:.1e} of the largest"
    )
    command.write(given.json, [result])


if __name__ == "__main__":
    main()
