"""Does the critic's loss tell progress? Its rank correlation with the exact distance, by objective.

    python -m experiments.sweep --config=study_critic_signal.py

A critic's loss can tell of a distance only while the critic is near its best, so there are two columns: in
one both players learn at one rate, in the other the critic at 33 times its generator's.

It takes about 14 minutes on 2 cores, beside other heavy work. Expect a correlation of −0.4 for WGAN at
equal rates and of −0.7 with the critic ahead, a weak one for WGAN-GP and LSGAN with the critic ahead, and
next to none for MM and NS; ``experiments/README.md`` has the table.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.configs.studies import study_objectives

PROBLEM, RATE = "swiss_roll", 3e-4
# (generator's, critic's)
RATES = {"as fast": (3e-4, 3e-4), "ahead": (3e-5, 1e-3)}


def get_config() -> ConfigDict:
    """Measured 40 times a run."""
    config = study_objectives.get_config()
    config.num_steps = 1000
    config.batch_size = 256  # the loss of one batch is the signal: the smaller, the noisier
    config.log_every = config.sample_every = 25
    config.checkpoint_every = 500
    config.ema_decay = 0.0  # the critic's loss is about the generator as it is
    config.curves = ("critic_loss",)
    return config


def sweep(add: Callable[..., None]) -> None:
    """The objectives on one problem, the critic as fast as the generator or ahead of it."""

    def one(fields: Mapping[str, Any], *, objective: str, problem: str, rate: float) -> None:
        if (problem, rate) == (PROBLEM, RATE):
            for critic, (slow, fast) in RATES.items():
                rates = {
                    "optimizers.generator.learning_rate": slow,
                    "optimizers.critic.learning_rate": fast,
                }
                add({**fields, **rates}, objective=objective, critic=critic)

    study_objectives.sweep(one)
