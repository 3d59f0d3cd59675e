"""Evaluation of runs and of folders of images, with a receipt for each result."""

import functools
import importlib.metadata
import itertools
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags
from ml_collections import ConfigDict

from experiments.cli import config_fields, data_flags
from experiments.scoring import backbones, image_features, image_metrics, image_sets, own_measures
from experiments.scoring.image_sets import ImageSet
from experiments.training import build, derived, restore, staging, workdir
from jaxgan import data, hashing
from jaxgan.errors import SetupError
from jaxgan.metrics.backbone import Backbone
from jaxgan.metrics.standing import standing_statistics
from jaxgan.stages import stage_of
from jaxgan.state import GANState

STANDING_BATCH, STANDING_KEY = 256, 0x57A7
LABELS = {"uniform": "uniform over the classes", "data": "as often as in the data of the training"}
PACKAGES = ("jaxgan", "jax", "jaxlib", "flax", "numpy", "scipy", "pillow")


class Candidate(NamedTuple):
    """Images to be scored.

    Attributes:
      name: Name of the images in a table.
      images: Images to be scored.
      made: Facts for the receipt about how the images were made.
      walk: Function from a network to the generator's perceptual path length; None for a folder.
    """

    name: str
    images: ImageSet
    made: dict[str, Any]
    walk: Callable[[Backbone], float] | None


def truncations(values: flags.FlagValues) -> list[float]:
    """Returns the distinct numbers in the flag ``--truncation``; an empty list if it is not given.

    Raises:
      SetupError: The flag is not a positive number or several, separated by commas.
    """
    found = []
    for text in values.truncation.split(",") if values.truncation is not None else ():
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            raise SetupError(
                f"--truncation is {values.truncation}: give a positive number, such as 0.7, or several, as"
                " in 0.3,0.7,2"
            )
        found.append(number)
    return list(dict.fromkeys(found))


def runs(values: flags.FlagValues) -> Iterator[tuple[restore.Run, dict[str, Any], dict[str, Any]]]:
    """Finds the checkpoints to be scored.

    Only checkpoints of the last stage of a run are scored, because scores of different stages are not
    comparable.

    Args:
      values: Flags of the command.

    Yields:
      The restored run, the receipt's facts about its weights, and the receipt's facts about the checkpoint.
    """
    directory = restore.folder(values.workdir)
    found = restore.restore_each(directory, raw=values.raw)
    untils = [stage.until for stage in staging.stage_configs(restore.read_config(directory))]
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
            "config_sha256": hashing.sha256_of_json(workdir.as_json(run.config)),
        }
        yield run, how, scored


def none_to_score(values: flags.FlagValues) -> SetupError:
    """Returns the error for a run without a checkpoint to be scored, to be raised by the caller."""
    return SetupError(f"--workdir {values.workdir} has no checkpoint that can be scored: run it further")


def candidates(values: flags.FlagValues, channels: int, *, numbered: bool) -> Iterator[Candidate]:
    """Yields the images to be scored: those of a folder, or the samples of each checkpoint of a run.

    Args:
      values: Flags of the command.
      channels: Number of channels of the images in a folder.
      numbered: Whether the names of the sub-folders of a folder are labels.

    Yields:
      The images of the folder, or of one checkpoint after another.

    Raises:
      SetupError: The folder holds fewer than two images.
    """
    if values.images:
        folder = image_sets.of_folder(Path(values.images), channels, numbered=numbered)
        if folder.num < 2:
            raise SetupError(f"--images {values.images} holds 1 sample: at least 2 are needed")
        made = {"count": folder.num, "shape": list(folder.shape), "weights": "not known"}
        yield Candidate(values.images, folder, made, None)
        return
    bounds: list[float | None] = [*truncations(values)] or [None]
    for run, how, scored in runs(values):
        for truncation in bounds:
            yield _samples(values, run, how, scored, truncation, several=len(bounds) > 1)


def _samples(
    values: flags.FlagValues,
    run: restore.Run,
    how: Mapping[str, Any],
    scored: Mapping[str, Any],
    truncation: float | None,
    *,
    several: bool,
) -> Candidate:
    """Returns the samples of a checkpoint as a candidate.

    Args:
      values: Flags of the command.
      run: Restored run.
      how: Facts for the receipt about its weights.
      scored: Facts for the receipt about the checkpoint.
      truncation: Bound on every coordinate of the latents, or None.
      several: Whether the truncation is one of several. It then identifies the samples among those of its
        table, instead of being a setting that all rows of a table share.
    """
    asked = restore.run_sampler(run, truncation=truncation)
    name, facts = f"step {int(run.state.step):,}", dict(scored)
    if several:
        name, facts = f"{name}, truncation {truncation:g}", {**facts, "truncation": truncation}
    made = {
        "count": values.num,
        "shape": list(derived.spec_of(run.config).shape),
        **how,
        "truncation": "several" if several else truncation,
        "seed": values.seed,
    }
    if asked.labels is not None:
        made["labels"] = LABELS[derived.spec_of(run.config).label_distribution]
    images = image_sets.generated(
        asked.sample,
        run.state,
        num=values.num,
        seed=values.seed,
        facts=facts,
        given=asked.given,
        labels=asked.labels,
    )
    walk = functools.partial(
        image_features.path_length,
        run,
        asked=asked,
        truncation=truncation,
        num=values.num,
        seed=values.seed,
    )
    return Candidate(name, images, made, walk)


def _stand(run: restore.Run, batches: int, seed: int) -> GANState:
    """Returns the state of a run with standing batch statistics, computed from samples in batches."""
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
    """Checks that a run was not trained on the held-out split.

    Args:
      held_out: Name of the held-out split.
      fields: Fields of the data that has the split.
      config: Config of the run; None for a folder of images, whose origin is not known.

    Raises:
      SetupError: The run was trained on the same split, a slice of it, or all of the data.
    """
    if config is None or config.data.name != fields["name"]:
        return
    trained = config.data.get("split") or ("train" if fields["name"].startswith("tfds/") else "")
    seen, asked = ({part.partition("[")[0] for part in x.split("+")} for x in (trained, held_out))
    if not trained or seen & asked:
        raise SetupError(
            f"--held_out={held_out}: the run was trained on {trained or 'all'} of {fields['name']}, and has"
            " seen that split: train with --config.data.split=train, and hold out another"
        )


def score_images(
    values: flags.FlagValues, config: ConfigDict | None, named: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Scores the samples of a run, or the images of a folder, with a network.

    Args:
      values: Flags of the command.
      config: Config of the run; None for a folder.
      named: Names of the scores; None for the usual scores of the network.

    Returns:
      The results, each with its receipt.

    Raises:
      SetupError: The data have no field ``real``, a score cannot be computed, or there is nothing to score.
    """
    if config is not None and "real" not in derived.spec_of(config).fields:
        raise SetupError(
            f"--workdir {values.workdir}: data.name {config.data.name} has no samples called real to"
            " compare those of the run with; give --metrics=NAME of the system's own measures"
        )
    statistics = bool(values.reference)
    fields: dict[str, Any] = {"name": "statistics", "channels": values["data.channels"].value or 3}
    if not statistics:
        fields = data_flags.data_fields(config.data if config else {}, values)
        data.open_spec(**fields)  # refuses wrong fields before a network is opened or trained
    elif config:
        fields = config.data.to_dict()
    given = values.backbone or backbones.default(fields["name"])
    kind = backbones.kind(given)
    conditional = config is not None and "labels" in build.build(config).reads
    # Only the dataset's own network is known to have the classes of the labels.
    by_class = conditional and not values.backbone
    names = named or image_metrics.usual(kind, statistics=statistics, by_class=by_class)
    image_metrics.check_metrics(
        names,
        kind,
        statistics=statistics,
        held_out=bool(values.held_out),
        folder=bool(values.images),
        labels=bool(values.images) or conditional,
    )
    by_name = fields["name"] != "folder" and any(name.startswith("class_") for name in names)
    scored = candidates(values, fields["channels"], numbered=by_name)
    if (first := next(scored, None)) is None:
        raise none_to_score(values)
    backbone = backbones.open_backbone(given, fields)
    needs = image_metrics.needs(names)
    held_out = None
    facts: dict[str, Any] = {}
    if statistics:
        real, facts["reference"] = image_features.statistics(Path(values.reference))
    else:
        images = image_sets.of_source(fields)
        real, facts["reference"] = image_features.reference(images, backbone, needs), images.facts
    if values.held_out:
        images = image_sets.of_source({**fields, "split": values.held_out})
        check_held_out(values.held_out, fields, config)
        if images.facts["sha256"] == facts["reference"].get("sha256"):
            raise SetupError(
                f"--held_out={values.held_out} is the reference itself: give a split training did not see"
            )
        held_out, facts["held_out"] = image_features.reference(images, backbone, needs), images.facts
    common = {
        "backbone": {"name": backbone.name, "sha256": backbone.sha256, "resize": backbone.resize},
        "quantisation": image_features.QUANTISATION,
        "metrics": {name: dict(image_metrics.METRICS[name].settings) for name in names},
        **facts,
    }
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    classes = () if statistics else data.open_spec(**fields).names
    made_now = []
    for called, images, made, walk in itertools.chain([first], scored):
        fake = image_features.measure(images, backbone, needs)
        sets = image_metrics.Sets(real, fake, held_out, walk and functools.partial(walk, backbone))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", UserWarning)
            scores = image_metrics.compute(sets, names)
            by_label = image_metrics.by_class(sets, names)
        for each in said:
            print(f"warning: {each.message}", file=sys.stderr)
        receipt = {**common, "generated": made, "scored": images.facts, "versions": versions}
        of_classes = {
            name: {classes[label] if label < len(classes) else str(label): x for label, x in found.items()}
            for name, found in by_label.items()
        }
        made_now.append({"name": called, "scores": scores, "by_class": of_classes, "receipt": receipt})
    return made_now


def score_measures(values: flags.FlagValues, names: Sequence[str]) -> list[dict[str, Any]]:
    """Scores a run by the measures that its system defines, on real samples of its data.

    Args:
      values: Flags of the command. The flags of the data choose the real samples.
      names: Names of the measures.

    Returns:
      The results, each with its receipt.

    Raises:
      SetupError: The run has no checkpoint to be scored, or its data cannot be opened.
    """
    results = []
    for run, how, scored in runs(values):
        fields = data_flags.given_data(run.config.data, values)
        source = data.open_source(**fields)
        found = own_measures.measure(run.gan, run.state, source, names, seed=values.seed)
        receipt = {
            "metrics": {name: {"is": run.gan.measures[name].meaning} for name in names},
            "measured_on": {
                "data": {
                    name: x
                    for name, x in config_fields.flatten(ConfigDict(fields)).items()
                    if name != "path"
                },
                "count": len(own_measures.rows_of(source)),
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
