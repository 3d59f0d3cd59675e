import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan import layers
from jaxgan.models import dcgan
from jaxgan.ops import spectral

LAYERS = {
    "dense": (layers.Dense(5, spectral=True), (3, 7)),
    "conv": (layers.Conv(5, kernel_size=3, stride=2, spectral=True), (2, 6, 6, 4)),
    "transpose": (layers.ConvTranspose(5, kernel_size=4, stride=2, spectral=True), (2, 3, 3, 4)),
}


def largest(matrix):
    return np.linalg.svd(np.asarray(matrix, np.float64).reshape(-1, matrix.shape[-1]), compute_uv=False)[0]


def start(name):
    module, shape = LAYERS[name]
    x = jax.random.normal(jax.random.key(1), shape)
    return module, x, module.init(jax.random.key(0), x, True)


def kernel(name, variables):
    """Returns a layer's kernel with its outputs on the last axis."""
    stored = variables["params"]["kernel"]
    return stored.swapaxes(2, 3) if name == "transpose" else stored


@given(m=st.integers(1, 12), n=st.integers(1, 12), seed=st.integers(0, 999))
def test_power_iteration_is_one_round_of_the_paper(m, n, seed):
    rng = np.random.default_rng(seed)
    matrix, u = rng.normal(size=(m, n)), rng.normal(size=n)
    u /= np.linalg.norm(u)
    v = matrix @ u / np.linalg.norm(matrix @ u)
    expected = matrix.T @ v / np.linalg.norm(matrix.T @ v)
    ours, sigma = spectral.power_iteration(jnp.float32(matrix), jnp.float32(u))
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(sigma, np.linalg.norm(matrix @ expected), rtol=1e-3)
    assert sigma <= largest(matrix) * (1 + 1e-5)


def test_sigma_converges_to_the_svd_and_its_gradient_to_the_outer_product():
    matrix = jax.random.normal(jax.random.key(0), (8, 6))
    u = jnp.ones(6) / jnp.sqrt(6.0)
    for _ in range(300):
        u, sigma = spectral.power_iteration(matrix, u)
    left, values, right = np.linalg.svd(np.asarray(matrix, np.float64))
    np.testing.assert_allclose(sigma, values[0], rtol=1e-5)
    gradient = jax.grad(lambda w: spectral.power_iteration(w, u)[1])(matrix)
    np.testing.assert_allclose(gradient, np.outer(left[:, 0], right[0]), atol=1e-4)


def test_zero_matrix_is_finite():
    u, sigma = spectral.power_iteration(jnp.zeros((3, 2)), jnp.ones(2))
    assert np.isfinite(u).all()
    assert sigma == 0


@pytest.mark.parametrize("name", LAYERS)
def test_initialisation_leaves_parameters_untouched(name):
    module, x, variables = start(name)
    plain = module.clone(spectral=False).init(jax.random.key(0), x, True)
    np.testing.assert_array_equal(variables["params"]["kernel"], plain["params"]["kernel"])
    assert set(variables) == {"params", "spectral"}
    assert set(variables["spectral"]) == {"u"}
    assert variables["spectral"]["u"].shape == (5,)  # one entry per output


def divisor(module, variables, x, train):
    """Returns the number that a layer divides its kernel by, from its output and that without division."""
    plain = module.clone(spectral=False).apply({"params": variables["params"]}, x, train)
    normalised = module.apply(variables, x, train)
    return float(jnp.vdot(plain, normalised) / jnp.vdot(normalised, normalised))


@pytest.mark.parametrize("name", LAYERS)
def test_sigma_is_within_one_percent_of_svd_after_warm_up(name):
    module, x, variables = start(name)
    for _ in range(50):
        _, updated = module.apply(variables, x, True, mutable=["spectral"])
        variables = {**variables, **updated}
    for train in (True, False):
        np.testing.assert_allclose(
            divisor(module, variables, x, train), largest(kernel(name, variables)), rtol=0.01
        )


@pytest.mark.parametrize("name", LAYERS)
def test_averaged_kernels_are_divided_by_their_own_sigma(name):
    # The kernel grows by 2 % of its first value in each update, and an average of decay 0.9 lags behind.
    module, x, variables = start(name)
    first = averages = variables["params"]
    for t in range(1, 51):
        noise = jax.random.normal(jax.random.key(t), first["kernel"].shape)
        moved = (1 + 0.02 * t) * first["kernel"] + 0.002 * noise
        variables = {**variables, "params": {**first, "kernel": moved}}
        _, updated = module.apply(variables, x, True, mutable=["spectral"])
        variables = {**variables, **updated}
        averages = jax.tree.map(lambda ema, new: 0.9 * ema + 0.1 * new, averages, variables["params"])
    averaged = {**variables, "params": averages}
    exact = largest(kernel(name, averaged))
    np.testing.assert_allclose(divisor(module, averaged, x, False), exact, rtol=0.01)
    # The control: the σ of the last update, which belongs to the raw kernel, is too large for the average.
    assert divisor(module, variables, x, True) > 1.05 * exact


@pytest.mark.parametrize("name", LAYERS)
def test_u_advances_only_where_the_collection_is_mutable(name):
    module, x, variables = start(name)
    matrix = kernel(name, variables).reshape(-1, 5)
    _, updated = module.apply(variables, x, True, mutable=["spectral"])
    expected, _ = spectral.power_iteration(matrix, variables["spectral"]["u"])
    np.testing.assert_allclose(updated["spectral"]["u"], expected, rtol=1e-6)
    _, frozen = module.apply(variables, x, True, mutable=[])
    assert not frozen
    _, evaluated = module.apply(variables, x, False, mutable=["spectral"])
    jax.tree.map(np.testing.assert_array_equal, evaluated["spectral"], variables["spectral"])


@pytest.mark.parametrize("name", LAYERS)
def test_passes_of_one_update_share_their_sigma(name):
    module, x, variables = start(name)
    first, updated = module.apply(variables, x, True, mutable=["spectral"])
    again = module.apply({**variables, **updated}, x, True)
    np.testing.assert_allclose(again, first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_evaluation_takes_sigma_from_the_stored_u_without_an_iteration(name):
    module, x, variables = start(name)
    matrix = np.asarray(kernel(name, variables), np.float64).reshape(-1, 5)
    right = np.linalg.svd(matrix)[2]
    u = 0.6 * right[0] + 0.8 * right[-1]  # far from the first singular vector
    variables = {**variables, "spectral": {"u": jnp.float32(u)}}
    sigma = np.linalg.norm(matrix @ u)  # vᵀWu with v = Wu / ‖Wu‖
    np.testing.assert_allclose(divisor(module, variables, x, False), sigma, rtol=1e-5)
    # The control: an iteration before the division would change σ.
    assert sigma < 0.98 * spectral.power_iteration(jnp.float32(matrix), jnp.float32(u))[1]


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_flow_through_sigma(name):
    # W / σ(W) is unchanged when W is scaled, so its gradient is orthogonal to W: Σ W ∂f/∂W = 0.
    module, x, variables = start(name)

    def f(params, mutable):
        out, _ = module.apply({**variables, "params": params}, x, True, mutable=mutable)
        return jnp.sum(jnp.sin(out))

    for mutable in (["spectral"], []):
        gradient = jax.grad(f)(variables["params"], mutable)["kernel"]
        inner = jnp.sum(gradient * variables["params"]["kernel"])
        assert abs(inner) < 1e-4 * jnp.linalg.norm(gradient) * jnp.linalg.norm(
            variables["params"]["kernel"]
        )


def test_biases_and_scales_are_never_normalised():
    critic = dcgan.Critic(4, norm="spectral")
    variables = critic.init(jax.random.key(0), jnp.zeros((2, 16, 16, 1)), True)
    normalised = {
        path[:-1] for path, _ in nn.module.traverse_util.flatten_dict(variables["spectral"]).items()
    }
    kernels = {
        path[:-1]
        for path, leaf in nn.module.traverse_util.flatten_dict(variables["params"]).items()
        if path[-1] == "kernel"
    }
    assert normalised == kernels


def test_lipschitz_bound_of_a_spectral_critic():
    # Every dense layer has σ = 1 and leaky ReLU has slopes of at most 1, so a dense critic is 1-Lipschitz.
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            for width in (32, 32):
                x = nn.leaky_relu(layers.Dense(width, spectral=True)(x, train), 0.2)
            return layers.Dense(1, spectral=True)(x, train)[:, 0]

    net = Net()
    x = jax.random.normal(jax.random.key(0), (256, 8)) * 3
    variables = net.init(jax.random.key(1), x, True)
    for _ in range(100):
        _, updated = net.apply(variables, x, True, mutable=["spectral"])
        variables = {**variables, **updated}
    slopes = jax.vmap(jax.grad(lambda x: net.apply(variables, x[None], False)[0]))(x)
    assert jnp.linalg.norm(slopes, axis=1).max() <= 1.01
    assert jnp.linalg.norm(slopes, axis=1).max() > 0.05
