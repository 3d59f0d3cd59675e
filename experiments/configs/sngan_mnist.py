"""GAN with a spectrally normalised critic and the hinge loss on the embedded digits.

    python -m experiments.run --config=sngan_mnist.py

It takes 2 min 36 s on 2 cores, and the first time a minute more: a classifier is trained then, by which
1,000 samples are scored every 500 steps, and the best checkpoint is kept. Expect digits like those of
dcgan_mnist.py, from a critic that has no batch statistics and whose kernels have a largest singular value
of 1. After the last step fcd is 6.29 ± 0.43 and classifier_score 5.53 ± 0.11 over seeds 0 to 2 (mean ±
standard deviation); ``experiments/README.md`` says how.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist


def get_config() -> ConfigDict:
    """Hinge loss, spectral normalisation in place of the critic's batch normalisation."""
    config = dcgan_mnist.get_config()
    config.gan.loss = "hinge"
    config.models.critic.norm = "spectral"
    config.score = {"every": 500, "metric": "fcd", "num": 1000}
    return config
