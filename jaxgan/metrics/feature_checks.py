"""Input validation that the metrics on features share."""

import jax
import numpy as np

from jaxgan.errors import SetupError

ArrayLike = jax.Array | np.ndarray


def check_rows(name: str, values: ArrayLike, *, least: int = 2) -> np.ndarray:
    """Validates an array of samples, one per row, which must be long enough and finite.

    Args:
      name: Name of the array in error messages.
      values: Numbers, (N, ...).
      least: Smallest N that is accepted.

    Returns:
      The same numbers as a NumPy array, without a copy if they are on the host.

    Raises:
      SetupError: There are too few rows, or a row holds a NaN or an infinity.
    """
    array = np.asarray(values)
    if array.ndim < 1 or len(array) < least:
        raise SetupError(f"{name} has shape {array.shape}: at least {least} samples are needed, one a row")
    # One sum shows whether all values are finite, without an array of booleans. A sum of float32 values
    # cannot overflow in float64.
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
    """Validates sets of features that are to be compared, each named by its keyword.

    >>> real, fake = check_features(real=np.eye(3), fake=np.ones((2, 3)))

    Args:
      least: Smallest number of samples of a set.
      **sets: Arrays (N, D) of any N and the same D.

    Returns:
      The sets as NumPy arrays, see :func:`check_rows`.

    Raises:
      SetupError: A set has another rank, too few samples or a value that is not finite, or dimensions
        differ.
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
    """Validates integer labels, one for each of ``count`` samples.

    Raises:
      SetupError: The labels are not integers, or their number is not ``count``.
    """
    array = np.asarray(labels)
    if array.shape != (count,) or not np.issubdtype(array.dtype, np.integer):
        raise SetupError(f"{name} are {array.dtype} of shape {array.shape}: {count} integers are needed")
    return array


def check_at_least(name: str, value: int, least: int) -> None:
    """Validates that a number is large enough.

    Raises:
      SetupError: The number ``value`` is below ``least``.
    """
    if value < least:
        raise SetupError(f"{name} is {value}: give {least} or more")
