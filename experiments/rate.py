"""Asks a person which images are real and which are fake, on a web page.

    python -m experiments.rate --workdir=DIR [--num=50] [--seconds=0.5] [--seed=0] [--port=0]
        [--out=ratings.csv] [--images=FOLDER] [--data.split=test ...]

The page is served to this machine only. It shows one image at a time, in random order. Half of the images
are real; the others are samples of the run or, with --images, the contents of a folder that any tool has
made. The keys F and ← answer fake, R and → answer real, and there are two buttons. An image stays until it
is answered. With --seconds, a grey square replaces it after that time, to the nearest frame of the screen,
and it can still be answered. The page does not say which answers were right before the end, because people
who know their mistakes learn the flaws of a generator, which changes the error rate.

Each answer is written to the CSV file before the next image is shown. Ctrl-C stops the command with exit
status 130, and the same command continues from there. The file is refused if the arguments have changed.
After the last answer, the page and the terminal show the error rate, and the server ends. The 95 % interval
of the rate covers the choice of the images, for this one person.

The real images are those that the run was trained on. The flags --data.* choose others, and no run is
needed if --images gives the fakes.

References:
  Denton et al., 2015, LAPGAN, "Human Evaluation of Samples": a page with two buttons, a time limit of 50 ms
  to 2 s and then a grey mask, https://arxiv.org/abs/1506.05751
  Salimans et al., 2016, "Assessment of image quality": the effect of telling people their mistakes,
  https://arxiv.org/abs/1606.03498
  Zhou et al., 2019, HYPE: the rate without a time limit is their HYPE∞; this page does not compute their
  other score, the time that a person needs, https://arxiv.org/abs/1904.01121
"""

from pathlib import Path

from absl import flags

from experiments.cli import command_line, data_flags, exits, interrupts
from experiments.rating import answer_log, questionnaire, server
from jaxgan.errors import SetupError


def _check(values: flags.FlagValues) -> Path:
    if values.num < 2 or values.num % 2:
        raise SetupError(f"--num is {values.num}: give an even number, half of them real, of at least 2")
    command_line.check_positive(values, "seconds", 0.5)
    command_line.check_seed(values)
    if not 0 <= values.port < 2**16:
        raise SetupError(f"--port is {values.port}: give 0, for any that is free, or one up to 65535")
    return command_line.out_file("out", values.out, ".csv")


def main(argv: list[str]) -> None:
    """Serves the page until all images are judged and prints the error rate."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    flags.DEFINE_string("images", None, "Folder of fake images, instead of a run.", flag_values=values)
    flags.DEFINE_integer("num", 50, "Number of images, half of them real.", flag_values=values)
    flags.DEFINE_float("seconds", None, "Time limit for each image; none by default.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of the latents, the data and the order.", flag_values=values)
    flags.DEFINE_integer("port", 0, "Port of the page; 0 for any that is free.", flag_values=values)
    flags.DEFINE_string("out", "ratings.csv", "CSV file of the answers.", flag_values=values)
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
            saved = f"{len(answers)} of {len(questions)} answers saved"
            raise interrupts.Stopped(signum, saved)
    for name, share in answer_log.score(questions, answers).items():
        shown = answer_log.shown(share)
        print(f"{name}: {shown['rate']} ({shown['count']}; 95 % interval {shown['interval']})")


if __name__ == "__main__":
    exits.call(main)
