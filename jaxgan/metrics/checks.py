"""What every metric on features asks of its input."""

import jax
import numpy as np

from jaxgan.errors import SetupError

ArrayLike = jax.Array | np.ndarray


def check_rows(name: str, values: ArrayLike, *, least: int = 2) -> np.ndarray:
    """An array of samples, one a row, that is long enough and finite.

    Args:
      name: what the message calls it.
      values: (N, ...) numbers.
      least: the smallest N that will do.

    Returns:
      The same numbers as NumPy holds them, not copied if they are on the host.

    Raises:
      SetupError: there are fewer rows, or one holds a NaN or an infinity.
    """
    array = np.asarray(values)
    if array.ndim < 1 or len(array) < least:
        raise SetupError(f"{name} has shape {array.shape}: at least {least} samples are needed, one a row")
    # One sum says whether all are finite, with no array of booleans; float32 cannot overflow in float64.
    with np.errstate(over="ignore", invalid="ignore"):
        fine = np.isfinite(np.sum(array, dtype=np.float64))
    if not fine:
        bad = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
        if len(bad):
            raise SetupError(
                f"{name} has NaN or infinite values in {len(bad)} of {len(array)} rows, first in row"
                f" {bad[0]}: every value must be finite"
            )
    return array


def check_features(*, least: int = 2, **sets: ArrayLike) -> list[np.ndarray]:
    """Sets of features that can be compared, each named by its keyword.

    >>> real, fake = check_features(real=np.eye(3), fake=np.ones((2, 3)))

    Args:
      least: the fewest samples a set may have.
      **sets: (N, D) arrays of any N and the same D.

    Returns:
      They, as :func:`check_rows` returns each.

    Raises:
      SetupError: one has another rank, too few samples or a value that is not finite, or dimensions differ.
    """
    for name, values in sets.items():
        if np.ndim(values) != 2 or np.shape(values)[1] < 1:
            raise SetupError(f"{name} has shape {np.shape(values)}: features are (samples, dimensions)")
    dims = {name: np.shape(values)[1] for name, values in sets.items()}
    if len(set(dims.values())) > 1:
        listed = ", ".join(f"{name} has {dim}" for name, dim in dims.items())
        raise SetupError(f"features differ in dimensions: {listed}; take them from one network and layer")
    return [check_rows(name, values, least=least) for name, values in sets.items()]


def check_labels(name: str, labels: ArrayLike, count: int) -> np.ndarray:
    """Integer labels, one for each of ``count`` samples.

    Raises:
      SetupError: they are not whole numbers, or not that many.
    """
    array = np.asarray(labels)
    if array.shape != (count,) or not np.issubdtype(array.dtype, np.integer):
        raise SetupError(f"{name} are {array.dtype} of shape {array.shape}: {count} integers are needed")
    return array


def check_at_least(name: str, value: int, least: int) -> None:
    """Refuses a number that is too small.

    Raises:
      SetupError: ``value`` is below ``least``.
    """
    if value < least:
        raise SetupError(f"{name} {value} is too small: give {least} or more")
