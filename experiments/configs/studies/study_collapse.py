"""Remedies for mode collapse, each on a GAN that collapses without it, over seeds.

    python -m experiments.sweep --config=study_collapse.py

This study takes 22 minutes on 2 cores, beside other work. Expect every remedy to raise coverage in at least
one of two GANs that collapse (minibatch standard deviation by KL only), and only feature matching to do so
clearly in both; ``experiments/README.md`` has the table.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.configs import collapse_remedies


def get_config() -> ConfigDict:
    """Returns the config of a GAN that collapses, without a remedy."""
    config = collapse_remedies.get_config("none")
    config.seed = 100  # The hyper-parameters of the remedies were chosen on seeds 0 to 7.
    config.log_every = config.sample_every = 250
    config.checkpoint_every = 1000
    config.curves = ("kl_modes",)
    return config


def sweep(add: Callable[..., None]) -> None:
    """Adds every remedy, on its own, in both set-ups.

    Args:
      add: Function that adds a point of the sweep, given its config fields and its labels.
    """
    for setup in collapse_remedies.SETUPS:
        for name in collapse_remedies.REMEDIES:
            row = collapse_remedies.get_config(f"{name},{setup}")
            sections = ("gan", "n_critic", "models", "optimizers", "remedies", "augment", "pool")
            add({field: row[field] for field in sections if field in row}, remedy=name, setup=setup)
