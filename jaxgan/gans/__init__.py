"""Systems by name. A system of one's own joins them by one line: ``gans.SYSTEMS["mine"] = mine``."""

from collections.abc import Callable

from jaxgan.gans import adversarial, began, conditional, cyclegan, growing, vae
from jaxgan.steps import GAN

# Each factory's signature says what it takes: networks by role (annotated ``nn.Module``), hyper-parameters
# (annotated with the kinds of :mod:`jaxgan.hyper`), and what a config's other sections describe.
SYSTEMS: dict[str, Callable[..., GAN]] = {
    "adversarial": adversarial.adversarial,
    "began": began.began,
    "conditional": conditional.conditional,
    "cyclegan": cyclegan.cyclegan,
    "growing": growing.growing,
    "vae": vae.vae,
}
