"""Model families by name; each provides networks for some of the roles in a system."""

from collections.abc import Mapping

import flax.linen as nn

from jaxgan.models import (
    biggan,
    biggan_deep,
    conditional_dcgan,
    conditional_resnet,
    dcgan,
    growing,
    mlp,
    resnet,
    weight_norm_mlp,
)

# Families that generate images but no points.
IMAGES_ONLY = (
    "biggan",
    "biggan_deep",
    "conditional_dcgan",
    "conditional_resnet",
    "dcgan",
    "growing",
    "resnet",
)

FAMILIES: dict[str, Mapping[str, type[nn.Module]]] = {
    "biggan": {"generator": biggan.Generator, "critic": biggan.Critic},
    "biggan_deep": {"generator": biggan_deep.Generator, "critic": biggan_deep.Critic},
    "dcgan": {
        "generator": dcgan.Generator,
        "critic": dcgan.Critic,
        "classifying_critic": dcgan.ClassifyingCritic,
        "autoencoder": dcgan.AutoEncoder,
        "coding_critic": dcgan.CodingCritic,
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
    "conditional_dcgan": {"generator": conditional_dcgan.Generator, "critic": conditional_dcgan.Critic},
    "conditional_resnet": {"generator": conditional_resnet.Generator, "critic": conditional_resnet.Critic},
    "resnet": {
        "generator": resnet.Generator,
        "critic": resnet.Critic,
        "classifying_critic": resnet.ClassifyingCritic,
    },
    "weight_norm_mlp": {"generator": weight_norm_mlp.Generator, "classifier": weight_norm_mlp.Classifier},
}
