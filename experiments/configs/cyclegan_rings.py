"""CycleGAN in the plane, between a ring of 8 Gaussians and a grid of 9, trained without pairs.

    python -m experiments.run --config=cyclegan_rings.py
    python -m experiments.sweep --config=cyclegan_rings.py --seeds=8

The second command takes 1 min 27 s on 2 cores, for 8 runs. Expect translations that lie on the modes of the
other domain, and cycles that return to their starting points; ``experiments/README.md`` lists the
distances. Because the ring has 8 modes and the grid has 9, no map takes one exactly to the other.
"""

from ml_collections import ConfigDict

from experiments.configs import gan_gaussians


def get_config() -> ConfigDict:
    """Returns a config with the least-squares loss, the authors' weights, their pool of 50, and MLPs."""
    config = gan_gaussians.get_config()
    config.num_steps = 2000
    config.batch_size = 128
    config.ema_decay = 0.99
    config.log_every = config.sample_every = 250
    config.checkpoint_every = 500
    config.data = {
        "name": "zipped",
        "a": {"name": "ring", "modes": 8, "radius": 2.0, "std": 0.1},
        "b": {"name": "grid", "side": 3, "spacing": 2.0, "std": 0.1},
    }
    config.gan = {"name": "cyclegan", "loss": "least_squares", "cycle": 10.0, "identity": 0.0}
    config.models = {
        "translators": {"family": "mlp", "hidden": (128, 128)},
        "critics": {"family": "mlp", "hidden": (128, 128)},
    }
    config.pool = {"name": "history", "size": 50}
    for player in ("generator", "critic"):
        config.optimizers[player].learning_rate = 1e-3
    del config.latent
    del config.penalties
    return config
