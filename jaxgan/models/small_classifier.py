"""A small classifier of 28×28 pictures, whose last features stand for them where Inception's would not.

Two strided convolutions as in a DCGAN's critic, then a layer of features and the logits: what runs fast on
a CPU (:mod:`jaxgan.ops.conv`) and is trained in a minute or two.
"""

import flax.linen as nn
import jax

from jaxgan.layers import Conv, Dense, Norm

Array = jax.Array


class Classifier(nn.Module):
    """Images to features and logits.

    Attributes:
      classes: how many.
      width: feature maps after the first convolution; twice as many after the second.
      features: length of the features.
    """

    classes: int = 10
    width: int = 32
    features: int = 64

    @nn.compact
    def __call__(self, x: Array, train: bool) -> dict[str, Array]:
        """Maps (B, H, W, C) images in [−1, 1] to "features" (B, features), none negative, and "logits"."""
        for i in range(2):
            x = Conv(self.width * 2**i, use_bias=False, kernel_size=4, stride=2)(x, train)
            x = nn.relu(Norm("batch")(x, train))
        x = Dense(self.features, use_bias=False)(x.reshape(x.shape[0], -1), train)
        features = nn.relu(Norm("batch")(x, train))
        return {"features": features, "logits": Dense(self.classes)(features, train)}
