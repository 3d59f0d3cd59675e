"""Times the matrix products of a step on their own, as a lower bound for any implementation of it.

    python -m benchmarks.products [--only=mlp,mlp_x16,mlp_x64] [--rounds=9]

The products are read from the compiled step. They have the same shapes, are contracted along the same axes,
and run with the same compiler options on the same number of devices. For each workload, the step and its
products take turns in one process.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from benchmarks import command, jax_side
from experiments.dry_run import costs, hlo
from jaxgan import host, parallel

Contraction = tuple[tuple[int, ...], tuple[int, ...], Any]
WORKLOADS = ("mlp", "mlp_x16", "mlp_x64")
TIMES = 20  # Number of calls per round.


def contractions(program: hlo.Program) -> list[Contraction]:
    """Returns all matrix products that a program runs.

    Returns:
      For each product, the dimensions of both operands and the axes for ``lax.dot_general``.
    """
    found: list[Contraction] = []
    for computation, x, times in costs.within(program):
        if x.opcode == "dot":
            left, right = map(hlo.dimensions, costs.operand_types(program, computation, x))
            contracted, batched = (
                tuple(hlo.axes(x, f"{side}_{kind}_dims") for side in ("lhs", "rhs"))
                for kind in ("contracting", "batch")
            )
            found += [(left, right, (contracted, batched))] * round(times)
    return found


def alone(found: list[Contraction], options: dict[str, str] | None) -> Callable[[], None]:
    """Returns a function that computes products of random operands on every device and waits for them.

    Args:
      found: Products from :func:`contractions`.
      options: Compiler options.
    """
    keys = iter(jax.random.split(jax.random.key(0), 2 * len(found)))
    pairs = [tuple(jax.random.normal(next(keys), sides) for sides in (a, b)) for a, b, _ in found]

    @jax.jit(compiler_options=options)
    def multiply(pairs: Any) -> Any:
        return [lax.dot_general(a, b, axes) for (a, b), (_, _, axes) in zip(pairs, found, strict=True)]

    everywhere = [jax.device_put(pairs, device) for device in jax.devices()]
    return lambda: jax.block_until_ready([multiply(pairs) for pairs in everywhere]) and None


def measure(name: str, rounds: int) -> None:
    """Prints the line of a workload."""
    host.keep_freed_memory()
    prepared = jax_side.prepare(name)
    text = prepared.step.lower(prepared.state, prepared.batches[0]).compile().as_text()
    program = hlo.parse(text)
    *_, members = jax_side.BUILDERS[name]()
    bare = alone(contractions(program), None if members else parallel.CPU_OPTIONS)
    run = jax_side.runner(prepared)
    run(TIMES)
    bare()
    seconds: list[list[float]] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        run(TIMES)
        middle = time.perf_counter()
        for _ in range(TIMES):
            bare()
        seconds.append([(middle - begun) / TIMES, (time.perf_counter() - middle) / TIMES])
    whole, products = (statistics.median(times) for times in zip(*seconds, strict=True))
    share = statistics.median(b / a for a, b in seconds)
    flops = len(jax.devices()) * sum(product.flops for product in costs.products(program))
    print(
        f"{name:<12}{1e3 * whole:>9.2f} ms {1e3 * products:>9.2f} ms {share:>9.0%}"
        f" {flops / 1e6:>9,.0f} MFLOP {flops / products / 1e9:>7.0f} GFLOP/s",
        flush=True,
    )


def main() -> None:
    """Runs each workload in a process of its own, because their numbers of devices differ."""
    parser = command.parser(__doc__, WORKLOADS, rounds=9)
    names, given = command.parse(parser, WORKLOADS)
    jax.config.update("jax_platforms", "cpu")
    if len(names) == 1:
        measure(names[0], given.rounds)
        return
    print(f"{'':<12}{'step':>12} {'products':>12} {'share':>9} {'a step':>15} {'alone':>15}", flush=True)
    for name in names:
        arguments = ["--only", name, "--rounds", str(given.rounds)]
        subprocess.run([sys.executable, "-m", "benchmarks.products", *arguments], check=True)


if __name__ == "__main__":
    main()
