"""Scores a run's checkpoints, or a folder of images made by any tool, against a dataset.

    python -m experiments.evaluate --workdir=DIR [--metrics=fcd,prdc] [--num=50000] [--every]
    python -m experiments.evaluate --images=FOLDER --data.name=NAME --data.size=32 --data.channels=3
        [--backbone=inception.safetensors]

Prints a table and adds to ``scores.json``: every score with its receipt. Only scores whose receipts agree
stand in one table. ``scores.html`` has the curve over a run's checkpoints.
"""

from pathlib import Path

from absl import flags

from experiments.cli import command_line, data_flags, exits
from experiments.pages import scores_page
from experiments.scoring import evaluation, receipts
from experiments.training import build, derived, restore, staging, workdir
from jaxgan.errors import SetupError


def _check(values: flags.FlagValues) -> None:
    if bool(values.workdir) == bool(values.images):
        raise SetupError("give either --workdir=DIR, the folder of a run, or --images=FOLDER")
    if values.num < 2:
        raise SetupError(f"--num is {values.num}: give at least 2")
    if not 0 <= values.seed < 2**32:
        raise SetupError(f"--seed is {values.seed}: give a whole number from 0 to 2**32 - 1")
    if values.standing < 0:
        raise SetupError(
            f"--standing is {values.standing}: give a number of batches, or 0 for averaged ones"
        )
    if values.truncation is not None and not values.truncation > 0:
        raise SetupError(f"--truncation is {values.truncation}: give a positive number, such as 0.7")
    if values.best and values.every:
        raise SetupError("--best is one checkpoint and --every all that were kept: give one of the two")
    if values.images:
        for name in ("truncation", "standing", "raw", "best", "every"):
            if getattr(values, name):
                raise SetupError(f"--{name} is about a run's generator: leave it out, or give --workdir")


def main(argv: list[str]) -> None:
    """Images → network → scores → files."""
    values = flags.FlagValues()
    text, number, switch = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_bool
    text("workdir", None, "The folder of a run, to be scored.", flag_values=values)
    text("images", None, "A folder of images, to be scored.", flag_values=values)
    text("metrics", None, "Scores by name, with commas; the network's usual ones.", flag_values=values)
    number("num", 50_000, "How many samples of a run.", flag_values=values)
    number("seed", 0, "Seed of the latents.", flag_values=values)
    flags.DEFINE_float("truncation", None, "Bound on every coordinate of the latents.", flag_values=values)
    switch("raw", False, "Raw weights instead of averaged ones.", flag_values=values)
    number("standing", 0, "Batches to estimate batch statistics from anew.", flag_values=values)
    switch("best", False, "The checkpoint of the best score.", flag_values=values)
    switch("every", False, "Every checkpoint instead of the newest.", flag_values=values)
    text("backbone", None, "An Inception file, or classifier-DATASET.", flag_values=values)
    data_flags.define_data_flags(values)
    text("reference", None, "Statistics (.npz of mu, sigma) instead of a dataset.", flag_values=values)
    text("held_out", None, "The dataset's split that training did not see.", flag_values=values)
    text("out", None, "Where scores go; scores.json of the run.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    _check(values)
    config = None
    if values.workdir:
        config = staging.stage_configs(restore.read_config(restore.folder(values.workdir)))[-1].config
    own = list(build.build(config).measures) if config else []
    named = values.metrics.split(",") if values.metrics else None
    measured = [name for name in own if named is None or name in named]
    points = config is not None and not derived.spec_of(config).images
    out = command_line.out_file("out", values.out or Path(values.workdir or ".") / "scores.json", ".json")
    # What cannot be added to or scored is refused before a network is opened and a reference measured.
    receipts.read(out)
    made_now: list[receipts.Result] = []
    if (named is None and not (points and own)) or set(named or ()) - set(own):
        made_now += evaluation.score_images(
            values, config, named and [name for name in named if name not in own]
        )
    if measured:
        made_now += evaluation.score_measures(values, measured)
    for result in made_now:
        listed = ", ".join(f"{name} {value:.5g}" for name, value in result["scores"].items())
        print(f"{result['name']}: {listed}", flush=True)
    results = receipts.read(out)  # as it is now: another command may have added to it
    for result in made_now:
        results = receipts.add(results, result)
    workdir.write_json(out, results)
    scores_page.write_page(out.with_suffix(".html"), results)
    print(receipts.show(results))
    print(f"wrote {out} and {out.with_suffix('.html')}")


if __name__ == "__main__":
    exits.call(main)
