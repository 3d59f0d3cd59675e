"""Sample pictures that a run draws while it trains."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.pages import pictures
from experiments.training import derived, sample_classes, sampling
from jaxgan import data
from jaxgan.layers import minibatch
from jaxgan.state import GANState
from jaxgan.steps import GAN

NUM_IMAGES = 64
NUM_POINTS = 1024
SURFACE = 64  # logits along each side of the square to draw
SAMPLE_KEY = 0x5A3D  # folded into the seed's key to draw the latents, which are the same throughout a run


def real_points(source: data.Source, config: ConfigDict) -> Any:
    """Returns real points to draw behind generated ones, or None for images.

    Sources with several fields of points give a dict of points by field.
    """
    if source.spec.images:
        return None
    batch = source.batches(seed=derived.data_seed(config), n_critic=1, batch_size=NUM_POINTS)[0]
    prepared = {name: np.asarray(x[0]) for name, x in jax.jit(source.prepare)(batch).items()}
    return prepared.get("real", prepared)


def make_sample(gan: GAN, source: data.Source, config: ConfigDict) -> Callable[[GANState, int], np.ndarray]:
    """Returns a function that draws the sample picture of a state at a step, always from the same latents.

    Images of a system that reads labels have a row, with a name at the left, for each of the first classes.
    The picture of images has the layout that the system defines, ``GAN.layout``, if there is one.

    Args:
      gan: System to sample from.
      source: Data of the run.
      config: Config of the run.

    Returns:
      Function from a state and its step to a (height, width, 3) uint8 picture.
    """
    by_class = sample_classes.of_system(gan, source.spec)
    rows = np.arange(NUM_IMAGES if source.spec.images else NUM_POINTS)
    rows, given, names = (by_class.rows, by_class.given, by_class.names) if by_class else (rows, {}, ())
    if gan.layout and source.spec.images:
        given = {name: x.reshape(-1, *x.shape[2:]) for name, x in gan.layout.items()}
        rows, names = given["row"], tuple(f"code {i}" for i in range(len(gan.layout["row"])))
    key = jax.random.fold_in(jax.random.key(config.seed), SAMPLE_KEY)
    sample = sampling.drawer(gan, source, seed_key=key, rows=rows, given=given)
    real = real_points(source, config)
    log_density = source.problem.log_density if source.problem else None
    surface = None
    if isinstance(real, np.ndarray) and source.shape == (2,):
        surface = make_surface(gan, pictures.square(real, real))

    def draw(state: GANState, step: int) -> np.ndarray:
        behind = surface(state) if surface else None
        return pictures.picture(sample(state), real, f"step {step}", log_density, behind, names)

    return draw


def make_surface(gan: GAN, limit: float) -> Callable[[GANState], np.ndarray | None] | None:
    """Returns a function that evaluates the critic of a state on a square around the origin.

    Args:
      gan: System whose critic is evaluated.
      limit: Half the side of the square.

    Returns:
      Function from a state to (SURFACE, SURFACE) logits, with rows from bottom to top. The function
      itself, or its value, is None if the critic does not assign a logit to a single point, because the
      critic is an auto-encoder or compares the samples of a batch.
    """
    if gan.judge is None:
        return None
    line = np.linspace(-limit, limit, SURFACE)
    plane = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2).astype(np.float32)
    judge = jax.jit(gan.judge)

    def surface(state: GANState) -> np.ndarray | None:
        if state.critic is None or minibatch.COLLECTION in state.critic.model_state:
            return None
        logits = np.asarray(judge(state, plane))
        return logits.reshape(SURFACE, SURFACE) if logits.ndim == 1 else None

    return surface
