"""Counts the multiplications that a train step needs by hand, without JAX or a compiler.

A layer is a trilinear form in its images, kernel and outputs. The product of any two of them, in the shape
of the third, is one of its three matrix products (forward, input gradient, kernel gradient), and each
product has the same number of multiplications. The cost of a step therefore depends on which products of
which layers it computes, and how often: see :func:`step`. Elementwise work (activations, normalisations,
optimisers) is not counted.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Layer(NamedTuple):
    """A convolution with padding SAME, or its transpose.

    A dense layer is a convolution with a 1 × 1 kernel on 1 × 1 pixels.

    Attributes:
      inputs: Input channels.
      outputs: Output channels.
      side: Side in pixels of the images, the larger side of the layer.
      kernel: Side of the kernel in pixels.
      stride: Stride in pixels.
      transposed: Whether the outputs are on the larger side.
      first: Whether the layer reads the input of the network.
      normed: Number of weights whose largest singular value is estimated in each pass, 0 without spectral
        normalisation.
    """

    inputs: int
    outputs: int
    side: int = 1
    kernel: int = 1
    stride: int = 1
    transposed: bool = False
    first: bool = False
    normed: int = 0


Network = Sequence[Layer]
Count = Callable[[Layer], int]


def direct(layer: Layer) -> int:
    """Returns the multiplications of one product for one sample, by the definition of a convolution.

    Multiplications with padding are not needed and do not count.

    >>> direct(Layer(3, 5)), direct(Layer(1, 1, side=4, kernel=4, stride=2))
    (15, 36)
    """
    _, _, side, kernel, stride, *_ = layer
    out = -(-side // stride)
    low = max((out - 1) * stride + kernel - side, 0) // 2
    windows = [(max(0, i * stride - low), min(side, i * stride - low + kernel)) for i in range(out)]
    return sum(end - start for start, end in windows) ** 2 * layer.inputs * layer.outputs


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> Network:
    """Returns the dense layers of an MLP."""
    pairs = enumerate(itertools.pairwise((inputs, *hidden, outputs)))
    return [Layer(a, b, first=i == 0) for i, (a, b) in pairs]


def dcgan_generator(size: int, channels: int, width: int, kernel: int, dim: int) -> Network:
    """Returns the layers of a DCGAN generator.

    A projection to the smallest map is followed by fractionally-strided convolutions that halve the
    channels.
    """
    side = 7 if size == 28 else 4
    features = width * size // side // 2
    layers = [Layer(dim, side * side * features, first=True)]
    while side < size // 2:
        side *= 2
        layers.append(Layer(features, features // 2, side, kernel, 2, True))
        features //= 2
    return [*layers, Layer(features, channels, size, kernel, 2, True)]


def dcgan_critic(size: int, channels: int, width: int, kernel: int, spectral: bool = False) -> Network:
    """Returns the layers of a DCGAN critic.

    Strided convolutions that double the channels are followed by a dense layer.
    """
    layers, features, last = [], channels, 7 if size == 28 else 4
    for i in range((size // last).bit_length() - 1):
        outputs = width * 2**i
        weights = kernel**2 * features * outputs
        normed = spectral * weights
        layers.append(Layer(features, outputs, size >> i, kernel, 2, first=i == 0, normed=normed))
        features = outputs
    return [*layers, Layer(last * last * features, 1, normed=spectral * last * last * features)]


def resnet_generator(size: int, channels: int, width: int, dim: int) -> Network:
    """Returns the layers of a residual generator.

    A projection to 4 × 4 is followed by blocks that double the side, and by a last convolution. Upsampling
    before a 3 × 3 convolution needs no more multiplications than a fractionally-strided 4 × 4 convolution,
    and the 1 × 1 convolution of the shortcut may precede its upsampling.
    """
    layers, side = [Layer(dim, 16 * width, first=True)], 4
    while side < size:
        layers += [
            Layer(width, width, 2 * side, 4, 2, True),
            Layer(width, width, 2 * side, 3),
            Layer(width, width, side),
        ]
        side *= 2
    return [*layers, Layer(width, channels, size, 3)]


def resnet_critic(size: int, channels: int, width: int, spectral: bool = False) -> Network:
    """Returns the layers of a residual critic.

    Blocks that pool down to 8 × 8 are followed by two more blocks and a dense layer. The mean after a 3 × 3
    convolution needs no more multiplications than a strided 4 × 4 convolution, and the mean in the shortcut
    may precede its 1 × 1 convolution.
    """
    layers, side, inputs = [], size, channels
    while side > 8:
        first, ways = side == size, spectral * inputs * width
        layers += [
            Layer(inputs, width, side, 3, first=first, normed=9 * ways),
            Layer(width, width, side, 4, 2, normed=spectral * 9 * width * width),
            Layer(inputs, width, side // 2, first=first, normed=ways),
        ]
        side, inputs = side // 2, width
    layers += 4 * [Layer(width, width, side, 3, normed=spectral * 9 * width * width)]
    return [*layers, Layer(width, 1, normed=spectral * width)]


def step(
    generator: Network,
    critic: Network,
    *,
    batch: int,
    n_critic: int = 1,
    gradient_penalty: bool = False,
    curved: bool = False,
    count: Count = direct,
) -> int:
    """Returns the FLOPs of all matrix products that one train step needs.

    A multiplication and an addition are two FLOPs.

    Args:
      generator: Layers of the generator.
      critic: Layers of the critic.
      batch: Number of samples of each kind (real, fake, interpolated).
      n_critic: Number of critic updates per step.
      gradient_penalty: Whether each critic update has a gradient penalty.
      curved: Whether the critic has per-sample normalisations, which make its slope depend smoothly on the
        activations before them. Otherwise the critic is piecewise linear.
      count: Function that returns the multiplications of one product of a layer for one sample.
    """

    def kernels(layers: Network) -> int:
        return sum(count(layer) for layer in layers)

    def forward(layers: Network) -> int:
        # A dense layer with one or two inputs only scales its rows once or twice, without a matrix product.
        return sum(count(layer) for layer in layers if layer.inputs > 2 or layer.side > 1)

    def inputs(layers: Network) -> int:
        # The input gradient of a layer with one output (the logit) or two is one or two outer products.
        return sum(count(layer) for layer in layers if layer.outputs > 2 or layer.side > 1)

    below, above = critic[:-1], [layer for layer in critic if not layer.first]
    # The generator draws samples for each critic update. Its own update shares the last of them.
    samples = forward(generator)
    # Real and fake samples pass forward and backward through the critic. The gradient with respect to the
    # samples themselves is not needed.
    update = 2 * (forward(critic) + kernels(critic) + inputs(above))
    if gradient_penalty:
        # The slope at the interpolates needs a forward pass through all layers except the logit, whose
        # value is unused, and a backward pass to the interpolates (δ, γ = Wᵀδ in each layer).
        update += forward(below) + inputs(critic)
        # For the derivative of the slope, the cotangent of γ passes forward through the layers in place of
        # an image. Together with δ it gives the kernel gradients, and all layers but the last pass it on.
        update += kernels(critic) + forward(below)
        if curved:
            # δ also depends on the activations, which takes one more backward pass through the layers, but
            # not to the interpolates.
            update += kernels(below) + inputs([layer for layer in below if not layer.first])
    # Spectral normalisation needs W u, Wᵀ v and, for σ, W u once more in the critic's update, and W u in
    # the generator's update. The gradient of σ with respect to W is an outer product.
    normed = sum(layer.normed for layer in critic)
    # In the generator's update, fake samples pass forward through the updated critic, and the gradient
    # passes backward through the critic to the samples and through the generator.
    last = forward(critic) + inputs(critic)
    last += kernels(generator) + inputs([layer for layer in generator if not layer.first])
    return 2 * (n_critic * (batch * (samples + update) + 3 * normed) + batch * last + normed)
