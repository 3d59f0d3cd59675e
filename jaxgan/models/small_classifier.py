"""Small classifier of 28×28 images, whose features replace Inception's where those are unsuitable.

The classifier has two strided convolutions, as in a DCGAN's critic, followed by a layer of features and a
layer of logits. These layers run and train quickly on a CPU (:mod:`jaxgan.ops.conv`).
"""

import flax.linen as nn
import jax

from jaxgan.layers import Conv, Dense, Norm

Array = jax.Array


class Classifier(nn.Module):
    """Network that maps images to features and logits.

    Attributes:
      classes: Number of classes.
      width: Number of feature maps after the first convolution; the second has twice as many.
      features: Length of the features.
    """

    classes: int = 10
    width: int = 32
    features: int = 64

    @nn.compact
    def __call__(self, x: Array, train: bool) -> dict[str, Array]:
        """Maps (B, H, W, C) images in [−1, 1] to non-negative "features" (B, features) and to "logits"."""
        for i in range(2):
            x = Conv(self.width * 2**i, use_bias=False, kernel_size=4, stride=2)(x, train)
            x = nn.relu(Norm("batch")(x, train))
        x = Dense(self.features, use_bias=False)(x.reshape(x.shape[0], -1), train)
        features = nn.relu(Norm("batch")(x, train))
        return {"features": features, "logits": Dense(self.classes)(features, train)}
