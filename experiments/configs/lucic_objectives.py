"""An objective of Lucic et al.'s table, by its paper's name, on the ring of 8 Gaussians.

    python -m experiments.run --config=lucic_objectives.py
    python -m experiments.run --config=lucic_objectives.py:BEGAN

BEGAN takes 61 s on 2 cores. Expect it to sit on one or two of the eight modes, closely: what an
auto-encoder reconstructs well need not be all of the data. The rows are named MM, NS (the default), WGAN,
WGAN-GP, LSGAN, DRAGAN and BEGAN.
"""

from ml_collections import ConfigDict

from experiments.configs import gan_gaussians
from jaxgan import objectives


def get_config(name: str = "NS") -> ConfigDict:
    """The row's loss, penalties, n_critic and optimiser, but for the rate: the papers' are for images."""
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
        # A code narrower than the plane, or all of it would be reconstructed.
        config.models = {
            "generator": config.models.generator,
            "autoencoder": {"family": "mlp", "hidden": hidden, "code": 1},
        }
        config.gan = ConfigDict({"name": "began", **row.hyper})
    else:
        config.gan.loss = row.loss
    return config
