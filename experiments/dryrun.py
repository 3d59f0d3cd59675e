"""Compiles the train step of a config for TPUs and reports what a step would cost, without any TPU.

    python -m experiments.dryrun --config=dcgan_celeba.py --topology=v5e:16x16 [--config.FIELD=VALUE ...]
        [--batch] [--stage=N] [--json | --json=FILE]

The report gives the memory, arithmetic and collectives of each chip. Its times and rates are bounds from
the datasheet of the chip or estimates of the compiler; none of them is a measurement. The command needs
libtpu, the TPU compiler (pip install "jaxgan[tpu]"), but neither a TPU nor the dataset.
"""

import json
import sys
from pathlib import Path

from absl import flags

from experiments.cli import command_line, config_files, exits
from experiments.dry_run import compilation, cost_report, table, tpu
from experiments.training import build, checks, staging, workdir
from jaxgan.errors import SetupError


def main(argv: list[str]) -> None:
    """Compiles the step, or searches for the largest batch, and prints the report."""
    values = flags.FlagValues()
    flags.DEFINE_string("topology", None, "Chip and shape, such as v5e:16x16.", flag_values=values)
    flags.DEFINE_bool("batch", False, "Search for the largest batch that fits.", flag_values=values)
    flags.DEFINE_integer("stage", None, "Number of the stage; the last by default.", flag_values=values)
    flags.DEFINE_string("json", None, "JSON file; JSON is printed if none is given.", flag_values=values)
    argv = ["--json=-" if argument in ("--json", "-json") else argument for argument in argv]
    loaded = config_files.read_config(argv, values, __doc__ or "")
    config, name = loaded.values, loaded.name
    if not values.topology:
        raise SetupError("no --topology given: give --topology=CHIP:SHAPE, such as v5e:2x4")
    if values.json not in (None, "-"):
        command_line.out_file("json", values.json)
    checks.check_all(config)
    stages = staging.stage_configs(config)
    if values.stage is not None and not 1 <= values.stage <= len(stages):
        raise SetupError(f"--stage is {values.stage}: {name} has stages 1 to {len(stages)}")
    config = stages[(values.stage or len(stages)) - 1].config
    if config.get("parallel", "jit") == "pmap":
        raise SetupError("config field parallel is 'pmap': a dry run compiles with jit, give that")
    topology = tpu.open_topology(values.topology)
    devices, unit = topology.mesh.size, topology.unit
    task = compilation.Task(config, build.build(config), compilation.stand_in(config), topology)

    def say(text: str) -> None:
        print(text, file=sys.stderr if values.json == "-" else sys.stdout, flush=True)

    if len(stages) > 1:
        say(f"stage {values.stage or len(stages)} of {len(stages)}\n")
    if values.batch:
        found: dict[int, tpu.Compiled] = {}

        def attempt(batch: int) -> int | None:
            try:
                found[batch] = compilation.compile_step(task, batch * devices)
            except tpu.TooLargeError:
                say(f"batch {batch:,} a {unit}: does not fit")
                return None
            peak, seconds = found[batch].peak, found[batch].seconds
            say(f"batch {batch:,} a {unit}: {table.scaled(peak, 'B')}, compiled in {seconds:.0f} s")
            return peak

        best = compilation.largest_batch(attempt, topology.chip.hbm)
        say(f"the largest batch that fits, to 1 part in 16: {best:,} a {unit}, {best * devices:,} in all\n")
        batch_size, compiled = best * devices, found[best]
    else:
        batch_size = compilation.batch_size_of(config, argv, devices)
        if batch_size != config.batch_size:
            say(
                f"batch_size {config.batch_size} is less than {devices} {unit}s: each gets that many here;"
                f" a run wants --config.batch_size={batch_size}\n"
            )
        try:
            compiled = compilation.compile_step(task, batch_size)
        except tpu.TooLargeError as error:
            raise SetupError(
                f"a batch of {batch_size // devices} a {unit} does not fit on {topology.name}: {error};"
                " give a smaller --config.batch_size, or --batch to find the largest"
            ) from error

    summary = cost_report.summarise(task, name, batch_size, compiled)
    if values.json == "-":
        print(json.dumps(summary, indent=2))
        return
    print(table.table(summary))
    if values.json:
        workdir.write_json(Path(values.json), summary)
        print(f"\nwrote {values.json}")


if __name__ == "__main__":
    exits.call(main)
