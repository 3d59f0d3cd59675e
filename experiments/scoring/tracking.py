"""Scores for a curve and for the best checkpoint, as the section ``score`` of a config requests them.

The fields of the section are ``every`` and ``metric``. A metric of images, which is fid with Inception or
fcd with a classifier, also takes ``num``, the number of samples. It may take ``backbone``, as in
``experiments.evaluate``, to replace the dataset's own network. A measure that the system defines, such as
the ``elbo`` of a VAE, may take ``split``, the split of the real samples if it is not the one for training.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from experiments.cli.config_fields import with_values
from experiments.scoring import (
    backbones,
    classifiers,
    image_features,
    image_metrics,
    image_sets,
    member_scores,
    own_measures,
)
from experiments.training import build, derived, sampling, workdir
from jaxgan import checkpoint, data, hyper
from jaxgan.errors import SetupError, unknown
from jaxgan.state import GANState
from jaxgan.steps import GAN, Measure

FILE, BEST, RECEIPT = "scores.jsonl", "best", "scores_receipt.json"
IMAGE_METRICS = {"classifier": "fcd", "inception": "fid"}  # Metric of images by the kind of the network.
FIELDS = ("every", "metric", "num")


def check(config: ConfigDict) -> None:
    """Validates the section ``score`` of a config, which may be absent.

    Raises:
      SetupError: A field is missing, unknown or out of range, or the data or the network has no such score.
    """
    if "score" not in config:
        return
    own, spec = _measure(config), derived.spec_of(config)
    points = not spec.images
    fields = FIELDS[:2] if points or own else FIELDS
    known = (*fields, "split") if own else fields if points else (*fields, "backbone")
    for name in config.score:
        if name not in known:
            raise unknown("score field", name, known)
    for name in fields:
        if name not in config.score:
            raise SetupError(
                f"the config has no field score.{name}: its section score needs {', '.join(fields)}"
            )
    for name, least in (("every", 1), ("num", 2)):
        if name not in fields:
            continue
        hyper.check_value(f"score.{name}", config.score[name], hyper.kind_of(hyper.Whole))
        if config.score[name] < least:
            raise SetupError(f"config field score.{name} is {config.score[name]}: give at least {least}")
    if own:
        data.open_spec(**own_measures.scored_data(config))
        return
    if "real" not in spec.fields:
        raise SetupError(
            f"score.metric {config.score.get('metric')}: {config.data.name} has no samples called real to"
            " compare those of the system with; give a measure of the system's own"
        )
    valid = tuple(member_scores.MEANINGS if points else IMAGE_METRICS.values())
    if config.score.metric not in valid:
        raise unknown("score.metric", config.score.metric, valid)
    if not points:
        _check_backbone(config, spec)
        return
    section = config.data
    while section.name == "zipped":  # The samples called real are those of the part called real.
        section = section.real
    if config.score.metric in member_scores.OF_MODES and data.make_problem(**section).modes is None:
        raise SetupError(f"score.metric {config.score.metric}: {section.name} has no modes; give w1")


def _measure(config: ConfigDict) -> Measure | None:
    """Returns the system's own measure that ``score.metric`` names; None if it is another metric."""
    hyper.check_value("score.metric", config.score.get("metric", ""), hyper.kind_of(hyper.Text))
    return build.build(config).measures.get(config.score.get("metric"))


def _backbone(config: ConfigDict) -> str:
    """Returns the network to score images with: ``score.backbone``, or else the dataset's own network."""
    given = config.score.get("backbone")
    if given:
        return given
    try:
        return backbones.default(config.data.name)
    except SetupError as error:
        raise SetupError(
            "the config has no field score.backbone, and there is no network of its own for"
            f" {config.data.name}: give a file of Inception's weights as experiments.inception writes them"
        ) from error


def _check_backbone(config: ConfigDict, spec: data.Spec) -> None:
    """Validates the network to score images with.

    Raises:
      SetupError: There is no such network, or it does not fit the metric or the images.
    """
    given, metric = _backbone(config), config.score.metric
    if not isinstance(given, str):
        raise SetupError(f"config field score.backbone is {given!r}: give a file or classifier-DATASET")
    try:
        kind = backbones.kind(given)
        backbones.check_file(given)  # A run that fails later would leave its work directory behind.
    except SetupError as error:
        raise SetupError(f"config field score.backbone: {error}") from error
    if metric != IMAGE_METRICS[kind]:
        raise SetupError(
            f"score.metric {metric} is not made with {given}: give {IMAGE_METRICS[kind]}, or another"
            " score.backbone, for fid a file of Inception's weights"
        )
    if kind == "inception":
        return
    name = backbones.dataset_of(given)
    if name is not None and name not in classifiers.DATASETS:
        raise unknown("score.backbone", given, [backbones.PREFIX + known for known in classifiers.DATASETS])
    if not classifiers.fits(spec.shape):
        ours, theirs = ("×".join(map(str, sides)) for sides in (spec.shape, classifiers.SHAPE))
        raise SetupError(
            f"score.metric {metric}: the images are {ours}, {given} takes {theirs} or squares of another"
            " size: give fid and a file of Inception's weights as score.backbone"
        )


class Score(NamedTuple):
    """The score of a run's states.

    Attributes:
      of: Function that returns the score of a state.
      more_is_better: Whether the best score is the highest.
      receipt: Settings of the score, as JSON; empty if the config alone determines them.
    """

    of: Callable[[GANState], float]
    more_is_better: bool
    receipt: Mapping[str, Any]


def make_score(config: ConfigDict, gan: GAN, source: data.Source) -> Score:
    """Makes the score of a config's section ``score``; trains a network if the score needs one.

    Args:
      config: Config of the run, with a section ``score``.
      gan: System to be scored.
      source: Source of the training data.

    Returns:
      The score.
    """
    metric = config.score.metric
    if metric in gan.measures:
        scored_on = data.open_source(**own_measures.scored_data(config))

        def of_measure(state: GANState) -> float:
            return own_measures.measure(gan, state, scored_on, [metric], seed=config.seed)[metric]

        return Score(of_measure, gan.measures[metric].more_is_better, {})
    more_is_better = member_scores.MEANINGS.get(metric, (False, ""))[0]
    if source.problem is not None:
        seeded = with_values(config, {"data.seed": derived.data_seed(config)})
        measure = member_scores.measure(gan, source, seeded)
        return Score(
            lambda state: float(measure(jax.tree.map(lambda x: x[None], state))[metric][0]),
            more_is_better,
            {},
        )
    backbone = backbones.open_backbone(_backbone(config), config.data)
    reference = image_sets.of_source(config.data)
    real = image_features.reference(reference, backbone, ())

    sample = sampling.sampler(gan, source.conditions)

    def of_images(state: GANState) -> float:
        images = image_sets.generated(sample, state, num=config.score.num, seed=config.seed, facts={})
        return image_metrics.compute(
            image_metrics.Sets(real, image_features.measure(images, backbone, ())), [metric]
        )[metric]

    receipt = {
        "metric": metric,
        "backbone": {"name": backbone.name, "sha256": backbone.sha256},
        "reference": {"sha256": reference.facts["sha256"]},
        "num": config.score.num,
        "seed": config.seed,
    }
    return Score(of_images, more_is_better, receipt)


def check_receipt(directory: Path, receipt: Mapping[str, Any], start: int) -> None:
    """Checks that new scores are comparable with the scores that a run already has.

    Args:
      directory: Work directory of the run.
      receipt: Receipt of the new scores.
      start: Step from which the run continues.

    Raises:
      SetupError: The scores up to ``start``, or the score of the best checkpoint, have another receipt.
    """
    path, made_with = directory / FILE, directory / RECEIPT
    kept = path.exists() and any(line["step"] <= start for line in workdir.read_lines(path))
    best = (directory / BEST).is_dir() and any(x.name.isdigit() for x in (directory / BEST).iterdir())
    if not kept and not best:
        return
    earlier = workdir.read_json(made_with) if made_with.exists() else {}
    if differs := workdir.differences(earlier, receipt):
        raise SetupError(
            f"the scores in {path} are not comparable with new ones ({differs}): remove {FILE} and {BEST}/"
            " there to score from here on, or give the earlier settings"
        )


class Progress:
    """Writer of a run's scores, which also keeps the checkpoint with the best score.

    Args:
      config: Config of the run, with a section ``score``.
      score: Score from :func:`make_score`.
      directory: Work directory of the run.
      start: Step from which the run continues. Later scores are removed; the run computes them again, with
        the same values.

    Raises:
      SetupError: The run has scores with another receipt, see :func:`check_receipt`.
    """

    def __init__(self, config: ConfigDict, score: Score, directory: Path, start: int):
        check_receipt(directory, score.receipt, start)
        if score.receipt:
            workdir.write_json(directory / RECEIPT, score.receipt)
        self._metric, self._score = config.score.metric, score.of
        self._more_is_better = score.more_is_better
        self._path = directory / FILE
        workdir.trim_metrics(self._path, start)
        lines = workdir.read_lines(self._path) if self._path.exists() else []
        self._best = math.nan
        for line in lines:
            self.improves(line[self._metric])
        self._manager = checkpoint.open_manager(directory / BEST, keep=1)

    def improves(self, value: float | None) -> bool:
        """Returns whether a score is better than all earlier ones, and if so remembers it as the best."""
        if value is None or math.isnan(value):
            return False
        if math.isnan(self._best) or (value > self._best if self._more_is_better else value < self._best):
            self._best = value
            return True
        return False

    def __call__(self, step: int, state: GANState, info: dict[str, object]) -> dict[str, float]:
        """Scores the state of a step and returns the score by its name.

        Args:
          step: Step of the state.
          state: State to score.
          info: Facts to save with the checkpoint of the best score.
        """
        value = self._score(state)
        # A killed run may have saved this step already, with the same state.
        if self.improves(value) and step not in self._manager.all_steps():
            checkpoint.save(self._manager, state, info)
            # A resumed run trusts the file of scores, so the checkpoint is completed before its line.
            self._manager.wait_until_finished()
        with self._path.open("a") as file:
            file.write(
                json.dumps({"step": step, self._metric: value if math.isfinite(value) else None}) + "\n"
            )
        return {self._metric: value}

    def close(self) -> None:
        """Waits until all checkpoints are written."""
        self._manager.close()
