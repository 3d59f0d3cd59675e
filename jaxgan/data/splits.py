"""Splits of a dataset into train, validation and test examples, and slices of the splits."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxgan.errors import SetupError, unknown

NAMES = ("train", "validation", "test")
_SPLIT = re.compile(r"(\w+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


class Part(NamedTuple):
    """A split or a slice of one; an end of the slice that is left out is None."""

    name: str
    start: str | None
    stop: str | None


def parse(split: str, names: Iterable[str] = NAMES) -> list[Part]:
    """Parses a split in the syntax of TensorFlow Datasets: ``NAME`` or ``NAME[FROM:TO]``, joined by ``+``.

    Args:
      split: Split such as ``"train"``, ``"train[:500]"``, ``"test[-100:]"``, ``"train[10%:50%]"`` or
        ``"train[100:]+validation"``.
      names: Names of the splits of the dataset.

    Returns:
      The parts, in order.

    Raises:
      SetupError: The split has another form, or there is no split of that name.
    """
    names = tuple(names)
    matches = [_SPLIT.fullmatch(part) for part in str(split).split("+")]
    parts = [Part(match[1], match[2], match[3]) for match in matches if match and match[1] in names]
    if len(parts) < len(matches):
        raise unknown("data.split", split, [*names, *(f"{name}[:50%]" for name in names[:1])])
    return parts


def _position(end: str, split: str, length: int) -> int:
    position = round(length * int(end[:-1]) / 100) if end.endswith("%") else int(end)
    if abs(position) > length:
        raise SetupError(
            f"data.split {split!r}: there are {length} examples to slice, give ends within them"
        )
    return position


def choose(splits: Mapping[str, np.ndarray], split: str) -> np.ndarray:
    """Returns the indices of the examples of a split or a slice, see :func:`parse` for the syntax.

    Args:
      splits: Indices of the examples of each split, in the order of the split, by name.
      split: Name of a split, or a slice of one, or several joined by ``+``.

    Returns:
      Indices of shape (N,).

    Raises:
      SetupError: There is no such split, the slice ends beyond the split, or a slice is empty.
    """
    if not splits:
        raise SetupError(f"data.split is {split!r}, and these data have no splits: leave it out")
    chosen = []
    for name, start, stop in parse(split, splits):
        whole = splits[name]
        ends = [None if end is None else _position(end, split, len(whole)) for end in (start, stop)]
        chosen.append(whole[slice(*ends)])
        if not len(chosen[-1]):
            raise SetupError(
                f"data.split {split!r} holds no examples: {name} has {len(whole)} in all, give"
                " another split"
            )
    return np.concatenate(chosen)


def stratified(labels: np.ndarray, *, validation: int, test: int) -> dict[str, np.ndarray]:
    """Splits a dataset with equally many examples of each class, in the same way for every class.

    Args:
      labels: Labels of shape (N,), integers.
      validation: Number of validation examples of each class; they precede the test examples.
      test: Number of test examples of each class; they are the last examples of the class.

    Returns:
      Indices of the examples of each split, by name. The examples of a split cycle through the classes, so
      that the first examples of a split are balanced too.
    """
    by_class = np.stack([np.flatnonzero(labels == label) for label in np.unique(labels)], axis=1)
    first, second = len(by_class) - validation - test, len(by_class) - test
    parts = (by_class[:first], by_class[first:second], by_class[second:])
    return {name: part.ravel() for name, part in zip(NAMES, parts, strict=True)}


def hashed(names: Sequence[str]) -> dict[str, np.ndarray]:
    """Splits examples by a hash of their names: 80 % train, 10 % validation, 10 % test.

    The split of an example does not change when other examples are added or removed.

    Args:
      names: Name of each example. Examples of the same name are in the same split.

    Returns:
      Indices of the examples of each split, by name. They are in the order of the hashes, so that the first
      examples of a split are a random subset of the split.
    """
    places = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64 for name in names]
    order = np.argsort(places, kind="stable")
    first, second = np.searchsorted(np.asarray(places)[order], (0.8, 0.9))
    return dict(zip(NAMES, (order[:first], order[first:second], order[second:]), strict=True))
