"""Rank correlation of the critic's loss with the exact distance, by objective.

    python -m experiments.sweep --config=study_critic_signal.py

The study asks whether the critic's loss measures progress. The loss can only reflect a distance while the
critic is close to its optimum, so the critic is trained in two ways: at the same rate as the generator, and
at 33 times the generator's rate.

This study takes about 14 minutes on 2 cores, beside other heavy work. Expect a correlation of −0.4 for WGAN
at equal rates and of −0.7 with the critic ahead, a weak correlation for WGAN-GP and LSGAN with the critic
ahead, and almost none for MM and NS; ``experiments/README.md`` has the table.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.configs.studies import study_objectives

PROBLEM, RATE = "swiss_roll", 3e-4
# The learning rates of the generator and of the critic.
RATES = {"as fast": (3e-4, 3e-4), "ahead": (3e-5, 1e-3)}


def get_config() -> ConfigDict:
    """Returns the config that all runs share, which measures each run 40 times."""
    config = study_objectives.get_config()
    config.num_steps = 1000
    config.batch_size = 256  # The signal is the loss of one batch, so small batches are noisy.
    config.log_every = config.sample_every = 25
    config.checkpoint_every = 500
    config.ema_decay = 0.0  # The critic's loss concerns the current generator, not its average.
    config.curves = ("critic_loss",)
    return config


def sweep(add: Callable[..., None]) -> None:
    """Adds each objective on one problem, with the critic as fast as the generator or ahead of it.

    Args:
      add: Function that adds a point of the sweep, given its config fields and its labels.
    """

    def one(fields: Mapping[str, Any], *, objective: str, problem: str, rate: float) -> None:
        if (problem, rate) == (PROBLEM, RATE):
            for critic, (slow, fast) in RATES.items():
                rates = {
                    "optimizers.generator.learning_rate": slow,
                    "optimizers.critic.learning_rate": fast,
                }
                add({**fields, **rates}, objective=objective, critic=critic)

    study_objectives.sweep(one)
