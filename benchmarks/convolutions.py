"""Times single convolutions and their gradients by XLA, jaxgan and PyTorch in alternation.

    python -m benchmarks.convolutions [--only=4x4/forward,3x3/kernel] [--rounds=9]

Each side runs in a warm process of its own, and the sides take turns. The output lists medians in
milliseconds, and the times of the other sides relative to jaxgan's. A call of more than a second is timed
in two rounds only. The extra ``bench`` is needed.
"""

import statistics
from typing import NamedTuple

from benchmarks import command
from benchmarks.step_time import Side

BATCH = 64
SECONDS = 0.2  # Of calls per round, so that the clock resolves short calls.
SLOW, SLOW_ROUNDS = 1.0, 2


class Layer(NamedTuple):
    """A convolution of float32 images with padding SAME, or its transpose.

    Attributes:
      inputs: Channels of the images, the larger side.
      outputs: Channels of the smaller side.
      kernel: Side of the kernel in pixels.
      stride: Stride in pixels.
      transposed: Whether the layer maps the outputs to the images.
      side: Side of the images in pixels.
    """

    inputs: int
    outputs: int
    kernel: int
    stride: int
    transposed: bool = False
    side: int = 32


LAYERS = {
    "4x4": Layer(64, 128, 4, 2),
    "4x4-transpose": Layer(64, 128, 4, 2, transposed=True),
    "3x3": Layer(64, 128, 3, 1),
    "4x4-thin": Layer(3, 64, 4, 2),
}
PRODUCTS = {"forward": "forward", "input": "input gradient", "kernel": "kernel gradient"}
SIDES = {"XLA": "jax_convolutions lax", "jaxgan": "jax_convolutions ours", "PyTorch": "torch_convolutions"}
CASES = [f"{layer}/{product}" for layer in LAYERS for product in PRODUCTS]


def title(case: str) -> str:
    """Returns the title of a case for the table.

    >>> title("4x4-transpose/kernel")
    'transpose of 4×4, stride 2, 128 → 64: kernel gradient'
    """
    which, _, product = case.partition("/")
    layer = LAYERS[which]
    ends = (layer.inputs, layer.outputs)
    start, end = ends[::-1] if layer.transposed else ends
    window = f"{'transpose of ' * layer.transposed}{layer.kernel}×{layer.kernel}"
    return f"{window}, stride {layer.stride}, {start} → {end}: {PRODUCTS[product]}"


def schedule(first: dict[str, float], rounds: int) -> list[tuple[str, int]]:
    """Returns which side makes how many calls, in turn.

    Args:
      first: Seconds of one call, by side.
      rounds: Number of rounds of the sides that are not slow.

    >>> schedule({"a": 7.5, "b": 0.05}, 3)
    [('a', 1), ('b', 4), ('a', 1), ('b', 4), ('b', 4)]
    """
    return [
        (side, max(1, round(SECONDS / seconds)))
        for number in range(rounds)
        for side, seconds in first.items()
        if seconds < SLOW or number < SLOW_ROUNDS
    ]


def measure(case: str, rounds: int) -> dict[str, float]:
    """Returns the median milliseconds of a call, by side."""
    sides = {}
    for name, given in SIDES.items():
        module, _, kind = given.partition(" ")
        sides[name] = Side(module, f"{case}/{kind}")
    first = {name: side.ask("step", 1) for name, side in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for name, calls in schedule(first, rounds):
        times[name].append(1e3 * sides[name].ask("step", calls) / calls)
    for side in sides.values():
        side.close()
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Prints a row for each case, as Markdown."""
    parser = command.parser(__doc__, CASES, rounds=9)
    cases, given = command.parse(parser, CASES)
    command.need_torch(parser)
    print(f"| batch {BATCH}, ms | XLA | jaxgan | PyTorch | XLA / jaxgan | PyTorch / jaxgan |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in cases:
        xla, ours, theirs = measure(case, given.rounds).values()
        print(
            f"| {title(case)} | {xla:.1f} | {ours:.1f} | {theirs:.1f} | {xla / ours:.2f}"
            f" | {theirs / ours:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
