"""Systems by name. To add a system of your own, write ``gans.SYSTEMS["mine"] = mine``."""

from collections.abc import Callable

from jaxgan.gans import (
    acgan,
    adversarial,
    began,
    conditional,
    cyclegan,
    growing,
    infogan,
    semi_supervised,
    vae,
)
from jaxgan.steps import GAN

# The signature of a factory declares its inputs: networks by role (annotated ``nn.Module``),
# hyper-parameters (annotated with the kinds of :mod:`jaxgan.hyper`), and the objects that a config's other
# sections describe.
SYSTEMS: dict[str, Callable[..., GAN]] = {
    "acgan": acgan.acgan,
    "adversarial": adversarial.adversarial,
    "began": began.began,
    "conditional": conditional.conditional,
    "cyclegan": cyclegan.cyclegan,
    "growing": growing.growing,
    "infogan": infogan.infogan,
    "semi_supervised": semi_supervised.semi_supervised,
    "vae": vae.vae,
}
