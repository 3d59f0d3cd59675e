"""Semi-supervised GAN on the embedded digits, with the labels of 10 digits of each class.

    python -m experiments.run --config=semi_supervised_mnist.py
    python -m experiments.run --config=semi_supervised_mnist.py:supervised

The first command takes about 9 minutes on 2 cores. The classifier learns from 100 labelled digits and
3,900 digits without labels, and is tested on the 1,000 digits of the test split: ``scores.jsonl`` has the
curve of its error. Expect the error to keep falling long after all labelled digits are classified
correctly, and samples that are mostly recognisable. The second command trains the same network on the
labels alone, and its error stays at about 0.28 from the first hundreds of steps on. Report the error
after the last step, because the checkpoint in ``best/`` is chosen on the test split.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist
from jaxgan.errors import unknown

WEIGHTS = {"all": 1.0, "supervised": 0.0}


def get_config(samples: str = "all") -> ConfigDict:
    """Returns a config with the networks, noise and learning rate of the authors' program for MNIST.

    Args:
      samples: Either ``all``, or ``supervised`` to train the same classifier on the labels alone.
    """
    if samples not in WEIGHTS:
        raise unknown("samples", samples, WEIGHTS)
    config = dcgan_mnist.get_config()
    config.num_steps = 8000
    config.batch_size = 100
    config.ema_decay = 0.999
    config.log_every = 200
    config.sample_every = config.checkpoint_every = 1000
    # The slices of the digits cycle through the classes, so the labelled ones are 10 of each class.
    digits = {"name": "digits", "size": 28, "channels": 1}
    unlabelled = {**digits, "split": "train[100:]+validation"}
    config.data = {
        "name": "zipped",
        "real": unlabelled,
        "matched": dict(unlabelled),
        "labelled": {**digits, "split": "train[:100]"},
    }
    config.latent.prior = "uniform"
    config.gan = {"name": "semi_supervised", "unlabelled_weight": WEIGHTS[samples]}
    config.models = {
        "generator": {"family": "weight_norm_mlp", "hidden": (500, 500)},
        "classifier": {
            "family": "weight_norm_mlp",
            "hidden": (1000, 500, 250, 250, 250),
            "input_noise": 0.3,
            "noise": 0.5,
        },
    }
    # The authors' Adam has its ε inside the root, which damps the steps of weights with small gradients.
    adam = {"name": "adam", "learning_rate": 3e-3, "b1": 0.5, "b2": 0.999, "eps": 0.0, "eps_root": 1e-8}
    config.optimizers = {player: dict(adam) for player in ("generator", "critic")}
    config.score = {"every": 500, "metric": "error", "split": "test"}
    del config.penalties
    return config
