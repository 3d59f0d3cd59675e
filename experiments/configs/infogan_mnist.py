"""InfoGAN on the embedded digits, which finds classes, slant and width without labels.

    python -m experiments.run --config=infogan_mnist.py
    python -m experiments.run --config=infogan_mnist.py:no_information

The first command takes about 7 minutes on 2 cores. Expect, for seed 0, that the critic's category agrees
with the class of 78 % of the real digits under the best one-to-one match. The rows of the sample grid are
mostly digits of one kind; from left to right, the first continuous code turns the digits, then the second
one widens them. In the second command nobody maximises the information, which makes it a control.
"""

from ml_collections import ConfigDict

from experiments.configs import dcgan_mnist
from jaxgan.errors import unknown


def get_config(codes: str = "read") -> ConfigDict:
    """Returns a config with the codes, the learning rates and the noise of the paper's appendix C.1.

    Args:
      codes: Either ``read``, or ``no_information`` for the control in which nobody maximises the bound.
    """
    if codes not in ("read", "no_information"):
        raise unknown("codes", codes, ("read", "no_information"))
    config = dcgan_mnist.get_config()
    config.num_steps = 6000
    config.gan = {
        "name": "infogan",
        "loss": "non_saturating",
        "categories": 10,
        "continuous": 2,
        "code_weight": 1.0 if codes == "read" else 0.0,
        "train_trunk": True,  # As in the authors' program; equation 6 of the paper is False.
    }
    config.latent = {"prior": "uniform", "dim": 62}
    critic = config.models.critic
    config.models = {"generator": config.models.generator, "coding_critic": critic}
    del critic.attention  # this critic has no field of that name
    critic.features = 1024
    config.optimizers.generator.learning_rate = 1e-3
    config.optimizers.critic.learning_rate = 2e-4
    return config
