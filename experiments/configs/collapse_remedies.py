"""A remedy for mode collapse, chosen by name, on a GAN that collapses without it.

    python -m experiments.run --config=collapse_remedies.py:replay
    python -m experiments.run --config=collapse_remedies.py:none
    python -m experiments.run --config=collapse_remedies.py:two_time_scales

The first command takes 25 s on 2 cores, the second 13 s. Expect the samples of the second to form one clump
that wanders among the eight modes. With replay the samples still wander, but are spread over some of the
modes. With two time scales the samples are near all modes, though not yet on them. After 2,000 steps, as
means over 16 seeds, 0.25 modes are reached without a remedy, 2.3 with replay and 6.9 with two time scales
(``study_collapse.py``). ``collapse_remedies.py:NAME,saturating`` applies the remedy to another GAN that
collapses.
"""

from ml_collections import ConfigDict

from experiments.configs import gan_gaussians
from jaxgan.errors import unknown

# The config fields that each remedy sets.
REMEDIES = {
    "none": {},
    "feature_matching": {"gan": {"feature_matching": True}},
    "historical_averaging": {"remedies": {"historical_averaging": {"weight": 3.0}}},
    "instance_noise": {"augment": {"instance_noise": {"std": 1.0, "steps": 2000}}},
    "label_smoothing": {"remedies": {"label_smoothing": {"real_label": 0.7}}},
    "minibatch_discrimination": {"models": {"critic": {"minibatch": "discrimination"}}},
    "minibatch_distance": {"models": {"critic": {"minibatch": "distance"}}},
    "minibatch_std": {"models": {"critic": {"minibatch": "std"}}},
    "replay": {"pool": {"name": "replay", "size": 128_000, "share": 0.5}},
    "top_k": {"remedies": {"top_k": {"share": 0.25, "decay": 0.999}}},
    "two_time_scales": {
        "optimizers": {"generator": {"learning_rate": 2e-4}, "critic": {"learning_rate": 2e-3}}
    },
    "unrolled": {
        "remedies": {"unrolled": {"steps": 10}},
        "optimizers": {"critic": {"eps_root": 1e-8}},
    },
}


# Two GANs that collapse. In the first, the critic learns ten times more slowly than the generator. In the
# second, the critic is so far ahead that the saturating loss gives the generator little gradient.
SETUPS = {
    "slow_critic": {
        "optimizers": {"generator": {"learning_rate": 2e-3}, "critic": {"learning_rate": 2e-4}},
    },
    "saturating": {"gan": {"loss": "minimax"}, "n_critic": 5},
}


def get_config(argument: str = "replay") -> ConfigDict:
    """Returns the config of a GAN that collapses, with one remedy applied.

    Args:
      argument: Name of the remedy (``none`` for no remedy), optionally followed by a comma and the name of
        the set-up, which defaults to ``slow_critic``.
    """
    remedy, _, setup = argument.partition(",")
    if remedy not in REMEDIES:
        raise unknown("remedy", remedy, REMEDIES)
    if (setup := setup or "slow_critic") not in SETUPS:
        raise unknown("set-up", setup, SETUPS)
    config = gan_gaussians.get_config()
    config.num_steps = 2000
    config.batch_size = 64
    config.ema_decay = 0.0  # A wandering generator's average lies between the places it visited.
    config.models.generator.hidden = config.models.critic.hidden = (64, 64)
    config.optimizers.generator.b1 = config.optimizers.critic.b1 = 0.9
    config.update(SETUPS[setup])
    config.update(REMEDIES[remedy])
    return config
