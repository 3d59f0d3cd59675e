"""DCGAN, following its five architecture rules.

1. No pooling: the critic uses strided convolutions, the generator fractionally-strided ones.
2. Batch normalisation in both networks, except at the generator's output and the critic's input. (``norm``
   may instead be layer, none or spectral, for objectives whose critic must not mix samples.)
3. No fully connected hidden layers: the code is projected to the first feature map and the last feature map
   to the logit, and all layers between are convolutional.
4. ReLU in the generator, tanh at its output.
5. Leaky ReLU of slope 0.2 in every layer of the critic.

References:
  Radford et al., 2016, Unsupervised Representation Learning with DCGANs, https://arxiv.org/abs/1511.06434
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import SetupError, unknown
from jaxgan.layers import NORMS, Conv, ConvTranspose, Dense, Norm
from jaxgan.layers.heads import Classified, ClassifyingHeads
from jaxgan.layers.minibatch import Minibatch

Array = jax.Array

SIZES = (8, 16, 28, 32, 64, 128)

_kernel_init = nn.initializers.normal(0.02)


def _scale_init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    return 1.0 + 0.02 * jax.random.normal(key, shape, dtype)


def stages(size: int) -> tuple[int, int]:
    """Returns the side of the smallest feature map and the number of doublings from it to the image.

    Raises:
      SetupError: No DCGAN of that size is defined.

    >>> stages(64), stages(28)
    ((4, 4), (7, 2))
    """
    if size not in SIZES:
        raise unknown("image size", size, SIZES)
    base = 7 if size == 28 else 4
    return base, (size // base).bit_length() - 1


def check(norm: str, width: int, kernel_size: int) -> None:
    """Validates the settings of the two networks below.

    Raises:
      SetupError: The norm is unknown, the width is not positive, or the kernel is not 3 to 7 pixels wide.
    """
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    if width < 1:
        raise SetupError(f"width {width}: a DCGAN needs at least 1 channel")
    if not 3 <= kernel_size <= 7:
        raise SetupError(f"kernel_size {kernel_size}: a DCGAN's kernels are 3 to 7 pixels wide")


class Generator(nn.Module):
    """Generator that maps a code to an image, doubling the side and halving the channels at every layer.

    Attributes:
      size: Side of the image in pixels, one of ``SIZES``.
      channels: Number of colour channels of the image.
      width: Number of feature maps in the last hidden layer; the first has width·2^(doublings − 1).
      norm: Normalisation, which is batch, layer, none or spectral.
      kernel_size: Side of the kernel of every fractionally-strided convolution (stride 2), in pixels.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    size: int
    channels: int = 3
    width: int = 64
    norm: str = "batch"
    kernel_size: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array, train: bool) -> Array:
        """Maps (B, dim) codes to (B, size, size, channels) images in [−1, 1]."""
        check(self.norm, self.width, self.kernel_size)
        base, doublings = stages(self.size)
        spectral = self.norm == "spectral"
        # A norm has a shift of its own, which makes the bias redundant.
        use_bias = self.norm in ("none", "spectral")

        common = (use_bias, spectral, _kernel_init, self.dtype)

        def activate(x: Array) -> Array:
            return nn.relu(Norm(self.norm, _scale_init)(x, train))

        features = self.width * 2 ** (doublings - 1)
        x = Dense(base * base * features, *common)(z, train)
        x = activate(x.reshape(-1, base, base, features))
        for _ in range(doublings - 1):
            features //= 2
            x = activate(ConvTranspose(features, *common, self.kernel_size)(x, train))
        last = ConvTranspose(self.channels, True, spectral, _kernel_init, self.dtype, self.kernel_size)
        return jnp.tanh(last(x, train).astype(jnp.float32))


def _downsample(module: "Critic | ClassifyingCritic | AutoEncoder", x: Array, train: bool) -> Array:
    """Applies the strided convolutions of a critic or auto-encoder: images to (B, features).

    The function must be called in the compact method of ``module``.
    """
    check(module.norm, module.width, module.kernel_size)
    _, doublings = stages(x.shape[1])
    use_bias = module.norm in ("none", "spectral")
    for i in range(doublings):
        first = i == 0
        common = (use_bias or first, module.norm == "spectral", _kernel_init, module.dtype)
        x = Conv(module.width * 2**i, *common, module.kernel_size, stride=2)(x, train)
        x = nn.leaky_relu(x if first else Norm(module.norm, _scale_init)(x, train), 0.2)
    return x.reshape(x.shape[0], -1)


class Critic(nn.Module):
    """Critic that maps an image to a logit, halving the side and doubling the channels at every layer.

    The inputs of the last layer are sown as ``features`` into ``intermediates``.

    Attributes:
      width: Number of feature maps in the first layer.
      norm: Normalisation, which is batch, layer, none or spectral.
      kernel_size: Side of the kernel of every strided convolution (stride 2), in pixels.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      minibatch: Kind of :class:`jaxgan.layers.minibatch.Minibatch` whose features of the batch are appended
        to the inputs of the last layer, or none.
    """

    width: int = 64
    norm: str = "batch"
    kernel_size: int = 4
    dtype: Any = jnp.float32
    minibatch: str = "none"

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images to (B,) logits."""
        x = Minibatch(self.minibatch)(_downsample(self, x, train))
        self.sow("intermediates", "features", x)
        last = Dense(1, True, self.norm == "spectral", _kernel_init, self.dtype)
        return last(x, train)[:, 0].astype(jnp.float32)


class ClassifyingCritic(nn.Module):
    """AC-GAN's critic: the convolutions of the critic, with one output for the score and K for the classes.

    The inputs of the last layers are sown as ``features`` into ``intermediates``.

    Attributes:
      classes: Number K of labels.
      width: Number of feature maps in the first layer.
      norm: Normalisation, which is batch, layer, none or spectral.
      kernel_size: Side of the kernel of every strided convolution (stride 2), in pixels.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.

    References:
      Odena et al., 2017, https://arxiv.org/abs/1610.09585 (whose critic has more layers, and dropout)
    """

    classes: int
    width: int = 64
    norm: str = "batch"
    kernel_size: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Classified:
        """Maps (B, size, size, channels) images to the (B,) logits and the (B, K) class logits."""
        x = _downsample(self, x, train)
        self.sow("intermediates", "features", x)
        return ClassifyingHeads(self.classes, self.norm == "spectral", _kernel_init, self.dtype)(x, train)


class AutoEncoder(nn.Module):
    """BEGAN's critic: convolutions of the critic encode an image, and a generator decodes it.

    Attributes:
      width: Number of feature maps in the first and in the last hidden layer.
      code: Length of the code.
      norm: Normalisation, which is layer, none or spectral. Batch statistics would alternate between those
        of real and of fake images.
      kernel_size: Side of the kernel of every convolution (stride 2), in pixels.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.

    References:
      Berthelot et al., 2017, BEGAN, section 3.5 (whose networks have more layers),
      https://arxiv.org/abs/1703.10717
    """

    width: int = 64
    code: int = 64
    norm: str = "none"
    kernel_size: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images to their reconstructions, of the same shape."""
        size, channels = x.shape[1], x.shape[-1]
        code = Dense(self.code, True, self.norm == "spectral", _kernel_init, self.dtype)
        decoder = Generator(size, channels, self.width, self.norm, self.kernel_size, self.dtype)
        return decoder(code(_downsample(self, x, train), train), train)
