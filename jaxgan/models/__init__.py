"""Families of models by name: each gives a network for some of the roles that systems ask for."""

from collections.abc import Mapping

import flax.linen as nn

from jaxgan.models import dcgan, growing, mlp, projection, resnet

IMAGES_ONLY = ("dcgan", "growing", "projection", "resnet")  # families that make no points

FAMILIES: dict[str, Mapping[str, type[nn.Module]]] = {
    "dcgan": {"generator": dcgan.Generator, "critic": dcgan.Critic, "autoencoder": dcgan.AutoEncoder},
    "mlp": {
        "generator": mlp.Generator,
        "critic": mlp.Critic,
        "autoencoder": mlp.AutoEncoder,
        "vae": mlp.VariationalAutoEncoder,
        "translators": mlp.Translators,
        "critics": mlp.DomainCritics,
    },
    "growing": {"generator": growing.Generator, "critic": growing.Critic},
    "projection": {"generator": projection.Generator, "critic": projection.Critic},
    "resnet": {"generator": resnet.Generator, "critic": resnet.Critic},
}
