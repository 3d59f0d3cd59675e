"""Asks a person: real or fake?

    python -m experiments.rate --workdir=DIR [--num=50] [--seconds=0.5] [--seed=0] [--port=0]
        [--out=ratings.csv] [--images=FOLDER] [--data.split=test ...]

It serves a page, to this machine only, that shows one image at a time: half of them the run's samples, or
those of a folder that any tool has filled, half of them real, shuffled. F and ← answer fake, R and → real,
as do two buttons. An image stays until it is answered, or for --seconds, to the nearest frame of a screen;
then a grey square takes its place, and it can still be answered. Nobody is told what was right before the
end: with such help people learn a generator's flaws, and the rate is another.

An answer is in the CSV before the next image is shown. Ctrl-C ends with status 130; the same command goes
on from there, and one with other arguments is refused. After the last answer page and terminal show the
error rate, with a 95 % interval that is over images, for this one person; then the server ends.

Real images are of the run's own data, those it was trained on. The fields --data.name, path, split, size,
channels and skip_bad take others, and need no run where --images gives the fakes.

References:
  Denton et al., 2015, LAPGAN, "Human Evaluation of Samples": a page with two buttons, a limit of 50 ms to
  2 s, then a grey mask, https://arxiv.org/abs/1506.05751
  Salimans et al., 2016, "Assessment of image quality": what telling people of their mistakes does,
  https://arxiv.org/abs/1606.03498
  Zhou et al., 2019, HYPE: the rate without a limit is their HYPE∞; their other score searches for the limit
  that a person needs, and this page does not, https://arxiv.org/abs/1904.01121
"""

import math
import signal
import sys
from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import build, cli, rate_page, ratings, restore
from jaxgan import data
from jaxgan.errors import SetupError


def _check(values: flags.FlagValues) -> Path:
    if values.num < 2 or values.num % 2:
        raise SetupError(f"--num is {values.num}: give an even number, half of them real, of at least 2")
    if values.seconds is not None and not 0 < values.seconds < math.inf:
        raise SetupError(
            f"--seconds is {values.seconds}: give a positive number, or leave it out for no limit"
        )
    if not 0 <= values.seed < 2**32:
        raise SetupError(f"--seed is {values.seed}: give a whole number from 0 to 2**32 - 1")
    if not 0 <= values.port < 2**16:
        raise SetupError(f"--port is {values.port}: give 0, for any that is free, or one up to 65535")
    return cli.out_file("out", values.out, ".csv")


def take(source: data.Source, num: int, what: str, *, seed: int) -> np.ndarray:
    """Images of a source, shuffled, none twice: (num, H, W, C) uint8.

    Raises:
      SetupError: there are fewer.
    """
    if source.num_examples is not None and source.num_examples < num:
        raise SetupError(
            f"--num asks for {num} {what} images and there are {source.num_examples}: give at most"
            f" --num={2 * source.num_examples}"
        )
    batch = source.batches(seed=seed, n_critic=1, batch_size=num)[0]
    return data.to_uint8(jax.jit(source.prepare)(batch)["real"][0])


def images(values: flags.FlagValues) -> tuple[np.ndarray, np.ndarray, str]:
    """The real images, the fake ones, both as saved PNGs hold them, and the checkpoint's step."""
    half, seed = values.num // 2, values.seed
    fields = {}
    if values.workdir or not values.images:
        fields = build.stage_configs(restore.read_config(restore.folder(values.workdir)))[-1].config.data
    source = data.open_source(**restore.data_fields(fields, values))
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
            f" {', '.join(drawn[0])}: a person is asked about images of one"
        )
    fake = np.concatenate(drawn)
    if fake.shape != real.shape:
        raise SetupError(
            f"the run makes images of shape {fake.shape[1:]}, the real ones are {real.shape[1:]}: leave"
            " --data.size and --data.channels out"
        )
    return real, data.to_uint8(fake), str(int(run.state.step))


def main(argv: list[str]) -> None:
    """Images → questions → page → answers → error rate."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The run's folder.", flag_values=values)
    flags.DEFINE_string("images", None, "A folder of fakes, in the place of the run's.", flag_values=values)
    flags.DEFINE_integer("num", 50, "How many images, half of them real.", flag_values=values)
    flags.DEFINE_float(
        "seconds", None, "How long each is shown; no limit if not given.", flag_values=values
    )
    flags.DEFINE_integer("seed", 0, "Of the latents, the real images and the order.", flag_values=values)
    flags.DEFINE_integer("port", 0, "Of the page; 0 for any that is free.", flag_values=values)
    flags.DEFINE_string("out", "ratings.csv", "The file of answers, a CSV.", flag_values=values)
    restore.define_data_flags(values)
    cli.read_flags(argv, values, __doc__ or "")
    out = _check(values)

    real, fake, step = images(values)
    questions = ratings.shuffled(real, fake, seed=values.seed)
    seconds = "" if values.seconds is None else f"{values.seconds:g}"
    session = ratings.Session(str(values.num), seconds, str(values.seed), step)
    answers = ratings.read(out, questions, session)
    if len(answers) < len(questions):
        with rate_page.listen(values.port) as listening:
            record = ratings.recorder(out, questions, session)
            app, ended = rate_page.make_app(questions, answers, record, values.seconds)
            print(
                f"{len(answers)} of {len(questions)} images are judged; answers go to {out}; Ctrl-C stops"
            )
            try:
                signum = rate_page.serve(app, ended, listening)
            except OSError as error:
                raise cli.RunFailed(f"{out}: {error}; it has {len(answers)} answers") from error
        if signum is not None:
            name = signal.Signals(signum).name
            print(f"stopped by {name}, {len(answers)} of {len(questions)} answers saved", file=sys.stderr)
            sys.exit(128 + signum)
    for name, share in ratings.score(questions, answers).items():
        shown = ratings.shown(share)
        print(f"{name}: {shown['rate']} ({shown['count']}; 95 % interval {shown['interval']})")


if __name__ == "__main__":
    cli.call(main)
