"""Splits of a dataset into train, validation and test examples, and slices of the splits."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jaxgan.errors import SetupError, unknown

NAMES = ("train", "validation", "test")
_SPLIT = re.compile(r"(\w+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


def parse(split: str, names: Iterable[str] = NAMES) -> tuple[str, str | None, str | None]:
    """Parses a split in the syntax of TensorFlow Datasets, ``NAME`` or ``NAME[FROM:TO]``.

    Args:
      split: Split such as ``"train"``, ``"train[:500]"``, ``"test[-100:]"`` or ``"train[10%:50%]"``.
      names: Names of the splits of the dataset.

    Returns:
      The name and both ends of the slice; an end that is left out is None.

    Raises:
      SetupError: The split has another form, or there is no split of that name.
    """
    names = tuple(names)
    match = _SPLIT.fullmatch(str(split))
    if match is None or match[1] not in names:
        raise unknown("data.split", split, [*names, *(f"{name}[:50%]" for name in names[:1])])
    return match[1], match[2], match[3]


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
      split: Name of a split, or a slice of one.

    Returns:
      Indices of shape (N,).

    Raises:
      SetupError: There is no such split, the slice ends beyond the split, or the slice is empty.
    """
    if not splits:
        raise SetupError(f"data.split is {split!r}, and these data have no splits: leave it out")
    name, start, stop = parse(split, splits)
    whole = splits[name]
    ends = [None if end is None else _position(end, split, len(whole)) for end in (start, stop)]
    chosen = whole[slice(*ends)]
    if not len(chosen):
        raise SetupError(
            f"data.split {split!r} holds no examples: {name} has {len(whole)} in all, give another split"
        )
    return chosen


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
