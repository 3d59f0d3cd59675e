"""The objectives of Lucic et al. on problems with a known truth, over seeds and learning rates.

    python -m experiments.sweep --config=study_objectives.py
    python -m experiments.sweep --config=study_objectives.py:quick

The full study takes 39 min 16 s on 2 cores, beside other heavy work. The quick one (the ring at one rate,
1,000 steps) takes 3 min 46 s. Expect MM and NS to lead, WGAN-GP to be best on the ring, and BEGAN to come
last; ``experiments/README.md`` has the tables.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.configs import gan_gaussians, lucic_objectives
from jaxgan.errors import unknown
from jaxgan.objectives import OBJECTIVES

PROBLEMS = ("ring", "grid", "swiss_roll")
HIDDEN = (64, 64)
RATES = (3e-4, 1e-3, 3e-3)
SIZES = {"full": (PROBLEMS, RATES, 3000), "quick": (PROBLEMS[:1], RATES[1:2], 1000)}


def get_config(size: str = "full") -> ConfigDict:
    """Returns the config that all runs share.

    Args:
      size: Either ``full``, or ``quick`` for one problem, one rate and a third of the steps.
    """
    if size not in SIZES:
        raise unknown("size", size, SIZES)
    config = gan_gaussians.get_config()
    config.num_steps = SIZES[size][2]
    config.batch_size = 128
    config.ema_decay = 0.99  # At 0.999 a third of the quick study's average would be initial weights.
    config.log_every = config.sample_every = config.num_steps // 8
    config.checkpoint_every = config.num_steps // 4
    config.models.generator.hidden = config.models.critic.hidden = HIDDEN
    return config


def sweep(add: Callable[..., None], argument: str = "full") -> None:
    """Adds every objective on every problem at every rate, which both players share.

    Args:
      add: Function that adds a point of the sweep, given its config fields and its labels.
      argument: Size of the study, as for :func:`get_config`.
    """
    problems, rates, _ = SIZES[argument]
    for name in OBJECTIVES:
        row = lucic_objectives.get_config(name)
        fields = {field: row[field] for field in ("gan", "n_critic", "penalties", "optimizers", "models")}
        for role in row.models:
            row.models[role].hidden = HIDDEN
        for problem in problems:
            for rate in rates:
                add(
                    {
                        **fields,
                        "data": {"name": problem, "path": ""},
                        "optimizers.generator.learning_rate": rate,
                        "optimizers.critic.learning_rate": rate,
                    },
                    objective=name,
                    problem=problem,
                    rate=rate,
                )
