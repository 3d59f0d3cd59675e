"""A small system for points in the plane, and checks of systems that are trained on points."""

import functools

import jax
import numpy as np
import optax

from jaxgan import latents, losses, parallel
from jaxgan.gans.adversarial import adversarial
from jaxgan.models import mlp
from jaxgan.steps import train_step

BATCH = 16
PRIOR = functools.partial(latents.normal, dim=2)


def game(*, loss=None, critic=None, rate=0.05, **options):
    """Builds an MLP GAN with a few dozen parameters, trained by SGD."""
    return adversarial(
        mlp.Generator((2,), (8,)),
        critic or mlp.Critic((8,)),
        loss=loss or losses.get("non_saturating"),
        generator_tx=optax.sgd(rate),
        critic_tx=optax.sgd(rate),
        prior=PRIOR,
        **options,
    )


def points_batch(seed=0, n_critic=1):
    """Draws a batch of real points from a Gaussian around (1, 1)."""
    real = np.random.default_rng(seed).normal(1.0, 1.0, (n_critic, BATCH, 2)).astype(np.float32)
    rows = np.broadcast_to(np.arange(BATCH, dtype=np.int32), (n_critic, BATCH))
    return {"real": real, "row": rows}


def stepper(gan, **options):
    """Returns the train step of a system as a function of state and batch."""
    return functools.partial(train_step, gan=gan, ema_decay=0.9, **options)


@functools.cache
def trained(make, how, steps=3, n_critic=1):
    """Trains the system ``make()`` for a few steps and returns the state and the last metrics.

    Args:
      make: Function that builds the system.
      how: ``"one"`` for one device; ``"pmap"`` or another name, which means jit, for 8 devices.
      steps: Number of steps.
      n_critic: Number of critic updates per step.
    """
    batches = [points_batch(seed, n_critic) for seed in range(steps)]
    gan = make()
    state = gan.init(jax.random.key(3), batches[0])
    if how == "pmap":
        step, state = parallel.pmap_step(stepper(gan)), parallel.copy_for_pmap(state, 8)
        for batch in batches:
            state, metrics = step(state, parallel.split_for_pmap(batch, 8))
        return jax.tree.map(lambda x: x[0], (state, metrics))
    mesh = parallel.device_mesh(jax.devices()[: 1 if how == "one" else 8])
    step = parallel.jit_step(stepper(gan), mesh)
    state = parallel.replicate(state, mesh)
    for batch in batches:
        state, metrics = step(state, parallel.shard_batch(batch, mesh))
    return state, metrics


def assert_devices_agree(make, how):
    """Asserts that 8 devices, under jit or pmap, give one device's parameters, ``extra`` and metrics."""
    (state, metrics), (expected, expected_metrics) = trained(make, how), trained(make, "one")
    for name, value in expected_metrics.items():
        np.testing.assert_allclose(metrics[name], value, rtol=2e-4, atol=2e-5, err_msg=name)
    for part in ("critic.params", "generator.params", "generator.ema_params", "extra"):
        ours, theirs = (functools.reduce(getattr, part.split("."), x) for x in (state, expected))
        close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5, err_msg=part)
        jax.tree.map(close, ours, theirs)
