"""Sets of images to be scored: a run's samples, a folder, a dataset's split, each with its facts."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from experiments.training.sampling import Sampler
from jaxgan import data, parallel
from jaxgan.data import folder
from jaxgan.data.images import as_it_is
from jaxgan.errors import SetupError
from jaxgan.state import GANState

BATCH = 64  # images at a time


class Batch(NamedTuple):
    """Some images of a set.

    Attributes:
      images: (B, H, W, C) uint8.
      labels: (B,) int32, None where the set has none.
    """

    images: np.ndarray
    labels: np.ndarray | None


class ImageSet(NamedTuple):
    """Images in a fixed order, of one shape.

    Attributes:
      num: how many.
      shape: (H, W, C).
      batches: goes through all of them, ``BATCH`` at a time, the last batch being what is left.
      facts: what a receipt says of them.
    """

    num: int
    shape: tuple[int, ...]
    batches: Callable[[], Iterator[Batch]]
    facts: Mapping[str, Any]


def sha256(images: ImageSet) -> str:
    """SHA-256 over a set's count, shape, pixels and labels, in order: goes through all of it."""
    digest = hashlib.sha256(f"{images.num} {images.shape}\n".encode())
    for batch in images.batches():
        digest.update(np.ascontiguousarray(batch.images).tobytes())
        if batch.labels is not None:
            digest.update(batch.labels.astype("<i4").tobytes())
    return digest.hexdigest()


def of_source(fields: Mapping[str, Any]) -> ImageSet:
    """All images of a source, in its own order, fitted to the size and channels that training sees.

    Args:
      fields: a config's ``data``.

    Raises:
      SetupError: there is no such source, or it cannot be opened.
    """
    if fields["name"].startswith("tfds/"):
        fields = {**fields, "split": fields.get("split") or "train"}  # the receipt says which
    source = data.open_source(**fields)
    examples, count = source.examples, source.num_examples
    assert examples is not None
    assert count is not None

    def batches() -> Iterator[Batch]:
        for start in range(0, count, BATCH):
            found = examples[np.arange(start, min(start + BATCH, count))]
            yield Batch(found["real"], found.get("labels"))

    images = ImageSet(count, source.shape, batches, {})
    # Not where it lies: that is each machine's own, and the pixels' hash says more.
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
    """The images below a folder, all of one size, by whatever tool they were made; sub-folders are labels.

    Nothing is cropped or resized. Every file is decoded before any is scored.

    Args:
      path: the folder.
      channels: 1 for grey, 3 for colour; files of the other kind are converted as training converts them.
      numbered: whether a sub-folder's name is its label; else label k is the k-th of them in sorted order,
        as of the data source ``folder``.

    Raises:
      SetupError: there is no such folder, it holds no images, one cannot be decoded, two differ in size, or
        a sub-folder's name should be a label and is none.
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
        except Exception as error:  # Pillow's plugins raise whatever they like on bad bytes
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
    """Samples of a state, quantised as saved pictures are; each pass draws them anew, always the same.

    Args:
      sample: ``sample(state, key, rows, given)``, from :func:`experiments.training.sampling.sampler`.
      state: whose averaged generator draws.
      num: how many.
      seed: of the latents.
      facts: what else the receipt is to say of them.
      given: ``given(rows)``, what else the samples are asked for.
      labels: ``labels(key, rows)``, the classes asked for; None where there are none.
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
            # A sample depends on its row alone: the last batch draws a few too many, and drops them.
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


def take(images: ImageSet, count: int) -> np.ndarray:
    """The first images of a set, (count, H, W, C) uint8, or as many as it has."""
    found: list[np.ndarray] = []
    for batch in images.batches():
        found.append(batch.images)
        if sum(map(len, found)) >= count:
            break
    return np.concatenate(found)[:count]
