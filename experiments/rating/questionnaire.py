"""The questions of a rating session: real and fake images in shuffled order."""

import io
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from absl import flags

from experiments.cli import data_flags
from experiments.training import restore, staging
from jaxgan import data
from jaxgan.errors import SetupError


def take(source: data.Source, num: int, what: str, *, seed: int) -> np.ndarray:
    """Returns distinct images of a source in shuffled order, as (num, H, W, C) uint8.

    Raises:
      SetupError: The source has fewer images.
    """
    if source.num_examples is not None and source.num_examples < num:
        raise SetupError(
            f"--num asks for {num} {what} images and there are {source.num_examples}: give at most"
            f" --num={2 * source.num_examples}"
        )
    batch = source.batches(seed=seed, n_critic=1, batch_size=num)[0]
    return data.to_uint8(jax.jit(source.prepare)(batch)["real"][0])


def images(values: flags.FlagValues) -> tuple[np.ndarray, np.ndarray, str]:
    """Returns the real images, the fake images and the step of the checkpoint.

    The images are as saved PNGs hold them. The step is empty for images from a folder.

    Args:
      values: Flags of the command.

    Raises:
      SetupError: The flags or the run do not give as many real and fake images of the same shape.
    """
    half, seed = values.num // 2, values.seed
    fields = {}
    if values.workdir or not values.images:
        fields = staging.stage_configs(restore.read_config(restore.folder(values.workdir)))[-1].config.data
    source = data.open_source(**data_flags.data_fields(fields, values))
    real = take(source, half, "real", seed=seed)
    if values.images:
        if not Path(values.images).is_dir():
            raise SetupError(f"--images {values.images} is not a folder: give one that holds images")
        size, _, channels = source.shape
        folder = data.open_source("folder", path=values.images, size=size, channels=channels)
        return real, take(folder, half, "fake", seed=seed), ""
    run = restore.restore(restore.folder(values.workdir))
    drawn = list(restore.draw(run, half, seed=seed))
    if not isinstance(drawn[0], np.ndarray):
        raise SetupError(
            f"--workdir: the samples of system {run.config.gan.name} are of several kinds,"
            f" {', '.join(drawn[0])}: give a run whose samples are images of one kind"
        )
    fake = np.concatenate(drawn)
    if fake.shape != real.shape:
        raise SetupError(
            f"the run makes images of shape {fake.shape[1:]}, the real ones are {real.shape[1:]}: leave"
            " --data.size and --data.channels out"
        )
    return real, data.to_uint8(fake), str(int(run.state.step))


KINDS = ("real", "fake")


class Question(NamedTuple):
    """An image to be judged.

    Attributes:
      kind: Truth about the image, one of ``KINDS``.
      row: Index among its kind: sample ``row`` of the seed's latents, or element ``row`` of the shuffled
        data.
      pixels: Pixels, (H, W, C) uint8.
    """

    kind: str
    row: int
    pixels: np.ndarray


def shuffled(real: np.ndarray, fake: np.ndarray, *, seed: int) -> list[Question]:
    """Returns as many real images as fake ones, in an order that is a function of the seed.

    Args:
      real: Real images, (N, H, W, C) uint8.
      fake: Fake images, (N, H, W, C) uint8.
      seed: Seed of the order.

    Returns:
      2N questions.

    Raises:
      ValueError: The shapes differ, or the images are not uint8.
    """
    if real.shape != fake.shape or real.dtype != np.uint8 or fake.dtype != np.uint8:
        raise ValueError(
            f"real {real.shape} {real.dtype}, fake {fake.shape} {fake.dtype}: give one of each"
        )
    questions = [
        Question(kind, row, pixels)
        for kind, images in zip(KINDS, (real, fake), strict=True)
        for row, pixels in enumerate(images)
    ]
    return [questions[i] for i in np.random.default_rng(seed).permutation(len(questions))]


def png(pixels: np.ndarray) -> bytes:
    """Encodes (H, W, C) uint8 pixels as a PNG without any metadata."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
