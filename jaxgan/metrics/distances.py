"""Distances between two sets of features, a tile at a time: never the (N, M) matrix.

In float64, for ‖a‖² + ‖b‖² − 2a·b of float32 features loses the digits of near duplicates, and these
are what precision, recall and memorisation are about. Only a tile of features is ever in float64.
"""

from collections import deque
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

ROWS, COLUMNS = 512, 1024  # of a tile: 4 MiB
AHEAD = 2  # tiles that the device works on while the host works on one


def slices(count: int, step: int) -> list[slice]:
    """Cuts ``range(count)`` into pieces of ``step`` and a rest."""
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def centre_of(*sets: np.ndarray) -> np.ndarray:
    """(D,) float64, the mean of all samples of (N, D) sets: where :func:`tiles` best puts the origin."""
    return np.sum([np.sum(x, axis=0, dtype=np.float64) for x in sets], axis=0) / sum(map(len, sets))


def rounding(centre: np.ndarray, *sets: np.ndarray) -> float:
    """How far apart two squared distances of :func:`tiles` may be though they are equal.

    Args:
      centre: (D,), what was given to :func:`tiles`.
      *sets: (N, D) arrays.

    Returns:
      1e-12 of the mean squared distance from the centre.
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
    """Squared distances between all samples of two sets.

    ‖x_i − y_j‖² = ‖x_i − c‖² + ‖y_j − c‖² − 2 (x_i − c)·(y_j − c)

    Args:
      x: (N, D).
      y: (M, D).
      centre: (D,) c, a point amid them, float64.

    Yields:
      Rows of x, rows of y, and their squared distances in float64, never below 0.
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
