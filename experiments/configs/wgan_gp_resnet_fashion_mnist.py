"""WGAN-GP with residual networks on Fashion-MNIST at 32×32 pixels, optionally with an auxiliary classifier.

    python -m experiments.run --config=wgan_gp_resnet_fashion_mnist.py
    python -m experiments.run --config=wgan_gp_resnet_fashion_mnist.py:conditional

The first command takes about 12 minutes on 2 cores, by the time of its first 50 steps. Expect clothes; the
config has not been run to its end yet. With the argument, the generator is asked for a class, which a head
of the critic learns from real images.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist
from jaxgan.errors import unknown


def get_config(labels: str = "unconditional") -> ConfigDict:
    """Returns the objective and the optimisers of WGAN-GP's program, with narrower networks.

    Args:
      labels: Either ``unconditional`` or ``conditional``.
    """
    if labels not in ("unconditional", "conditional"):
        raise unknown("labels", labels, ("unconditional", "conditional"))
    config = dcgan_mnist.get_config()
    config.num_steps = 1200
    config.batch_size = 32
    config.n_critic = 5
    config.sample_every = 300
    config.checkpoint_every = 300
    config.data.update({"name": "tfds/fashion_mnist", "split": "train", "size": 32})
    config.latent.dim = 128
    config.penalties.gradient_penalty.weight = 10.0
    critic = {"family": "resnet", "width": 32, "norm": "none", "pool": "mean"}
    if labels == "conditional":
        config.gan = {
            "name": "acgan",
            "loss": "wasserstein",
            "critic_class_weight": 1.0,
            "generator_class_weight": 0.1,
            "classify_fakes": False,
        }
        config.models = {
            "generator": {"family": "conditional_resnet", "width": 32},
            "classifying_critic": critic,
        }
    else:
        config.gan.loss = "wasserstein"
        config.models = {
            "generator": {"family": "resnet", "width": 32, "norm": "batch"},
            "critic": critic,
        }
    for player in ("generator", "critic"):
        config.optimizers[player] = {
            "name": "adam",
            "learning_rate": {
                "schedule": "linear",
                "init_value": 2e-4,
                "end_value": 0.0,
                "transition_steps": config.get_oneway_ref("num_steps"),
            },
            "b1": 0.0,
            "b2": 0.9,
        }
    return config
