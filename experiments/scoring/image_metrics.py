"""Scores of sets of images by name, with the inputs that they read and the settings that receipts list."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.scoring.image_features import PIXELS, Measured
from jaxgan.errors import SetupError, unknown
from jaxgan.metrics.frechet import class_frechet_distance, frechet_distance, frechet_infinity
from jaxgan.metrics.inception_score import inception_score
from jaxgan.metrics.kid import kernel_inception_distance
from jaxgan.metrics.ms_ssim import ms_ssim_diversity, smallest_side
from jaxgan.metrics.neighbours import data_copying
from jaxgan.metrics.parzen import SIGMAS, parzen_log_likelihood
from jaxgan.metrics.prdc import precision_recall_density_coverage


class Sets(NamedTuple):
    """The sets that a metric may read.

    Attributes:
      real: Reference images.
      fake: Images to be scored.
      held_out: Real images that training did not see; None if they are not given.
      walk: Function that computes the perceptual path length of the generator; None if a folder of images
        is scored.
    """

    real: Measured
    fake: Measured
    held_out: Measured | None = None
    walk: Callable[[], float] | None = None


class Metric(NamedTuple):
    """A score of sets of images.

    Attributes:
      kind: Kind of the network that the score needs, ``inception`` or ``classifier``; empty for either.
      needs: Fields of ``Measured`` that the score reads besides the moments.
      compute: Function ``compute(sets)`` that returns the values of the score by name.
      settings: Settings of the score for the receipt.
      usual: Whether the score is computed if no scores are named.
      by_class: Function from the sets to the values of the score by label; None for a score of all classes.
    """

    kind: str
    needs: tuple[str, ...]
    compute: Callable[[Sets], dict[str, float]]
    settings: Mapping[str, Any]
    usual: bool = True
    by_class: Callable[[Sets], dict[int, float]] | None = None


SPLITS, SUBSETS, SUBSET_SIZE, NEIGHBOURS, PAIRS, FIT_SEED = 10, 100, 1000, 5, 1000, 0
FRECHET = {"covariance": "unbiased, float64", "root": "symmetric eigendecomposition"}
SCORE = {"splits": SPLITS, "order": "RandomState(2020).permutation"}


def _frechet(name: str) -> Callable[[Sets], dict[str, float]]:
    return lambda sets: {name: frechet_distance(sets.real.moments, sets.fake.moments)}


def _inception_score(name: str) -> Callable[[Sets], dict[str, float]]:
    def compute(sets: Sets) -> dict[str, float]:
        score = inception_score(sets.fake.logits, splits=SPLITS)
        return {name: score.mean, f"{name}_std": score.std}

    return compute


def _infinity(name: str) -> Callable[[Sets], dict[str, float]]:
    def compute(sets: Sets) -> dict[str, float]:
        fit = frechet_infinity(sets.real.moments, sets.fake.features, seed=FIT_SEED)
        return {name: fit.value}

    return compute


def _by_class(name: str) -> Callable[[Sets], dict[str, float]]:
    def compute(sets: Sets) -> dict[str, float]:
        real, fake = sets.real, sets.fake
        if real.labels is None:
            raise SetupError(f"metric {name} needs a dataset with labels")
        return {name: class_frechet_distance(real.features, real.labels, fake.features, fake.labels).mean}

    return compute


def _is_right(sets: Sets) -> np.ndarray:
    assert sets.fake.labels is not None
    return np.argmax(sets.fake.logits, -1) == sets.fake.labels


def _class_accuracy(sets: Sets) -> dict[str, float]:
    return {"class_accuracy": float(np.mean(_is_right(sets)))}


def _accuracies(sets: Sets) -> dict[int, float]:
    right, labels = _is_right(sets), sets.fake.labels
    return {int(label): float(np.mean(right[labels == label])) for label in np.unique(labels)}


def _kid(sets: Sets) -> dict[str, float]:
    counts = len(sets.real.features), len(sets.fake.features)
    size = min(SUBSET_SIZE, *counts)
    if size == max(counts):
        warnings.warn(
            f"kid: each subset is all of {size} real and {size} fake samples, so kid_std does not measure"
            f" chance; take more than {SUBSET_SIZE}",
            stacklevel=2,
        )
    score = kernel_inception_distance(
        sets.real.features, sets.fake.features, subsets=SUBSETS, subset_size=size
    )
    return {"kid": score.mean, "kid_std": score.std}


def _prdc(sets: Sets) -> dict[str, float]:
    return precision_recall_density_coverage(sets.real.features, sets.fake.features, k=NEIGHBOURS)._asdict()


def _ms_ssim(sets: Sets) -> dict[str, float]:
    pixels, labels = sets.fake.pixels, sets.fake.labels
    scales = max((n for n in range(1, 6) if smallest_side(n) <= min(pixels.shape[1:3])), default=5)
    labels = labels if labels is None else labels[: len(pixels)]
    found = {"ms_ssim": ms_ssim_diversity(pixels, labels=labels, pairs=PAIRS, scales=scales).mean}
    real, real_labels = sets.real.pixels, None
    if labels is not None:
        if sets.real.labels is None:
            return found
        real_labels = sets.real.labels[: len(real)]
        kept = np.isin(real_labels, labels)
        real, real_labels = real[kept], real_labels[kept]
        if any(np.sum(real_labels == label) < 2 for label in np.unique(labels)):
            return found  # A mean over other classes would not be comparable.
    if len(real) > 1 and real.shape[1:] == pixels.shape[1:]:
        diversity = ms_ssim_diversity(real, labels=real_labels, pairs=PAIRS, scales=scales)
        found["ms_ssim_real"] = diversity.mean
    return found


def _parzen(sets: Sets) -> dict[str, float]:
    truth = sets.held_out or sets.real
    fake, real = (x.pixels.reshape(len(x.pixels), -1) / np.float32(255) for x in (sets.fake, truth))
    order = np.random.default_rng(FIT_SEED).permutation(len(real))
    validation, test = np.array_split(real[order], 2)
    found = parzen_log_likelihood(fake, validation, test)
    return {"parzen": found.mean, "parzen_error": found.std_error, "parzen_sigma": found.sigma}


def _copying(sets: Sets) -> dict[str, float]:
    assert sets.held_out is not None
    found = data_copying(sets.real.features, sets.held_out.features, sets.fake.features)
    return {"copying_farther": found.farther, "copying_z": found.z}


def _path_length(sets: Sets) -> dict[str, float]:
    assert sets.walk is not None
    return {"path_length": sets.walk()}


METRICS: dict[str, Metric] = {
    "fid": Metric("inception", (), _frechet("fid"), FRECHET),
    "kid": Metric(
        "inception",
        ("features",),
        _kid,
        {
            "subsets": f"{SUBSETS}, each drawn from the fake and then from the real samples",
            "subset_size": f"{SUBSET_SIZE}, or the size of the smaller set",
            "seed": 2020,
        },
    ),
    "is": Metric(
        "inception",
        ("logits",),
        _inception_score("is"),
        {**SCORE, "logits": "without the layer's bias"},
    ),
    "fcd": Metric("classifier", (), _frechet("fcd"), FRECHET),
    "classifier_score": Metric("classifier", ("logits",), _inception_score("classifier_score"), SCORE),
    "prdc": Metric("", ("features",), _prdc, {"k": NEIGHBOURS}),
    "fid_infinity": Metric(
        "inception",
        ("features",),
        _infinity("fid_infinity"),
        {**FRECHET, "sizes": "15 from 5000 to all", "seed": FIT_SEED},
        usual=False,
    ),
    "class_fid": Metric("inception", ("features", "labels"), _by_class("class_fid"), FRECHET, usual=False),
    "class_fcd": Metric("classifier", ("features", "labels"), _by_class("class_fcd"), FRECHET, usual=False),
    "class_accuracy": Metric(
        "classifier",
        ("logits", "labels"),
        _class_accuracy,
        {"of": "samples classified as the class asked for, or as the label of their sub-folder"},
        usual=False,
        by_class=_accuracies,
    ),
    "ms_ssim": Metric(
        "",
        ("pixels", "labels"),
        _ms_ssim,
        {
            "pairs": f"{PAIRS} of each class; samples without labels are of one class",
            "images": f"the first {PIXELS}",
            "scales": "as many of 5 as the size of the images allows",
            "ms_ssim_real": "of the reference, if it has the same classes and size",
            "seed": 0,
        },
        usual=False,
    ),
    "parzen": Metric(
        "",
        ("pixels",),
        _parzen,
        {
            "images": f"the first {PIXELS} of each set",
            "of": "the held-out split if one is given, else the reference",
            "sigma": f"best of {len(SIGMAS)} from {SIGMAS[0]:.3g} to {SIGMAS[-1]:.3g} on a random half,"
            " scored on the other",
        },
        usual=False,
    ),
    "path_length": Metric(
        "inception",
        (),
        _path_length,
        {"distance": "squared Euclidean, of features", "sampling": "full", "epsilon": 1e-4},
        usual=False,
    ),
    "copying": Metric("", ("features",), _copying, {"distance": "Euclidean, of features"}, usual=False),
}


def possible(kind: str) -> list[str]:
    """Returns the names of all scores that can be computed with a network of this kind."""
    return [name for name, metric in METRICS.items() if metric.kind in ("", kind)]


def _needs_images(name: str) -> bool:
    return METRICS[name].needs not in ((), ("logits",))


def usual(kind: str, *, statistics: bool, by_class: bool = False) -> list[str]:
    """Returns the names of the scores that are computed if none are named.

    Args:
      kind: Kind of the network, ``inception`` or ``classifier``.
      statistics: Whether the reference is a file of statistics instead of images.
      by_class: Whether the samples have labels that are classes of the network.
    """
    return [
        name
        for name in possible(kind)
        if (METRICS[name].usual or (by_class and name == "class_accuracy"))
        and not (statistics and _needs_images(name))
    ]


def check_metrics(
    names: Sequence[str], kind: str, *, statistics: bool, held_out: bool, folder: bool, labels: bool
) -> None:
    """Checks that metrics exist and can be computed from what is given.

    Args:
      names: Names of the metrics.
      kind: Kind of the network, ``inception`` or ``classifier``.
      statistics: Whether the reference is a file of statistics instead of images.
      held_out: Whether there are real images that training did not see.
      folder: Whether a folder of images is scored, whose sub-folders are labels.
      labels: Whether the scored images have labels, as a folder and the samples of a system that reads
        labels do.

    Raises:
      SetupError: A metric cannot be computed. The message says what to give instead.
    """
    for name in names:
        if name not in METRICS:
            raise unknown("metric", name, possible(kind))
        if name not in possible(kind):
            raise SetupError(f"metric {name} is not made with {kind}: give {', '.join(possible(kind))}")
        if statistics and _needs_images(name):
            raise SetupError(f"metric {name} needs the reference's images, --reference has statistics only")
        if name == "copying" and not held_out:
            raise SetupError("metric copying needs images that training did not see: give --held_out=SPLIT")
        if name == "path_length" and folder:
            raise SetupError("metric path_length is a generator's: give --workdir, not --images")
        if name.startswith("class_") and not labels:
            raise SetupError(
                f"metric {name} needs samples with labels: give the run of a system that reads labels, or"
                " --images=FOLDER with sub-folders"
            )


def needs(names: Sequence[str]) -> list[str]:
    """Returns the fields of ``Measured`` that metrics read besides the moments."""
    return sorted({need for name in names for need in METRICS[name].needs})


def by_class(sets: Sets, names: Sequence[str]) -> dict[str, dict[int, float]]:
    """Computes the values by label of those scores that have such values, by name of the score."""
    return {name: of(sets) for name in names if (of := METRICS[name].by_class) is not None}


def compute(sets: Sets, names: Sequence[str]) -> dict[str, float]:
    """Computes scores by name."""
    found: dict[str, float] = {}
    for name in names:
        found |= {key: float(value) for key, value in METRICS[name].compute(sets).items()}
    return found
