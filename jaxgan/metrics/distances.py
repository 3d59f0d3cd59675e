"""Distances between two sets of features, a tile at a time: never the (N, M) matrix.

In float64, for ‖a‖² + ‖b‖² − 2a·b of float32 features loses the digits of near duplicates, and these
are what precision, recall and memorisation are about. Only a tile of features is ever in float64.
"""

from collections.abc import Iterator

import numpy as np

ROWS, COLUMNS = 512, 1024  # of a tile: 4 MiB


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


def tiles(x: np.ndarray, y: np.ndarray, centre: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Squared distances between all samples of two sets.

    ‖x_i − y_j‖² = ‖x_i − c‖² + ‖y_j − c‖² − 2 (x_i − c)·(y_j − c)

    Args:
      x: (N, D).
      y: (M, D).
      centre: (D,) c, a point amid them, float64.

    Yields:
      Rows of x, rows of y, and their squared distances in float64, never below 0, an array that may be
      written to.
    """
    for rows in slices(len(x), ROWS):
        a = x[rows] - centre
        a_squares = np.einsum("nd,nd->n", a, a)
        for columns in slices(len(y), COLUMNS):
            b = y[columns] - centre
            squares = a @ (-2 * b.T)
            squares += a_squares[:, None]
            squares += np.einsum("nd,nd->n", b, b)
            yield rows, columns, np.maximum(squares, 0, out=squares)
