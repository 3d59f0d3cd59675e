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

from collections.abc import Callable
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import SetupError, unknown
from jaxgan.layers import NORMS, Conv, ConvTranspose, Dense, Norm
from jaxgan.layers.attention import SelfAttention, places
from jaxgan.layers.heads import Classified, ClassifyingHeads
from jaxgan.layers.minibatch import Minibatch

Array = jax.Array
Normalise = Callable[[Array], Array]

SIZES = (8, 16, 28, 32, 64, 128)

kernel_init = nn.initializers.normal(0.02)


def scale_init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Returns initial scales of a batch normalisation, from a normal distribution of mean 1."""
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


class Shape(Protocol):
    """The fields that the networks of this family and of the class-conditional one share."""

    width: int
    kernel_size: int
    dtype: Any


class ImageShape(Shape, Protocol):
    """The fields that generators share."""

    size: int
    channels: int
    attention: tuple[int, ...]


class CriticShape(Shape, Protocol):
    """The fields that critics and auto-encoders share."""

    norm: str


def upsample(
    module: ImageShape, z: Array, train: bool, normalise: Normalise, *, use_bias: bool, spectral: bool
) -> Array:
    """Applies a generator's layers: (B, dim) codes to (B, size, size, channels) images in [−1, 1].

    The function must be called in the compact method of ``module``.

    Args:
      module: Generator that will own the layers.
      z: Codes, (B, dim).
      train: Whether the pass is one in training.
      normalise: Function that normalises hidden feature maps, (B, H, W, C).
      use_bias: Whether the hidden layers have biases, which a normalisation with a shift makes redundant.
      spectral: Whether kernels are divided by their largest singular values.
    """
    base, doublings = stages(module.size)
    attended = places(module.attention, [base << i for i in range(doublings)])
    common = (use_bias, spectral, kernel_init, module.dtype)
    features = module.width * 2 ** (doublings - 1)
    x = Dense(base * base * features, *common)(z, train).reshape(-1, base, base, features)
    for i, attends in enumerate(attended):
        if i:
            features //= 2
            x = ConvTranspose(features, *common, module.kernel_size)(x, train)
        x = nn.relu(normalise(x))
        if attends:
            x = SelfAttention(spectral, kernel_init=kernel_init, dtype=module.dtype)(x, train)
    last = ConvTranspose(module.channels, True, spectral, kernel_init, module.dtype, module.kernel_size)
    return jnp.tanh(last(x, train).astype(jnp.float32))


def downsample(module: CriticShape, x: Array, train: bool, attention: tuple[int, ...] = ()) -> Array:
    """Applies the strided convolutions of a critic or auto-encoder: images to (B, features).

    Self-attention follows the layers whose output has a side in ``attention``. The function must be called
    in the compact method of ``module``.
    """
    norm = module.norm
    check(norm, module.width, module.kernel_size)
    _, doublings = stages(x.shape[1])
    attended = places(attention, [x.shape[1] >> (i + 1) for i in range(doublings)])
    spectral = norm == "spectral"
    for i, attends in enumerate(attended):
        common = (norm in ("none", "spectral") or i == 0, spectral, kernel_init, module.dtype)
        x = Conv(module.width * 2**i, *common, module.kernel_size, stride=2)(x, train)
        x = nn.leaky_relu(x if i == 0 else Norm(norm, scale_init)(x, train), 0.2)
        if attends:
            x = SelfAttention(spectral, kernel_init=kernel_init, dtype=module.dtype)(x, train)
    return x.reshape(x.shape[0], -1)


class Generator(nn.Module):
    """Generator that maps a code to an image, doubling the side and halving the channels at every layer.

    Attributes:
      size: Side of the image in pixels, one of ``SIZES``.
      channels: Number of colour channels of the image.
      width: Number of feature maps in the last hidden layer; the first has width·2^(doublings − 1).
      norm: Normalisation, which is batch, layer, none or spectral.
      kernel_size: Side of the kernel of every fractionally-strided convolution (stride 2), in pixels.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      attention: Sides in pixels of the hidden feature maps with self-attention.
    """

    size: int
    channels: int = 3
    width: int = 64
    norm: str = "batch"
    kernel_size: int = 4
    dtype: Any = jnp.float32
    attention: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, z: Array, train: bool) -> Array:
        """Maps (B, dim) codes to (B, size, size, channels) images in [−1, 1]."""
        check(self.norm, self.width, self.kernel_size)
        return upsample(
            self,
            z,
            train,
            lambda x: Norm(self.norm, scale_init)(x, train),
            # A norm has a shift of its own, which makes the bias redundant.
            use_bias=self.norm in ("none", "spectral"),
            spectral=self.norm == "spectral",
        )


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
      attention: Sides in pixels of the hidden feature maps with self-attention.
    """

    width: int = 64
    norm: str = "batch"
    kernel_size: int = 4
    dtype: Any = jnp.float32
    minibatch: str = "none"
    attention: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images to (B,) logits."""
        x = Minibatch(self.minibatch)(downsample(self, x, train, self.attention))
        self.sow("intermediates", "features", x)
        last = Dense(1, True, self.norm == "spectral", kernel_init, self.dtype)
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
        x = downsample(self, x, train)
        self.sow("intermediates", "features", x)
        return ClassifyingHeads(self.classes, self.norm == "spectral", kernel_init, self.dtype)(x, train)


class CodingCritic(nn.Module):
    """InfoGAN's critic: the convolutions of the critic, with a second output Q(c|x) that estimates codes.

    As in the authors' program, the convolutions are followed by a dense layer that the logit and Q share,
    and Q has a dense layer of 128 features of its own. Without the shared layer, the categories agree much
    less with the classes of the digits. Spectral normalisation is not applied to Q's own layers, because it
    would bound the log-odds of the categories.

    Attributes:
      categories: Number of values of the categorical code.
      continuous: Number of continuous codes.
      width: Number of feature maps in the first layer.
      features: Width of the dense layer that the logit and Q share.
      norm: Normalisation, which is batch, layer, none or spectral.
      kernel_size: Side of the kernel of every strided convolution (stride 2), in pixels.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.

    References:
      Chen et al., 2016, InfoGAN, appendix C, https://arxiv.org/abs/1606.03657
    """

    categories: int
    continuous: int
    width: int = 64
    features: int = 1024
    norm: str = "batch"
    kernel_size: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool, is_detached: bool = False) -> tuple[Array, Array, Array]:
        """Maps (B, size, size, channels) images to the logits and the estimates of their codes.

        Args:
          x: Images.
          train: Whether the network is being trained.
          is_detached: Whether the shared layers get no gradient from Q.

        Returns:
          (B,) logits, (B, categories) logits of the categorical code and (B, continuous) means of the
          continuous codes.
        """
        use_bias, spectral = self.norm in ("none", "spectral"), self.norm == "spectral"
        x = Dense(self.features, use_bias, spectral, kernel_init, self.dtype)(
            downsample(self, x, train), train
        )
        x = nn.leaky_relu(Norm(self.norm, scale_init)(x, train), 0.2)
        logit = Dense(1, True, spectral, kernel_init, self.dtype)(x, train)[:, 0]
        y = jax.lax.stop_gradient(x) if is_detached else x
        y = Dense(128, use_bias, kernel_init=kernel_init, dtype=self.dtype)(y, train)
        y = nn.leaky_relu(Norm(self.norm, scale_init)(y, train), 0.2)
        outputs = self.categories + self.continuous
        y = Dense(outputs, kernel_init=kernel_init, dtype=self.dtype)(y, train).astype(jnp.float32)
        return logit.astype(jnp.float32), y[:, : self.categories], y[:, self.categories :]

    def detached(self, x: Array, train: bool) -> tuple[Array, Array, Array]:
        """Maps images to the same outputs, with no gradient from Q to the shared layers."""
        return self(x, train, is_detached=True)


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
        code = Dense(self.code, True, self.norm == "spectral", kernel_init, self.dtype)
        decoder = Generator(size, channels, self.width, self.norm, self.kernel_size, self.dtype)
        return decoder(code(downsample(self, x, train), train), train)
