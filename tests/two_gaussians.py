"""Two Gaussian classes on a line and an AC-GAN for them, for which optimal critics are known."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import stats

from jaxgan import latents, losses
from jaxgan.gans.acgan import acgan
from jaxgan.layers.heads import ClassifyingHeads


def first(batch):
    return jax.tree.map(lambda x: x[0], batch)


def fakes_of(gan, state, data, params=None):
    params = state.generator.params if params is None else params
    return jax.jit(lambda: gan.generate(params, state, data, state.key, advance=False)[0])()


class LineGenerator(nn.Module):
    """Generator z + m_y of points on a line, with one learnt mean per class."""

    @nn.compact
    def __call__(self, z, labels, train):
        means = self.param("means", lambda key: jnp.array([-1.0, 1.0]))
        return z + means[labels][:, None]


class LinearCritic(nn.Module):
    """Critic whose two heads are affine functions of the point."""

    @nn.compact
    def __call__(self, x, train):
        return ClassifyingHeads(2)(x, train)


def line(*, classify_fakes=True, generator_class_weight=1.0, loss="wasserstein", **options):
    return acgan(
        LineGenerator(),
        LinearCritic(),
        loss=losses.get(loss),
        critic_class_weight=1.0,
        generator_class_weight=generator_class_weight,
        classify_fakes=classify_fakes,
        **options,
        generator_tx=optax.sgd(0.1),
        critic_tx=optax.sgd(0.1),
        prior=functools.partial(latents.normal, dim=1),
    )


def line_batch(count, means=(-1.0, 1.0)):
    """Returns ``count`` quantiles of N(m, 1) for each class, and those of N(0, 1) as latents.

    Means over the batch are thus integrals up to a small error, without any randomness.
    """
    quantiles = stats.norm.ppf((np.arange(count) + 0.5) / count)
    real = np.concatenate([quantiles + mean for mean in means]).astype(np.float32)[None, :, None]
    labels = np.repeat(np.arange(2, dtype=np.int32), count)[None]
    rows = np.arange(2 * count, dtype=np.int32)[None]
    z = np.tile(quantiles, 2).astype(np.float32)[None, :, None]
    conditions = {"row": rows, "labels": labels, "z": z}
    return {"real": real, "labels": labels, "row": rows, "conditions": conditions}


def bayes_critic(state):
    """Returns the critic's parameters that are optimal for classes at ±1 and equal distributions."""
    params = jax.tree.map(jnp.zeros_like, state.critic.params)
    params["ClassifyingHeads_0"]["classes"]["kernel"] = jnp.array([[-1.0, 1.0]])
    return params
