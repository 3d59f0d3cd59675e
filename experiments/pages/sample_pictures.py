"""Pictures of a run's samples, drawn while it trains."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.pages import pictures
from experiments.training import derived, sampling
from jaxgan import data
from jaxgan.layers import minibatch
from jaxgan.state import GANState
from jaxgan.steps import GAN

NUM_IMAGES = 64
NUM_POINTS = 1024
SURFACE = 64  # logits along a side of the square that is drawn
SAMPLE_KEY = 0x5A3D  # folded into the seed's key: the latents of the sample pictures, fixed over a run


def real_points(source: data.Source, config: ConfigDict) -> Any:
    """Returns real points to draw behind generated ones, by field if there are several; None for images."""
    if source.spec.images:
        return None
    batch = source.batches(seed=derived.data_seed(config), n_critic=1, batch_size=NUM_POINTS)[0]
    prepared = {name: np.asarray(x[0]) for name, x in jax.jit(source.prepare)(batch).items()}
    return prepared.get("real", prepared)


def make_sample(gan: GAN, source: data.Source, config: ConfigDict) -> Callable[[GANState, int], np.ndarray]:
    """Returns a function of a state and its step that makes its picture, always of the same latents."""
    rows = np.arange(NUM_IMAGES if source.spec.images else NUM_POINTS)
    key = jax.random.fold_in(jax.random.key(config.seed), SAMPLE_KEY)
    sample = sampling.drawer(gan, source, seed_key=key, rows=rows)
    real = real_points(source, config)
    log_density = source.problem.log_density if source.problem else None
    surface = None
    if isinstance(real, np.ndarray) and source.shape == (2,):
        surface = make_surface(gan, pictures.square(real, real))

    def draw(state: GANState, step: int) -> np.ndarray:
        behind = surface(state) if surface else None
        return pictures.picture(sample(state), real, f"step {step}", log_density, behind)

    return draw


def make_surface(gan: GAN, limit: float) -> Callable[[GANState], np.ndarray | None] | None:
    """Returns a function of a state to its critic's logits over a square around the origin, rows upwards.

    None for a critic that gives a point no logit of its own: an auto-encoder, or one that compares samples.
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
