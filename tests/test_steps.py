"""The promises of a step: who changes whom, when u moves, what is averaged, what is drawn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import latents, losses, optimizers, parallel
from jaxgan.errors import SetupError
from jaxgan.state import TrainState, sha256
from jaxgan.steps import train_step
from tests.conftest import example, tiny_batch, tiny_gan

pytestmark = pytest.mark.xdist_group("steps")  # one worker compiles them


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def differs(a, b):
    return any(
        not np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@functools.cache
def compiled(loss="non_saturating", norm="batch", penalty=None, decay=0.9):
    gan = tiny_gan(loss, norm, penalty)
    return gan, jax.jit(functools.partial(train_step, gan=gan, ema_decay=decay))


def begin(gan, seed=0, **batch):
    data = tiny_batch(**batch)
    return gan.init(jax.random.key(seed), data), data


def test_a_loss_and_its_metrics():
    gan, step = compiled()
    state, batch = begin(gan)
    state, metrics = step(state, batch)
    assert int(state.step) == 1
    for name in ("critic_loss", "generator_loss", "critic_grad_norm", "generator_grad_norm"):
        assert np.isfinite(metrics[name])
        assert metrics[name].shape == ()


def test_the_key_never_changes_and_the_step_is_folded_in():
    gan, step = compiled()
    state, batch = begin(gan)
    after, first = step(state, batch)
    assert_equal(jax.random.key_data(after.key), jax.random.key_data(state.key))
    _, again = step(state, batch)
    assert_equal(first, again)
    _, later = step(state.replace(step=state.step + 1), batch)
    assert later["fake_logits"] != first["fake_logits"]  # other latents


def test_critic_loss_has_no_gradient_for_the_generator_and_keeps_its_state():
    gan, _ = compiled()
    state, batch = begin(gan)
    _, aux = jax.jit(gan.critic_loss)(state.critic.params, state, example(batch), state.key)
    # A player's Aux carries that player's collections and no other's.
    assert jax.tree.structure(aux.model_state) == jax.tree.structure(state.critic.model_state)
    assert differs(aux.model_state, state.critic.model_state)
    _, aux = jax.jit(gan.generator_loss)(state.generator.params, state, example(batch), state.key)
    assert jax.tree.structure(aux.model_state) == jax.tree.structure(state.generator.model_state)
    assert differs(aux.model_state, state.generator.model_state)


def test_batch_statistics_see_both_real_and_fake_batches_once():
    gan, _ = compiled()
    state, batch = begin(gan)
    critic, data = state.critic, example(batch)
    variables = {"params": critic.params, **critic.model_state}

    z = latents.normal(latents.row_keys(jax.random.fold_in(state.key, 0), data["row"]), dim=6)
    generator = state.generator
    g_variables = {"params": generator.params, **generator.model_state}
    run = functools.partial(jax.jit, static_argnames=("train", "mutable"))
    fake, _ = run(generator.apply_fn)(g_variables, z, train=True, mutable=("batch_stats",))
    judge = functools.partial(run(critic.apply_fn), train=True, mutable=("batch_stats",))
    _, after_real = judge(variables, data["real"])
    _, after_both = judge({**variables, **after_real}, fake)
    _, aux = jax.jit(gan.critic_loss)(critic.params, state, data, state.key)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), aux.model_state, after_both
    )


@pytest.mark.parametrize("n_critic", [1, 3])
def test_one_step_is_n_critic_updates_then_one_of_the_generator(n_critic):
    gan, step = compiled("hinge", "spectral")
    state, batch = begin(gan, n_critic=n_critic)
    ours, metrics = step(state, batch)

    # The same by hand, with optax alone.
    key = jax.random.fold_in(state.key, 0)
    critic, tx = state.critic, state.critic.tx
    for i in range(n_critic):
        data = {name: values[i] for name, values in batch.items()}
        now = state.replace(critic=critic)
        (_, aux), grads = jax.jit(jax.value_and_grad(gan.critic_loss, has_aux=True))(
            critic.params, now, data, jax.random.fold_in(key, i)
        )
        updates, opt_state = tx.update(grads, critic.opt_state, critic.params)
        critic = critic.replace(
            params=optax.apply_updates(critic.params, updates),
            opt_state=opt_state,
            model_state=aux.model_state,
        )
    (loss, aux), grads = jax.jit(jax.value_and_grad(gan.generator_loss, has_aux=True))(
        state.generator.params, state.replace(critic=critic), data, jax.random.fold_in(key, n_critic - 1)
    )
    updates, _ = tx.update(grads, state.generator.opt_state, state.generator.params)
    params = optax.apply_updates(state.generator.params, updates)
    close = functools.partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-5)
    jax.tree.map(close, ours.critic.params, critic.params)
    jax.tree.map(close, ours.critic.model_state, critic.model_state)
    jax.tree.map(close, ours.generator.params, params)
    jax.tree.map(close, ours.generator.model_state, aux.model_state)
    np.testing.assert_allclose(metrics["generator_loss"], loss, rtol=1e-4)


def test_players_see_the_same_fakes_when_n_critic_is_one():
    gan, _ = compiled("wasserstein", "layer")
    state, batch = begin(gan)
    frozen = optax.sgd(0.0)
    critic = state.critic.replace(tx=frozen, opt_state=frozen.init(state.critic.params))
    _, metrics = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))(
        state.replace(critic=critic), batch
    )
    # With a critic that stands still, the generator's loss is minus the mean logit the critic saw.
    np.testing.assert_allclose(metrics["generator_loss"], -metrics["fake_logits"], rtol=1e-5)


@pytest.mark.parametrize(("n_critic", "penalty"), [(1, None), (3, "gradient_penalty")])
def test_u_advances_once_per_update_of_its_owner(n_critic, penalty):
    gan, _ = compiled("hinge", "spectral", penalty)
    # At a learning rate of zero the kernels stand still, and only the count of iterations moves u.
    frozen = optax.sgd(0.0)
    state, batch = begin(gan, n_critic=n_critic)
    state = state.replace(
        critic=state.critic.replace(tx=frozen, opt_state=frozen.init(state.critic.params)),
        generator=state.generator.replace(tx=frozen, opt_state=frozen.init(state.generator.params)),
    )
    # Away from convergence, so that one iteration more or less is seen.
    spectral_state = jax.tree.map(lambda x: x, state.critic.model_state["spectral"])
    for layer in spectral_state.values():
        layer["u"] = jnp.zeros_like(layer["u"]).at[0].set(1.0)
    state = state.replace(critic=state.critic.replace(model_state={"spectral": spectral_state}))
    after, _ = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))(state, batch)
    for name, layer in spectral_state.items():
        matrix = np.asarray(state.critic.params[name]["kernel"], np.float64)
        matrix = matrix.reshape(-1, matrix.shape[-1])
        u = np.asarray(layer["u"], np.float64)
        for _ in range(n_critic):
            u = matrix.T @ (matrix @ u)
            u /= np.linalg.norm(u)
        np.testing.assert_allclose(after.critic.model_state["spectral"][name]["u"], u, atol=1e-5)


def test_ema_of_parameters_and_statistics_with_one_ramped_decay():
    gan, step = compiled(decay=0.9)
    state, batch = begin(gan)
    for _ in range(20):
        before, (state, _) = state, step(state, batch)
    decay = min(0.9, (1 + 19) / (10 + 19))
    for kind, ema in (("params", "ema_params"), ("model_state", "ema_model_state")):
        jax.tree.map(
            lambda new, old, ema: np.testing.assert_allclose(
                ema, decay * old + (1 - decay) * new, rtol=1e-4, atol=1e-6
            ),
            getattr(state.generator, kind),
            getattr(before.generator, ema),
            getattr(state.generator, ema),
        )
    assert state.critic.ema_params is None


def test_ema_copies_spectral_state_and_integers():
    variables = {
        "params": {"w": jnp.zeros(2), "count": jnp.int32(0)},
        "batch_stats": {"mean": jnp.zeros(2)},
        "spectral": {"u": jnp.zeros(2), "sigma": jnp.float32(1)},
    }
    player = TrainState.create(variables=variables, apply_fn=None, tx=optax.sgd(1.0), ema=True)
    player = player.replace(
        params={"w": jnp.ones(2), "count": jnp.int32(7)},
        model_state={
            "batch_stats": {"mean": jnp.ones(2)},
            "spectral": {"u": jnp.ones(2), "sigma": jnp.float32(3)},
        },
    ).update_ema(0.75)
    np.testing.assert_allclose(player.ema_params["w"], 0.25)
    assert player.ema_params["count"] == 7
    np.testing.assert_allclose(player.ema_model_state["batch_stats"]["mean"], 0.25)
    np.testing.assert_allclose(player.ema_model_state["spectral"]["u"], 1)
    assert player.ema_model_state["spectral"]["sigma"] == 3


def test_no_buffer_is_donated_twice():
    gan, _ = compiled()
    state, batch = begin(gan)
    step = parallel.jit_step(
        functools.partial(train_step, gan=gan, ema_decay=0.9), parallel.device_mesh(jax.devices()[:1])
    )
    for _ in range(2):
        state, _ = step(state, batch)  # an aliased buffer would be an error here
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state.generator.params)]
    averages = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state.generator.ema_params)]
    assert not set(pointers) & set(averages)


def test_sampling_uses_averages_and_no_batch_statistics():
    gan, step = compiled()
    state, batch = begin(gan)
    for _ in range(3):
        state, _ = step(state, batch)
    key = jax.random.key(7)
    sample = jax.jit(gan.sample)
    images = sample(state, key, {"row": jnp.arange(8)})
    alone = sample(state, key, {"row": jnp.arange(5, 6)})
    np.testing.assert_allclose(alone[0], images[5], rtol=1e-4, atol=1e-5)
    raw = state.replace(generator=state.generator.replace(params=state.generator.ema_params))
    assert_equal(sample(raw, key, {"row": jnp.arange(8)}), images)
    other = state.replace(generator=state.generator.replace(ema_params=state.generator.params))
    assert differs(sample(other, key, {"row": jnp.arange(8)}), images)


@pytest.mark.parametrize("penalty", ["gradient_penalty", "dragan", "r1", "r2"])
def test_penalties_on_a_mixing_critic_are_refused(penalty):
    gan = tiny_gan("wasserstein", "batch", penalty)
    with pytest.raises(SetupError, match=f"{penalty}.*'batch_stats'.*layer"):
        begin(gan)


@pytest.mark.parametrize("loss", losses.PAIRS)
def test_every_loss_trains(loss):
    gan, step = compiled(loss, "layer")
    state, batch = begin(gan)
    before = state
    for _ in range(2):
        state, metrics = step(state, batch)
    assert all(np.isfinite(value) for value in metrics.values())
    assert differs(before.critic.params, state.critic.params)
    assert differs(before.generator.params, state.generator.params)


def test_penalties_are_logged_and_added():
    gan, _ = compiled("wasserstein", "layer", "gradient_penalty")
    state, batch = begin(gan)
    loss, aux = jax.jit(gan.critic_loss)(state.critic.params, state, example(batch), state.key)
    metrics = aux.metrics
    expected = metrics["fake_logits"] - metrics["real_logits"] + metrics["gradient_penalty"]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert metrics["gradient_penalty"] > 0


def test_weight_clipping_holds_after_every_update():

    gan = tiny_gan(
        "wasserstein", "layer", optimizer=optimizers.build("rmsprop", learning_rate=0.05, clip=0.01)
    )
    state, batch = begin(gan, n_critic=5)
    step = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))
    for _ in range(3):
        state, _ = step(state, batch)
        assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(state.critic.params)) <= 0.01


def test_the_hash_sees_every_leaf():
    gan, _ = compiled()
    state, _ = begin(gan)
    reference = sha256(state)
    assert sha256(jax.tree.map(lambda x: x, state)) == reference
    assert sha256(state.replace(step=state.step + 1)) != reference
    assert sha256(state.replace(key=jax.random.key(1))) != reference
    params = dict(state.critic.params)
    name = sorted(params)[0]
    params[name] = {**params[name], "kernel": params[name]["kernel"].at[0].add(1e-7)}
    assert sha256(state.replace(critic=state.critic.replace(params=params))) != reference
