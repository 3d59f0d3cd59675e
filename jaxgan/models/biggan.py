"""BigGAN: class-conditional residual networks with a shared class embedding and hierarchical latents.

Every layer with a kernel is spectrally normalised in both players, except the generator's class embedding.
All kernels start orthogonal. Channels are multiples of ``width``; the tables below list the multiples by
the side of the images. Those of 32 to 256 pixels are from the authors' code, those of 512 pixels are the
paper's, and 16 pixels continue the pattern of 32.

References:
  Brock et al., 2019, Large Scale GAN Training for High Fidelity Natural Image Synthesis, appendix B,
  https://arxiv.org/abs/1809.11096
  The authors' code, https://github.com/ajbrock/BigGAN-PyTorch
"""

import functools
from collections.abc import Collection
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import SetupError, unknown
from jaxgan.layers import BatchNorm, Conv, Dense
from jaxgan.layers.attention import SelfAttention
from jaxgan.layers.conditional_norm import ConditionalBatchNorm
from jaxgan.layers.embedding import Embed
from jaxgan.models import resnet

Array = jax.Array

INIT = nn.initializers.orthogonal()

# Multiples of the channels at 4 × 4 pixels and after each block, each of which doubles the side.
GENERATOR = {
    16: (4, 4, 4),
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
# Multiples of the channels after each block. Blocks halve the side until it is the last side.
CRITIC = {
    16: (4, 4, 4),
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}
SIZES = tuple(GENERATOR)


def pools(size: int) -> int:
    """Returns the number of the critic's blocks that halve the side: to 8 for small images, else to 4.

    >>> [pools(size) for size in SIZES]
    [1, 2, 4, 5, 6, 7]
    """
    return (size // (8 if size <= 32 else 4)).bit_length() - 1


def check(size: int, width: int, attention: Collection[int], sides: Collection[int]) -> None:
    """Validates the settings of a BigGAN's network.

    Args:
      size: Side of the images in pixels.
      width: Unit of the numbers of channels.
      attention: Sides of the feature maps that are followed by self-attention.
      sides: Sides that the network has for images of that size.

    Raises:
      SetupError: The width is not positive, or there is no feature map of a side in ``attention``.
    """
    if width < 1:
        raise SetupError(f"width {width}: a BigGAN needs at least 1 channel")
    for side in attention:
        if side not in sides:
            raise SetupError(
                f"attention at side {side}: a BigGAN for {size} pixels has it at"
                f" {', '.join(map(str, sides))}, or nowhere, ()"
            )


def generator_channels(size: int, width: int, attention: Collection[int]) -> list[int]:
    """Returns the generator's channels at 4 × 4 pixels and after each doubling.

    Raises:
      SetupError: A setting is out of range.
    """
    if size not in SIZES:
        raise unknown("image size", size, SIZES)
    check(size, width, attention, [8 * 2**i for i in range(len(GENERATOR[size]) - 1)])
    return [width * multiple for multiple in GENERATOR[size]]


def critic_channels(size: int, width: int, attention: Collection[int]) -> list[int]:
    """Returns the critic's channels after each block or, in BigGAN-deep, after its stem and each stage.

    Raises:
      SetupError: A setting is out of range.
    """
    if size not in SIZES:
        raise unknown("image size", size, SIZES)
    check(size, width, attention, [size // 2 ** (i + 1) for i in range(pools(size))])
    return [width * multiple for multiple in CRITIC[size]]


def attend(x: Array, dtype: Any, train: bool) -> Array:
    """Applies spectrally normalised self-attention; must be called in a module's compact method."""
    return SelfAttention(spectral=True, kernel_init=INIT, dtype=dtype)(x, train)


def normalise(x: Array, condition: Array, train: bool) -> Array:
    """Applies batch normalisation with a gain 1 + W c and a bias V c; must be called in a compact method.

    Args:
      x: Feature map, (B, H, W, C).
      condition: Embedded label and latents c, (B, D).
      train: Whether the pass is one of training.

    Returns:
      The normalised feature map, with the shape of ``x``.
    """
    return ConditionalBatchNorm(spectral=True, kernel_init=INIT)(x, condition, train)


def to_images(x: Array, channels: int, dtype: Any, train: bool) -> Array:
    """Maps the last feature map to images in [−1, 1]; must be called in a module's compact method."""
    x = nn.relu(BatchNorm()(x, train))
    return jnp.tanh(Conv(channels, True, True, INIT, dtype)(x, train).astype(jnp.float32))


def to_logits(module: nn.Module, x: Array, labels: Array, classes: int, dtype: Any, train: bool) -> Array:
    """Maps a critic's last feature map to logits ψ(φ) + ⟨v_y, φ⟩; φ is the sum of relu(x) over pixels.

    The function must be called in the compact method of ``module``, into which φ is sown as ``features``.

    Args:
      module: Critic.
      x: Last feature map, (B, H, W, C).
      labels: Labels, (B,).
      classes: Number of labels.
      dtype: Type of the products' operands.
      train: Whether the pass is one of training.

    Returns:
      (B,) float32 logits.
    """
    x = jnp.sum(nn.relu(x), (1, 2), dtype=jnp.float32)
    module.sow("intermediates", "features", x)
    psi = Dense(1, True, True, INIT, dtype)(x, train)[:, 0].astype(jnp.float32)
    table = Embed(classes, x.shape[-1], spectral=True, kernel_init=INIT)
    return psi + jnp.sum(table(labels, train) * x, -1)


class Generator(nn.Module):
    """Generator whose latents enter at every level, together with an embedding of the label.

    The latents are cut into one chunk per block and one more. The first chunk alone is mapped to the first
    feature map; each block's norms are conditioned on the embedding and the block's own chunk.

    Attributes:
      size: Side of the image in pixels, one of ``SIZES``.
      channels: Number of colour channels of the image.
      classes: Number of labels.
      width: Unit of the numbers of channels (96 in the paper, for 128 pixels).
      attention: Sides of the feature maps that are followed by self-attention ((64,) in the paper).
      embedding: Length of the embedding, which all norms share (128 in the paper).
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    size: int
    channels: int
    classes: int
    width: int = 96
    attention: tuple[int, ...] = ()
    embedding: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array, labels: Array, train: bool) -> Array:
        """Maps (B, dim) codes and (B,) labels to (B, size, size, channels) images in [−1, 1].

        Raises:
          SetupError: The codes cannot be cut into chunks of equal length, or a setting is out of range.
        """
        first, *features = generator_channels(self.size, self.width, self.attention)
        if (dim := z.shape[-1]) % (len(features) + 1):
            raise SetupError(
                f"latent.dim {dim}: a BigGAN for {self.size} pixels cuts its latents into"
                f" {len(features) + 1} chunks of equal length, give a multiple of that"
            )
        embedded = Embed(self.classes, self.embedding, kernel_init=INIT)(labels, train)
        chunk, *chunks = jnp.split(z, len(features) + 1, -1)
        x = Dense(16 * first, True, True, INIT, self.dtype)(chunk, train).reshape(-1, 4, 4, first)
        for width, chunk in zip(features, chunks, strict=True):
            condition = jnp.concatenate([embedded, chunk], -1)
            block = resnet.GeneratorBlock(width, True, self.dtype, INIT, INIT)
            x = block(x, functools.partial(normalise, condition=condition, train=train), train)
            if x.shape[1] in self.attention:
                x = attend(x, self.dtype, train)
        return to_images(x, self.channels, self.dtype, train)


class Critic(nn.Module):
    """Projection critic with sum pooling, whose logit is ψ(φ(x)) + ⟨v_y, φ(x)⟩.

    Attributes:
      classes: Number of labels.
      width: Unit of the numbers of channels (96 in the paper, for 128 pixels).
      attention: Sides of the feature maps that are followed by self-attention ((64,) in the paper).
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    classes: int
    width: int = 96
    attention: tuple[int, ...] = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, labels: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images and (B,) labels to (B,) logits."""
        size = x.shape[1]
        for i, width in enumerate(critic_channels(size, self.width, self.attention)):
            pool = i < pools(size)
            x = resnet.CriticBlock(width, "spectral", pool, i == 0, self.dtype, INIT, INIT)(x, train)
            if pool and x.shape[1] in self.attention:
                x = attend(x, self.dtype, train)
        return to_logits(self, x, labels, self.classes, self.dtype, train)
