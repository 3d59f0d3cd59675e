"""Tests of BEGAN against a NumPy version of its paper, and of the table of Lucic et al."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.cli import config_files
from experiments.training import build, checks
from jaxgan import losses, objectives, optimizers, penalties
from jaxgan.errors import SetupError
from jaxgan.gans.began import began, convergence, next_k
from jaxgan.models import dcgan, mlp
from tests.conftest import composed, example
from tests.points import PRIOR, assert_devices_agree, points_batch, stepper

GAMMA, RATE = 0.4, 0.05


def tiny(*, gamma=GAMMA, lambda_k=RATE, autoencoder=None):
    return began(
        mlp.Generator((2,), (8,)),
        autoencoder or mlp.AutoEncoder((8,), code=1),
        gamma=gamma,
        lambda_k=lambda_k,
        generator_tx=optax.sgd(0.05),
        critic_tx=optax.sgd(0.05),
        prior=PRIOR,
    )


def begin(gan, k=0.0):
    batch = points_batch()
    state = gan.init(jax.random.key(0), batch)
    state = state.replace(extra={"k": jnp.float32(k)})
    return state, example(batch)


def test_losses_and_control_are_the_papers():
    gan = tiny()
    state, batch = begin(gan, k=0.3)
    fake, _ = gan.generate(state.generator.params, state, batch, state.key, advance=False)
    loss, aux = gan.critic_loss(state.critic.params, state, batch, fake, state.key)
    generator_loss, generator_aux = gan.generator_loss(
        state.generator.params, state, batch, fake, state.key
    )

    def reconstruct(x):
        layers = [state.critic.params[f"Dense_{i}"] for i in range(4)]
        for i, layer in enumerate(layers):
            x = x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)
            if i in (0, 2):  # the layers that compute the code and the output are linear
                x = np.where(x > 0, x, np.expm1(x))
        return x

    real_loss, fake_loss = [np.abs(x - reconstruct(x)).mean() for x in (batch["real"], np.asarray(fake))]
    np.testing.assert_allclose(loss, real_loss - 0.3 * fake_loss, rtol=1e-5)
    np.testing.assert_allclose(generator_loss, fake_loss, rtol=1e-5)
    balance = GAMMA * real_loss - fake_loss
    np.testing.assert_allclose(aux.extra["k"], np.clip(0.3 + RATE * balance, 0, 1), rtol=1e-5)
    np.testing.assert_allclose(aux.metrics["convergence"], real_loss + abs(balance), rtol=1e-5)
    assert aux.metrics["k"] == np.float32(0.3)
    assert generator_aux.extra["k"] == np.float32(0.3)  # only the critic's update changes k


def test_k_stays_between_0_and_1_and_moves_towards_the_balance():
    step = functools.partial(next_k, gamma=0.5, lambda_k=0.1)
    np.testing.assert_allclose(step(0.5, 2.0, 0.5), 0.55)  # the critic's task is too easy, so k grows
    np.testing.assert_allclose(step(0.5, 1.0, 1.5), 0.4)
    assert step(0.0, 1.0, 10.0) == 0.0
    assert step(1.0, 10.0, 0.0) == 1.0
    assert convergence(2.0, 1.0, gamma=0.5) == 2.0  # at the balance, M is L(x)
    assert convergence(2.0, 3.0, gamma=0.5) == convergence(2.0, -1.0, gamma=0.5) == 4.0


@pytest.mark.parametrize("how", ["jit", pytest.param("pmap", marks=pytest.mark.slow)])
def test_eight_devices_agree_with_one(how):
    assert_devices_agree(tiny, how)


def test_hyper_parameters_may_be_traced():
    state, batch = begin(tiny(), k=0.3)

    def k_after(gamma, lambda_k):
        gan = tiny(gamma=gamma, lambda_k=lambda_k)
        return composed(gan, "critic")(state.critic.params, state, batch, state.key)[1].extra["k"]

    gammas, rates = jnp.array([0.3, 0.5]), jnp.array([0.01, 0.02])
    alone = [jax.jit(k_after)(g, r) for g, r in zip((0.3, 0.5), (0.01, 0.02), strict=True)]
    np.testing.assert_allclose(jax.jit(jax.vmap(k_after))(gammas, rates), alone, rtol=1e-6)


@pytest.mark.parametrize("size", [8, 28])
def test_images_are_reconstructed_in_their_shape(size):
    images = jnp.zeros((2, size, size, 3))
    for module in (mlp.AutoEncoder((4,)), dcgan.AutoEncoder(2, code=3)):
        out = jax.eval_shape(lambda m=module: m.init_with_output(jax.random.key(0), images, True)[0])
        assert (out.shape, out.dtype) == (images.shape, jnp.float32)
    code = dcgan.AutoEncoder(2, code=3)
    params = jax.eval_shape(lambda: code.init(jax.random.key(0), images, True))["params"]
    assert params["Dense_0"]["kernel"].shape[-1] == 3


def test_a_generator_learns_where_the_data_are():
    gan = tiny()
    batch = points_batch()
    batch["real"] = batch["real"] * 0.1 + np.array([2.0, -1.0], np.float32)
    state = gan.init(jax.random.key(0), batch)
    step = jax.jit(stepper(gan))
    for _ in range(600):
        state, metrics = step(state, batch)
    samples = gan.sample(state, state.key, {"row": jnp.arange(64)})
    # The data's mean is about (2.1, −0.9), and the samples of an untrained generator are around the origin.
    assert np.linalg.norm(samples.mean(0) - batch["real"][0].mean(0)) < 0.3, metrics


def test_every_row_of_the_table_can_be_had_by_name():
    assert list(objectives.OBJECTIVES) == ["MM", "NS", "WGAN", "WGAN-GP", "LSGAN", "DRAGAN", "BEGAN"]
    for name, row in objectives.OBJECTIVES.items():
        assert row.loss == "began" or row.loss in losses.PAIRS
        assert set(row.penalties) <= set(penalties.PENALTIES)
        if row.optimizer:
            optimizers.build(**row.optimizer, clip=row.clip)
        config = config_files.load(f"lucic_objectives.py:{name}").values
        checks.check(config)
        assert config.n_critic == row.n_critic
        if row.loss == "began":
            assert config.gan.to_dict() == {"name": "began", **row.hyper}
        else:
            assert (config.gan.name, config.gan.loss) == ("adversarial", row.loss)
        on = {name: values.weight for name, values in config.penalties.items() if values.weight}
        assert on == {name: values["weight"] for name, values in row.penalties.items()}
        assert config.optimizers.critic.get("clip") == row.clip
        state = jax.eval_shape(build.initializer(config, build.build(config)))
        assert ("k" in state.extra) == (name == "BEGAN")


def test_an_unknown_row_is_refused():
    with pytest.raises(SetupError, match="unknown objective 'WGANGP': did you mean 'WGAN-GP'"):
        objectives.get("WGANGP")
