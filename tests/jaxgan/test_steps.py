"""Tests of the train step: which player changes, when u advances, what is averaged and what is drawn."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.dry_run import costs, hlo
from jaxgan import latents, layers, losses, optimizers, parallel
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.gans.adversarial import adversarial
from jaxgan.hashing import sha256_of_tree
from jaxgan.models import dcgan, mlp
from jaxgan.state import TrainState
from jaxgan.steps import GAN, Aux, train_step, with_conditions
from tests.conftest import composed, example, fakes_of, losses_of, tiny_batch, tiny_gan, with_optimizer
from tests.points import PRIOR, game, points_batch

pytestmark = pytest.mark.xdist_group("steps")  # on one worker, so that each system is compiled once


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
    assert later["fake_logits"] != first["fake_logits"]  # the latents differ


def test_a_loss_returns_its_own_players_collections_only():
    gan, _ = compiled()
    state, batch = begin(gan)
    _, aux = losses_of(gan, "critic")(state, example(batch), state.key)
    assert jax.tree.structure(aux.model_state) == jax.tree.structure(state.critic.model_state)
    assert differs(aux.model_state, state.critic.model_state)
    fakes = fakes_of(gan)(state, example(batch), state.key)
    _, aux = jax.jit(gan.generator_loss)(state.generator.params, state, example(batch), fakes, state.key)
    assert aux.model_state is None  # ``generate`` has already updated the generator's collections
    _, aux = losses_of(gan, "generator")(state, example(batch), state.key)
    assert jax.tree.structure(aux.model_state) == jax.tree.structure(state.generator.model_state)
    assert differs(aux.model_state, state.generator.model_state)


def test_a_players_update_changes_that_player_only():
    gan, _ = compiled()
    state, batch = begin(gan)
    still = optax.sgd(0.0)
    for player, other in (("critic", "generator"), ("generator", "critic")):
        one, begun = with_optimizer(gan, state, still, other)
        after, _ = jax.jit(functools.partial(train_step, gan=one, ema_decay=0.9))(begun, batch)
        assert_equal(getattr(after, other).params, getattr(state, other).params)
        assert differs(getattr(after, player).params, getattr(state, player).params)
        assert int(getattr(after, player).updates) == 1


def test_batch_statistics_see_both_real_and_fake_batches_once():
    gan, _ = compiled()
    state, batch = begin(gan)
    critic, data = state.critic, example(batch)
    variables = {"params": critic.params, **critic.model_state}

    z = latents.normal(latents.row_keys(jax.random.fold_in(state.key, 0), data["row"]), dim=6)
    generator = state.generator
    networks = [dcgan.Generator(16, 1, 4, norm="batch"), dcgan.Critic(4, norm="batch")]
    make, judge = (
        functools.partial(
            jax.jit(network.apply, static_argnames=("train", "mutable")), train=True, mutable="batch_stats"
        )
        for network in networks
    )
    fake, _ = make({"params": generator.params, **generator.model_state}, z)
    _, after_real = judge(variables, data["real"])
    _, after_both = judge({**variables, **after_real}, fake)
    _, aux = losses_of(gan, "critic")(state, data, state.key)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), aux.model_state, after_both
    )


@pytest.mark.parametrize("n_critic", [1, 3])
def test_one_step_is_n_critic_updates_then_one_of_the_generator(n_critic):
    gan, step = compiled("hinge", "spectral")
    state, batch = begin(gan, n_critic=n_critic)
    ours, metrics = step(state, batch)

    # The same step, written with optax alone.
    key = jax.random.fold_in(state.key, 0)
    critic, tx = state.critic, gan.critic_tx
    critic_gradient, generator_gradient = (
        jax.jit(jax.value_and_grad(composed(gan, player), has_aux=True))
        for player in ("critic", "generator")
    )
    for i in range(n_critic):
        data = {name: values[i] for name, values in batch.items()}
        now = state.replace(critic=critic)
        (_, aux), grads = critic_gradient(critic.params, now, data, jax.random.fold_in(key, i))
        updates, opt_state = tx.update(grads, critic.opt_state, critic.params)
        critic = critic.replace(
            params=optax.apply_updates(critic.params, updates),
            opt_state=opt_state,
            model_state=aux.model_state,
        )
    (loss, aux), grads = generator_gradient(
        state.generator.params, state.replace(critic=critic), data, jax.random.fold_in(key, n_critic - 1)
    )
    updates, _ = gan.generator_tx.update(grads, state.generator.opt_state, state.generator.params)
    params = optax.apply_updates(state.generator.params, updates)
    close = functools.partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-5)
    jax.tree.map(close, ours.critic.params, critic.params)
    jax.tree.map(close, ours.critic.model_state, critic.model_state)
    jax.tree.map(close, ours.generator.params, params)
    jax.tree.map(close, ours.generator.model_state, aux.model_state)
    np.testing.assert_allclose(metrics["generator_loss"], loss, rtol=1e-4)
    assert (int(ours.critic.updates), int(ours.generator.updates)) == (n_critic, 1)


def test_players_see_the_same_fakes_when_n_critic_is_one():
    gan, _ = compiled("wasserstein", "layer")
    state, batch = begin(gan)
    gan, state = with_optimizer(gan, state, optax.sgd(0.0), "critic")
    _, metrics = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))(state, batch)
    # If the critic is not trained, the generator's loss is minus the mean logit of the fakes it was shown.
    np.testing.assert_allclose(metrics["generator_loss"], -metrics["fake_logits"], rtol=1e-5)


@pytest.mark.parametrize(("n_critic", "penalty"), [(1, None), (3, "gradient_penalty")])
def test_u_advances_once_per_update_of_its_owner(n_critic, penalty):
    gan, _ = compiled("hinge", "spectral", penalty)
    # At a learning rate of 0 the kernels do not change, and only the number of iterations affects u.
    state, batch = begin(gan, n_critic=n_critic)
    gan, state = with_optimizer(gan, state, optax.sgd(0.0), "critic", "generator")
    # The initial u is far from convergence, so that one iteration more or less makes a difference.
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
        "spectral": {"u": jnp.zeros(2)},
    }
    player = TrainState.create(variables=variables, tx=optax.sgd(1.0), ema=True)
    player = player.replace(
        params={"w": jnp.ones(2), "count": jnp.int32(7)},
        model_state={
            "batch_stats": {"mean": jnp.ones(2)},
            "spectral": {"u": jnp.ones(2)},
        },
    ).update_ema(0.75)
    np.testing.assert_allclose(player.ema_params["w"], 0.25)
    assert player.ema_params["count"] == 7
    np.testing.assert_allclose(player.ema_model_state["batch_stats"]["mean"], 0.25)
    np.testing.assert_allclose(player.ema_model_state["spectral"]["u"], 1)


def test_no_buffer_is_donated_twice():
    gan, _ = compiled()
    state, batch = begin(gan)
    step = parallel.jit_step(
        functools.partial(train_step, gan=gan, ema_decay=0.9), parallel.device_mesh(jax.devices()[:1])
    )
    for _ in range(2):
        state, _ = step(state, batch)  # an aliased buffer would raise an error here
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


@pytest.mark.parametrize(
    "loss",
    [
        name
        if name in ("non_saturating", "relativistic_average")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in losses.PAIRS
    ],
)
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
    loss, aux = losses_of(gan, "critic")(state, example(batch), state.key)
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
    reference = sha256_of_tree(state)
    assert sha256_of_tree(jax.tree.map(lambda x: x, state)) == reference
    assert sha256_of_tree(state.replace(step=state.step + 1)) != reference
    assert sha256_of_tree(state.replace(key=jax.random.key(1))) != reference
    params = dict(state.critic.params)
    name = sorted(params)[0]
    params[name] = {**params[name], "kernel": params[name]["kernel"].at[0].add(1e-7)}
    assert sha256_of_tree(state.replace(critic=state.critic.replace(params=params))) != reference


# Tests that both players share one pass of the generator.


class SpectralGenerator(nn.Module):
    """A generator whose forward pass changes its state, so that no two passes are the same."""

    @nn.compact
    def __call__(self, z, train):
        for features in (48, 48):
            z = nn.relu(layers.Dense(features, spectral=True)(z, train))
        return layers.Dense(2, spectral=True)(z, train)


def multiplications(function, *arguments):
    """Returns the FLOPs of the matrix products in a compiled function."""
    compiled = jax.jit(function, compiler_options=parallel.CPU_OPTIONS).lower(*arguments).compile()
    return sum(product.flops for product in costs.products(hlo.parse(compiled.as_text())))


@pytest.mark.parametrize("n_critic", [1, 2])
def test_the_generator_runs_forward_once_for_both_players(n_critic):
    gan = adversarial(
        SpectralGenerator(),
        mlp.Critic((8,)),
        loss=losses.get("hinge"),
        generator_tx=optax.sgd(0.1),
        critic_tx=optax.sgd(0.1),
        prior=functools.partial(latents.normal, dim=8),
    )
    batch = points_batch(n_critic=n_critic)
    state = gan.init(jax.random.key(0), batch)
    data, params = example(batch), state.generator.params
    fakes = fakes_of(gan)(state, data, state.key)

    def both_ways(params, data):
        out, pull, aux = jax.vjp(
            lambda p: gan.generate(p, state, data, state.key, advance=True), params, has_aux=True
        )
        return out, pull(out), aux

    def critic_update(critic, data, fakes):
        return jax.value_and_grad(gan.critic_loss, has_aux=True)(critic, state, data, fakes, state.key)

    def judged(data, fakes):
        loss = lambda fakes: gan.generator_loss(params, state, data, fakes, state.key)  # noqa: E731
        return jax.value_and_grad(loss, has_aux=True)(fakes)

    def forward(params, data):
        return gan.generate(params, state, data, state.key, advance=False)[0]

    once = multiplications(both_ways, params, data)
    needed = once + n_critic * multiplications(critic_update, state.critic.params, data, fakes)
    needed += multiplications(judged, data, fakes)
    # The fakes of the critic's earlier updates are generated for those updates alone.
    needed += (n_critic - 1) * multiplications(forward, params, data)
    assert multiplications(forward, params, data) > 0.2 * once > 0.1 * needed
    step = functools.partial(train_step, gan=gan, ema_decay=0.9)
    np.testing.assert_allclose(multiplications(step, state, batch), needed, rtol=0.02)


def test_a_generators_gradient_is_the_direct_one_and_the_one_through_its_samples():
    gan = game()

    def generator_loss(params, state, batch, fakes, key):
        value, aux = gan.generator_loss(params, state, batch, fakes, key)
        (samples,) = fakes
        bias = params["Dense_1"]["bias"]
        weights = sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(params))
        return value + 0.3 * weights + jnp.mean(jnp.sum(samples * bias, 1)), aux

    direct = gan._replace(generator_loss=generator_loss)
    batch = points_batch()
    begun = gan.init(jax.random.key(0), batch)
    biased = {
        **begun.generator.params,
        "Dense_1": {**begun.generator.params["Dense_1"], "bias": jnp.ones(2)},
    }
    begun = begun.replace(generator=begun.generator.replace(params=biased))
    direct, state = with_optimizer(direct, begun, optax.sgd(1.0), "generator")
    after, metrics = jax.jit(functools.partial(train_step, gan=direct, ema_decay=0.9))(state, batch)
    key = jax.random.fold_in(jax.random.fold_in(state.key, 0), 0)
    whole = jax.grad(composed(direct, "generator"), has_aux=True)
    grads, _ = jax.jit(whole)(biased, state.replace(critic=after.critic), example(batch), key)
    moved = jax.tree.map(lambda x, y: x - y, biased, after.generator.params)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), moved, grads)
    np.testing.assert_allclose(metrics["generator_grad_norm"], optax.global_norm(grads), rtol=1e-5)
    # The direct part alone is a different gradient, and so is the part through the samples.
    fakes = fakes_of(gan)(state, example(batch), key)
    alone, _ = jax.grad(generator_loss, has_aux=True)(
        biased, state.replace(critic=after.critic), example(batch), fakes, key
    )
    assert optax.global_norm(jax.tree.map(jnp.subtract, grads, alone)) > 0.1
    assert optax.global_norm(alone) > 0.1


def test_an_aux_names_all_that_an_update_changes():
    with pytest.raises(TypeError):
        Aux({}, None)
    with pytest.raises(TypeError):
        Aux(metrics={}, extra={})


# Tests of systems without a critic, or without updates of the critic.


class Coder(nn.Module):
    """An encoder of points in the plane to one dimension, and the decoder back."""

    def setup(self):
        self.encoder, self.decoder = nn.Dense(2), nn.Dense(2)

    def __call__(self, x, keys, train):
        mean, log_var = jnp.split(self.encoder(x), 2, 1)
        noise = jax.vmap(lambda key: jax.random.normal(key, (1,)))(keys)
        return {"x": self.decode(mean + jnp.exp(0.5 * log_var) * noise), "mean": mean, "log_var": log_var}

    def decode(self, z):
        return self.decoder(z)


def coder_game():
    """Returns a variational auto-encoder, a system in which the generator is the only player."""
    coder, tx = Coder(), optax.adam(0.02)

    def init(key, batch):
        inputs = batch["real"][0, :1], latents.row_keys(key, batch["row"][0, :1])
        return passes.begin(key, generator=coder, generator_inputs=inputs, generator_tx=tx)

    def generate(params, state, batch, key, *, advance):
        inputs = batch["real"], latents.row_keys(key, batch["row"])
        return passes.forward(coder, params, state.generator.model_state, *inputs, advance=advance)

    def generator_loss(params, state, batch, fakes, key):
        error = jnp.mean(jnp.sum(jnp.square(fakes["x"] - batch["real"]), 1))
        mean, log_var = fakes["mean"], fakes["log_var"]
        divergence = 0.5 * jnp.mean(jnp.sum(jnp.square(mean) + jnp.exp(log_var) - 1 - log_var, 1))
        return 10 * error + divergence, Aux({"error": error}, None, state.extra)

    def sample(state, key, conditions):
        z = PRIOR(latents.row_keys(key, conditions["row"]))[:, :1]
        params, _ = state.generator.averages
        return coder.apply({"params": params}, z, method="decode")

    return GAN(init, generate, None, generator_loss, sample, tx, None)


def test_a_game_without_a_critic_updates_its_generator():
    gan, batch = coder_game(), points_batch()
    # The points lie on a line, so that one latent dimension is enough.
    batch["real"] = batch["real"][..., :1] * np.array([1.0, -2.0], np.float32) + 1
    state = gan.init(jax.random.key(0), batch)
    assert state.critic is None
    step = parallel.jit_step(
        functools.partial(train_step, gan=gan, ema_decay=0.9), parallel.device_mesh(jax.devices()[:1])
    )
    errors = []
    for _ in range(150):
        state, metrics = step(state, batch)
        errors.append(float(metrics["error"]))
    assert set(metrics) == {"generator_loss", "generator_grad_norm", "error"}
    assert errors[-1] < 0.2 * errors[0]
    assert (int(state.step), int(state.generator.updates), state.critic) == (150, 150, None)
    samples = gan.sample(state, state.key, {"row": jnp.arange(64)})
    assert samples.shape == (64, 2)
    np.testing.assert_allclose(samples[:, 1], 3 - 2 * samples[:, 0], atol=0.5)


def test_without_its_updates_the_critic_stays():
    gan, batch = game(), points_batch()
    state = gan.init(jax.random.key(0), batch)
    step = functools.partial(train_step, gan=gan, ema_decay=0.9, n_critic=0)
    after, metrics = jax.jit(step)(state, batch)
    assert_equal(after.critic, state.critic)
    assert set(metrics) == {"generator_loss", "generator_grad_norm"}
    assert (int(after.step), int(after.generator.updates)) == (1, 1)
    key = jax.random.fold_in(jax.random.fold_in(state.key, 0), 0)
    (loss, _), grads = jax.jit(jax.value_and_grad(composed(gan, "generator"), has_aux=True))(
        state.generator.params, state, example(batch), key
    )
    np.testing.assert_allclose(metrics["generator_loss"], loss, rtol=1e-6)
    expected = jax.tree.map(lambda p, g: p - 0.05 * g, state.generator.params, grads)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
        after.generator.params,
        expected,
    )


def test_a_critic_may_keep_an_average():
    gan, critic = game(), mlp.Critic((8,))

    def init(key, batch):
        z = PRIOR(latents.row_keys(key, batch["row"][0, :1]))
        return passes.begin(
            key,
            generator=mlp.Generator((2,), (8,)),
            generator_inputs=(z,),
            generator_tx=gan.generator_tx,
            critic=critic,
            critic_inputs=passes.example(batch, "real"),
            critic_tx=gan.critic_tx,
            critic_ema=True,
        )

    batch = points_batch(n_critic=2)
    state = init(jax.random.key(0), batch)
    assert_equal(state.critic.ema_params, state.critic.params)
    step = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))
    for _ in range(3):
        before, (state, _) = state, step(state, batch)
    decay = (1 + 2) / (10 + 2)  # applied once a step, whatever the number of critic updates
    for player in ("critic", "generator"):
        old, new = getattr(before, player), getattr(state, player)
        jax.tree.map(
            lambda ema, average, value: np.testing.assert_allclose(
                average, decay * ema + (1 - decay) * value, rtol=1e-4, atol=1e-6
            ),
            old.ema_params,
            new.ema_params,
            new.params,
        )
    assert_equal(state.critic.averages[0], state.critic.ema_params)
    out = passes.evaluate(critic, state.critic, batch["real"][0])
    np.testing.assert_allclose(
        out, critic.apply({"params": state.critic.ema_params}, batch["real"][0], False)
    )


# Tests of conditions.


class Labelled(nn.Module):
    """A network that takes a label from 0 to 2 as an input."""

    outputs: int

    @nn.compact
    def __call__(self, x, labels, train):
        x = jnp.concatenate([x, jax.nn.one_hot(labels, 3)], 1)
        return nn.Dense(self.outputs)(nn.relu(nn.Dense(8)(x))).squeeze(1 if self.outputs == 1 else ())


def labelled_game():
    gan = adversarial(
        Labelled(2),
        Labelled(1),
        loss=losses.get("non_saturating"),
        generator_tx=optax.sgd(0.5),
        critic_tx=optax.sgd(0.1),
        prior=PRIOR,
        conditions=("labels",),
    )
    batch = points_batch(n_critic=2)
    labels = batch["row"] % 3
    return gan, {**batch, "labels": labels, "conditions": {"labels": (labels + 1) % 3}}


def update_of(batch, i):
    return jax.tree.map(lambda x: x[i], batch)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_fakes_may_hold_integers(accumulate):
    gan, batch = labelled_game()
    state = gan.init(jax.random.key(0), batch)
    step = functools.partial(train_step, gan=gan, ema_decay=0.9, accumulate=accumulate)
    after, _ = jax.jit(step)(state, batch)
    data = update_of(batch, 1)
    key = jax.random.fold_in(jax.random.fold_in(state.key, 0), 1)
    samples, labels = fakes_of(gan)(state, data, key)
    np.testing.assert_array_equal(labels, data["conditions"]["labels"])
    grads, _ = jax.jit(jax.grad(composed(gan, "generator"), has_aux=True))(
        state.generator.params, state.replace(critic=after.critic), data, key
    )
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, state.generator.params, grads)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
        after.generator.params,
        expected,
    )
    assert samples.shape == (16, 2)


def test_the_critic_reads_real_labels_and_those_asked_of_fakes():
    gan, batch = labelled_game()
    state = gan.init(jax.random.key(0), batch)
    data = update_of(batch, 0)
    (samples, asked), critic = fakes_of(gan)(state, data, state.key), {"params": state.critic.params}
    _, aux = losses_of(gan, "critic")(state, data, state.key)
    for name, x, labels in (("real", data["real"], data["labels"]), ("fake", samples, asked)):
        logits = Labelled(1).apply(critic, x, labels, True)
        np.testing.assert_allclose(aux.metrics[f"{name}_logits"], np.mean(logits), rtol=1e-5, atol=1e-6)


def test_conditions_are_drawn_for_each_update_by_row():
    def conditions(key, rows):
        return {"labels": jax.random.randint(key, (), 0, 1000) + rows}

    gan, batch = game(), points_batch(n_critic=3)
    state = gan.init(jax.random.key(0), batch)
    asked = with_conditions(batch, state, conditions)["conditions"]["labels"]
    assert asked.shape == (3, 16)
    np.testing.assert_array_equal(asked - asked[:, :1], batch["row"])
    assert len(np.unique(asked[:, 0])) == 3
    again = with_conditions(batch, state, conditions)["conditions"]["labels"]
    np.testing.assert_array_equal(again, asked)
    later = with_conditions(batch, state.replace(step=jnp.int32(1)), conditions)["conditions"]["labels"]
    assert not np.array_equal(later, asked)
