"""DCGAN that grows in two stages, from digits of 16×16 to digits of 32×32, whose layers fade in.

    python -m experiments.run --config=staged_mnist.py

This config takes 4 minutes on 2 cores. Expect coarse digits of 16×16 pixels up to step 1,500. From then on,
expect digits of 32×32 pixels that sharpen as their last layers fade in, until step 2,250.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist

HANDOVER, FADE = 1500, 750  # In steps.


def get_config() -> ConfigDict:
    """Returns a config with the non-saturating loss and two stages of equal length.

    The critic has no normalisation; R1 is applied at every 16th update.
    """
    config = dcgan_mnist.get_config()
    config.num_steps = 2 * HANDOVER
    config.data.size = 32
    config.gan = {
        "name": "growing",
        "loss": "non_saturating",
        "fade": {
            "schedule": "linear",
            "init_value": 0.0,
            "end_value": 1.0,
            "transition_begin": HANDOVER,
            "transition_steps": FADE,
        },
    }
    config.models = {
        "generator": {"family": "growing", "width": 8, "norm": "batch", "grown": True},
        "critic": {"family": "growing", "width": 8, "norm": "none", "grown": True},
    }
    config.penalties.r1.update({"weight": 1.0, "every": 16})
    first = {"data.size": 16, "gan.fade": 1.0}
    first |= {f"models.{role}.grown": False for role in ("generator", "critic")}
    config.stages = ({"until": HANDOVER, **first}, {"until": 2 * HANDOVER, "carry": "grow"})
    return config
