"""Compares systems that are trained for the same time on this machine, and writes one page.

    python -m experiments.compare --config=compare_fashion_mnist.py [--workdir=DIR] [--seeds=3]
        [--minutes=5] [--num=10000] [--only=dcgan,vae]

The config lists the systems. First, the time of a step of each system is measured, which fixes the number
of steps that take --minutes. Then experiments.run trains every system and experiments.evaluate scores it,
for one seed after another and in one process at a time. The page compare.html has the table of all systems
and their samples. It is written anew after every run. compare.csv has one line per run, and compare.json
has the numbers of the table.

The same command continues a comparison that was stopped. More --seeds add runs. A run that fails is listed
on the page, and the other runs go on.
"""

import shlex
from pathlib import Path

import jax
from absl import flags

from experiments.cli import command_line, exits, interrupts
from experiments.comparison import entries as comparison_entries
from experiments.comparison import plan as plans
from experiments.comparison import results, runs
from experiments.pages import comparison_page
from jaxgan.errors import SetupError


def main(argv: list[str]) -> None:
    """Plans the runs, makes those that are missing and writes the page."""
    values = flags.FlagValues()
    text, number = flags.DEFINE_string, flags.DEFINE_integer
    text("config", None, "File that lists the systems.", flag_values=values)
    text("workdir", None, "Folder of results; comparisons/CONFIG by default.", flag_values=values)
    number("seeds", 3, "Number of runs of each system.", flag_values=values)
    flags.DEFINE_float("minutes", 5.0, "Minutes of training of each run.", flag_values=values)
    number("num", 10_000, "Number of samples to score.", flag_values=values)
    flags.DEFINE_list("only", [], "Systems to train; all by default.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    if values.config is None:
        raise SetupError("no config given: give a comparison, such as --config=compare_fashion_mnist.py")
    command_line.check_at_least(values, "seeds", 1)
    command_line.check_positive(values, "minutes", 5)
    command_line.check_at_least(values, "num", 2)

    jax.config.update("jax_platforms", "cpu")  # The runs need the accelerators for themselves.
    entries = comparison_entries.open_entries(values.config, values.systems)
    chosen = comparison_entries.choose(entries, values.only)
    name = Path(values.config).stem
    directory = Path(values.workdir or f"comparisons/{name}")
    new = plans.Plan(name, plans.machine(), values.minutes, values.num, values.seeds, {})
    plan = plans.open_plan(directory, new)
    for entry in entries:
        plans.check_entry(directory, plan, entry)
    directory.mkdir(parents=True, exist_ok=True)
    plans.write(directory, plan)

    def write_page() -> str:
        return comparison_page.write(directory, plan, entries, shlex.join(argv[1:]))

    with interrupts.catch_signals() as signals:
        runner = runs.Runner(directory, signals)
        for entry in chosen:
            if entry.name not in plan.steps and (seconds := runner.measure(entry, plan.minutes)):
                plan = plans.add(plan, entry, seconds)
                plans.write(directory, plan)
                steps = plan.steps[entry.name]["num_steps"]
                print(f"{entry.name}: {seconds:.4g} s a step, {steps:,} steps", flush=True)
        for seed in range(plan.seeds):
            for entry in chosen:
                if entry.name in plan.steps:
                    steps = plan.steps[entry.name]["num_steps"]
                    if runner.finish(entry, seed, steps, plan.num):
                        write_page()
    print(write_page())
    found, failures = results.read(directory, plan, entries)
    if failures and not found:
        raise exits.RunFailed(f"no run has finished; {failures[0].entry}: {failures[0].message}")
    print(f"finished {directory}: compare.html, compare.csv, compare.json")


if __name__ == "__main__":
    exits.call(main)
