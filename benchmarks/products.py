"""How long a step's matrix products take when nothing else is done: what no other way to write it can beat.

    python -m benchmarks.products [--only=mlp,mlp_x16,mlp_x64] [--rounds=9]

The products are read from the compiled step: the same shapes, contracted along the same axes, by the same
compiler options, on as many devices. Step and products take turns in one process for each workload.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from benchmarks import jax_side
from experiments import costs, hlo
from jaxgan import memory, parallel

Contraction = tuple[tuple[int, ...], tuple[int, ...], Any]
TIMES = 20  # a round


def contractions(program: hlo.Program) -> list[Contraction]:
    """Of every matrix product that a program runs, both operands' sides and ``lax.dot_general``'s axes."""
    found: list[Contraction] = []

    def axes(x: hlo.Instruction, name: str) -> tuple[int, ...]:
        listed = re.search(rf"\b{name}=\{{([\d,]*)\}}", x.attributes)
        return tuple(map(int, listed[1].split(","))) if listed and listed[1] else ()

    def add(computation: str, x: hlo.Instruction, times: int) -> None:
        if x.opcode == "dot":
            left, right = (
                hlo.dimensions(program.computations[computation][operand].type) for operand in x.operands
            )
            contracted = axes(x, "lhs_contracting_dims"), axes(x, "rhs_contracting_dims")
            batched = axes(x, "lhs_batch_dims"), axes(x, "rhs_batch_dims")
            found.extend([(left, right, (contracted, batched))] * times)
        for name in hlo.called(x) if x.opcode == "fusion" else ():
            for y in program.computations[name].values():
                add(name, y, times)

    for computation, x, times in costs.executions(program)[0]:
        add(computation, x, times)
    return found


def alone(found: list[Contraction]) -> Callable[[], None]:
    """A function that multiplies random operands of those sides on every device, and waits."""
    keys = iter(jax.random.split(jax.random.key(0), 2 * len(found)))
    pairs = [tuple(jax.random.normal(next(keys), sides) for sides in (a, b)) for a, b, _ in found]

    @jax.jit(compiler_options=parallel.CPU_OPTIONS)
    def multiply(pairs: Any) -> Any:
        return [lax.dot_general(a, b, axes) for (a, b), (_, _, axes) in zip(pairs, found, strict=True)]

    everywhere = [jax.device_put(pairs, device) for device in jax.devices()]
    return lambda: jax.block_until_ready([multiply(pairs) for pairs in everywhere]) and None


def measure(name: str, rounds: int) -> None:
    """Prints a workload's line."""
    memory.keep_freed_memory()
    step, state, batches = jax_side.prepare(name)
    text = step.lower(state, batches[0]).compile().as_text()
    program = hlo.parse(text)
    bare = alone(contractions(program))
    run = jax_side.build(name)
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
    """A process for each workload, since they differ in how many devices there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="mlp,mlp_x16,mlp_x64", help="workloads, separated by commas")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    names = given.only.split(",")
    if len(names) == 1:
        measure(names[0], given.rounds)
        return
    print(f"{'':<12}{'step':>12} {'products':>12} {'share':>9} {'a step':>15} {'alone':>15}", flush=True)
    for name in names:
        command = [sys.executable, "-m", "benchmarks.products", "--only", name]
        subprocess.run([*command, "--rounds", str(given.rounds)], check=True)


if __name__ == "__main__":
    main()
