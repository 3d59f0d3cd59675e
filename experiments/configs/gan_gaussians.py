"""GAN on the ring."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """x."""
    return ConfigDict(
        {
            "num_steps": 5000,
            "batch_size": 256,
            "seed": 0,
            "n_critic": 1,
            "loss": "non_saturating",
            "ema_decay": 0.995,
            "log_every": 100,
            "sample_every": 1000,
            "checkpoint_every": 1000,
            "data": {"name": "ring", "path": ""},
            "latent": {"prior": "normal", "dim": 16},
            "models": {
                "generator": {"family": "mlp", "hidden": (128, 128, 128)},
                "critic": {"family": "mlp", "hidden": (128, 128, 128)},
            },
            "penalties": {
                "gradient_penalty": {"weight": 0.0, "target": 1.0, "one_sided": False},
                "dragan": {"weight": 0.0, "target": 1.0, "std": 0.5},
                "r1": {"weight": 0.0},
                "r2": {"weight": 0.0},
            },
            "optimizers": {
                "generator": {"name": "adam", "learning_rate": 1e-3, "b1": 0.5, "b2": 0.999},
                "critic": {"name": "adam", "learning_rate": 1e-3, "b1": 0.5, "b2": 0.999},
            },
        }
    )
