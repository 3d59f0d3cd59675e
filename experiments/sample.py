"""Draws samples from a checkpoint of a run and writes them as one picture.

    python -m experiments.sample --workdir=DIR [--num=64] [--out=grid.png] [--seed=0] [--truncation=0.7]
        [--raw] [--best]

The samples come from the newest checkpoint and from the averaged (EMA) weights. --best selects the
checkpoint of the best score instead, and --raw the weights without averaging. --truncation draws latents
whose coordinates do not exceed a bound, which gives less varied samples of better quality. The same seed
gives the same samples.
"""

import jax
import numpy as np
from absl import flags
from PIL import Image

from experiments.cli import command_line, exits
from experiments.pages import pictures
from experiments.training import restore, workdir


def main(argv: list[str]) -> None:
    """Restores a checkpoint, draws samples and writes the picture."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    flags.DEFINE_integer("num", 64, "Number of samples.", flag_values=values)
    flags.DEFINE_string("out", "grid.png", "PNG file to write.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of the latents.", flag_values=values)
    flags.DEFINE_float("truncation", None, "Bound on each coordinate of the latents.", flag_values=values)
    flags.DEFINE_bool("raw", False, "Raw weights instead of averaged ones.", flag_values=values)
    flags.DEFINE_bool("best", False, "Checkpoint of the best score, not the newest.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    directory = restore.folder(values.workdir)
    command_line.check_at_least(values, "num", 1)
    command_line.check_seed(values)
    command_line.check_positive(values, "truncation", 0.7)
    out = command_line.out_file("out", values.out, ".png")

    run = restore.restore(directory, raw=values.raw, best=values.best)
    drawn = list(restore.draw(run, values.num, seed=values.seed, truncation=values.truncation))
    samples = jax.tree.map(lambda *pieces: np.concatenate(pieces), *drawn)
    step = int(run.state.step)
    workdir.write_png(out, pictures.picture(samples, None, f"step {step}"))
    with Image.open(out) as image:
        print(f"wrote {out}: {values.num} samples of step {step}, {image.width}×{image.height} pixels")


if __name__ == "__main__":
    exits.call(main)
