"""Draws samples from a checkpoint of a run and writes them as one picture.

    python -m experiments.sample --workdir=DIR [--num=64] [--out=grid.png] [--seed=0] [--truncation=0.7]
        [--raw] [--best] [--labels=3 | --labels=0,1,2 | --labels=all | --codes=all]

The samples come from the newest checkpoint and from the averaged (EMA) weights. --best selects the
checkpoint of the best score instead, and --raw the weights without averaging. --truncation draws latents
whose coordinates do not exceed a bound, which gives less varied samples of better quality. The same seed
gives the same samples.

--labels chooses the classes of the samples of a system that reads labels. Several classes share --num, and
each has a row of the picture with its name at the left. The samples of a column have the same latents.
--codes does the same for the categorical codes of a system that has codes, such as InfoGAN.
"""

from pathlib import Path

import jax
import numpy as np
from absl import flags
from PIL import Image

from experiments.cli import command_line, exits
from experiments.pages import pictures
from experiments.training import build, derived, restore, sample_classes, staging, workdir
from jaxgan.errors import SetupError

FLAGS = {sample_classes.LABELS: "Classes of the samples", "codes": "Categorical codes of the samples"}


def _by_class(values: flags.FlagValues, directory: Path) -> sample_classes.ByClass | None:
    """Returns the samples that ``--labels`` or ``--codes`` ask for; None if neither is given."""
    given = {name: values[name].value for name in FLAGS if values[name].value is not None}
    if len(given) > 1:
        raise SetupError("give --labels or --codes: a picture has rows of one of the two")
    if not given:
        return None
    ((name, value),) = given.items()
    config = staging.stage_configs(restore.read_config(directory))[-1].config
    gan, spec = build.build(config), derived.spec_of(config)
    return sample_classes.parse(name, str(value), values.num, gan, spec)


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
    for name, meaning in FLAGS.items():
        text = f"{meaning}, such as 3, 0,1,2 or all; drawn at random by default."
        flags.DEFINE_string(name, None, text, flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    directory = restore.folder(values.workdir)
    command_line.check_at_least(values, "num", 1)
    command_line.check_seed(values)
    command_line.check_positive(values, "truncation", 0.7)
    out = command_line.out_file("out", values.out, ".png")
    chosen = _by_class(values, directory)

    run = restore.restore(directory, raw=values.raw, best=values.best)
    rows, given = (chosen.rows, chosen.given) if chosen else (np.arange(values.num), {})
    drawn = list(restore.draw_rows(run, rows, given, seed=values.seed, truncation=values.truncation))
    samples = jax.tree.map(lambda *pieces: np.concatenate(pieces), *drawn)
    step = int(run.state.step)
    names = chosen.names if chosen else ()
    workdir.write_png(out, pictures.picture(samples, None, f"step {step}", names=names))
    shared = ""
    if chosen:
        each = f"{chosen.per_value} of each of {len(names)} {chosen.condition}"
        shared = f", {each if len(names) > 1 else f'all of {names[0]}'}"
    with Image.open(out) as image:
        print(
            f"wrote {out}: {len(rows)} samples of step {step}{shared}, {image.width}×{image.height} pixels"
        )


if __name__ == "__main__":
    exits.call(main)
