"""The answers of a rating session: their file and the error rate."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.rating import questionnaire
from jaxgan import files
from jaxgan.errors import SetupError


class Session(NamedTuple):
    """What all answers of a file have in common, as it stands there.

    Attributes:
      num: of images.
      seconds: that each is shown for, nothing for no limit.
      seed: of latents, data and order.
      step: of the checkpoint, nothing for a folder's images.
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
    """A line of the file, with its end.

    Args:
      index: of the question, from 0.
      question: the question; its pixels' SHA-256 identifies the image.
      answer: one of ``KINDS``.
      milliseconds: from the image's appearance to the answer.
      session: the question's.

    Returns:
      The values of ``COLUMNS``; none needs quotes.
    """
    digest = hashlib.sha256(question.pixels.tobytes()).hexdigest()
    values = (index, question.kind, answer, milliseconds, question.row, digest, *session)
    return ",".join(map(str, values)) + "\n"


def _whole(text: str) -> str:
    """A text without a last line that a kill cut short."""
    return text[: text.rfind("\n") + 1]


def read(path: Path, questions: Sequence[questionnaire.Question], session: Session) -> list[str]:
    """The answers in a session's file.

    Args:
      path: of the file, which need not exist.
      questions: the session's.
      session: what it is.

    Returns:
      The answers to the first questions, as many as there are; a last line without an end is none.

    Raises:
      SetupError: the file cannot be read, is no file of ratings, or belongs to another session.
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
    """Makes a file that :func:`read` has accepted ready to be appended to: head there, all lines whole.

    Args:
      path: of the file, which need not exist.
      questions: the session's.
      session: what it is.

    Returns:
      A function of a question's index, an answer and its milliseconds that appends a line. It raises
      OSError if it cannot, or if the file is not as it left it.

    Raises:
      SetupError: the file cannot be written.
    """
    try:
        text = path.read_text() if path.exists() else ""
        files.write(path, (_whole(text) or HEAD).encode())
        size = path.stat().st_size
    except OSError as error:
        raise SetupError(f"--out {path} cannot be written ({error}): give another") from error

    def record(index: int, answer: str, milliseconds: int) -> None:
        nonlocal size
        # Opened for every answer: what cannot be written fails here, and nothing waits in a buffer.
        with path.open("a") as file:
            if file.tell() != size:
                raise OSError("another process has changed it")
            file.write(line(index, questions[index], answer, milliseconds, session))
        size = path.stat().st_size

    return record


class Share(NamedTuple):
    """The share of wrong answers, with its 95 % interval.

    Attributes:
      wrong: how many.
      of: of how many.
      low: the interval's lower end.
      high: its upper end.
    """

    wrong: int
    of: int
    low: float
    high: float


def share(wrong: int, of: int) -> Share:
    """The share of wrong answers and its Wilson interval.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n),  p = wrong / n, n = of, z = 1.96

    Unlike p ± z √(p(1 − p)/n) it has a width where p is 0 or 1, and covers what it should at small n.

    Args:
      wrong: from 0 to ``of``.
      of: at least 1.

    Returns:
      The share.

    References:
      Wilson, 1927, Probable Inference, the Law of Succession, and Statistical Inference,
      https://doi.org/10.1080/01621459.1927.10502953
    """
    from scipy.stats import binomtest

    interval = binomtest(wrong, of).proportion_ci(0.95, method="wilson")
    return Share(wrong, of, float(interval.low), float(interval.high))


def score(questions: Sequence[questionnaire.Question], answers: Sequence[str]) -> dict[str, Share]:
    """The error rate of a session whose questions are all answered, and its two kinds of error apart.

    Guessing gives ½; above it, the fakes look more real than the real images do.

    Args:
      questions: 2N of them, balanced.
      answers: to each.

    Returns:
      By name: the images judged wrongly, the fakes taken for real, the reals taken for fake.

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
    """A share as people read it, on the page and in the terminal.

    >>> shown(Share(3, 8, 0.137, 0.6943))
    {'rate': '37.5 %', 'count': '3 of 8', 'interval': '13.7 to 69.4 %'}
    """
    return {
        "rate": f"{100 * share.wrong / share.of:.1f} %",
        "count": f"{share.wrong} of {share.of}",
        "interval": f"{100 * share.low:.1f} to {100 * share.high:.1f} %",
    }
