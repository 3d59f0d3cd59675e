"""Sets of images to be scored: samples of a run, folders and datasets, each with facts for the receipt."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from experiments.training.sampling import Sampler
from jaxgan import data, hashing, parallel
from jaxgan.data import folder
from jaxgan.data.images import as_it_is
from jaxgan.errors import SetupError
from jaxgan.state import GANState

BATCH = 64  # number of images per batch


class Batch(NamedTuple):
    """A batch of images from a set.

    Attributes:
      images: (B, H, W, C) uint8 images.
      labels: (B,) int32 labels, or None if the set has no labels.
    """

    images: np.ndarray
    labels: np.ndarray | None


class ImageSet(NamedTuple):
    """Images of one shape in a fixed order.

    Attributes:
      num: Number of images.
      shape: Shape (H, W, C) of an image.
      batches: Function that iterates over all images in batches of ``BATCH``; the last may be smaller.
      facts: Facts about the set for the receipt.
    """

    num: int
    shape: tuple[int, ...]
    batches: Callable[[], Iterator[Batch]]
    facts: Mapping[str, Any]


def sha256(images: ImageSet) -> str:
    """Returns the SHA-256 of a set's count, shape, pixels and labels, which reads the whole set."""

    def chunks() -> Iterator[bytes]:
        yield f"{images.num} {images.shape}\n".encode()
        for batch in images.batches():
            yield np.ascontiguousarray(batch.images).tobytes()
            if batch.labels is not None:
                yield batch.labels.astype("<i4").tobytes()

    return hashing.sha256_of_chunks(chunks())


def of_source(fields: Mapping[str, Any]) -> ImageSet:
    """Opens all images of a data source in their order, with the size and channels that training uses.

    Args:
      fields: Section ``data`` of a config.

    Raises:
      SetupError: The source is unknown or cannot be opened.
    """
    if fields["name"].startswith("tfds/"):
        fields = {**fields, "split": fields.get("split") or "train"}  # so that the receipt names the split
    source = data.open_source(**fields)
    examples, count = source.examples, source.num_examples
    assert examples is not None
    assert count is not None

    def batches() -> Iterator[Batch]:
        for start in range(0, count, BATCH):
            found = examples[np.arange(start, min(start + BATCH, count))]
            yield Batch(found["real"], found.get("labels"))

    images = ImageSet(count, source.shape, batches, {})
    # The path is left out, since it depends on the machine and the hash identifies the pixels.
    kept = ("name", "split", "size", "channels")
    facts = {
        "data": {key: fields[key] for key in kept if fields.get(key)},
        "resize_of_files": "centre crop, Lanczos with antialiasing, where sizes differ",
        "count": count,
        "skipped": source.num_skipped,
        "sha256": sha256(images),
    }
    return images._replace(facts=facts)


def _labels(folders: list[str], numbered: bool) -> np.ndarray:
    if not numbered:
        return np.unique(folders, return_inverse=True)[1].astype(np.int32)
    wrong = next((name for name in folders if not name.isdecimal()), None)
    if wrong is not None:
        raise SetupError(
            f"--images has the sub-folder {wrong!r}: a score by class needs them named by the dataset's"
            " labels, 0, 1, 2, ..."
        )
    return np.array([int(name) for name in folders], np.int32)


def of_folder(path: Path, channels: int, *, numbered: bool = False) -> ImageSet:
    """Opens the images of a folder and its sub-folders, which are the labels.

    All images must have the same size, since they are neither cropped nor resized. Every file is decoded
    once before any image is scored.

    Args:
      path: Path of the folder.
      channels: 1 for grey or 3 for colour. Files of the other kind are converted as for training.
      numbered: Whether the name of a sub-folder is its label. Otherwise the label is the index of the
        sub-folder in sorted order, as in the data source ``folder``.

    Raises:
      SetupError: The folder does not exist or holds no images, an image cannot be decoded, two images
        differ in size, or the name of a sub-folder is not a label although ``numbered`` is set.
    """
    if not path.is_dir():
        raise SetupError(f"--images {path} is not a folder: give one that holds images")
    files = folder.find(path)
    if not files:
        raise SetupError(f"--images {path} holds no images: give a folder of .png or .jpg files")

    def decode(file: Path) -> np.ndarray:
        try:
            with Image.open(file) as image:
                return as_it_is(image, channels)
        except Exception as error:  # Pillow's plugins raise many types of exceptions for damaged files.
            raise SetupError(f"{file} cannot be decoded: {error}; mend or remove it") from error

    shape = decode(files[0]).shape
    folders = [str(file.parent.relative_to(path)) for file in files]
    labels = _labels(folders, numbered)

    def batches() -> Iterator[Batch]:
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(files), BATCH):
                part = files[start : start + BATCH]
                found = list(pool.map(decode, part))
                for file, image in zip(part, found, strict=True):
                    if image.shape != shape:
                        raise SetupError(
                            f"{file} is {image.shape[1]}×{image.shape[0]} pixels, {files[0]} is"
                            f" {shape[1]}×{shape[0]}: give images of one size"
                        )
                yield Batch(np.stack(found), labels[start : start + BATCH])

    images = ImageSet(len(files), shape, batches, {})
    facts = {"folder": str(path), "count": len(files), "sha256": sha256(images)}
    return images._replace(facts=facts)


def generated(
    sample: Sampler,
    state: GANState,
    *,
    num: int,
    seed: int,
    facts: Mapping[str, Any],
    given: Callable[[np.ndarray], dict[str, Any]] = lambda rows: {},
    labels: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
) -> ImageSet:
    """Makes a set of samples from a state, which are quantised like saved pictures.

    The samples are not stored. Each pass through the set draws the same samples again.

    Args:
      sample: Function ``sample(state, key, rows, given)`` from
        :func:`experiments.training.sampling.sampler`.
      state: State whose averaged generator draws the samples.
      num: Number of samples.
      seed: Seed of the latents.
      facts: Other facts for the receipt.
      given: Function ``given(rows)`` that returns the conditions of the samples.
      labels: Function ``labels(key, rows)`` that returns the classes of the samples; None without classes.

    Raises:
      SetupError: The samples are of several kinds.
    """
    mesh = parallel.device_mesh()
    size = -(-BATCH // mesh.size) * mesh.size
    draw_rows, key = jax.jit(sample), jax.random.key(seed)
    state = parallel.replicate(state, mesh)

    def draw(start: int) -> np.ndarray:
        rows = np.arange(start, start + size, dtype=np.int32)
        asked = parallel.shard_batch({"row": rows, **given(rows)}, mesh, axis=0)
        return np.asarray(draw_rows(state, key, asked.pop("row"), asked))

    def batches() -> Iterator[Batch]:
        for start in range(0, num, size):
            # A sample depends only on its row, so the last batch can draw surplus samples and drop them.
            samples = draw(start)[: num - start]
            if not np.isfinite(samples).all():
                raise SetupError(f"samples {start} to {start + len(samples) - 1} are not finite numbers")
            asked = None
            if labels is not None:
                asked = np.asarray(labels(key, jnp.arange(start, start + len(samples))))
            yield Batch(data.to_uint8(samples), asked)

    rows = np.arange(size)
    shapes = jax.eval_shape(sample, state, key, rows, given(rows))
    if not hasattr(shapes, "shape"):
        raise SetupError(
            f"the samples are of several kinds, {', '.join(shapes)}, and no set of images: give"
            " --metrics=NAME of the system's own measures"
        )
    shape = shapes.shape[1:]
    return ImageSet(num, shape, batches, {"count": num, "seed": seed, **facts})
