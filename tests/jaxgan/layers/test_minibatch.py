"""Tests of layers that see the whole batch: their values, their use in critics, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import parallel, regularizers
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.layers import minibatch
from jaxgan.models import dcgan, mlp
from tests.conftest import example
from tests.points import game, points_batch

KINDS = [kind for kind in minibatch.KINDS if kind != "none"]


def test_discrimination_is_the_papers():
    m = np.random.default_rng(0).normal(size=(5, 3, 2)).astype(np.float32)
    expected = np.zeros((5, 3))
    for i in range(5):
        for b in range(3):
            expected[i, b] = sum(np.exp(-np.abs(m[i, b] - m[j, b]).sum()) for j in range(5))
    np.testing.assert_allclose(minibatch.discrimination(m, m), expected, rtol=1e-6)
    np.testing.assert_allclose(minibatch.discrimination(0 * m, 0 * m), 5)


def test_distance_is_the_mean_l2_norm_of_the_differences():
    x = np.array([[0, 0], [3, 4], [0, 8]], np.float32)
    # The distances between the pairs are 5, 8 and 5; the distance of a sample to itself is √ε.
    np.testing.assert_allclose(minibatch.distance(x, x)[:, 0], [13 / 3, 10 / 3, 13 / 3], rtol=2e-5)


def test_standard_deviation_is_that_of_the_features_averaged():
    x = np.array([[0, 1, 5], [2, 1, 5]], np.float32)  # the deviations are 1, 0 and 0
    np.testing.assert_allclose(minibatch.standard_deviation(x)[:, 0], [1 / 3, 1 / 3], rtol=3e-4)


def test_gradients_exist_where_the_batch_is_in_one_place():
    x, m = jnp.ones((4, 3)), jnp.ones((4, 3, 2))
    alone = (minibatch.standard_deviation, lambda x: minibatch.distance(x, x))
    for function, at in (*((f, x) for f in alone), (lambda m: minibatch.discrimination(m, m), m)):
        assert np.isfinite(jax.jit(jax.grad(lambda x, f=function: f(x).sum()))(at)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_layer_appends_to_what_it_is_given_and_sees_all_devices(kind):
    layer = minibatch.Minibatch(kind, features=4)
    x = np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32)
    variables = jax.jit(layer.init)(jax.random.key(0), x[:1])
    apply = jax.jit(layer.apply)
    whole = np.asarray(apply(variables, x))
    np.testing.assert_array_equal(whole[:, :3], x)
    assert whole.shape == (16, 7 if kind == "discrimination" else 4)
    pmapped = jax.pmap(lambda x: layer.apply(variables, x), axis_name=parallel.AXIS)(x.reshape(8, 2, 3))
    np.testing.assert_allclose(np.reshape(pmapped, (16, -1)), whole, rtol=1e-5, atol=1e-6)
    sharded = parallel.shard_batch({"x": x}, parallel.device_mesh(), axis=0)["x"]
    np.testing.assert_allclose(apply(variables, sharded), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("critic", [mlp.Critic((4, 4)), dcgan.Critic(2, norm="none")])
def test_a_critic_with_it_mixes_samples_and_says_so(kind, critic):
    critic = critic.clone(minibatch=kind)
    x = np.random.default_rng(1).normal(size=(3, 8, 8, 1)).astype(np.float32)
    variables = jax.jit(critic.init, static_argnums=2)(jax.random.key(0), x[:1], True)
    assert set(variables) == {"params", minibatch.COLLECTION}
    assert minibatch.COLLECTION in passes.MIXING
    assert not jax.tree.leaves(variables[minibatch.COLLECTION])
    judge = jax.jit(lambda x: critic.apply(variables, x, True))
    logits, changed = judge(x), judge(x + np.array([0, 0, 1]).reshape(3, 1, 1, 1).astype(np.float32))
    assert logits.shape == (3,)
    assert logits[0] != changed[0]


@pytest.mark.parametrize("kind", KINDS)
def test_penalties_on_it_are_refused(kind):
    r1 = {"r1": regularizers.penalty("r1", weight=1.0)}
    gan = game(critic=mlp.Critic((8,), minibatch=kind), regularizers=r1)
    with pytest.raises(SetupError, match=r"r1.*'minibatch'.*minibatch none"):
        jax.eval_shape(gan.init, jax.random.key(0), points_batch())


def test_real_and_fake_are_judged_apart():
    critic = mlp.Critic((8,), minibatch="distance")
    gan = game(critic=critic)
    batch = points_batch()
    state = gan.init(jax.random.key(0), batch)
    data = example(batch)
    fakes, _ = gan.generate(state.generator.params, state, data, state.key, advance=False)
    _, aux = jax.jit(gan.critic_loss)(state.critic.params, state, data, fakes, state.key)
    alone = jax.jit(lambda x: critic.apply({"params": state.critic.params}, x, True).mean())
    np.testing.assert_allclose(aux.metrics["real_logits"], alone(data["real"]), rtol=1e-5)


def test_an_unknown_kind_is_refused():
    with pytest.raises(SetupError, match="unknown minibatch 'stdd': did you mean 'std'"):
        mlp.Critic((4,), minibatch="stdd").init(jax.random.key(0), jnp.ones((1, 2)), True)
