"""Norm of the generator's gradient as the critic grows stronger, for each loss.

    python -m experiments.sweep --config=study_gradients.py

The generator stays fixed while the critic learns to tell its samples from real ones, so that every step
shows the gradient that the generator would receive from a critic of that strength.

This study takes 1 min 42 s on 2 cores. Expect the gradient of NS to grow twentyfold as the critic's loss
falls, those of WGAN and LSGAN to stay about the same, and that of MM to fall ever further behind the
gradient of NS, though it does not vanish within these steps.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.configs import gan_gaussians

LOSSES = {"MM": "minimax", "NS": "non_saturating", "WGAN": "wasserstein", "LSGAN": "least_squares"}


def get_config() -> ConfigDict:
    """Returns the config of a generator that does not learn."""
    config = gan_gaussians.get_config()
    config.num_steps = 1500
    config.batch_size = 128
    config.log_every = 25
    config.sample_every = config.checkpoint_every = 1500
    config.models.generator.hidden = config.models.critic.hidden = (64, 64)
    config.optimizers.generator.learning_rate = 0.0
    config.curves = ("generator_grad_norm", "critic_loss")
    return config


def sweep(add: Callable[..., None]) -> None:
    """Adds each loss; the Wasserstein critic gets the gradient penalty that it needs.

    Args:
      add: Function that adds a point of the sweep, given its config fields and its labels.
    """
    for name, loss in LOSSES.items():
        weight = 10.0 if name == "WGAN" else 0.0
        add({"gan.loss": loss, "penalties.gradient_penalty.weight": weight}, loss=name)
