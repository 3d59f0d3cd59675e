"""Networks that extract image features, by the names or files that commands and configs give."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.scoring import classifiers
from jaxgan import weights
from jaxgan.errors import SetupError
from jaxgan.metrics import inception_backbone
from jaxgan.metrics.backbone import Backbone

PREFIX = "classifier-"
_HOW = "give a file that experiments.inception or experiments.classifier wrote, or classifier-DATASET"


def default(data: str) -> str:
    """Returns the name of the classifier that belongs to a dataset.

    Raises:
      SetupError: The dataset has no classifier of its own.
    """
    name = data.removeprefix("tfds/")
    if name in classifiers.DATASETS:
        return PREFIX + name
    raise SetupError(
        f"no --backbone given, and {data} has no classifier of its own: give --backbone=FILE.safetensors,"
        " Inception's weights as experiments.inception writes them"
    )


def dataset_of(given: str) -> str | None:
    """Returns the dataset of a name ``classifier-DATASET``, or None if a file is given.

    >>> dataset_of("classifier-digits"), dataset_of("classifier-digits.safetensors")
    ('digits', None)
    """
    if not given.startswith(PREFIX) or given.endswith(".safetensors"):
        return None
    return given.removeprefix(PREFIX)


def kind(given: str) -> str:
    """Returns the kind of a network, ``inception`` or ``classifier``, without reading its weights.

    Args:
      given: Name ``classifier-DATASET`` or path of a weight file.

    Raises:
      SetupError: The file is missing, damaged, or holds other weights.
    """
    if dataset_of(given) is not None:
        return "classifier"
    if not Path(given).is_file():
        raise SetupError(f"there is no file {given} of a network's weights: {_HOW}")
    try:
        facts = weights.read_facts(Path(given))
    except (OSError, ValueError) as error:
        raise SetupError(
            f"{given} is no file of a network's weights, or is damaged: {error}; {_HOW}"
        ) from error
    if facts.get("network") == inception_backbone.NAME:
        return "inception"
    if "recipe" in facts:
        return "classifier"
    raise SetupError(f"{given} holds the weights of another network: {_HOW}")


def check_file(given: str) -> None:
    """Reads a weight file as a whole, if one is given, and checks its hash.

    Args:
      given: Name ``classifier-DATASET`` or path of a weight file.

    Raises:
      SetupError: The file cannot be read or is damaged.
    """
    if dataset_of(given) is not None:
        return
    try:
        weights.decode(Path(given).read_bytes())
    except (OSError, ValueError) as error:
        raise SetupError(f"{given} is damaged: {error}; {_HOW}") from error


def open_backbone(given: str, data: Mapping[str, Any]) -> Backbone:
    """Opens a network by ``classifier-DATASET`` or from a weight file.

    A classifier that is given by its dataset is trained if the cache does not hold it.

    Args:
      given: Name ``classifier-DATASET`` or path of a weight file.
      data: Section ``data`` of a config, which may name the folder of TFDS's datasets.

    Raises:
      SetupError: There is no such dataset, or the file is missing, damaged, or holds other weights.
    """
    if (dataset := dataset_of(given)) is not None:
        path = data.get("path") if data["name"].startswith("tfds/") else None
        return classifiers.load_or_train(dataset, path=path or None)
    load = inception_backbone.load if kind(given) == "inception" else classifiers.load
    return load(Path(given))
