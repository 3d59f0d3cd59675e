"""Variational auto-encoder: an encoder and a decoder that maximise a bound on the likelihood.

References:
  Kingma and Welling, 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import latents
from jaxgan.errors import SetupError, unknown
from jaxgan.gans import passes
from jaxgan.hyper import NotNegative, Text
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch, Measure

Array = jax.Array
PyTree = Any

LIKELIHOODS = ("bernoulli", "gaussian")


def kl_to_normal(mean: Array, log_variance: Array) -> Array:
    """Computes KL(N(μ, diag σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − 1 − log σ²) for each sample.

    Args:
      mean: (B, dim) means μ.
      log_variance: (B, dim) log-variances log σ².

    Returns:
      (B,) divergences, in nats.
    """
    return 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_variance) - 1.0 - log_variance, -1)


def bernoulli_log_likelihood(x: Array, logits: Array) -> Array:
    """Computes Σ x log p + (1 − x) log(1 − p) with p = σ(logits) for each sample.

    Args:
      x: (B, ...) zeros and ones.
      logits: (B, ...) logits of ones.

    Returns:
      (B,) log-likelihoods, in nats.
    """
    return jnp.sum(x * logits - jax.nn.softplus(logits), range(1, x.ndim))


def gaussian_log_likelihood(x: Array, mean: Array, log_std: Array) -> Array:
    """Computes log N(x; mean, σ² I) for each sample.

    Args:
      x: (B, ...) samples.
      mean: (B, ...) means.
      log_std: Logarithm of σ, a scalar.

    Returns:
      (B,) log-densities, in nats; they may be positive.
    """
    squares = jnp.square((x - mean) * jnp.exp(-log_std))
    return -jnp.sum(0.5 * squares + log_std + 0.5 * math.log(2 * math.pi), range(1, x.ndim))


def vae(
    vae: nn.Module,
    *,
    generator_tx: optax.GradientTransformation,
    prior: passes.Prior,
    likelihood: Text = "bernoulli",
    beta: NotNegative = 1.0,
) -> GAN:
    """Builds a system that maximises E[log p(x | z)] − β KL(q(z | x) ‖ N(0, I)), with one z per sample.

    The latents z are drawn from q(z | x). With β = 1 the objective is the evidence lower bound (ELBO). The
    Bernoulli likelihood is that of pixels binarised at half their range, because it is not defined for grey
    pixels; the Gaussian likelihood has a learnt σ that all elements share.

    Args:
      vae: Module with the methods ``encode(x, train) -> (mean, log_variance)``, (B, dim) each, and
        ``decode(z, train)``, (B, dim) latents to (B, ...) logits or means, and a parameter ``log_std``.
      generator_tx: Optimiser of the module.
      prior: Function from (B,) PRNG keys to (B, dim) latents. It must be a standard normal, the
        distribution that the KL divergence compares q(z | x) with.
      likelihood: Name of the likelihood, ``bernoulli`` or ``gaussian``.
      beta: Weight β of the KL divergence.

    Returns:
      The system. Its batches hold ``real``, (B, ...), in [−1, 1] if it is binarised, and ``row``; its fakes
      are ``decoded``, ``mean`` and ``log_variance``. Its measure ``elbo`` uses β = 1.

    Raises:
      SetupError: The likelihood is unknown. Also raised by ``init`` if the prior is not a standard normal.
    """
    if likelihood not in LIKELIHOODS:
        raise unknown("gan.likelihood", likelihood, LIKELIHOODS)
    bernoulli = likelihood == "bernoulli"

    def data(batch: Batch) -> Array:
        return (batch["real"] > 0).astype(jnp.float32) if bernoulli else batch["real"]

    def shown(decoded: Array) -> Array:
        return 2.0 * jax.nn.sigmoid(decoded) - 1.0 if bernoulli else decoded

    def noise(key: Array, batch: Batch, dim: int) -> Array:
        keys = latents.row_keys(jax.random.fold_in(key, passes.LATENTS), batch["row"])
        return latents.normal(keys, dim=dim)

    def init(key: Array, batch: Batch) -> GANState:
        if getattr(prior, "func", prior) is not latents.normal:
            raise SetupError("system vae needs latents from a standard normal: give latent.prior normal")
        return passes.begin(
            key, generator=vae, generator_inputs=passes.example(batch, "real"), generator_tx=generator_tx
        )

    def bound(fakes: PyTree, batch: Batch, log_std: Array) -> tuple[Array, Array]:
        x, kl = data(batch), kl_to_normal(fakes["mean"], fakes["log_variance"])
        if bernoulli:
            return bernoulli_log_likelihood(x, fakes["decoded"]), kl
        return gaussian_log_likelihood(x, fakes["decoded"], log_std), kl

    def generate(
        params: PyTree, state: GANState, batch: Batch, key: Array, *, advance: bool
    ) -> tuple[PyTree, PyTree]:
        model_state = state.generator.model_state
        (mean, log_variance), model_state = passes.forward(
            vae, params, model_state, data(batch), advance=advance, method="encode"
        )
        z = mean + jnp.exp(0.5 * log_variance) * noise(key, batch, mean.shape[-1])
        decoded, model_state = passes.forward(vae, params, model_state, z, advance=advance, method="decode")
        return {"decoded": decoded, "mean": mean, "log_variance": log_variance}, model_state

    def generator_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
    ) -> tuple[Array, Aux]:
        likelihoods, kl = bound(fakes, batch, params["log_std"])
        metrics = {"log_likelihood": jnp.mean(likelihoods), "kl": jnp.mean(kl)}
        return jnp.mean(beta * kl - likelihoods), Aux(metrics, None, state.extra)

    def sample(state: GANState, key: Array, conditions: Batch) -> Array:
        z = passes.latents_for(prior, latents.row_keys(key, conditions["row"]), conditions)
        return shown(passes.evaluate(vae, state.generator, z, method="decode"))

    def elbo(state: GANState, batch: Batch, key: Array) -> dict[str, Array]:
        mean, log_variance = passes.evaluate(vae, state.generator, data(batch), method="encode")
        z = mean + jnp.exp(0.5 * log_variance) * noise(key, batch, mean.shape[-1])
        decoded = passes.evaluate(vae, state.generator, z, method="decode")
        fakes = {"decoded": decoded, "mean": mean, "log_variance": log_variance}
        likelihoods, kl = bound(fakes, batch, state.generator.averages[0]["log_std"])
        return {"elbo": likelihoods - kl}

    measures = {
        "elbo": Measure(
            elbo,
            lambda rows: float(np.mean(rows["elbo"], dtype=np.float64)),
            "evidence lower bound on the log-likelihood of real samples, nats a sample, one z each",
            more_is_better=True,
        )
    }
    return GAN(jax.jit(init), generate, None, generator_loss, sample, generator_tx, None, measures)
