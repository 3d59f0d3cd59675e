"""Samples from a run's newest checkpoint.

    python -m experiments.sample --workdir=DIR --num=64 --out=grid.png

``--seed=`` draws others, ``--truncation=`` bounds the latents, ``--raw`` takes the weights as they are, not
their averages, ``--best`` the checkpoint of the best score, not the newest.
"""

from pathlib import Path

import jax
import numpy as np
from absl import flags
from PIL import Image

from experiments.cli import command_line, exits
from experiments.pages import pictures
from experiments.training import restore, workdir
from jaxgan.errors import SetupError


def _check(values: flags.FlagValues) -> tuple[Path, Path]:
    directory = restore.folder(values.workdir)
    if values.num < 1:
        raise SetupError(f"--num is {values.num}: give at least 1")
    if not 0 <= values.seed < 2**32:
        raise SetupError(f"--seed is {values.seed}: give a whole number from 0 to 2**32 - 1")
    if values.truncation is not None and not values.truncation > 0:
        raise SetupError(f"--truncation is {values.truncation}: give a positive number, such as 0.7")
    return directory, command_line.out_file("out", values.out, ".png")


def main(argv: list[str]) -> None:
    """Restores, samples, writes."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The run's folder.", flag_values=values)
    flags.DEFINE_integer("num", 64, "How many samples.", flag_values=values)
    flags.DEFINE_string("out", "grid.png", "The picture to write, a PNG.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of the latents.", flag_values=values)
    flags.DEFINE_float("truncation", None, "Bound on every coordinate of the latents.", flag_values=values)
    flags.DEFINE_bool("raw", False, "Raw weights instead of averaged ones.", flag_values=values)
    flags.DEFINE_bool("best", False, "The checkpoint of the best score.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    directory, out = _check(values)

    run = restore.restore(directory, raw=values.raw, best=values.best)
    drawn = list(restore.draw(run, values.num, seed=values.seed, truncation=values.truncation))
    samples = jax.tree.map(lambda *pieces: np.concatenate(pieces), *drawn)
    step = int(run.state.step)
    workdir.write_png(out, pictures.picture(samples, None, f"step {step}"))
    with Image.open(out) as image:
        print(f"wrote {out}: {values.num} samples of step {step}, {image.width}×{image.height} pixels")


if __name__ == "__main__":
    exits.call(main)
