"""Model families by name; each provides networks for some of the roles in a system."""

from collections.abc import Mapping

import flax.linen as nn

from jaxgan.models import dcgan, growing, labelled_resnet, mlp, projection, resnet

# Families that generate images but no points.
IMAGES_ONLY = ("dcgan", "growing", "labelled_resnet", "projection", "resnet")

FAMILIES: dict[str, Mapping[str, type[nn.Module]]] = {
    "dcgan": {
        "generator": dcgan.Generator,
        "critic": dcgan.Critic,
        "classifying_critic": dcgan.ClassifyingCritic,
        "autoencoder": dcgan.AutoEncoder,
    },
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
    "labelled_resnet": {"generator": labelled_resnet.Generator},
    "resnet": {
        "generator": resnet.Generator,
        "critic": resnet.Critic,
        "classifying_critic": resnet.ClassifyingCritic,
    },
}
