"""DCGAN on your own folder of images, resized to 64×64.

    python -m experiments.run --config=dcgan_folder.py --config.data.path=FOLDER

This config takes 15 min 50 s on 2 cores. Expect the following of the 7,572 emoji that
``experiments.datasets.emoji`` fetches: couples with a heart, busts with hair and a shirt, yellow and brown
faces, standing people, and coloured shapes where an object was meant.
``experiments/images/dcgan_folder_emoji.png`` is such a grid of samples.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_celeba


def get_config() -> ConfigDict:
    """Returns the architecture of ``dcgan_celeba.py`` at a quarter of its width, for a CPU."""
    config = dcgan_celeba.get_config()
    config.num_steps = 4000
    config.batch_size = 32
    config.dtype = "float32"
    config.ema_decay = 0.995
    config.sample_every = config.checkpoint_every = 400
    config.data.name = "folder"
    del config.data.split
    for player in ("generator", "critic"):
        config.models[player].update({"width": 32, "kernel_size": 4})
        config.optimizers[player].learning_rate = 5e-4
    return config
