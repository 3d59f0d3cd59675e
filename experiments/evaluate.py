"""Scores a run's checkpoints, or a folder of images made by any tool, against a dataset.

    python -m experiments.evaluate --workdir=DIR [--metrics=fcd,prdc] [--num=50000] [--every]
    python -m experiments.evaluate --images=FOLDER --data.name=NAME --data.size=32 --data.channels=3
        [--backbone=inception.safetensors]

Prints a table and adds to ``scores.json``: every score with its receipt. Only scores whose receipts agree
stand in one table. ``scores.html`` has the curve over a run's checkpoints.
"""

import functools
import importlib.metadata
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags
from ml_collections import ConfigDict

from experiments import (
    backbones,
    build,
    cli,
    evaluation,
    image_sets,
    measuring,
    metrics,
    restore,
    score_table,
    workdir,
)
from experiments.image_sets import ImageSet
from jaxgan import data
from jaxgan.errors import SetupError
from jaxgan.metrics.backbone import Backbone
from jaxgan.metrics.standing import standing_statistics
from jaxgan.stages import stage_of
from jaxgan.state import GANState

STANDING_BATCH, STANDING_KEY = 256, 0x57A7
PACKAGES = ("jaxgan", "jax", "jaxlib", "flax", "numpy", "scipy", "pillow")


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


class Candidate(NamedTuple):
    """Something to be scored.

    Attributes:
      name: what a table calls it.
      images: it.
      made: what the receipt says of how they were made.
      walk: the generator's perceptual path length by a network, None for a folder.
    """

    name: str
    images: ImageSet
    made: dict[str, Any]
    walk: Callable[[Backbone], float] | None


def runs(values: flags.FlagValues) -> Iterator[tuple[restore.Run, dict[str, Any], dict[str, Any]]]:
    """Yields the checkpoints to be scored, with what a receipt says of their weights and of themselves.

    Scores of stages do not compare: of a run of several, the checkpoints of the last one are scored.
    """
    directory = restore.folder(values.workdir)
    found = restore.restore_each(directory, raw=values.raw)
    untils = [stage.until for stage in build.stage_configs(restore.read_config(directory))]
    for run in found if values.every else [restore.restore(directory, best=values.best, raw=values.raw)]:
        step = int(run.state.step)
        if (number := stage_of(untils, min(step, untils[-1]))) + 1 < len(untils):
            print(f"step {step:,} is of stage {number + 1} of {len(untils)}: skipped", flush=True)
            continue
        statistics = "raw" if values.raw else "averaged"
        if values.standing:
            run = run._replace(state=_stand(run, values.standing, values.seed))
            statistics = f"standing, {values.standing} batches of {STANDING_BATCH}"
        how = {"weights": "raw" if values.raw else "averaged (EMA)", "batch_statistics": statistics}
        scored = {
            "run": directory.resolve().name,
            "step": step,
            "state_sha256": run.state_sha256,
            "config_sha256": evaluation.key_of(workdir.as_json(run.config)),
        }
        yield run, how, scored


def none_to_score(values: flags.FlagValues) -> SetupError:
    """Builds the error for a run without a checkpoint to be scored, to be raised by the caller."""
    return SetupError(f"--workdir {values.workdir} has no checkpoint that can be scored: run it further")


def candidates(values: flags.FlagValues, channels: int, *, numbered: bool) -> Iterator[Candidate]:
    """What is to be scored, one after another; sub-folders' names are labels if ``numbered``."""
    if values.images:
        folder = image_sets.of_folder(Path(values.images), channels, numbered=numbered)
        if folder.num < 2:
            raise SetupError(f"--images {values.images} holds 1 sample: at least 2 are needed")
        made = {"count": folder.num, "shape": list(folder.shape), "weights": "not known"}
        yield Candidate(values.images, folder, made, None)
        return
    for run, how, scored in runs(values):
        asked = restore.asked(run, truncation=values.truncation)
        made = {
            "count": values.num,
            "shape": list(build.spec_of(run.config).shape),
            **how,
            "truncation": values.truncation,
            "seed": values.seed,
        }
        images = image_sets.generated(
            asked.sample,
            run.state,
            num=values.num,
            seed=values.seed,
            facts=scored,
            given=asked.given,
            labels=asked.labels,
        )
        walk = functools.partial(
            evaluation.path_length,
            run,
            asked=asked,
            truncation=values.truncation,
            num=values.num,
            seed=values.seed,
        )
        yield Candidate(f"step {int(run.state.step):,}", images, made, walk)


def _stand(run: restore.Run, batches: int, seed: int) -> GANState:
    key = jax.random.fold_in(jax.random.key(seed), STANDING_KEY)
    conditions = data.open_conditions(**run.config.data)
    stand = functools.partial(
        standing_statistics,
        run.gan,
        batches=batches,
        batch_size=STANDING_BATCH,
        conditions=conditions,
    )
    return jax.jit(lambda state: stand(state, key))(run.state)


def check_held_out(held_out: str, fields: Mapping[str, Any], config: ConfigDict | None) -> None:
    """Refuses a held-out split that a run was trained on.

    Args:
      held_out: the split.
      fields: of the data it is a split of.
      config: the run's; None for a folder of images, of which nobody knows.

    Raises:
      SetupError: the run's split is the same, a slice of the same, or all of the data.
    """
    if config is None or config.data.name != fields["name"]:
        return
    trained = config.data.get("split") or ("train" if fields["name"].startswith("tfds/") else "")
    if not trained or trained.partition("[")[0] == held_out.partition("[")[0]:
        raise SetupError(
            f"--held_out={held_out}: the run was trained on {trained or 'all'} of {fields['name']}, and has"
            " seen that split: train with --config.data.split=train, and hold out another"
        )


def score_images(
    values: flags.FlagValues, config: ConfigDict | None, named: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Scores images, a run's samples or a folder's, with a network.

    Args:
      values: the command's flags.
      config: the run's; None for a folder.
      named: the scores asked for; None for the network's usual ones.

    Returns:
      The results, each with its receipt.
    """
    if config is not None and "real" not in build.spec_of(config).fields:
        raise SetupError(
            f"--workdir {values.workdir}: data.name {config.data.name} has no samples called real to hold"
            " those of the run against; give --metrics=NAME of the system's own measures"
        )
    statistics = bool(values.reference)
    fields: dict[str, Any] = {"name": "statistics", "channels": values["data.channels"].value or 3}
    if not statistics:
        fields = restore.data_fields(config.data if config else {}, values)
    elif config:
        fields = config.data.to_dict()
    given = values.backbone or backbones.default(fields["name"])
    kind = backbones.kind(given)
    names = named or metrics.usual(kind, statistics=statistics)
    metrics.check_metrics(
        names,
        kind,
        statistics=statistics,
        held_out=bool(values.held_out),
        folder=bool(values.images),
        labels=bool(values.images) or (config is not None and "labels" in build.build(config).reads),
    )
    by_name = fields["name"] != "folder" and any(name.startswith("class_") for name in names)
    scored = candidates(values, fields["channels"], numbered=by_name)
    if (first := next(scored, None)) is None:
        raise none_to_score(values)
    backbone = backbones.open_backbone(given, fields)
    needs = metrics.needs(names)
    held_out = None
    facts: dict[str, Any] = {}
    if statistics:
        real, facts["reference"] = evaluation.statistics(Path(values.reference))
    else:
        images = image_sets.of_source(fields)
        real, facts["reference"] = evaluation.reference(images, backbone, needs), images.facts
    if values.held_out:
        images = image_sets.of_source({**fields, "split": values.held_out})
        check_held_out(values.held_out, fields, config)
        if images.facts["sha256"] == facts["reference"].get("sha256"):
            raise SetupError(
                f"--held_out={values.held_out} is the reference itself: give a split training did not see"
            )
        held_out, facts["held_out"] = evaluation.reference(images, backbone, needs), images.facts
    common = {
        "backbone": {"name": backbone.name, "sha256": backbone.sha256, "resize": backbone.resize},
        "quantisation": evaluation.QUANTISATION,
        "metrics": {name: dict(metrics.METRICS[name].settings) for name in names},
        **facts,
    }
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    made_now = []
    for called, images, made, walk in itertools.chain([first], scored):
        fake = evaluation.measure(images, backbone, needs)
        sets = metrics.Sets(real, fake, held_out, walk and functools.partial(walk, backbone))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", UserWarning)
            scores = metrics.compute(sets, names)
        for each in said:
            print(f"warning: {each.message}", file=sys.stderr)
        receipt = {**common, "generated": made, "scored": images.facts, "versions": versions}
        made_now.append({"name": called, "scores": scores, "receipt": receipt})
    return made_now


def score_measures(values: flags.FlagValues, names: Sequence[str]) -> list[dict[str, Any]]:
    """Scores a run by measures of its system's own, on real samples of its data.

    Args:
      values: the command's flags; those of the data say which real samples.
      names: of the measures.

    Returns:
      The results, each with its receipt.
    """
    results = []
    for run, how, scored in runs(values):
        fields = restore.given_data(run.config.data, values)
        source = data.open_source(**fields)
        found = measuring.measure(run.gan, run.state, source, names, seed=values.seed)
        receipt = {
            "metrics": {name: {"is": run.gan.measures[name].meaning} for name in names},
            "measured_on": {
                "data": {name: x for name, x in cli.flatten(ConfigDict(fields)).items() if name != "path"},
                "count": len(measuring.rows_of(source)),
                "seed": values.seed,
            },
            "generated": how,
            "scored": scored,
            "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
        }
        results.append({"name": f"step {int(run.state.step):,}", "scores": found, "receipt": receipt})
    if not results:
        raise none_to_score(values)
    return results


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
    restore.define_data_flags(values)
    text("reference", None, "Statistics (.npz of mu, sigma) instead of a dataset.", flag_values=values)
    text("held_out", None, "The dataset's split that training did not see.", flag_values=values)
    text("out", None, "Where scores go; scores.json of the run.", flag_values=values)
    cli.read_flags(argv, values, __doc__ or "")
    _check(values)
    config = None
    if values.workdir:
        config = build.stage_configs(restore.read_config(restore.folder(values.workdir)))[-1].config
    own = list(build.build(config).measures) if config else []
    named = values.metrics.split(",") if values.metrics else None
    measured = [name for name in own if named is None or name in named]
    points = config is not None and not build.spec_of(config).images
    out = cli.out_file("out", values.out or Path(values.workdir or ".") / "scores.json", ".json")
    # What cannot be added to or scored is refused before a network is opened and a reference measured.
    score_table.read(out)
    made_now: list[score_table.Result] = []
    if (named is None and not (points and own)) or set(named or ()) - set(own):
        made_now += score_images(values, config, named and [name for name in named if name not in own])
    if measured:
        made_now += score_measures(values, measured)
    for result in made_now:
        listed = ", ".join(f"{name} {value:.5g}" for name, value in result["scores"].items())
        print(f"{result['name']}: {listed}", flush=True)
    results = score_table.read(out)  # as it is now: another command may have added to it
    for result in made_now:
        results = score_table.add(results, result)
    workdir.write_json(out, results)
    score_table.write_page(out.with_suffix(".html"), results)
    print(score_table.show(results))
    print(f"wrote {out} and {out.with_suffix('.html')}")


if __name__ == "__main__":
    cli.call(main)
