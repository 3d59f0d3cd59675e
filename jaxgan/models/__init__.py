"""Model families by name; each provides networks for some of the roles in a system."""

from collections.abc import Mapping

import flax.linen as nn

from jaxgan.models import biggan, biggan_deep, dcgan, growing, mlp, projection, resnet

# Families that generate images but no points.
IMAGES_ONLY = (
    "biggan",
    "biggan_deep",
    "dcgan",
    "growing",
    "projection",
    "resnet",
)

FAMILIES: dict[str, Mapping[str, type[nn.Module]]] = {
    "biggan": {"generator": biggan.Generator, "critic": biggan.Critic},
    "biggan_deep": {"generator": biggan_deep.Generator, "critic": biggan_deep.Critic},
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
