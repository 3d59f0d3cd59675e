"""BEGAN: the critic is an auto-encoder, and a controller keeps it from winning.

References:
  Berthelot et al., 2017, BEGAN: Boundary Equilibrium Generative Adversarial Networks,
  https://arxiv.org/abs/1703.10717
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan.gans import passes
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch

Array = jax.Array
PyTree = Any


def reconstruction_loss(x: Array, reconstruction: Array) -> Array:
    """How far an auto-encoder is from the identity: L(x) = E[|x − D(x)|].

    The mean is over the batch and over a sample's elements. The paper's norm is a sum: the game is the
    same, but for the rate of k.

    Args:
      x: (B, ...) samples.
      reconstruction: D(x), of the same shape.

    Returns:
      A scalar, in units of x.
    """
    return jnp.mean(jnp.abs(x - reconstruction))


def next_k(k: Array, real_loss: Array, fake_loss: Array, *, gamma: float, lambda_k: float) -> Array:
    """The controller's step towards E[L(G(z))] = γ E[L(x)]: k + λ (γ L(x) − L(G(z))), kept in [0, 1]."""
    return jnp.clip(k + lambda_k * (gamma * real_loss - fake_loss), 0.0, 1.0)


def convergence(real_loss: Array, fake_loss: Array, *, gamma: float) -> Array:
    """The global measure of convergence: M = L(x) + |γ L(x) − L(G(z))|, lower is better."""
    return real_loss + jnp.abs(gamma * real_loss - fake_loss)


def began(
    generator: nn.Module,
    autoencoder: nn.Module,
    *,
    gamma: float,
    lambda_k: float,
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    prior: passes.Prior,
    axis_name: str | None = None,
) -> GAN:
    """The critic minimises L(x) − k L(G(z)), the generator L(G(z)); k, from 0, follows their balance.

    k moves once an update of the critic, by the losses that update saw.

    Args:
      generator: module called as ``(z, train)``, latents to samples.
      autoencoder: module called as ``(x, train)``, samples to samples.
      gamma: γ, the diversity ratio E[L(G(z))] / E[L(x)] to be kept, from 0 to 1 (the paper: 0.3 to 0.7).
      lambda_k: λ, the rate of k (the paper: 0.001).
      generator_tx: the generator's optimiser.
      critic_tx: the critic's optimiser.
      prior: (B,) PRNG keys to (B, dim) latents.
      axis_name: the ``pmap`` axis that the batch is split over, if any.

    Returns:
      The system. Its batches hold ``real``, (B, ...), and ``row``, (B,); k is ``state.extra["k"]``, and the
      metrics have it as it was for the update, ``convergence`` (M) and both reconstruction losses.
    """
    begin = passes.initial_state(
        generator, autoencoder, generator_tx=generator_tx, critic_tx=critic_tx, prior=prior
    )
    generate = passes.generate_from(prior)

    def init(key: Array, batch: Batch) -> GANState:
        state = begin(key, batch)
        return state.replace(extra={**state.extra, "k": jnp.float32(0)})

    def critic_loss(params: PyTree, state: GANState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        k, real = state.extra["k"], batch["real"]
        fake, _ = generate(state.generator.params, state, batch, key, advance=False)
        real_out, fake_out, model_state = passes.apply_both(state.critic, params, real, fake)
        real_loss, fake_loss = reconstruction_loss(real, real_out), reconstruction_loss(fake, fake_out)
        value = real_loss - k * fake_loss
        if axis_name is not None:  # k has to be the same everywhere
            real_loss, fake_loss = jax.lax.pmean((real_loss, fake_loss), axis_name)
        metrics = {
            "k": k,
            "convergence": convergence(real_loss, fake_loss, gamma=gamma),
            "real_reconstruction": real_loss,
            "fake_reconstruction": fake_loss,
        }
        k = next_k(k, real_loss, fake_loss, gamma=gamma, lambda_k=lambda_k)
        return value, Aux(metrics, model_state, {**state.extra, "k": k})

    def generator_loss(params: PyTree, state: GANState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        critic = state.critic
        fake, model_state = generate(params, state, batch, key, advance=True)
        out, _ = passes.apply(critic, critic.params, critic.model_state, fake, advance=False)
        return reconstruction_loss(fake, out), Aux({}, model_state, state.extra)

    return GAN(jax.jit(init), critic_loss, generator_loss, passes.sample_from(prior), generate)
