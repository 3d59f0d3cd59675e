"""Compiles a config's train step for TPUs that are not there, and says what it would cost.

    python -m experiments.dryrun --config=dcgan_celeba.py --topology=v5e:16x16 [--config.field=value ...]
        [--batch] [--stage=N] [--json | --json=FILE]

No TPU, no dataset and no training: it needs libtpu, the TPU compiler (pip install "jaxgan[tpu]"), and a
minute or two. Times and rates are bounds by the chip's datasheet, or the compiler's estimates; none is a
measurement.
"""

import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags
from ml_collections import ConfigDict

from experiments import build, cli, costs, tables, tpu, training, workdir
from jaxgan import data, parallel
from jaxgan.errors import SetupError
from jaxgan.steps import GAN

PyTree = Any
NUM_DEAREST = 20
NOTE = "the compiler's estimate, not a measurement; collectives and copies between memories have none"


class Task(NamedTuple):
    """A config's train step on a topology.

    Attributes:
      config: the run's.
      gan: its system.
      source: its data, or a stand-in with the same shapes and types.
      topology: where it would run.
    """

    config: ConfigDict
    gan: GAN
    source: data.Source
    topology: tpu.Topology


def stand_in(config: ConfigDict) -> data.Source:
    """The source of a config without its dataset: one black picture stands for them all."""
    spec = build.spec_of(config)
    if not spec.images:
        return data.open_source(**config.data)  # points are functions, there is nothing to open
    return data.stand_in(spec)


def compile_step(task: Task, batch_size: int) -> tpu.Compiled:
    """Compiles the very step that a run takes.

    Args:
      task: the step and where it would run.
      batch_size: global.

    Returns:
      What the compiled program says of itself.

    Raises:
      TooLargeError: it does not fit into a chip's memory.
    """
    config, gan, source, topology = task
    state = jax.eval_shape(build.initializer(config, gan))
    slices = max(config.n_critic, 1)
    raw = source.batches(seed=build.data_seed(config), n_critic=slices, batch_size=1)[0]
    batch = {
        name: jax.ShapeDtypeStruct((slices, batch_size, *x.shape[2:]), x.dtype) for name, x in raw.items()
    }
    return tpu.compile_ahead(
        training.make_step(gan, source, config, topology.mesh),
        tpu.placed(state, topology),
        tpu.placed(batch, topology, None, parallel.AXIS),
    )


def _granule(batch: int) -> int:
    return 1 << max(0, batch.bit_length() - 5)


def largest_batch(attempt: Callable[[int], int | None], capacity: int) -> int:
    """The largest batch that fits, to five binary digits, by few attempts: each one is a compilation.

    Args:
      attempt: a batch to the bytes it needs, None if it does not fit.
      capacity: bytes there are, to guess by; what fits is for ``attempt`` to say.

    Returns:
      The batch.

    Raises:
      SetupError: not even a batch of 1 fits.
    """
    fits: dict[int, int] = {}
    too_large, batch = 0, 32
    while True:
        needed = attempt(batch)
        if needed is None:
            too_large = batch
        else:
            fits[batch] = needed
        best = max(fits, default=0)
        if too_large and best + _granule(best) >= too_large:
            break
        guess = 2 * best or batch // 4
        if len(fits) > 1:  # memory is close to a linear function of the batch
            low, high = sorted(fits)[-2:]
            slope = max(1.0, (fits[high] - fits[low]) / (high - low))
            guess = int(high + (capacity - fits[high]) / slope)
        if too_large and guess >= too_large:
            guess = (best + too_large) // 2
        guess = guess // _granule(guess) * _granule(guess)
        batch = max(guess, best + _granule(best))
    if not best:
        raise SetupError("not even a batch of 1 fits into a chip's memory: make the models smaller")
    return best


def _counts(compiled: tpu.Compiled, times: int) -> dict[str, Any]:
    memory = ("arguments", "outputs", "aliased", "temporaries", "code", "peak")
    return {
        "flops": times * compiled.flops,
        "bytes_accessed": times * compiled.bytes_accessed,
        "hbm_bytes": times * costs.hbm_bytes(compiled.program),
        "memory": {name: times * getattr(compiled, name) for name in memory},
        "collectives": {
            kind: {"calls": found.calls, "bytes": times * found.bytes}
            for kind, found in costs.collectives(compiled.program).items()
        },
    }


def summarise(task: Task, name: str, batch_size: int, compiled: tpu.Compiled) -> dict[str, Any]:
    """All that is reported of a compiled step, ready for JSON; bytes, seconds, FLOPs, Hz.

    Args:
      task: what was compiled.
      name: the config's.
      batch_size: global.
      compiled: for that batch.
    """
    topology, devices = task.topology, task.topology.mesh.size
    chip, per_device = topology.chip, _counts(compiled, 1)
    compute = compiled.flops / chip.flops
    memory = per_device["hbm_bytes"] / chip.bandwidth
    ops = costs.dearest(compiled.program)
    cycles = sum(op.cycles for op in ops)
    estimated = cycles / chip.clock

    def rates(seconds: float) -> dict[str, float]:
        rate = batch_size / seconds if seconds else float("inf")
        return {"samples_per_second": rate, f"samples_per_second_per_{topology.unit}": rate / devices}

    return {
        "config": workdir.as_json(task.config),
        "name": name,
        "topology": topology.name,
        "unit": topology.unit,
        "samples": "images" if task.source.spec.images else "points",
        "devices": devices,
        "batch_size": batch_size,
        "batch_size_per_device": batch_size // devices,
        "versions": {package: importlib.metadata.version(package) for package in ("jax", "libtpu")},
        "compile_seconds": compiled.seconds,
        "per_device": per_device,
        "total": _counts(compiled, devices),
        "datasheet_bound": {
            "flops_per_second": chip.flops,
            "hbm_bytes": chip.hbm,
            "hbm_bytes_per_second": chip.bandwidth,
            "flops_per_hbm_byte": compiled.flops / max(1, per_device["hbm_bytes"]),
            "flops_per_hbm_byte_at_balance": chip.flops / chip.bandwidth,
            "bound_by": "compute" if compute >= memory else "memory",
            "step_seconds": max(compute, memory),
            **rates(max(compute, memory)),
        },
        "compiler_estimate": {
            "note": NOTE,
            "cycles": cycles,
            "clock": chip.clock,
            "step_seconds": estimated,
            **rates(estimated),
            "share_of_peak": compute / estimated if estimated else float("nan"),
            "loops_of_unknown_length": costs.executions(compiled.program)[1],
            "dearest": [op._asdict() for op in ops[:NUM_DEAREST]],
        },
    }


def _batch_size(config: ConfigDict, argv: list[str], devices: int) -> int:
    """The global batch: the config's, or that many for each device if they outnumber the samples."""
    given = any(argument.lstrip("-").startswith("config.batch_size") for argument in argv)
    if config.batch_size < devices and not given:
        return config.batch_size * devices
    parallel.check_batch_size(config.batch_size, devices)
    return config.batch_size


def main(argv: list[str]) -> None:
    """Config → topology → step → compiler → report."""
    values = flags.FlagValues()
    flags.DEFINE_string("topology", None, "Chip and shape, such as v5e:16x16.", flag_values=values)
    flags.DEFINE_bool("batch", False, "Find the largest batch a chip that fits.", flag_values=values)
    flags.DEFINE_integer("stage", None, "Which stage of a run of several; the last.", flag_values=values)
    flags.DEFINE_string("json", None, "Print JSON, or write it to this file.", flag_values=values)
    argv = ["--json=-" if argument in ("--json", "-json") else argument for argument in argv]
    loaded = cli.read_config(argv, values, __doc__ or "")
    config, name = loaded.values, loaded.name
    if not values.topology:
        raise SetupError("no --topology given: give --topology=CHIP:SHAPE, such as v5e:2x4")
    if values.json not in (None, "-"):
        cli.out_file("json", values.json)
    build.check_all(config)
    stages = build.stage_configs(config)
    if values.stage is not None and not 1 <= values.stage <= len(stages):
        raise SetupError(f"--stage is {values.stage}: {name} has stages 1 to {len(stages)}")
    config = stages[(values.stage or len(stages)) - 1].config
    if config.get("parallel", "jit") == "pmap":
        raise SetupError("config field parallel is 'pmap': a dry run compiles with jit, give that")
    topology = tpu.open_topology(values.topology)
    devices, unit = topology.mesh.size, topology.unit
    task = Task(config, build.build(config), stand_in(config), topology)

    def say(text: str) -> None:
        print(text, file=sys.stderr if values.json == "-" else sys.stdout, flush=True)

    if len(stages) > 1:
        say(f"stage {values.stage or len(stages)} of {len(stages)}\n")
    if values.batch:
        found: dict[int, tpu.Compiled] = {}

        def attempt(batch: int) -> int | None:
            try:
                found[batch] = compile_step(task, batch * devices)
            except tpu.TooLargeError:
                say(f"batch {batch:,} a {unit}: does not fit")
                return None
            peak, seconds = found[batch].peak, found[batch].seconds
            say(f"batch {batch:,} a {unit}: {tables.scaled(peak, 'B')}, compiled in {seconds:.0f} s")
            return peak

        best = largest_batch(attempt, topology.chip.hbm)
        say(f"the largest batch that fits, to 1 part in 16: {best:,} a {unit}, {best * devices:,} in all\n")
        batch_size, compiled = best * devices, found[best]
    else:
        batch_size = _batch_size(config, argv, devices)
        if batch_size != config.batch_size:
            say(
                f"batch_size {config.batch_size} is less than {devices} {unit}s: each gets that many here;"
                f" a run wants --config.batch_size={batch_size}\n"
            )
        try:
            compiled = compile_step(task, batch_size)
        except tpu.TooLargeError as error:
            raise SetupError(
                f"a batch of {batch_size // devices} a {unit} does not fit on {topology.name}: {error};"
                " give a smaller --config.batch_size, or --batch to find the largest"
            ) from error

    summary = summarise(task, name, batch_size, compiled)
    if values.json == "-":
        print(json.dumps(summary, indent=2))
        return
    print(tables.table(summary))
    if values.json:
        workdir.write_json(Path(values.json), summary)
        print(f"\nwrote {values.json}")


if __name__ == "__main__":
    cli.call(main)
