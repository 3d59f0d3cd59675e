"""Spectral normalisation by power iteration, with its state in the Flax collection ``spectral``.

A kernel W, reshaped to (−1, out), is divided by σ = vᵀWu, an estimate of its largest singular value. The
state is u, an estimate of the first right singular vector; v is W u / ‖W u‖.

* In each update of the player that owns the layer, one pass advances u by one iteration: the pass whose
  ``apply`` has the collection as mutable.
* Every other pass in training (the rest of that update, penalties, the other player's step) and evaluation
  (``train=False``) leave u unchanged. They compute σ from u and the kernel at hand, so that gradients flow
  through σ on every pass, and so that averaged kernels are divided by their own σ.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array

COLLECTION = "spectral"
# Number of power iterations at initialisation. Without them the first steps would divide by a σ that is far
# too small.
WARM_UP = 15
# Keeps roots and divisions finite for a kernel of zeros.
_TINY = 1e-12


def _unit(x: Array) -> Array:
    return x / jnp.sqrt(jnp.sum(jnp.square(x)) + _TINY)


def sigma_of(matrix: Array, u: Array) -> Array:
    """Estimates the largest singular value as vᵀ W u with v = W u / ‖W u‖, differentiable in W alone.

    Args:
      matrix: Matrix W, (m, n).
      u: Estimate of the first right singular vector, (n,), of unit length.

    Returns:
      The scalar ‖W u‖ ≤ σ₁, whose gradient in W is v uᵀ.
    """
    u = jax.lax.stop_gradient(u)
    v = jax.lax.stop_gradient(_unit(matrix @ u))
    # In this order the product matrix @ u is the one that v was computed from.
    return v @ (matrix @ u)


def power_iteration(matrix: Array, u: Array) -> tuple[Array, Array]:
    """Runs one round of power iteration.

    u ← Wᵀ W u / ‖Wᵀ W u‖,  σ = ‖W u‖

    Args:
      matrix: Matrix W, (m, n).
      u: Estimate of the first right singular vector, (n,).

    Returns:
      The new u, (n,), which carries no gradient, and the scalar σ, which is differentiable in W.

    References:
      Miyato et al., 2018, Spectral Normalization for GANs, algorithm 1, https://arxiv.org/abs/1802.05957
      (The paper stores a left singular vector, because its kernels are the transposes of ours.)
    """
    u = jax.lax.stop_gradient(_unit(matrix.T @ _unit(matrix @ u)))
    return u, sigma_of(matrix, u)


def normalize(module: nn.Module, kernel: Array, *, train: bool) -> Array:
    """Divides a kernel by its largest singular value; must be called in a module's compact method.

    Args:
      module: Module that owns the kernel and will own the state.
      kernel: Kernel (..., out), which is reshaped to (−1, out) to compute σ.
      train: Whether u is advanced if the collection is mutable.

    Returns:
      The normalised kernel, with the same shape.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])

    def first_u() -> Array:
        u = _unit(jax.random.normal(module.make_rng("params"), (matrix.shape[1],), matrix.dtype))
        return jax.lax.fori_loop(0, WARM_UP, lambda _, u: power_iteration(matrix, u)[0], u)

    u = module.variable(COLLECTION, "u", first_u)
    if train and module.is_mutable_collection(COLLECTION) and not module.is_initializing():
        u.value, sigma = power_iteration(matrix, u.value)
    else:
        sigma = sigma_of(matrix, u.value)
    return kernel / (sigma + _TINY)
