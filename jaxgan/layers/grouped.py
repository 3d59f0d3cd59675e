"""Grouped convolution, whose channels are split into independent parts."""

import flax.linen as nn
import jax

from jaxgan import layers
from jaxgan.errors import SetupError
from jaxgan.ops import conv, spectral

Array = jax.Array


def grouped_conv(x: Array, w: Array, geometry: conv.Geometry, groups: int) -> Array:
    """Computes a convolution in which part i of the outputs depends on part i of the inputs alone.

    Derivatives of every order are grouped convolutions too (:mod:`jaxgan.ops.conv`). On CPU, this
    implementation is much faster than XLA's own grouped convolution.

    Args:
      x: Images, (B, H, W, I).
      w: Kernel (kh, kw, I / groups, O), in which columns i·O/groups to (i + 1)·O/groups belong to part i.
      geometry: Geometry of the convolution without groups, see :func:`jaxgan.ops.conv.same`.
      groups: Number of parts, which must divide I and O.

    Returns:
      Outputs, (B, H', W', O).

    References:
      Xie et al., 2017, Aggregated Residual Transformations, https://arxiv.org/abs/1611.05431
    """
    return conv.conv(x, w, geometry._replace(groups=groups))


class GroupedConv(layers.Conv):
    """Strided grouped convolution with padding SAME and a (k, k, in / groups, out) kernel.

    Attributes:
      groups: Number of parts of the channels; R3GAN has one part per 16 channels.

    References:
      Huang et al., 2024, The GAN is dead; long live the GAN!, https://arxiv.org/abs/2501.05441
    """

    groups: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, ⌈H/stride⌉, ⌈W/stride⌉, features).

        Raises:
          SetupError: The number of channels is not a multiple of ``groups``.
        """
        inputs, window = x.shape[-1], (self.kernel_size, self.kernel_size)
        if inputs % self.groups or self.features % self.groups:
            raise SetupError(
                f"groups {self.groups} must divide {inputs} inputs and {self.features} features"
            )
        kernel = self.parameter((*window, inputs // self.groups, self.features))
        if self.spectral:
            kernel = spectral.normalize(self, kernel, train=train)
        geometry = conv.same(x.shape[1:3], window, self.stride)
        return self.affine(lambda x, w: grouped_conv(x, w, geometry, self.groups), x, kernel)
