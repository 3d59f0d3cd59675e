"""BigGAN with the settings of its paper on 128×128 images of ImageNet, through TensorFlow Datasets.

    python -m experiments.run --config=biggan_imagenet128.py

This config is meant for a GPU or TPU, or many: by a count of its products, one of its 150,000 steps of
2,048 images takes about 2 hours on 2 cores. ``experiments/dry_run/README.md`` has the memory and the
estimated time of a step on 256 TPUs. TensorFlow Datasets cannot download ImageNet; its error message says
where to put the files. Expect objects of the classes that were asked for from a run on accelerators; no
such run has been made yet. The paper reports an FID of 8.7 and an Inception score of 98.8, and a collapse
of training in the end, after which the best checkpoint is an earlier one.
"""

from ml_collections import ConfigDict

from experiments.configs import biggan_fashion_mnist


def get_config() -> ConfigDict:
    """Returns the config of Brock et al., appendix C.

    Batches of 2,048, two critic updates per generator update, Adam with learning rates of 5e-5 and 2e-4, β1
    0 and β2 0.999, and averages with a decay of 0.9999, which are equal to the weights until step 20,000.
    """
    config = biggan_fashion_mnist.get_config()
    config.num_steps = 150_000
    config.batch_size = 2048
    config.n_critic = 2
    config.dtype = "bfloat16"
    del config.ema_decay  # A field keeps the type of its first value, and this value is a number.
    config.ema_decay = {
        "schedule": "linear",
        "init_value": 0.0,
        "end_value": 0.9999,
        "transition_begin": 20_000,
        "transition_steps": 1,
    }
    config.sample_every = 1000
    config.data.update({"name": "tfds/imagenet2012", "size": 128, "channels": 3})
    for player, rate in (("generator", 5e-5), ("critic", 2e-4)):
        config.models[player].update({"width": 96, "attention": (64,)})
        config.optimizers[player].learning_rate = rate
    return config
