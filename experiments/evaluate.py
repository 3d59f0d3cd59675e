"""Scores checkpoints of a run, or a folder of images made by any tool, against a dataset.

    python -m experiments.evaluate --workdir=DIR [--metrics=fcd,prdc] [--num=50000] [--every | --best]
        [--truncation=0.7 | --truncation=0.3,0.5,0.7,1,2]
    python -m experiments.evaluate --images=FOLDER --data.name=NAME --data.size=32 --data.channels=3
        [--backbone=inception.safetensors]

The scores are printed as a table and added to scores.json, each with a receipt that says how it was made.
Scores whose receipts do not agree never share a table. scores.html shows the tables and, with --every, the
curve of each score over the checkpoints. Several truncations give one table, with a row for each, and
curves of precision against recall and of quality against distance.
"""

from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from experiments.cli import command_line, data_flags, exits
from experiments.pages import scores_page
from experiments.scoring import evaluation, receipts
from experiments.training import build, derived, restore, staging, workdir
from jaxgan.errors import SetupError


def _check(values: flags.FlagValues) -> None:
    if bool(values.workdir) == bool(values.images):
        raise SetupError("give either --workdir=DIR, the folder of a run, or --images=FOLDER")
    command_line.check_at_least(values, "num", 2)
    command_line.check_seed(values)
    command_line.check_at_least(values, "standing", 0)
    evaluation.truncations(values)
    if values.best and values.every:
        raise SetupError("--best is one checkpoint and --every all that were kept: give one of the two")
    if values.images:
        for name in ("truncation", "standing", "raw", "best", "every"):
            if getattr(values, name):
                raise SetupError(f"--{name} is about a run's generator: leave it out, or give --workdir")


def _names(values: flags.FlagValues, config: ConfigDict | None) -> tuple[list[str] | None, list[str]]:
    """Returns the metrics of images to compute, None for the usual ones, and the system's own measures."""
    own = list(build.build(config).measures) if config else []
    if values.metrics:
        named = values.metrics.split(",")
        return [name for name in named if name not in own], [name for name in own if name in named]
    points = config is not None and not derived.spec_of(config).images
    return [] if points and own else None, own


def main(argv: list[str]) -> None:
    """Scores images and measures, adds the results to a file and writes their page."""
    values = flags.FlagValues()
    text, number, switch = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_bool
    text("workdir", None, "Folder of the run to score.", flag_values=values)
    text("images", None, "Folder of images to score instead of a run.", flag_values=values)
    text("metrics", None, "Names of scores; the usual ones of the network by default.", flag_values=values)
    number("num", 50_000, "Number of samples drawn from a run.", flag_values=values)
    number("seed", 0, "Seed of the latents.", flag_values=values)
    text("truncation", None, "Bound on each coordinate of the latents, or several.", flag_values=values)
    switch("raw", False, "Raw weights instead of averaged ones.", flag_values=values)
    number("standing", 0, "Batches for new batch statistics; 0 for averaged ones.", flag_values=values)
    switch("best", False, "Checkpoint of the best score, not the newest.", flag_values=values)
    switch("every", False, "Every checkpoint instead of the newest.", flag_values=values)
    text("backbone", None, "File of weights, or classifier-DATASET.", flag_values=values)
    data_flags.define_data_flags(values)
    text("reference", None, "File of statistics (.npz of mu and sigma), not a dataset.", flag_values=values)
    text("held_out", None, "Split of the dataset that training did not see.", flag_values=values)
    text("out", None, "JSON file of scores; scores.json of the run by default.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    _check(values)
    config = None
    if values.workdir:
        config = staging.stage_configs(restore.read_config(restore.folder(values.workdir)))[-1].config
    metrics, measures = _names(values, config)
    out = command_line.out_file("out", values.out or Path(values.workdir or ".") / "scores.json", ".json")
    receipts.read(out)  # refuses a file of another kind before the costly part begins
    found: list[receipts.Result] = []
    if metrics is None or metrics:
        found += evaluation.score_images(values, config, metrics)
    if measures:
        found += evaluation.score_measures(values, measures)
    for result in found:
        listed = ", ".join(f"{name} {value:.5g}" for name, value in result["scores"].items())
        print(f"{result['name']}: {listed}", flush=True)
    results = receipts.read(out)  # read again, because another command may have added scores
    for result in found:
        results = receipts.add(results, result)
    workdir.write_json(out, results)
    scores_page.write_page(out.with_suffix(".html"), results)
    print(receipts.show(results))
    print(f"wrote {out} and {out.with_suffix('.html')}")


if __name__ == "__main__":
    exits.call(main)
