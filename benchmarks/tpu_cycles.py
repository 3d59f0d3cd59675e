"""Compares jaxgan's DCGAN step with a naive Flax step, by the TPU compiler's estimate.

    python -m benchmarks.tpu_cycles [--topology=v5e:2x4] [--batches=64,512] [--only=naive] [--json=FILE]

Both steps are compiled ahead of time (pip install "jaxgan[tpu]", no TPU needed), and their cycles are
summed from the cost model that the compiler leaves in the program. The figures are estimates, not
measurements, and do not include collectives. Each program takes one to two minutes to compile.
"""

import argparse
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks.naive import Naive
from experiments.cli import config_files, exits
from experiments.dry_run import compilation, tpu
from experiments.training import build, named_parts
from jaxgan import parallel
from jaxgan.errors import SetupError


class Setting(NamedTuple):
    """The architecture that both sides build.

    Attributes:
      size: Side of the images in pixels.
      width: Feature maps of the critic's first layer.
      channels: Colour channels.
      kernel: Side of the kernels in pixels.
    """

    size: int = 64
    width: int = 64
    channels: int = 3
    kernel: int = 4


def compile_naive(setting: Setting, topology: tpu.Topology, batch: int, dtype: str) -> tpu.Compiled:
    """Compiles the naive program for a batch size per device."""
    size, width, channels, kernel = setting
    naive = Naive(size, width, channels, kernel, named_parts.DTYPES[dtype])
    state = jax.eval_shape(naive.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((batch * topology.mesh.size, *naive.shape), jnp.uint8)
    return tpu.compile_ahead(
        jax.jit(
            naive.step,
            donate_argnums=0,
            out_shardings=NamedSharding(
                topology.mesh, PartitionSpec()
            ),  # The compiler options are part of jaxgan's step, so the naive step has none.
        ),
        tpu.placed(state, topology),
        tpu.placed(images, topology, parallel.AXIS),
    )


def compile_ours(setting: Setting, topology: tpu.Topology, batch: int, dtype: str) -> tpu.Compiled:
    """Compiles the program that ``experiments.run`` would run for a batch size per device."""
    config = config_files.load("dcgan_celeba.py").values
    with config.unlocked():
        config.dtype = dtype
        config.data.size, config.data.channels = setting.size, setting.channels
        config.latent.prior = "normal"
        for player in ("generator", "critic"):
            config.models[player].width = setting.width
            config.models[player].kernel_size = setting.kernel
    task = compilation.Task(config, build.build(config), compilation.stand_in(config), topology)
    return compilation.compile_step(task, batch * topology.mesh.size)


SIDES: dict[str, Callable[[Setting, tpu.Topology, int, str], tpu.Compiled]] = {
    "naive": compile_naive,
    "ours": compile_ours,
}


def row(
    side: str, batch: int, dtype: str, topology: tpu.Topology, compiled: tpu.Compiled
) -> dict[str, Any]:
    """Returns the figures of a program that are reported."""
    cycles, chip = tpu.estimated_cycles(compiled), topology.chip
    seconds = cycles / chip.clock
    return {
        "side": side,
        "batch": batch,
        "dtype": dtype,
        "cycles": cycles,
        "samples_per_second": batch / seconds,
        "share_of_peak": compiled.flops / seconds / chip.flops,
        "flops": compiled.flops,
        "temporaries": compiled.temporaries,
        "compile_seconds": compiled.seconds,
    }


def main() -> None:
    """Prints a line for each program, and the ratio if both sides were compiled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--topology", default="v5e:2x4")
    parser.add_argument("--batches", default="64,512", help="per device")
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--json", type=Path)
    for name, value in Setting()._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    setting = Setting(given.size, given.width, given.channels, given.kernel)
    try:
        topology = tpu.open_topology(given.topology)
    except SetupError as error:
        exits.fail(2, str(error))
    rows: list[dict[str, Any]] = []
    print(f"DCGAN-{setting.size}, width {setting.width}, kernel {setting.kernel}, on {topology.name};")
    print("a device's share, by the compiler's estimate")
    print("batch  compute  side   Mcycles   images/s  of peak     GFLOP  temporaries  compiled in")
    for batch in map(int, given.batches.split(",")):
        naive: dict[str, int] = {}
        for dtype in named_parts.DTYPES:
            found = {}
            for side, compile_side in SIDES.items():
                if given.only in (None, side):
                    found[side] = row(
                        side, batch, dtype, topology, compile_side(setting, topology, batch, dtype)
                    )
                    one = found[side]
                    print(
                        f"{batch:>5}  {dtype:<8} {side:<6}{one['cycles'] / 1e6:>8.3f}"
                        f" {one['samples_per_second']:>10,.0f} {one['share_of_peak']:>8.1%}"
                        f" {one['flops'] / 1e9:>9,.1f} {one['temporaries'] / 1e6:>9,.0f} MB"
                        f" {one['compile_seconds']:>10,.0f} s",
                        flush=True,
                    )
            rows += found.values()
            if len(found) == len(SIDES):
                naive[dtype] = found["naive"]["cycles"]
                for against, cycles in naive.items():
                    print(f"       ours / naive in {against} = {found['ours']['cycles'] / cycles:.3f}")
    if given.json:
        versions = {name: importlib.metadata.version(name) for name in ("jax", "flax", "libtpu")}
        summary = {"topology": topology.name, **setting._asdict(), "versions": versions, "rows": rows}
        given.json.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
