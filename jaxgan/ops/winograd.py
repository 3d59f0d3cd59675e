"""Winograd's minimal filtering: a strided convolution and its two transposes as a few matrix products.

A convolution of stride s equals a convolution of stride 1 in which the s × s phases of the images and
kernels are channels (space to depth) and kernels have side r = ⌈k / s⌉. In tiles of m × m outputs, the
stride-1 convolution needs α = m + r − 1 products per side where the definition needs m·r, and each of them
is a matrix product over channels:

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

for tiles d of the image, kernel g and tiles Y of the output. Read as a trilinear form, the sum over the α²
entries of ⟨images(x) · kernels(w), outputs(y)⟩ with the linear maps ``images``, ``kernels`` and ``outputs``
below, the algorithm also gives the transposes in x and in w at the same cost.

With m = 1 minimal filtering saves nothing. The α² = r² products are then summed, so their operands are laid
side by side as the columns of a single product (im2col).

References:
  Lavin & Gray, 2015, Fast Algorithms for Convolutional Neural Networks, https://arxiv.org/abs/1509.09308
"""

import functools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
Matrix = tuple[tuple[float, ...], ...]

# Points at which the polynomials of a convolution are evaluated, in addition to ∞. Of the small fractions,
# these lose the least precision in float32 (relative errors stay below 1e-5 up to α = 6, or up to α = 8 if
# only one direction has several taps).
POINTS = (0, 1, -1, Fraction(1, 2), -2, Fraction(-1, 2), 2)


@functools.cache
def matrices(m: int, r: int) -> tuple[Matrix, Matrix, Matrix]:
    """Computes the matrices of the Cook-Toom algorithm in exact fractions.

    Args:
      m: Number of outputs.
      r: Number of taps of the filter; the algorithm needs m + r − 2 points.

    Returns:
      Matrices A (α, m), G (α, r) and B (α, α) with α = m + r − 1, which satisfy
      Σ_j g_j d_{i+j} = Σ_p A_pi (G g)_p (B d)_p.
      (The paper writes Aᵀ, G and Bᵀ; here the α products are always the first axis.)

    >>> matrices(2, 2)[2]
    ((1.0, -1.0, 0.0), (0.0, 1.0, 0.0), (0.0, -1.0, 1.0))
    """
    alpha = m + r - 1

    def powers(n: int) -> list[list[Fraction]]:
        # This matrix maps the n coefficients of a polynomial to its values, the last of which is at ∞.
        finite = [[Fraction(point) ** j for j in range(n)] for point in POINTS[: alpha - 1]]
        return [*finite, [Fraction(int(j == n - 1)) for j in range(n)]]

    # B is the transpose of interpolation, the inverse of powers(α), which we compute by Gauss-Jordan
    # elimination on [powers | 1].
    rows = [row + [Fraction(int(i == j)) for j in range(alpha)] for i, row in enumerate(powers(alpha))]
    for i in range(alpha):
        pivot = next(k for k in range(i, alpha) if rows[k][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for k in range(alpha):
            if k != i:
                rows[k] = [a - rows[k][i] * b for a, b in zip(rows[k], rows[i], strict=True)]
    inverse = [row[alpha:] for row in rows]

    def floats(matrix: Iterable[Iterable[Fraction]]) -> Matrix:
        return tuple(tuple(float(value) for value in row) for row in matrix)

    return floats(powers(m)), floats(powers(r)), floats(zip(*inverse, strict=True))


def _combine(coefficients: Iterable[float], arrays: Iterable[Array]) -> Array:
    """Computes Σ c · a without any operation for coefficients of 0 and without products for ±1."""
    total = None
    for c, a in zip(coefficients, arrays, strict=True):
        if c:
            term = a if abs(c) == 1 else abs(c) * a
            total = (term if c > 0 else -term) if total is None else total + term if c > 0 else total - term
    assert total is not None
    return total


def _outer(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [a * b for a in first for b in second]


def _pad(x: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    """Pads (B, H, W, C) images with zeros; negative numbers crop."""
    if rows == columns == (0, 0):
        return x
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0)])


class Tiling(NamedTuple):
    """Tiling of a convolution, with the six linear maps that it defines.

    Attributes:
      size: Height and width (H, W) of the images.
      kernel: Height and width (kh, kw) of the kernel.
      stride: Stride s.
      padding: Zeros above and to the left of the images, (top, left).
      out: Height and width (H', W') of the outputs.
      m: Outputs per tile in a direction with several taps. A direction with a single tap is not tiled,
        because minimal filtering saves nothing there.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int]
    out: tuple[int, int]
    m: int

    @property
    def taps(self) -> tuple[int, int]:
        """Side r of the kernel over phases, in both directions."""
        return -(-self.kernel[0] // self.stride), -(-self.kernel[1] // self.stride)

    @property
    def step(self) -> tuple[int, int]:
        """Outputs per tile, in both directions."""
        rows, columns = self.taps
        return self.m if rows > 1 else 1, self.m if columns > 1 else 1

    @property
    def tiles(self) -> tuple[int, int]:
        """Number of tiles that cover the outputs, in both directions."""
        return -(-self.out[0] // self.step[0]), -(-self.out[1] // self.step[1])

    @property
    def sides(self) -> tuple[int, int]:
        """Side α of a tile of the image, in phases, in both directions."""
        (rows, columns), (down, right) = self.taps, self.step
        return down + rows - 1, right + columns - 1

    @property
    def _phased(self) -> tuple[int, int]:
        # These are the height and width that the tiles cover, in phases.
        (rows, columns), (th, tw), (down, right) = self.taps, self.tiles, self.step
        return down * th + rows - 1, right * tw + columns - 1

    def _matrices(self, which: int) -> tuple[Matrix, Matrix]:
        (rows, columns), (down, right) = self.taps, self.step
        return matrices(down, rows)[which], matrices(right, columns)[which]

    def images(self, x: Array) -> list[Array]:
        """Computes Bᵀ d B: (B, H, W, I) images to α² matrices (tiles, s²·I)."""
        b, h, w, c = x.shape
        s, (down, right) = self.stride, self.step
        (height, width), (top, left), (th, tw) = self._phased, self.padding, self.tiles
        x = _pad(x, (top, s * height - h - top), (left, s * width - w - left))
        if s > 1:
            x = x.reshape(b, height, s, width, s, c).transpose(0, 1, 3, 2, 4, 5)
            x = x.reshape(b, height, width, s * s * c)
        # Without a barrier XLA would pad and rearrange the images again for each of the α² matrices.
        x = lax.optimization_barrier(x)
        slices = [
            lax.slice(
                x,
                (0, i, j, 0),
                (b, i + down * (th - 1) + 1, j + right * (tw - 1) + 1, s * s * c),
                (1, down, right, 1),
            )
            for i in range(self.sides[0])
            for j in range(self.sides[1])
        ]
        if self.m == 1:
            return [jnp.concatenate(slices, axis=3).reshape(b * th * tw, -1)]
        first, second = self._matrices(2)
        return [
            _combine(_outer(row, column), slices).reshape(b * th * tw, s * s * c)
            for row in first
            for column in second
        ]

    def images_transposed(self, u: Sequence[Array]) -> Array:
        """Applies the transpose of :meth:`images`, which sums the pixels that tiles share."""
        s, (rows, columns) = self.stride, self.step
        (height, width), (th, tw) = self._phased, self.tiles
        first_side, second_side = self.sides
        if self.m == 1:
            u = jnp.split(u[0], first_side * second_side, axis=1)
        b, c = len(u[0]) // (th * tw), u[0].shape[1]
        u = [matrix.reshape(b, th, tw, c) for matrix in u]
        if self.m > 1:
            first, second = self._matrices(2)
            u = [
                _combine(_outer(row, column), u)
                for row in zip(*first, strict=True)
                for column in zip(*second, strict=True)
            ]
        # Now u has one array for each place (i, j) in a tile; place i + rows is place i of the next tile.
        down, right = (first_side - 1) // rows, (second_side - 1) // columns
        places: dict[tuple[int, int], Array] = {}
        for i in range(first_side):
            for j in range(second_side):
                (n, k), (p, q) = divmod(i, rows), divmod(j, columns)
                term = _pad(u[i * second_side + j], (n, down - n), (p, right - p))
                places[k, q] = places[k, q] + term if (k, q) in places else term
        x = jnp.stack([jnp.stack([places[k, q] for q in range(columns)], 3) for k in range(rows)], 2)
        x = x.reshape(b, rows * (th + down), columns * (tw + right), c)[:, :height, :width]
        if s > 1:
            x = x.reshape(b, height, width, s, s, -1).transpose(0, 1, 3, 2, 4, 5)
            x = x.reshape(b, s * height, s * width, -1)
        (h, w), (top, left) = self.size, self.padding
        return _pad(x, (-top, h + top - s * height), (-left, w + left - s * width))

    def kernels(self, w: Array) -> list[Array]:
        """Computes G g Gᵀ: (kh, kw, I, O) kernels to α² matrices (s²·I, O)."""
        (kh, kw, inputs, outputs), (rows, columns), s = w.shape, self.taps, self.stride
        w = jnp.pad(w, ((0, rows * s - kh), (0, columns * s - kw), (0, 0), (0, 0)))
        w = w.reshape(rows, s, columns, s, inputs, outputs).transpose(0, 2, 1, 3, 4, 5)
        if self.m == 1:
            return [w.reshape(-1, outputs)]
        taps = list(lax.optimization_barrier(w).reshape(rows * columns, -1, outputs))
        first, second = self._matrices(1)
        return [_combine(_outer(row, column), taps) for row in first for column in second]

    def kernels_transposed(self, v: Sequence[Array]) -> Array:
        """Applies the transpose of :meth:`kernels`."""
        (kh, kw), (rows, columns), s = self.kernel, self.taps, self.stride
        outputs = v[0].shape[1]
        if self.m > 1:
            first, second = self._matrices(1)
            v = [
                _combine(_outer(row, column), v)
                for row in zip(*first, strict=True)
                for column in zip(*second, strict=True)
            ]
        w = jnp.stack(v).reshape(rows, columns, s, s, -1, outputs).transpose(0, 2, 1, 3, 4, 5)
        return w.reshape(rows * s, columns * s, -1, outputs)[:kh, :kw]

    def outputs(self, y: Array) -> list[Array]:
        """Computes A y Aᵀ: (B, H', W', O) outputs to α² matrices (tiles, O)."""
        b, h, w, c = y.shape
        (down, right), (th, tw) = self.step, self.tiles
        if self.m == 1:
            return [y.reshape(b * h * w, c)]
        y = lax.optimization_barrier(_pad(y, (0, down * th - h), (0, right * tw - w)))
        slices = [
            lax.slice(
                y,
                (0, i, j, 0),
                (b, i + down * (th - 1) + 1, j + right * (tw - 1) + 1, c),
                (1, down, right, 1),
            )
            for i in range(down)
            for j in range(right)
        ]
        first, second = self._matrices(0)
        return [
            _combine(_outer(row, column), slices).reshape(b * th * tw, c)
            for row in first
            for column in second
        ]

    def outputs_transposed(self, products: Sequence[Array]) -> Array:
        """Computes Aᵀ M A, the transpose of :meth:`outputs`."""
        (down, right), (th, tw), (h, w) = self.step, self.tiles, self.out
        c = products[0].shape[1]
        if self.m == 1:
            return products[0].reshape(-1, h, w, c)
        products = [matrix.reshape(-1, th, tw, c) for matrix in products]
        first, second = self._matrices(0)
        y = jnp.stack(
            [
                jnp.stack(
                    [_combine(_outer(row, column), products) for column in zip(*second, strict=True)], 3
                )
                for row in zip(*first, strict=True)
            ],
            2,
        )
        return y.reshape(-1, down * th, right * tw, c)[:, :h, :w]


def conv(x: Array, w: Array, tiling: Tiling) -> Array:
    """Maps (B, H, W, I) images and (kh, kw, I, O) kernels to (B, H', W', O) outputs."""
    pairs = zip(tiling.images(x), tiling.kernels(w), strict=True)
    return tiling.outputs_transposed([u @ v for u, v in pairs])


def transpose(y: Array, w: Array, tiling: Tiling) -> Array:
    """Maps (B, H', W', O) outputs and (kh, kw, I, O) kernels to (B, H, W, I) images."""
    pairs = zip(tiling.outputs(y), tiling.kernels(w), strict=True)
    return tiling.images_transposed([u @ v.T for u, v in pairs])


def correlate(x: Array, y: Array, tiling: Tiling) -> Array:
    """Maps (B, H, W, I) images and (B, H', W', O) outputs to (kh, kw, I, O) kernels."""
    pairs = zip(tiling.images(x), tiling.outputs(y), strict=True)
    return tiling.kernels_transposed([u.T @ v for u, v in pairs])
