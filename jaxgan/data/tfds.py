"""Sources of TensorFlow Datasets, which are prepared on first use and read without TensorFlow."""

import logging
import os
import sys
from typing import Any

import numpy as np
from PIL import Image

from jaxgan.data.images import MEMORY_LIMIT, fit, image_shape
from jaxgan.data.source import Source, Spec, from_examples, make_spec
from jaxgan.errors import SetupError, unknown


class TFDSExamples:
    """Random access to the images and any labels of a TFDS data source, fitted to one size.

    Examples are kept in memory after their first use, if all images fit into ``MEMORY_LIMIT``.
    """

    def __init__(self, data_source: Any, size: int, channels: int):
        self._source, self._size, self._channels = data_source, size, channels
        self._is_kept = len(data_source) * size * size * channels <= MEMORY_LIMIT
        self._kept: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        examples = [self._kept.get(int(index)) or self._decode(int(index)) for index in indices]
        return {name: np.stack([example[name] for example in examples]) for name in examples[0]}

    def _decode(self, index: int) -> dict[str, Any]:
        example = self._source[index]
        image = np.asarray(example["image"])
        if image.shape != (self._size, self._size, self._channels):
            squeezed = image[..., 0] if image.shape[-1] == 1 else image
            image = fit(Image.fromarray(squeezed), self._size, self._channels)
        out: dict[str, Any] = {"real": image}
        if "label" in example:
            out["labels"] = np.int32(example["label"])
        if self._is_kept:
            self._kept[index] = out
        return out


def _builder(name: str, path: str | None) -> Any:
    """Returns the builder of a dataset, which describes the dataset without downloading it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise SetupError(
            f'data.name "tfds/{name}" needs tensorflow-datasets: pip install "jaxgan[experiments]"'
        ) from error
    for library in ("absl", "urllib3"):  # These log advice about OpenCV, and one line per retry.
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
    # Only a feature of the type ClassLabel has a number of classes, and names for them.
    classes = getattr(features["label"], "num_classes", None) if labelled else None
    names = features["label"].names if classes is not None else ()
    return make_spec(image_shape(size, channels), labelled=labelled, classes=classes, class_names=names)


def tfds_spec(name: str, *, path: str | None = None, size: int, channels: int) -> Spec:
    """Returns the spec of :func:`from_tfds` from the builder of the dataset; nothing is downloaded.

    Raises:
      SetupError: There is no such dataset.
    """
    return _spec(_builder(name, path), size, channels)


def from_tfds(
    name: str, *, path: str | None = None, size: int, channels: int, split: str | None = None
) -> Source:
    """Makes a source of the images of a TFDS dataset.

    Args:
      name: Name of the dataset, such as ``"fashion_mnist"``.
      path: Data folder of TFDS; None for the default, ``~/tensorflow_datasets``.
      size: Side in pixels to which images are centre-cropped and resized with antialiasing.
      channels: 1 for grey, 3 for colour.
      split: Split in the syntax of TFDS; None for ``train``.

    Returns:
      The source. It has ``labels`` if the dataset has a feature ``label``.

    Raises:
      SetupError: There is no such dataset or split, it has no images, or it cannot be prepared. If the
        download fails, the message says how to place the files by hand.
    """
    split = split or "train"
    builder = _builder(name, path)
    try:
        builder.download_and_prepare()
    except Exception as error:  # Servers fail with many kinds of errors.
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
