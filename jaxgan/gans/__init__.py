"""Systems, one a file: each builds a :class:`jaxgan.steps.GAN` from models, losses and penalties."""
