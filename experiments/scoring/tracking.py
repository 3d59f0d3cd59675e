"""A cheap score while training, for a curve and for the best checkpoint: the config's section ``score``.

Its fields are ``every`` and ``metric``. A metric of images, fid by Inception or fcd by a classifier, takes
``num``, how many samples, and may have another network than the dataset's own: ``backbone``, as
``experiments.evaluate`` takes it. A measure of the system's own, such as a VAE's ``elbo``, takes ``split``,
the real samples it is measured on, where they are not those of training.
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
from jaxgan import checkpoint, data
from jaxgan.errors import SetupError, unknown
from jaxgan.state import GANState
from jaxgan.steps import GAN, Measure

FILE, BEST, RECEIPT = "scores.jsonl", "best", "scores_receipt.json"
IMAGE_METRICS = {"classifier": "fcd", "inception": "fid"}  # by the kind of the network
FIELDS = ("every", "metric", "num")


def check(config: ConfigDict) -> None:
    """Refuses a section ``score`` that cannot be met; a config may have none.

    Raises:
      SetupError: a field is missing, unknown or out of range, or the data or the network has no such score.
    """
    if "score" not in config:
        return
    own = _measure(config)
    points = config.data.name in data.PROBLEMS
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
        if name in fields and config.score[name] < least:
            raise SetupError(f"config field score.{name} is {config.score[name]}: give at least {least}")
    if own:
        data.open_spec(**_scored_data(config))
        return
    if "real" not in derived.spec_of(config).fields:
        raise SetupError(
            f"score.metric {config.score.get('metric')}: {config.data.name} has no samples called real to"
            " hold those of the system against; give a measure of the system's own"
        )
    valid = tuple(member_scores.MEANINGS if points else IMAGE_METRICS.values())
    if config.score.metric not in valid:
        raise unknown("score.metric", config.score.metric, valid)
    if not points:
        _check_backbone(config)
    elif config.score.metric in member_scores.OF_MODES and data.make_problem(**config.data).modes is None:
        raise SetupError(f"score.metric {config.score.metric}: {config.data.name} has no modes; give w1")


def _measure(config: ConfigDict) -> Measure | None:
    """Returns the measure of its own that a system is to be scored by, if it is one."""
    return build.build(config).measures.get(config.score.get("metric"))


def _scored_data(config: ConfigDict) -> dict[str, Any]:
    split = config.score.get("split")
    return {**config.data, **({"split": split} if split else {})}


def _backbone(config: ConfigDict) -> str:
    """The network that images are scored with: the one given, else the dataset's own."""
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


def _check_backbone(config: ConfigDict) -> None:
    given, metric = _backbone(config), config.score.metric
    if not isinstance(given, str):
        raise SetupError(f"config field score.backbone is {given!r}: give a file or classifier-DATASET")
    kind = backbones.kind(given)
    if metric != IMAGE_METRICS[kind]:
        raise SetupError(
            f"score.metric {metric} is not made with {given}: give {IMAGE_METRICS[kind]}, or another"
            " score.backbone, for fid a file of Inception's weights"
        )
    if kind == "inception":
        if not Path(given).is_file():
            raise SetupError(
                f"config field score.backbone: there is no file {given}: give one of Inception's weights as"
                " experiments.inception writes them, or classifier-DATASET"
            )
        return
    name = given.removeprefix(backbones.PREFIX)
    if name not in classifiers.DATASETS:
        raise unknown("score.backbone", given, [backbones.PREFIX + known for known in classifiers.DATASETS])
    if (shape := derived.spec_of(config).shape) != classifiers.SHAPE:
        ours, theirs = ("×".join(map(str, sides)) for sides in (shape, classifiers.SHAPE))
        raise SetupError(
            f"score.metric {metric}: the images are {ours}, {given} takes {theirs}: give fid and a file of"
            " Inception's weights as score.backbone"
        )


class Score(NamedTuple):
    """How a run's states are scored.

    Attributes:
      of: the score of a state.
      more_is_better: whether the best score is the highest.
      receipt: what it is made with, as JSON; empty where the config alone says it.
    """

    of: Callable[[GANState], float]
    more_is_better: bool
    receipt: Mapping[str, Any]


def make_score(config: ConfigDict, gan: GAN, source: data.Source) -> Score:
    """The score that a config's section ``score`` asks for; a network is trained here if need be."""
    metric = config.score.metric
    if metric in gan.measures:
        scored_on = data.open_source(**_scored_data(config))

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
    """Refuses to go on with scores that do not compare with those that a run has.

    Args:
      directory: the run's.
      receipt: of the scores to come.
      start: the step it continues from.

    Raises:
      SetupError: those up to that step, or that of the best checkpoint, were made with something else.
    """
    path, made_with = directory / FILE, directory / RECEIPT
    kept = path.exists() and any(line["step"] <= start for line in workdir.read_lines(path))
    best = (directory / BEST).is_dir() and any(x.name.isdigit() for x in (directory / BEST).iterdir())
    if not kept and not best:
        return
    earlier = workdir.read_json(made_with) if made_with.exists() else {}
    if differs := workdir.differences(earlier, receipt):
        raise SetupError(
            f"the scores in {path} do not compare with those to come ({differs}): remove {FILE} and {BEST}/"
            " there to score from here on, or give what they were made with"
        )


class Progress:
    """Scores a run as it goes on, writes the scores down, and keeps the checkpoint of the best.

    Args:
      config: the run's, with a section ``score``.
      score: from :func:`make_score`.
      directory: the run's.
      start: the step it continues from; what was scored after it is forgotten, and will be the same again.

    Raises:
      SetupError: the run has scores that were made with something else, see :func:`check_receipt`.
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
        """Whether a score is better than all before; it then is the best."""
        if value is None or math.isnan(value):
            return False
        if math.isnan(self._best) or (value > self._best if self._more_is_better else value < self._best):
            self._best = value
            return True
        return False

    def __call__(self, step: int, state: GANState, info: dict[str, object]) -> dict[str, float]:
        """Scores a state that has settled; returns the score by its name."""
        value = self._score(state)
        # A killed run may have kept a later one already: the same that this one will come to.
        if self.improves(value) and step not in self._manager.all_steps():
            checkpoint.save(self._manager, state, info)
            # A run that goes on believes the lines: none may tell of a best that was not kept.
            self._manager.wait_until_finished()
        with self._path.open("a") as file:
            file.write(
                json.dumps({"step": step, self._metric: value if math.isfinite(value) else None}) + "\n"
            )
        return {self._metric: value}

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.close()
