"""Flax layers. The dense, convolutional and normalisation layers can be imported from here."""

from jaxgan.layers.linear import Conv, ConvMeanPool, ConvTranspose, Dense, UpsampleConv, multiply
from jaxgan.layers.norm import NORMS, BatchNorm, Norm

__all__ = [
    "NORMS",
    "BatchNorm",
    "Conv",
    "ConvMeanPool",
    "ConvTranspose",
    "Dense",
    "Norm",
    "UpsampleConv",
    "multiply",
]
