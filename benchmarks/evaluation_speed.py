"""Images a second through InceptionV3: jaxgan's beside torch-fidelity's, in turn.

    python -m benchmarks.evaluation_speed [--rounds=7] [--json=evaluation_speed.json]

Both have the same random weights and take the same 32×32 pictures, resize included, in batches of 64, which
is torch-fidelity's own; each in a process of its own, warm. A round is a batch of ours, then one of theirs.
Printed are the medians, the median of the rounds' ratios with its quartiles, and how far the two networks'
features lie apart. Needs the extra ``fidelity``.
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
AGREEMENT = 1e-4  # of the largest feature; further apart, the two do not compute the same
FILE, SOURCE = "inception.safetensors", "0" * 64
SIDES = ("jax_inception", "torch_inception")


def images() -> np.ndarray:
    """(BATCH, SIDE, SIDE, 3) uint8, the same for both."""
    return np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3)).astype(np.uint8)


def weights() -> dict[str, np.ndarray]:
    """Random kernels as for ReLU, and batch normalisation that shifts by one and is otherwise idle."""
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
    """Both sides in turn."""
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
    """Measures, prints, and writes."""
    parser = command.parser(__doc__, ["inception"], rounds=7)
    parser.add_argument("--json", default="evaluation_speed.json", help="where the figures go")
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
