"""The multiplications that a train step needs, counted by hand: no JAX, nothing compiled.

A layer is a trilinear form in its images, kernel and outputs; the product of any two of them, in the shape
of the third, is one of its three matrix products (forward, input gradient, kernel gradient), and each has
the same multiplications. What a step needs is therefore which products of which layers it takes, and how
often: see :func:`step`. Elementwise work (activations, norms, optimisers) is not counted.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Layer(NamedTuple):
    """A convolution with padding SAME or its transpose; a dense layer is one of 1 × 1 on 1 × 1 pixels.

    Attributes:
      inputs: channels.
      outputs: channels.
      side: of the images, the larger side of the layer, in pixels.
      kernel: its side in pixels.
      stride: in pixels.
      transposed: whether the larger side is its outputs'.
      first: whether it reads the network's input.
      normed: weights whose largest singular value is estimated in each pass, 0 without that.
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
    """Multiplications of one product for one sample, by the definition; those with padding are not needed.

    >>> direct(Layer(3, 5)), direct(Layer(1, 1, side=4, kernel=4, stride=2))
    (15, 36)
    """
    _, _, side, kernel, stride, *_ = layer
    out = -(-side // stride)
    low = max((out - 1) * stride + kernel - side, 0) // 2
    windows = [(max(0, i * stride - low), min(side, i * stride - low + kernel)) for i in range(out)]
    return sum(end - start for start, end in windows) ** 2 * layer.inputs * layer.outputs


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> Network:
    """Dense layers."""
    pairs = enumerate(itertools.pairwise((inputs, *hidden, outputs)))
    return [Layer(a, b, first=i == 0) for i, (a, b) in pairs]


def dcgan_generator(size: int, channels: int, width: int, kernel: int, dim: int) -> Network:
    """A projection to the smallest map, then fractionally-strided convolutions that halve the channels."""
    side = 7 if size == 28 else 4
    features = width * size // side // 2
    layers = [Layer(dim, side * side * features, first=True)]
    while side < size // 2:
        side *= 2
        layers.append(Layer(features, features // 2, side, kernel, 2, True))
        features //= 2
    return [*layers, Layer(features, channels, size, kernel, 2, True)]


def dcgan_critic(size: int, channels: int, width: int, kernel: int, spectral: bool = False) -> Network:
    """Strided convolutions that double the channels, then a dense layer."""
    layers, features, last = [], channels, 7 if size == 28 else 4
    for i in range((size // last).bit_length() - 1):
        outputs = width * 2**i
        weights = kernel**2 * features * outputs
        normed = spectral * weights
        layers.append(Layer(features, outputs, size >> i, kernel, 2, first=i == 0, normed=normed))
        features = outputs
    return [*layers, Layer(last * last * features, 1, normed=spectral * last * last * features)]


def resnet_generator(size: int, channels: int, width: int, dim: int) -> Network:
    """A projection to 4 × 4, blocks that double the side, a last convolution.

    Upsampling before a 3 × 3 convolution needs no more than a fractionally-strided 4 × 4 one, and the
    shortcut's 1 × 1 convolution may come before its upsampling.
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
    """Blocks that pool down to 8 × 8, two more, a dense layer.

    The mean after a 3 × 3 convolution needs no more than a strided 4 × 4 one, and the shortcut's mean may
    come before its 1 × 1 convolution.
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
    """FLOPs of all matrix products that one train step needs, a multiplication and an addition being two.

    Args:
      generator: its layers.
      critic: its layers.
      batch: samples of each kind (real, fake, interpolated).
      n_critic: the critic's updates.
      gradient_penalty: whether each of those has one.
      curved: whether the critic's normalisations, per sample, make its slope depend smoothly on the
        activations before them; without that it is piecewise linear.
      count: multiplications of one product of a layer for one sample.
    """

    def kernels(layers: Network) -> int:
        return sum(count(layer) for layer in layers)

    def forward(layers: Network) -> int:
        # Of one input or two a dense layer makes as many scalings of its rows: no product of matrices.
        return sum(count(layer) for layer in layers if layer.inputs > 2 or layer.side > 1)

    def inputs(layers: Network) -> int:
        # Nor is the input gradient behind one output (the logit) or two: it is as many outer products.
        return sum(count(layer) for layer in layers if layer.outputs > 2 or layer.side > 1)

    below, above = critic[:-1], [layer for layer in critic if not layer.first]
    # The generator makes samples for each update of the critic; its own update shares the last ones.
    samples = forward(generator)
    # Real and fake samples up and down the critic. Nobody asks for a gradient in the samples themselves.
    update = 2 * (forward(critic) + kernels(critic) + inputs(above))
    if gradient_penalty:
        # The slope at the interpolates: up through all but the logit, whose value is not asked for (below);
        # then down all the way to the interpolates (δ, γ = Wᵀδ in each layer).
        update += forward(below) + inputs(critic)
        # Its derivative: the cotangent of γ goes up the layers in the place of an image. It gives the
        # kernel's gradient with δ, and all but the last layer pass it on.
        update += kernels(critic) + forward(below)
        if curved:
            # δ depends on the activations too: down the layers once more, but not to the interpolates.
            update += kernels(below) + inputs([layer for layer in below if not layer.first])
    # Spectral normalisation: W u, Wᵀ v and, for σ, W u anew in the critic's update; W u in the generator's.
    # (σ's gradient in W is an outer product.)
    normed = sum(layer.normed for layer in critic)
    # The generator's: fake samples up the critic as it is now, down to the samples, down the generator.
    last = forward(critic) + inputs(critic)
    last += kernels(generator) + inputs([layer for layer in generator if not layer.first])
    return 2 * (n_critic * (batch * (samples + update) + 3 * normed) + batch * last + normed)
