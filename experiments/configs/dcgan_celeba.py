"""DCGAN with the settings of its paper on 64×64 images of CelebA, through TensorFlow Datasets.

    python -m experiments.run --config=dcgan_celeba.py

This config is meant for a GPU or TPU and computes in bfloat16: by the compiler's estimate, a step of 128
images takes 21.2 Mcycles of a v5e chip, compared with 22.9 in float32 (``experiments.dryrun``). With
``--config.dtype=float32`` one of its 40,000 steps takes about 70 s on 2 cores. Expect faces from a run on
an accelerator; no such run has been made yet. CelebA's server often refuses the download. In that case the
error message says which files to fetch by hand and where to put them.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist


def get_config() -> ConfigDict:
    """Returns the config of Radford et al., section 4.

    Adam with a learning rate of 2e-4 and β1 0.5, batches of 128, uniform codes, and normal weights with a
    standard deviation of 0.02.
    """
    config = dcgan_mnist.get_config()
    config.num_steps = 40_000  # These are 25 epochs of the 162,770 training images.
    config.batch_size = 128
    config.dtype = "bfloat16"
    config.ema_decay = 0.999
    config.log_every = 20
    config.sample_every = 500
    config.checkpoint_every = 1000
    config.data.update({"name": "tfds/celeb_a", "split": "train", "size": 64, "channels": 3})
    config.latent.prior = "uniform"
    for player in ("generator", "critic"):
        config.models[player].update({"width": 128, "kernel_size": 5})
        config.optimizers[player].learning_rate = 2e-4
    return config
