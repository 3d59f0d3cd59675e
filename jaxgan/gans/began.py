"""BEGAN: the critic is an auto-encoder, and a controller balances it against the generator.

References:
  Berthelot et al., 2017, BEGAN: Boundary Equilibrium Generative Adversarial Networks,
  https://arxiv.org/abs/1703.10717
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan import latents, parallel
from jaxgan.gans import passes
from jaxgan.hyper import Unit
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch
from jaxgan.views.augmentation import Augmentation
from jaxgan.views.pool import POOL, Pool

Array = jax.Array
PyTree = Any


def reconstruction_loss(x: Array, reconstruction: Array) -> Array:
    """Computes an auto-encoder's mean absolute reconstruction error, L(x) = E[|x − D(x)|].

    The mean is over the batch and over a sample's elements. The paper's norm is a sum over the elements,
    which only changes the scale of λ.

    Args:
      x: (B, ...) samples.
      reconstruction: Reconstruction D(x), of the same shape.

    Returns:
      A scalar, in units of x.
    """
    return jnp.mean(jnp.abs(x - reconstruction))


def next_k(k: Array, real_loss: Array, fake_loss: Array, *, gamma: float, lambda_k: float) -> Array:
    """Moves k towards E[L(G(z))] = γ E[L(x)]: k + λ (γ L(x) − L(G(z))), clipped to [0, 1]."""
    return jnp.clip(k + lambda_k * (gamma * real_loss - fake_loss), 0.0, 1.0)


def convergence(real_loss: Array, fake_loss: Array, *, gamma: float) -> Array:
    """Computes the global measure of convergence: M = L(x) + |γ L(x) − L(G(z))|, lower is better."""
    return real_loss + jnp.abs(gamma * real_loss - fake_loss)


def began(
    generator: nn.Module,
    autoencoder: nn.Module,
    *,
    gamma: Unit,
    lambda_k: Unit,
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    prior: passes.Prior,
    augment: Augmentation | None = None,
    pool: Pool | None = None,
) -> GAN:
    """Builds the system: the critic minimises L(x) − k L(G(z)), and the generator minimises L(G(z)).

    The coefficient k starts at 0 and balances both terms. It changes once per critic update, according to
    the losses of that update.

    Args:
      generator: Module called as ``(z, train)``, latents to samples.
      autoencoder: Critic, a module called as ``(x, train)``, samples to samples.
      gamma: Diversity ratio γ = E[L(G(z))] / E[L(x)] to maintain, from 0 to 1 (the paper: 0.3 to 0.7).
      lambda_k: Rate λ at which k changes (the paper: 0.001).
      generator_tx: Optimiser of the generator.
      critic_tx: Optimiser of the critic.
      prior: Function from (B,) PRNG keys to (B, dim) latents.
      augment: Augmentation that the critic sees all samples through, in both players' updates.
      pool: Past fakes that replace fresh ones in the critic's updates.

    Returns:
      The system. Its batches hold ``real``, (B, ...), and ``row``, (B,); k is ``state.extra["k"]``. The
      metrics include k as used in the update, ``convergence`` (M) and both reconstruction losses.
    """

    def view(samples: Array, key: Array, state: GANState, batch: Batch, side: int) -> Array:
        if augment is None:
            return samples
        keys = jax.vmap(jax.random.fold_in, (0, None))(passes.keys_for(key, passes.NOISE, batch), side)
        return augment.apply(samples, keys, state)

    def init(key: Array, batch: Batch) -> GANState:
        real = passes.example(batch, "real")
        state = passes.begin(
            key,
            generator=generator,
            generator_inputs=(prior(latents.row_keys(jax.random.fold_in(key, 0), batch["row"][0, :1])),),
            generator_tx=generator_tx,
            critic=autoencoder,
            critic_inputs=real,
            critic_tx=critic_tx,
        )
        extra: dict[str, PyTree] = {"k": jnp.float32(0)}
        if pool is not None:
            extra[POOL] = pool.init(real[0])
        return state.replace(extra=extra)

    def generate(
        params: PyTree, state: GANState, batch: Batch, key: Array, *, advance: bool
    ) -> tuple[Array, PyTree]:
        keys = passes.keys_for(key, passes.LATENTS, batch)
        z = passes.latents_for(prior, keys, batch.get("conditions", {}))
        return passes.forward(generator, params, state.generator.model_state, z, advance=advance)

    def critic_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: Array, key: Array
    ) -> tuple[Array, Aux]:
        extra, k = state.extra, state.extra["k"]
        if pool is not None:
            fakes, memory = pool.exchange(extra[POOL], fakes, passes.keys_for(key, passes.REPLAY, batch))
            extra = {**extra, POOL: memory}
        real, fake = (view(x, key, state, batch, side) for side, x in enumerate((batch["real"], fakes)))
        real_out, fake_out, model_state = passes.forward_both(
            autoencoder, params, state.critic.model_state, (real,), (fake,)
        )
        real_loss, fake_loss = reconstruction_loss(real, real_out), reconstruction_loss(fake, fake_out)
        value = real_loss - k * fake_loss
        real_loss, fake_loss = parallel.global_mean(
            (real_loss, fake_loss)
        )  # averaged, because k must be the same on every device
        metrics = {
            "k": k,
            "convergence": convergence(real_loss, fake_loss, gamma=gamma),
            "real_reconstruction": real_loss,
            "fake_reconstruction": fake_loss,
            **(augment.metrics(state) if augment is not None else {}),
        }
        k = next_k(k, real_loss, fake_loss, gamma=gamma, lambda_k=lambda_k)
        return value, Aux(metrics, model_state, {**extra, "k": k})

    def generator_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: Array, key: Array
    ) -> tuple[Array, Aux]:
        critic, fake = state.critic, view(fakes, key, state, batch, 1)
        out, _ = passes.forward(autoencoder, critic.params, critic.model_state, fake, advance=False)
        return reconstruction_loss(fake, out), Aux({}, None, state.extra)

    def sample(state: GANState, key: Array, conditions: Batch) -> Array:
        z = passes.latents_for(prior, latents.row_keys(key, conditions["row"]), conditions)
        return passes.evaluate(generator, state.generator, z)

    return GAN(
        jax.jit(init),
        generate,
        critic_loss,
        generator_loss,
        sample,
        generator_tx,
        critic_tx,
        mixes="k follows the losses of the whole batch",
    )
