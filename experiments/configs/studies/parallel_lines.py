"""A generator that is a line and learns a distant parallel line, with the JS and the W objective.

    python -m experiments.sweep --config=parallel_lines.py

The generator is affine in a one-dimensional code, so that it can only produce line segments, as in the
textbook example of parallel lines. The real points are (θ, y) with y uniform on [0, 1).

This study takes 3 min 14 s on 2 cores, beside other work. Expect WGAN-GP to approach at the same pace from
any distance, one unit in a thousand steps. Expect MM to arrive from a distance of 0.5 with most seeds, to
cover a fifth of the way from 2, and not to move from 8.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.configs import gan_gaussians

THETAS = (0.5, 2.0, 8.0)


def get_config() -> ConfigDict:
    """Returns the config that all runs share."""
    config = gan_gaussians.get_config()
    config.num_steps = 2000
    config.batch_size = 128
    config.log_every = config.sample_every = 100
    config.checkpoint_every = 1000
    config.ema_decay = 0.0  # The scores concern the current line, not an average of earlier ones.
    config.data = {"name": "parallel_lines", "path": "", "theta": THETAS[0]}
    config.latent = {"prior": "uniform", "dim": 1}
    config.models.generator.hidden = ()
    config.models.critic.hidden = (64, 64)
    config.curves = ("generator_grad_norm",)
    return config


def sweep(add: Callable[..., None]) -> None:
    """Adds the minimax loss (JS with an optimal critic) and WGAN-GP (W) at each distance.

    Args:
      add: Function that adds a point of the sweep, given its config fields and its labels.
    """
    for name, loss, weight, n_critic in (
        ("MM (JS)", "minimax", 0.0, 1),
        ("WGAN-GP (W)", "wasserstein", 10.0, 5),
    ):
        for theta in THETAS:
            add(
                {
                    "gan.loss": loss,
                    "n_critic": n_critic,
                    "penalties.gradient_penalty.weight": weight,
                    "data.theta": theta,
                },
                objective=name,
                distance=f"theta {theta:g}",
            )
