"""Model families by name; each provides networks for some of the roles in a system."""

from collections.abc import Mapping

import flax.linen as nn

from jaxgan.models import dcgan, growing, mlp, projection, resnet, weight_norm_mlp

IMAGES_ONLY = ("dcgan", "growing", "projection", "resnet")  # families that generate images but no points

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
    "weight_norm_mlp": {"generator": weight_norm_mlp.Generator, "classifier": weight_norm_mlp.Classifier},
}
