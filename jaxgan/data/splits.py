"""Splits of a dataset: which examples belong to train, validation and test, and slices of these."""

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
      split: e.g. ``"train"``, ``"train[:500]"``, ``"test[-100:]"`` or ``"train[10%:50%]"``.
      names: of the splits that there are.

    Returns:
      The name and both ends, None where one is left out.

    Raises:
      SetupError: it has another form, or there is no split of that name.
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
    """Picks the examples of a split, see :func:`parse` for its syntax.

    Args:
      splits: by name, the indices of each split's examples, in its order.
      split: a name or a slice.

    Returns:
      (N,) indices.

    Raises:
      SetupError: there is no such split, it has fewer examples than the slice asks for, or none are left.
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
    """Splits a dataset that has equally many examples of each class, every class alike.

    Args:
      labels: (N,) integers.
      validation: how many examples of each class are for validation: those before the test's.
      test: how many examples of each class are for the test: the last ones.

    Returns:
      By name, the indices of the examples. In each split the classes take turns, so that the first examples
      of a split are balanced too.
    """
    by_class = np.stack([np.flatnonzero(labels == label) for label in np.unique(labels)], axis=1)
    first, second = len(by_class) - validation - test, len(by_class) - test
    parts = (by_class[:first], by_class[first:second], by_class[second:])
    return {name: part.ravel() for name, part in zip(NAMES, parts, strict=True)}


def hashed(names: Sequence[str]) -> dict[str, np.ndarray]:
    """Splits examples by a hash of their names: 80 % train, 10 % validation, 10 % test.

    An example stays in its split whatever other examples come and go.

    Args:
      names: one an example. Examples of one name go to the same split.

    Returns:
      By name, the indices of the examples, in the order of their hashes, so that the first examples of a
      split are a random part of it.
    """
    places = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64 for name in names]
    order = np.argsort(places, kind="stable")
    first, second = np.searchsorted(np.asarray(places)[order], (0.8, 0.9))
    return dict(zip(NAMES, (order[:first], order[first:second], order[second:]), strict=True))
