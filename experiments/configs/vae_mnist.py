"""Variational auto-encoder on the embedded digits, binarised at one half.

    python -m experiments.run --config=vae_mnist.py

This config takes 38 s on 2 cores. Expect digits with soft edges, some of which lie between two digits. The
checkpoint with the best bound on the validation split is kept. Its evidence lower bound on the 1,000 digits
of the test split is −105.7 nats, as a mean over seeds 0 to 2; ``experiments/README.md`` describes the
measurement.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist


def get_config() -> ConfigDict:
    """Returns a config of MLPs with two hidden layers of 400 and 20 latents.

    The checkpoint with the best validation bound is kept.
    """
    config = dcgan_mnist.get_config()
    config.num_steps = 2000
    config.batch_size = 128
    config.n_critic = 0
    config.ema_decay = 0.999
    config.log_every = 200
    config.sample_every = 500
    config.checkpoint_every = 500
    config.data.split = "train"
    config.latent.dim = 20
    config.gan = {"name": "vae", "likelihood": "bernoulli", "beta": 1.0}
    config.models = {"vae": {"family": "mlp", "hidden": (400, 400)}}
    config.optimizers = {"generator": {"name": "adam", "learning_rate": 1e-3, "b1": 0.9, "b2": 0.999}}
    config.score = {"every": 100, "metric": "elbo", "split": "validation"}
    del config.penalties
    return config
