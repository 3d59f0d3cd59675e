"""Samples from a run's newest checkpoint.

python -m experiments.sample --workdir=DIR --num=64 --out=grid.png [--seed=0] [--truncation=PSI] [--raw]
"""

from pathlib import Path

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict
from PIL import Image

from experiments import build, cli, pictures, workdir
from jaxgan import checkpoint
from jaxgan.errors import SetupError

CHUNK = 256  # samples at a time


def _check(values: flags.FlagValues) -> tuple[Path, Path]:
    if not values.workdir:
        raise SetupError("no --workdir given: give --workdir=DIR, the folder of a run")
    directory, out = Path(values.workdir), Path(values.out)
    if not (directory / "config.json").is_file():
        raise SetupError(f"--workdir {directory} holds no run: give a folder that experiments.run wrote")
    if values.num < 1:
        raise SetupError(f"--num is {values.num}: give at least 1")
    if not 0 <= values.seed < 2**32:
        raise SetupError(f"--seed is {values.seed}: give a whole number from 0 to 2**32 - 1")
    if values.truncation is not None and not values.truncation > 0:
        raise SetupError(f"--truncation is {values.truncation}: give a positive number, such as 0.7")
    if out.suffix.lower() != ".png":
        raise SetupError(f"--out {out} does not end in .png: pictures are written as PNG")
    if not out.parent.is_dir():
        raise SetupError(f"--out {out}: there is no folder {out.parent}")
    return directory, out


def main(argv: list[str]) -> None:
    """Restores, samples, writes."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The run's folder.", flag_values=values)
    flags.DEFINE_integer("num", 64, "How many samples.", flag_values=values)
    flags.DEFINE_string("out", "grid.png", "The picture to write, a PNG.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of the latents.", flag_values=values)
    flags.DEFINE_float("truncation", None, "Bound on every coordinate of the latents.", flag_values=values)
    flags.DEFINE_bool("raw", False, "Raw weights instead of averaged ones.", flag_values=values)
    cli.read_flags(argv, values, __doc__ or "")
    directory, out = _check(values)

    config = ConfigDict(workdir.read_json(directory / "config.json"))
    build.check(config)
    gan = build.build(config, truncation=values.truncation)
    init = build.initializer(config, gan)
    with checkpoint.open_manager(directory / "checkpoints", read_only=True) as manager:
        restored, damaged = checkpoint.restore(manager, jax.eval_shape(init))
    for item in damaged:
        print(f"checkpoint {item.path} is damaged ({item.reason}): skipped")
    if restored is None:
        raise SetupError(f"--workdir {directory} has no checkpoint yet: run it further")
    state = restored.state
    if values.raw:
        player = state.generator
        player = player.replace(ema_params=player.params, ema_model_state=player.model_state)
        state = state.replace(generator=player)
    # In pieces, for memory; a sample depends on its row alone, so the pieces' size changes nothing.
    sample, key = jax.jit(gan.sample), jax.random.key(values.seed)
    rows = [np.arange(i, min(i + CHUNK, values.num)) for i in range(0, values.num, CHUNK)]
    samples = np.concatenate([sample(state, key, {"row": row}) for row in rows])
    step = int(state.step)
    pictures.save(out, pictures.picture(samples, None, f"step {step}"))
    with Image.open(out) as image:
        print(f"wrote {out}: {values.num} samples of step {step}, {image.width}×{image.height} pixels")


if __name__ == "__main__":
    cli.call(main)
