"""File of the answers of a rating session, and the error rate."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.rating import questionnaire
from jaxgan import files, hashing
from jaxgan.errors import SetupError


class Session(NamedTuple):
    """The settings that all answers in a file share, as text.

    Attributes:
      num: Number of images.
      seconds: Seconds that each image is shown for; empty for no limit.
      seed: Seed of the latents, the data and the order.
      step: Step of the checkpoint; empty for images from a folder.
    """

    num: str
    seconds: str
    seed: str
    step: str


COLUMNS = ("index", "kind", "answer", "milliseconds", "row", "sha256", *Session._fields)
HEAD = ",".join(COLUMNS) + "\n"


def line(
    index: int, question: questionnaire.Question, answer: str, milliseconds: int, session: Session
) -> str:
    """Returns a line of the file, including its line break.

    None of the values of ``COLUMNS`` needs quotes.

    Args:
      index: Index of the question, from 0.
      question: Question; the SHA-256 of its pixels identifies the image.
      answer: One of ``KINDS``.
      milliseconds: Time from the appearance of the image to the answer.
      session: Session of the question.
    """
    digest = hashing.sha256_of_bytes(question.pixels.tobytes())
    values = (index, question.kind, answer, milliseconds, question.row, digest, *session)
    return ",".join(map(str, values)) + "\n"


def _whole(text: str) -> str:
    """Returns a text without a last line that was cut short by a kill."""
    return text[: text.rfind("\n") + 1]


def read(path: Path, questions: Sequence[questionnaire.Question], session: Session) -> list[str]:
    """Returns the answers in the file of a session.

    Args:
      path: Path of the file, which need not exist.
      questions: Questions of the session.
      session: Settings of the session.

    Returns:
      The answers to the first questions, as many as there are. A last line without a line break does not
      count.

    Raises:
      SetupError: The file cannot be read, is not a file of ratings, or belongs to another session.
    """
    try:
        text = path.read_text() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"--out {path} cannot be read ({error}): give another") from error
    if not text.startswith(HEAD) and not HEAD.startswith(text):
        raise SetupError(f"--out {path} is no file of ratings: give another")
    answers: list[str] = []
    for index, found in enumerate(_whole(text).splitlines()[1:]):
        values = dict(zip(COLUMNS, found.split(","), strict=False))
        other = [
            f"{name} was {values[name] or 'none'} and is now {ours or 'none'}"
            for name, ours in session._asdict().items()
            if values.get(name, ours) != ours
        ]
        answer, milliseconds = values.get("answer"), values.get("milliseconds", "")
        valid = answer in questionnaire.KINDS and milliseconds.isdecimal() and index < len(questions)
        if valid and not other:
            expected = line(index, questions[index], str(answer), int(milliseconds), session)
            other = [f"line {index + 2} is of another image"] if found + "\n" != expected else []
        if other:
            raise SetupError(
                f"--out {path} belongs to another session ({', '.join(other)}): give the same arguments, or"
                " another --out"
            )
        if not valid:
            raise SetupError(f"--out {path}: line {index + 2} is damaged: mend it, or give another --out")
        answers.append(str(answer))
    return answers


def recorder(
    path: Path, questions: Sequence[questionnaire.Question], session: Session
) -> Callable[[int, str, int], None]:
    """Prepares a file that :func:`read` has accepted for appending answers.

    The file gets its header if it has none, and an incomplete last line is removed.

    Args:
      path: Path of the file, which need not exist.
      questions: Questions of the session.
      session: Settings of the session.

    Returns:
      A function of a question's index, an answer and its milliseconds that appends a line. It raises an
      OSError if it cannot write, or if the file has changed since the last answer.

    Raises:
      SetupError: The file cannot be written.
    """
    try:
        text = path.read_text() if path.exists() else ""
        files.write(path, (_whole(text) or HEAD).encode())
        size = path.stat().st_size
    except OSError as error:
        raise SetupError(f"--out {path} cannot be written ({error}): give another") from error

    def record(index: int, answer: str, milliseconds: int) -> None:
        nonlocal size
        # The file is opened for every answer, so that a write fails here and no answer waits in a buffer.
        with path.open("a") as file:
            if file.tell() != size:
                raise OSError("another process has changed it")
            file.write(line(index, questions[index], answer, milliseconds, session))
        size = path.stat().st_size

    return record


class Share(NamedTuple):
    """The share of wrong answers, with its 95 % interval.

    Attributes:
      wrong: Number of wrong answers.
      of: Number of answers.
      low: Lower end of the interval.
      high: Upper end of the interval.
    """

    wrong: int
    of: int
    low: float
    high: float


def share(wrong: int, of: int) -> Share:
    """Computes the share of wrong answers and its Wilson interval.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n), p = wrong / n, n = of, z = 1.96

    Unlike p ± z √(p(1 − p)/n), this interval has a non-zero width where p is 0 or 1, and keeps its coverage
    at small n.

    Args:
      wrong: Number of wrong answers, from 0 to ``of``.
      of: Number of answers, at least 1.

    Returns:
      The share with its interval.

    References:
      Wilson, 1927, Probable Inference, the Law of Succession, and Statistical Inference,
      https://doi.org/10.1080/01621459.1927.10502953
    """
    from scipy.stats import binomtest

    interval = binomtest(wrong, of).proportion_ci(0.95, method="wilson")
    return Share(wrong, of, float(interval.low), float(interval.high))


def score(questions: Sequence[questionnaire.Question], answers: Sequence[str]) -> dict[str, Share]:
    """Computes the error rate of a completed session, and the rates of both kinds of error.

    Guessing gives ½. A higher rate means that the fakes look more real than the real images do.

    Args:
      questions: 2N questions, balanced between real and fake.
      answers: Answers to all of them.

    Returns:
      Shares by name: the images judged wrongly, the fakes taken for real, and the real images taken for
      fake.

    References:
      Zhou et al., 2019, HYPE (HYPE∞ is this rate without a limit of time), https://arxiv.org/abs/1904.01121
    """
    wrong = dict.fromkeys(questionnaire.KINDS, 0)
    for question, answer in zip(questions, answers, strict=True):
        wrong[question.kind] += answer != question.kind
    half = len(questions) // 2
    return {
        "error rate": share(sum(wrong.values()), len(questions)),
        "fakes taken for real": share(wrong["fake"], half),
        "reals taken for fake": share(wrong["real"], half),
    }


def shown(share: Share) -> dict[str, str]:
    """Returns a share as people read it, on the page and in the terminal.

    >>> shown(Share(3, 8, 0.137, 0.6943))
    {'rate': '37.5 %', 'count': '3 of 8', 'interval': '13.7 to 69.4 %'}
    """
    return {
        "rate": f"{100 * share.wrong / share.of:.1f} %",
        "count": f"{share.wrong} of {share.of}",
        "interval": f"{100 * share.low:.1f} to {100 * share.high:.1f} %",
    }
