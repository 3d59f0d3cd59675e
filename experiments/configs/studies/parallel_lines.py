"""A generator that is a line, learning another line at a distance, by JS and by W.

    python -m experiments.sweep --config=parallel_lines.py

The generator is affine in a code of one number, so that what it can do is what the lecture's can: be a
segment somewhere. Real points are (θ, y), y uniform on [0, 1).

It takes 3 min 14 s on 2 cores, beside other work. Expect WGAN-GP to come on at the same pace from any
distance, a unit in a thousand steps, and MM to arrive from 0.5 in most seeds, to go a fifth of the way
from 2, and not to move from 8.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.configs import gan_gaussians

THETAS = (0.5, 2.0, 8.0)


def get_config() -> ConfigDict:
    """What all runs share."""
    config = gan_gaussians.get_config()
    config.num_steps = 2000
    config.batch_size = 128
    config.log_every = config.sample_every = 100
    config.checkpoint_every = 1000
    config.ema_decay = 0.0  # a line on its way, not the mean of where it was
    config.data = {"name": "parallel_lines", "path": "", "theta": THETAS[0]}
    config.latent = {"prior": "uniform", "dim": 1}
    config.models.generator.hidden = ()
    config.models.critic.hidden = (64, 64)
    config.curves = ("generator_grad_norm",)
    return config


def sweep(add: Callable[..., None]) -> None:
    """Minimax, by which a critic's optimum is JS, and WGAN-GP, by which it is W, at each distance."""
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
