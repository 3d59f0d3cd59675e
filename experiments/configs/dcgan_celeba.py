"""DCGAN with its paper's settings on CelebA, 64×64, through TensorFlow Datasets.

    python -m experiments.run --config=dcgan_celeba.py

It is for a GPU or TPU, and computes in bfloat16: a step of 128 images is 21.2 Mcycles of a v5e chip by
the compiler's estimate, and 22.9 in float32 (``experiments.dryrun``). With ``--config.dtype=float32``
one of its 40,000 steps takes about 70 s on 2 cores. Expect faces from a run on an accelerator; that run
has not been made yet. Where CelebA's server refuses the download, as it often does, the error says
which files to fetch by hand and where to put them.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist


def get_config() -> ConfigDict:
    """Radford et al., section 4: Adam 2e-4 with β1 0.5, batch 128, uniform codes, N(0, 0.02²) weights."""
    config = dcgan_mnist.get_config()
    config.num_steps = 40_000  # 25 epochs of the 162,770 training images
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
