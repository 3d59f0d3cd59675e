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

from absl import flags

from experiments.cli import command_line, data_flags, exits
from experiments.rating import answer_log, questionnaire, server
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
    return command_line.out_file("out", values.out, ".csv")


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
    data_flags.define_data_flags(values)
    command_line.read_flags(argv, values, __doc__ or "")
    out = _check(values)

    real, fake, step = questionnaire.images(values)
    questions = questionnaire.shuffled(real, fake, seed=values.seed)
    seconds = "" if values.seconds is None else f"{values.seconds:g}"
    session = answer_log.Session(str(values.num), seconds, str(values.seed), step)
    answers = answer_log.read(out, questions, session)
    if len(answers) < len(questions):
        with server.listen(values.port) as listening:
            record = answer_log.recorder(out, questions, session)
            app, ended = server.make_app(questions, answers, record, values.seconds)
            print(
                f"{len(answers)} of {len(questions)} images are judged; answers go to {out}; Ctrl-C stops"
            )
            try:
                signum = server.serve(app, ended, listening)
            except OSError as error:
                raise exits.RunFailed(f"{out}: {error}; it has {len(answers)} answers") from error
        if signum is not None:
            name = signal.Signals(signum).name
            print(f"stopped by {name}, {len(answers)} of {len(questions)} answers saved", file=sys.stderr)
            sys.exit(128 + signum)
    for name, share in answer_log.score(questions, answers).items():
        shown = answer_log.shown(share)
        print(f"{name}: {shown['rate']} ({shown['count']}; 95 % interval {shown['interval']})")


if __name__ == "__main__":
    exits.call(main)
