"""Spectral normalisation by power iteration, its state in the Flax collection ``spectral``.

A kernel W, reshaped to (−1, out), is divided by an estimate of its largest singular value σ. The state
is the right singular vector's estimate u and the σ that came of it. Who may advance it:

* one pass of an update of the player that owns the layer, whose ``apply`` has the collection as mutable;
* every other pass in training (the rest of that update, penalties, the other player's step) reads u as
  it is and computes σ from it and the kernel at hand, so gradients flow through σ on every pass;
* evaluation (``train=False``) divides by the stored σ and computes nothing.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array

COLLECTION = "spectral"
# Power iterations at initialisation: without them the first steps divide by a σ far too small.
WARM_UP = 15
_TINY = 1e-12  # inside roots and divisions, for a kernel of zeros


def _unit(x: Array) -> Array:
    return x / jnp.sqrt(jnp.sum(jnp.square(x)) + _TINY)


def sigma_of(matrix: Array, u: Array) -> Array:
    """The singular-value estimate vᵀ W u with v = W u / ‖W u‖, differentiable in W alone.

    Args:
      matrix: (m, n) matrix W.
      u: (n,) estimate of the first right singular vector, of unit length.

    Returns:
      A scalar ‖W u‖ ≤ σ₁, whose gradient in W is v uᵀ.
    """
    u = jax.lax.stop_gradient(u)
    v = jax.lax.stop_gradient(_unit(matrix @ u))
    return v @ (matrix @ u)  # in this order the product is v's own


def power_iteration(matrix: Array, u: Array) -> tuple[Array, Array]:
    """One round of power iteration.

    u ← Wᵀ W u / ‖Wᵀ W u‖,  σ = ‖W u‖

    Args:
      matrix: (m, n) matrix W.
      u: (n,) estimate of the first right singular vector.

    Returns:
      The new u, (n,), with no gradient, and σ, a scalar, differentiable in W.

    References:
      Miyato et al., 2018, Spectral Normalization for GANs, algorithm 1, https://arxiv.org/abs/1802.05957
      (with the other side's vector stored, as its kernels are the transposes of ours).
    """
    u = jax.lax.stop_gradient(_unit(matrix.T @ _unit(matrix @ u)))
    return u, sigma_of(matrix, u)


def normalize(module: nn.Module, kernel: Array, *, train: bool) -> Array:
    """The kernel over its largest singular value; to be called in a module's compact method.

    Args:
      module: the module that owns the kernel and will own the state.
      kernel: (..., out) kernel, reshaped to (−1, out) to be measured.
      train: whether σ is computed from the kernel (and u advanced, if the collection is mutable)
        or read from the state.

    Returns:
      The normalised kernel, of the same shape.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])

    def first_u() -> Array:
        u = _unit(jax.random.normal(module.make_rng("params"), (matrix.shape[1],), matrix.dtype))
        return jax.lax.fori_loop(0, WARM_UP, lambda _, u: power_iteration(matrix, u)[0], u)

    u = module.variable(COLLECTION, "u", first_u)
    sigma = module.variable(COLLECTION, "sigma", lambda: sigma_of(matrix, u.value))
    if not train:
        return kernel / sigma.value
    if module.is_mutable_collection(COLLECTION) and not module.is_initializing():
        u.value, value = power_iteration(matrix, u.value)
        sigma.value = jax.lax.stop_gradient(value)
    else:
        value = sigma_of(matrix, u.value)
    return kernel / (value + _TINY)
