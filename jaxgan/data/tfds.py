"""TensorFlow Datasets by random access: prepared on first use, read without TensorFlow."""

import logging
import os
import sys
from typing import Any

import numpy as np
from PIL import Image

from jaxgan.data.images import fit, image_shape
from jaxgan.data.source import Source, Spec, from_examples, make_spec
from jaxgan.errors import SetupError, unknown


class TFDSExamples:
    """Random access to the images (and labels) of a TFDS data source, fitted to one size."""

    def __init__(self, data_source: Any, size: int, channels: int):
        self._source, self._size, self._channels = data_source, size, channels

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        examples = [self._one(int(index)) for index in indices]
        return {name: np.stack([example[name] for example in examples]) for name in examples[0]}

    def _one(self, index: int) -> dict[str, Any]:
        example = self._source[index]
        image = np.asarray(example["image"])
        if image.shape != (self._size, self._size, self._channels):
            squeezed = image[..., 0] if image.shape[-1] == 1 else image
            image = fit(Image.fromarray(squeezed), self._size, self._channels)
        out: dict[str, Any] = {"real": image}
        if "label" in example:
            out["labels"] = np.int32(example["label"])
        return out


def _builder(name: str, path: str | None) -> Any:
    """A dataset's builder, which knows what the dataset holds and has not downloaded it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise SetupError(
            f'data.name "tfds/{name}" needs tensorflow-datasets: pip install "jaxgan[experiments]"'
        ) from error
    for library in ("absl", "urllib3"):  # advice about OpenCV, a line for every retry
        logging.getLogger(library).setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        return tfds.builder(name, data_dir=path or None, file_format="array_record")
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        names = [f"tfds/{builder}" for builder in tfds.list_builders()]
        if f"tfds/{name.split('/')[0].split(':')[0]}" in names:
            remedy = "; give another data.path, to prepare it anew" if "format" in str(error) else ""
            raise SetupError(
                f"data.name tfds/{name}: {' '.join(str(error).split())[:300]}{remedy}"
            ) from error
        raise unknown("data.name", f"tfds/{name}", names) from error


def _spec(builder: Any, size: int, channels: int) -> Spec:
    features = builder.info.features or {}
    labelled = "label" in features
    classes = getattr(features["label"], "num_classes", None) if labelled else None  # a ClassLabel has one
    return make_spec(image_shape(size, channels), labelled=labelled, classes=classes)


def tfds_spec(name: str, *, path: str | None = None, size: int, channels: int, **_: Any) -> Spec:
    """The spec of :func:`from_tfds`, by what the dataset's builder knows; nothing is downloaded.

    Raises:
      SetupError: there is no such dataset.
    """
    return _spec(_builder(name, path), size, channels)


def from_tfds(
    name: str, *, path: str | None = None, size: int, channels: int, split: str | None = None, **_: Any
) -> Source:
    """Makes a source of the images of a TFDS dataset.

    Args:
      name: of the dataset, e.g. ``"fashion_mnist"``.
      path: TFDS's data folder; None for its default, ``~/tensorflow_datasets``.
      size: side to which images are centre-cropped and resized (antialiased), in pixels.
      channels: 1 for grey, 3 for colour.
      split: in TFDS's syntax; None for ``train``.

    Returns:
      The source; ``labels`` if the dataset has a feature ``label``.

    Raises:
      SetupError: there is no such dataset or split, it has no images, or it cannot be prepared; the
        message then says how to place its files by hand.
    """
    split = split or "train"
    builder = _builder(name, path)
    try:
        builder.download_and_prepare()
    except Exception as error:  # downloads fail in as many ways as there are servers
        files = ", ".join(sorted(info.filename for info in builder.url_infos.values() if info.filename))
        place = f"{builder._data_dir_root}/downloads/manual"  # noqa: SLF001
        raise SetupError(
            f"data.name tfds/{name} cannot be downloaded and prepared"
            f" ({type(error).__name__}: {' '.join(str(error).split())[:200]}); fetch its files by hand"
            f" ({files or builder.info.homepage}), put them in {place} and run again"
        ) from error
    if "image" not in (builder.info.features or {}):
        raise SetupError(f"data.name tfds/{name} has no feature named image: choose an image dataset")
    try:
        data_source = builder.as_data_source(split=split)
    except (KeyError, ValueError) as error:
        raise unknown("data.split", split, builder.info.splits) from error
    return from_examples(TFDSExamples(data_source, size, channels), _spec(builder, size, channels))
