"""An objective from the table of Lucic et al., chosen by name, on the ring of 8 Gaussians.

    python -m experiments.run --config=lucic_objectives.py
    python -m experiments.run --config=lucic_objectives.py:BEGAN

BEGAN takes 61 s on 2 cores. Expect its samples to lie very close to one or two of the eight modes, because
the auto-encoder can reconstruct samples well without covering all of the data. The names of the rows are
MM, NS (the default), WGAN, WGAN-GP, LSGAN, DRAGAN and BEGAN.
"""

from ml_collections import ConfigDict

from experiments.configs import gan_gaussians
from jaxgan import objectives


def get_config(name: str = "NS") -> ConfigDict:
    """Returns a config with the loss, penalties, ``n_critic`` and optimiser of a row of the table.

    The learning rates of the table are meant for images, so this config keeps its own.

    Args:
      name: Name of the row.
    """
    row = objectives.get(name)
    config = gan_gaussians.get_config()
    config.num_steps = 5000
    config.score = {"every": 500, "metric": "w1"}
    config.n_critic = row.n_critic
    for penalty, values in row.penalties.items():
        config.penalties[penalty].update(values)
    if row.optimizer:
        rate = config.optimizers.critic.learning_rate
        config.optimizers = {
            player: {**row.optimizer, "learning_rate": rate} for player in ("generator", "critic")
        }
    if row.clip:
        config.optimizers.critic.clip = row.clip
    if row.loss == "began":
        hidden = config.models.critic.hidden
        # With a code as wide as the plane, the auto-encoder could reconstruct every point of the plane.
        config.models = {
            "generator": config.models.generator,
            "autoencoder": {"family": "mlp", "hidden": hidden, "code": 1},
        }
        config.gan = ConfigDict({"name": "began", **row.hyper})
    else:
        config.gan.loss = row.loss
    return config
