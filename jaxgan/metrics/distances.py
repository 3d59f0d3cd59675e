"""Distances between two sets of features, computed in tiles without the whole (N, M) matrix.

Distances are computed in float64, because ‖a‖² + ‖b‖² − 2a·b of float32 features loses the digits of near
duplicates, on which precision, recall and memorisation depend. Only the features of a tile are ever held in
float64.
"""

from collections import deque
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

ROWS, COLUMNS = 512, 1024  # size of a tile, 4 MiB in float64
AHEAD = 2  # number of tiles on which the device works while the host works on another


def slices(count: int, step: int) -> list[slice]:
    """Cuts ``range(count)`` into slices of length ``step`` and a remainder."""
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def centre_of(*sets: np.ndarray) -> np.ndarray:
    """Computes the mean of all samples of (N, D) sets, (D,) float64, a good centre for :func:`tiles`."""
    return np.sum([np.sum(x, axis=0, dtype=np.float64) for x in sets], axis=0) / sum(map(len, sets))


def rounding(centre: np.ndarray, *sets: np.ndarray) -> float:
    """Computes how much two equal squared distances of :func:`tiles` may differ by rounding.

    Args:
      centre: Centre that was given to :func:`tiles`, (D,).
      *sets: Arrays of samples, (N, D).

    Returns:
      The tolerance, 1e-12 times the mean squared distance of the samples from the centre.
    """
    spread = [np.sum(np.square(x[rows] - centre)) for x in sets for rows in slices(len(x), ROWS)]
    return 1e-12 * float(np.sum(spread)) / sum(map(len, sets))


@jax.jit
def _tile(x: jax.Array, y: jax.Array, centre: jax.Array) -> jax.Array:
    a, b = x - centre, y - centre
    squares = jnp.sum(a * a, axis=1)[:, None] + jnp.sum(b * b, axis=1) - 2 * a @ b.T
    return jnp.maximum(squares, 0)


def _fetch(rows: slice, columns: slice, squares: jax.Array) -> tuple[slice, slice, np.ndarray]:
    return rows, columns, np.asarray(squares)


def tiles(x: np.ndarray, y: np.ndarray, centre: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Computes squared distances between all samples of two sets.

    ‖x_i − y_j‖² = ‖x_i − c‖² + ‖y_j − c‖² − 2 (x_i − c)·(y_j − c)

    Args:
      x: Samples of one set, (N, D).
      y: Samples of the other set, (M, D).
      centre: Point c amid the samples, (D,), float64.

    Yields:
      Rows of x, rows of y, and their squared distances in float64, which are never negative.
    """
    launched: deque[tuple[slice, slice, jax.Array]] = deque()
    for rows in slices(len(x), ROWS):
        for columns in slices(len(y), COLUMNS):
            with jax.enable_x64(True):
                launched.append((rows, columns, _tile(x[rows], y[columns], centre)))
            if len(launched) > AHEAD:
                yield _fetch(*launched.popleft())
    for tile in launched:
        yield _fetch(*tile)
