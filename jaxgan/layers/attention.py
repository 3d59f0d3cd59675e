"""Self-attention between the pixels of an image, following SAGAN."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan import layers
from jaxgan.errors import SetupError

Array = jax.Array
Initializer = Callable[..., Array]


def max_pool(x: Array) -> Array:
    """Takes maxima over 2 × 2 pixels: (B, 2H, 2W, C) to (B, H, W, C). Equal maxima share the gradient."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


def places(attention: Sequence[int], sides: Sequence[int]) -> list[bool]:
    """Returns, for each layer of a network, whether self-attention follows the layer.

    Args:
      attention: Sides in pixels of the feature maps with self-attention; a network's field of that name.
      sides: Side of each hidden layer's output in pixels, in order. Of several layers with the same side,
        the first is followed by self-attention.

    Raises:
      SetupError: No hidden layer has one of the sides, or the side is odd, so that max-pooling is not
        defined.

    >>> places((16,), (8, 16, 16, 32))
    [False, True, False, False]
    """
    even = list(dict.fromkeys(side for side in sides if side % 2 == 0))
    for side in attention:
        if side not in even:
            raise SetupError(
                f"attention {tuple(attention)}: no hidden layer has an even side of {side} pixels, give"
                f" {' or '.join(f'({able},)' for able in even) or '()'}"
            )
    return [side in attention and side not in sides[:i] for i, side in enumerate(sides)]


class SelfAttention(nn.Module):
    """Self-attention between pixels, added to the input with a learnt weight γ that starts at 0.

    y_i = x_i + γ · o(Σ_j softmax_j(θ(x_i)ᵀ φ(x_j)) g(x_j))

    θ and φ map C channels to C/8, g maps C to C/2, and o maps back to C; each is a 1 × 1 convolution
    without bias. The softmax runs over the keys j and its logits are not scaled. Logits and softmax are
    float32.

    Attributes:
      spectral: Whether the four kernels are divided by their largest singular values; SAGAN does so in both
        players.
      pool: Whether φ and g are max-pooled over 2 × 2 pixels, which leaves a quarter of the keys; H and W
        must then be even. The paper does not mention the pooling, but its authors' code contains it.
      kernel_init: Initialiser of the four kernels.
      dtype: Type of the activations; parameters are float32.

    References:
      Zhang et al., 2019, Self-Attention Generative Adversarial Networks, https://arxiv.org/abs/1805.08318
    """

    spectral: bool = False
    pool: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, C) to the same shape, in ``dtype``."""
        b, h, w, c = x.shape
        project = functools.partial(
            layers.Conv,
            kernel_size=1,
            use_bias=False,
            spectral=self.spectral,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
        )
        narrow, wide = max(c // 8, 1), max(c // 2, 1)
        theta = project(narrow, name="theta")(x, train)
        phi, g = project(narrow, name="phi")(x, train), project(wide, name="g")(x, train)
        if self.pool:
            phi, g = max_pool(phi), max_pool(g)
        queries, keys, values = (y.reshape(b, -1, y.shape[-1]) for y in (theta, phi, g))
        logits = jnp.einsum("bqc,bkc->bqk", queries, keys, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(logits, -1).astype(self.dtype)
        seen = jnp.einsum("bqk,bkc->bqc", weights, values).reshape(b, h, w, wide)
        o = project(c, name="o")(seen, train)
        gamma = self.param("gamma", nn.initializers.zeros, ())
        return (x + gamma * o).astype(self.dtype)
