"""Networks whose features stand for images, by the names that commands give them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.scoring import classifiers
from jaxgan.errors import SetupError
from jaxgan.metrics import inception_backbone
from jaxgan.metrics.backbone import Backbone

PREFIX = "classifier-"


def default(data: str) -> str:
    """The name of the network for a dataset, where there is one that needs no file.

    Raises:
      SetupError: there is none.
    """
    name = data.removeprefix("tfds/")
    if name in classifiers.DATASETS:
        return PREFIX + name
    raise SetupError(
        f"no --backbone given, and there is none of its own for {data}: give --backbone=FILE.safetensors,"
        " Inception's weights as experiments.inception writes them"
    )


def kind(given: str) -> str:
    """What sort of network a name or a file stands for: ``inception`` or ``classifier``."""
    return "classifier" if given.startswith(PREFIX) else "inception"


def open_backbone(given: str, data: Mapping[str, Any]) -> Backbone:
    """A network by ``classifier-DATASET``, trained if it was not yet, or by a file of Inception's weights.

    Args:
      given: the name or the file.
      data: a config's ``data``, for where TFDS keeps its datasets.

    Raises:
      SetupError: there is no such dataset or file, or the file holds something else.
    """
    if given.startswith(PREFIX):
        path = data.get("path") if data["name"].startswith("tfds/") else None
        return classifiers.load_or_train(given.removeprefix(PREFIX), path=path or None)
    return inception_backbone.load(Path(given))
