"""Tests of regularisers: when they are computed, their inputs, and the state that they keep."""

import functools
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan import latents, losses, parallel
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.gans.adversarial import adversarial
from jaxgan.models import mlp
from jaxgan.regularizers import (
    LAZY,
    Critique,
    Regularizer,
    Synthesis,
    every,
    initial_extra,
    orthogonal,
    path_length,
    penalty,
    real_sign,
)
from jaxgan.views.augmentation import Augmentation
from jaxgan.views.pool import replay
from tests.conftest import example, fakes_of, losses_of, tiny_batch, tiny_gan
from tests.points import PRIOR, assert_devices_agree, game, points_batch, stepper

RATE = 0.01
CLOSE = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)


class Quadratic(nn.Module):
    """A critic D(x) = ½ Σ a x², whose gradient with respect to x is a x."""

    @nn.compact
    def __call__(self, x, train):
        a = self.param("a", nn.initializers.constant(0.7), (x.shape[-1],))
        return 0.5 * jnp.sum(a * x**2, -1)


def quadratic(rate=RATE, **options):
    """Returns a Wasserstein GAN of the quadratic critic and a generator that is not trained."""
    gan = game(loss=losses.get("wasserstein"), critic=Quadratic(), **options)
    return gan._replace(generator_tx=optax.sgd(0.0), critic_tx=optax.sgd(rate))


def begin(gan, n_critic=1):
    batch = points_batch(n_critic=n_critic)
    return gan.init(jax.random.key(0), batch), example(batch)


def squares(x):
    return np.mean(np.square(np.asarray(x, np.float64)), 0)


@pytest.mark.parametrize("n_critic", [1, 5])
def test_a_lazy_term_is_due_by_the_critics_own_updates(n_critic):
    # L = E[½ Σ a (f² − x²)] + (3 w ½ E[Σ a² x²] at every third update), so dL/da has a closed form.
    interval, weight = 3, 0.2
    gan = quadratic(regularizers={"r1": every(interval, penalty("r1", weight=weight))})
    state, _ = begin(gan, n_critic)
    a, updates, kept, due = np.full(2, 0.7), 0, 0.0, []
    step, make = jax.jit(stepper(gan)), fakes_of(gan)
    for t in range(4):
        batch, key = points_batch(t, n_critic), jax.random.fold_in(state.key, t)
        for i in range(n_critic):
            data = {name: values[i] for name, values in batch.items()}
            (fake,) = make(state, data, jax.random.fold_in(key, i))
            real2, fake2 = squares(batch["real"][i]), squares(fake)
            loss, gradient = 0.5 * np.sum(a * (fake2 - real2)), 0.5 * (fake2 - real2)
            due.append(updates % interval == 0)
            if due[-1]:
                kept = weight * 0.5 * np.sum(a**2 * real2)
                loss, gradient = loss + interval * kept, gradient + interval * weight * a * real2
            a, updates = a - RATE * gradient, updates + 1
        state, metrics = step(state, batch)
        np.testing.assert_allclose(metrics["critic_loss"], loss, rtol=1e-4)
        np.testing.assert_allclose(metrics["r1"], kept, rtol=1e-4)
        np.testing.assert_allclose(state.extra[LAZY]["r1"], kept, rtol=1e-4)
        np.testing.assert_allclose(state.critic.params["a"], a, rtol=1e-4)
        assert int(state.critic.updates) == updates
    assert sum(due) == -(-updates // interval)


def test_a_lazy_term_at_every_update_is_the_plain_one():
    term = penalty("r1", weight=1.0)
    assert every(1, term) is term


def test_weights_may_be_schedules_of_the_games_step():
    schedule = optax.linear_schedule(4.0, 0.0, 10)
    gan, plain = (
        quadratic(regularizers={"r1": penalty("r1", weight=weight)}) for weight in (schedule, 1.0)
    )
    state, data = begin(gan)
    _, aux = losses_of(plain, "critic")(state, data, state.key)
    for step, weight in ((0, 4.0), (5, 2.0), (20, 0.0)):
        now = state.replace(step=jnp.int32(step), critic=state.critic.replace(updates=jnp.int32(5 * step)))
        _, scheduled = losses_of(gan, "critic")(now, data, state.key)
        np.testing.assert_allclose(
            scheduled.metrics["r1"], weight * aux.metrics["r1"], rtol=1e-6, atol=1e-6
        )


def members(count):
    gan = quadratic(
        regularizers={"r1": every(2, penalty("r1", weight=0.3)), "r2": penalty("r2", weight=0.1)}
    )
    keys = jax.random.split(jax.random.key(1), count)
    return gan, keys, jax.vmap(gan.init, (0, None))(keys, points_batch())


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_members_of_a_population_skip_it_together(devices):
    gan, keys, population = members(2)
    mesh = parallel.device_mesh(jax.devices()[:devices], axis=parallel.MEMBERS_AXIS)
    step = parallel.jit_members(stepper(gan), mesh)
    state = parallel.split_members(population, mesh)
    batch = parallel.replicate(points_batch(), mesh)
    assert " conditional(" in step.lower(state, batch).compile().as_text()
    # If each member had clocks of its own, both branches would run.
    mapped = jax.jit(jax.vmap(stepper(gan), (0, None)))
    assert " conditional(" not in mapped.lower(population, points_batch()).compile().as_text()

    for seed in range(3):
        state, metrics = step(state, parallel.replicate(points_batch(seed), mesh))
    alone = jax.jit(stepper(gan))
    for place in (0, 1):
        one = gan.init(keys[place], points_batch())
        for seed in range(3):
            one, expected = alone(one, points_batch(seed))
        jax.tree.map(lambda x, y, place=place: CLOSE(x[place], y), metrics, expected)
        for ours, theirs in ((state.critic.params, one.critic.params), (state.extra, one.extra)):
            jax.tree.map(lambda x, y, place=place: CLOSE(x[place], y), ours, theirs)
    assert state.critic.updates.tolist() == [3, 3]
    assert len(np.unique(metrics["r2"])) == 2


def scaling():
    """Returns the augmentation T(x) = s x + ½, with a separate s for each row."""

    def apply(x, keys, state):
        return x * scales(keys)[:, None] + 0.5

    return Augmentation(apply, lambda state: {})


def scales(keys):
    return 1.0 + jax.vmap(jax.random.uniform)(keys)


@pytest.mark.parametrize(("name", "side"), [("r1", 0), ("r2", 1)])
def test_slopes_are_those_by_the_samples_before_an_augmentation(name, side):
    # The gradient of D(T(x)) with respect to x is s a (s x + ½).
    gan = quadratic(augment=scaling(), regularizers={name: penalty(name, weight=1.0)})
    state, data = begin(gan)
    _, aux = losses_of(gan, "critic")(state, data, state.key)
    keys = latents.row_keys(jax.random.fold_in(state.key, passes.NOISE), data["row"])
    s = np.asarray(scales(jax.vmap(jax.random.fold_in, (0, None))(keys, side)), np.float64)[:, None]
    x = [data["real"], *fakes_of(gan)(state, data, state.key)][side]
    slope = s * 0.7 * (s * np.asarray(x, np.float64) + 0.5)
    np.testing.assert_allclose(aux.metrics[name], 0.5 * np.mean(np.sum(slope**2, 1)), rtol=1e-5)


def test_what_a_term_sees():
    seen = []

    def spy(critique):
        seen.append(critique)
        return jnp.float32(0), {}, critique.state.extra

    gan = quadratic(augment=scaling(), regularizers={"spy": Regularizer(spy, ())})
    state, data = begin(gan)
    (fake,) = fakes_of(gan)(state, data, state.key)
    gan.critic_loss(state.critic.params, state, data, (fake,), state.key)
    (critique,) = seen
    np.testing.assert_array_equal(critique.real, data["real"])
    np.testing.assert_array_equal(critique.fake, fake)
    # The critic is a function of samples before the view, and the view is the one that the update uses.
    np.testing.assert_allclose(critique.on_real(critique.real), critique.real_logits, rtol=1e-6)
    np.testing.assert_allclose(critique.on_fake(critique.fake), critique.fake_logits, rtol=1e-6)
    assert critique.keys.shape == (len(fake),)
    assert critique.params is state.critic.params


def counting(name):
    """Returns a term of value 0 that counts its updates in an entry of ``extra``."""

    def term(seen):
        count = seen.state.extra[name] + 1
        return jnp.float32(0), {name: count}, {**seen.state.extra, name: count}

    return Regularizer(term, (name,), {name: jnp.float32(0)})


def test_terms_hand_on_what_the_others_keep():
    terms = {
        "r1": every(2, penalty("r1", weight=0.1)),
        "a": counting("a"),
        "b": every(3, counting("b")),
        "c": counting("c"),
    }
    gan = quadratic(regularizers=terms, pool=replay(size=8, share=0.5))
    state, _ = begin(gan)
    assert set(state.extra) == {LAZY, "a", "b", "c", "pool"}
    assert set(state.extra[LAZY]) == {"r1", "b"}
    step = jax.jit(stepper(gan))
    for seed in range(4):
        state, metrics = step(state, points_batch(seed))
    assert [float(state.extra[name]) for name in "abc"] == [4, 2, 4]
    assert [float(metrics[name]) for name in "abc"] == [4, 2, 4]
    assert float(state.extra[LAZY]["b"]) == 2
    assert int(state.extra["pool"]["filled"]) == 8


def test_the_states_of_several_lazy_terms_are_merged():
    lazy = {name: every(4, penalty(name, weight=1.0)) for name in ("r1", "r2")}
    extra = initial_extra({**lazy, "count": counting("count")})
    assert {name: sorted(value) for name, value in extra.items() if name == LAZY} == {LAZY: ["r1", "r2"]}
    assert set(extra) == {LAZY, "count"}
    assert initial_extra({"r1": penalty("r1", weight=1.0)}) == {}


def test_the_sign_of_real_logits_is_averaged():
    critic = mlp.Critic((8,))
    gan = game(critic=critic, regularizers={"sign": real_sign(decay=0.75)})
    state, _ = begin(gan)
    step, loss, expected = jax.jit(stepper(gan)), losses_of(gan, "critic"), 0.0
    plain = losses_of(game(), "critic")
    for t in range(3):
        batch, key = points_batch(t), jax.random.fold_in(state.key, t)
        logits = critic.apply({"params": state.critic.params}, batch["real"][0], True)
        expected = 0.75 * expected + 0.25 * np.mean(np.sign(logits))
        # The term adds nothing to the loss.
        data, key = example(batch), jax.random.fold_in(key, 0)
        np.testing.assert_allclose(loss(state, data, key)[0], plain(state, data, key)[0], rtol=1e-6)
        state, metrics = step(state, batch)
        np.testing.assert_allclose(metrics["real_sign"], expected, rtol=1e-5)
        np.testing.assert_allclose(state.extra["real_sign"], expected, rtol=1e-5)


def lazy():
    terms = {
        "gradient_penalty": every(2, penalty("gradient_penalty", weight=1.0)),
        "r1": every(3, penalty("r1", weight=0.1)),
        "sign": real_sign(decay=0.5),
    }
    return game(loss=losses.get("wasserstein"), augment=scaling(), regularizers=terms)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["jit", "pmap"])
def test_eight_devices_agree_with_one(how):
    assert_devices_agree(lazy, how)


def test_an_unknown_penalty_is_refused():
    with pytest.raises(SetupError, match="unknown penalty 'r3': did you mean 'r"):
        penalty("r3", weight=1.0)


class Linear(nn.Module):
    """A generator G(z) = z W, whose Jacobian is W everywhere."""

    @nn.compact
    def __call__(self, z, train):
        return z @ self.param("w", nn.initializers.normal(1.0), (z.shape[-1], 2))


def linear_game(**options):
    return adversarial(
        Linear(),
        mlp.Critic((8,)),
        loss=losses.get("wasserstein"),
        generator_tx=optax.sgd(RATE),
        critic_tx=optax.sgd(0.0),
        prior=PRIOR,
        **options,
    )


def test_path_length_of_a_linear_generator_is_its_formula():
    decay, weight = 0.25, 3.0
    term, keys = path_length(weight=weight, decay=decay), jax.random.split(jax.random.key(1), 64)
    w = np.array([[1.0, -2.0, 0.5], [0.0, 1.5, 1.0]])  # maps two codes to one row of three pixels
    state, _ = begin(linear_game(regularizers={"path_length": term}))
    state = state.replace(extra={"path_length": jnp.float32(0.8)})

    def generate(z):
        return (z @ jnp.asarray(w, jnp.float32)).reshape(len(z), 1, 3, 1)

    seen = Synthesis(generate, jnp.ones((64, 2)), {}, state, keys)
    value, metrics, extra = term.term(seen)
    noise = np.stack([jax.random.normal(key, (1, 3, 1)) for key in keys]).reshape(64, 3)
    lengths = np.linalg.norm(noise.astype(np.float64) @ w.T / np.sqrt(3), axis=1)
    mean = 0.8 + decay * (lengths.mean() - 0.8)
    CLOSE(extra["path_length"], mean)
    CLOSE(metrics["path_length_mean"], mean)
    CLOSE(value, weight * np.mean((lengths - mean) ** 2))
    # E‖Wᵀy‖² = ‖W‖²_F / pixels, which is estimated here from many draws.
    many = jax.random.split(jax.random.key(2), 20_000)
    draws = jax.vmap(lambda key: jax.random.normal(key, (3,)))(many) / np.sqrt(3)
    np.testing.assert_allclose(np.mean(np.sum((draws @ w.T) ** 2, 1)), np.sum(w**2) / 3, rtol=0.03)


@pytest.mark.parametrize("n_critic", [1, 2])
def test_a_generators_lazy_term_is_due_by_its_own_updates(n_critic):
    term = every(3, path_length(weight=1.0))
    gan = linear_game(regularizers={"path_length": term})
    plain = linear_game()
    state, _ = begin(gan, n_critic)
    step = jax.jit(stepper(gan))
    values = []
    for t in range(5):
        batch = points_batch(t, n_critic)
        before, (state, metrics) = state, step(state, batch)
        other, _ = jax.jit(stepper(plain))(before.replace(extra={}), batch)
        moved = np.abs(state.generator.params["w"] - other.generator.params["w"]).max() > 1e-7
        assert moved == (t % 3 == 0)
        values.append(float(metrics["path_length"]))
    assert values[0] == values[1] == values[2] != values[3] == values[4]


def test_path_length_refuses_a_generator_that_mixes_samples():
    gan = tiny_gan(norm="layer", size=8, penalty="path_length")
    with pytest.raises(
        SetupError, match=r"path_length need a gradient .* the generator mixes .*batch_stats"
    ):
        gan.init(jax.random.key(0), tiny_batch(size=8))


def by_numpy(matrix):
    """Returns Σ over pairs i ≠ j of (w_i · w_j)², where w_i are the columns of a matrix."""
    columns = np.asarray(matrix, np.float64).T
    return sum(float(a @ b) ** 2 for i, a in enumerate(columns) for j, b in enumerate(columns) if i != j)


def orthogonal_term(params, weight=1.0, step=0):
    state = types.SimpleNamespace(step=step, extra={"other": 1})
    value, metrics, extra = orthogonal(weight=weight).term(Synthesis(None, None, params, state, None))
    assert extra == state.extra
    assert metrics == {"orthogonal": value}
    return value


KERNELS = {
    "Conv_0": {"kernel": np.random.default_rng(0).normal(size=(3, 3, 2, 4)), "bias": np.ones(4)},
    "Block_0": {"Dense_0": {"kernel": np.random.default_rng(1).normal(size=(5, 7))}},
}


def test_orthogonal_regularisation_is_its_formula():
    params = jax.tree.map(jnp.float32, KERNELS)
    conv, dense = KERNELS["Conv_0"]["kernel"], KERNELS["Block_0"]["Dense_0"]["kernel"]
    expected = by_numpy(conv.reshape(-1, 4)) + by_numpy(dense)
    np.testing.assert_allclose(orthogonal_term(params), expected, rtol=1e-5)
    np.testing.assert_allclose(
        orthogonal_term(params, optax.linear_schedule(0.0, 2.0, 10), step=5), expected, rtol=1e-5
    )
    # Tables of classes, biases and scales do not count.
    more = {
        **params,
        "Embed_0": {"kernel": jnp.ones((3, 5))},
        "BatchNorm_0": {"scale": jnp.ones(4), "bias": jnp.ones(4)},
    }
    assert orthogonal_term(more) == orthogonal_term(params)
    assert orthogonal_term({**params, "Dense_1": {"kernel": jnp.ones((3, 5))}}) > orthogonal_term(params)


@pytest.mark.parametrize("shape", [(1, 2), (3, 40), (20, 2000)])
def test_the_products_of_many_filters_need_no_matrix_of_all_pairs(shape):
    kernel = np.random.default_rng(3).normal(size=shape)

    def term(w):
        return orthogonal_term({"Dense_0": {"kernel": w}})

    products = kernel.T @ kernel
    expected = np.sum(np.square(products - np.diag(np.diag(products))))
    np.testing.assert_allclose(term(jnp.float32(kernel)), expected, rtol=1e-5)
    off = products - np.diag(np.diag(products))
    gradient = jax.grad(term)(jnp.float32(kernel))
    np.testing.assert_allclose(
        gradient, 4 * kernel @ off, rtol=1e-3, atol=1e-4 * np.abs(kernel @ off).max()
    )
    shapes = {x.aval.shape for eqn in jax.make_jaxpr(term)(jnp.float32(kernel)).eqns for x in eqn.outvars}
    assert (shape[1], shape[1]) not in shapes


def test_the_gradient_of_orthogonal_regularisation_is_twice_that_of_the_authors_code():
    w = np.random.default_rng(2).normal(size=(6, 4))
    gradient = jax.grad(lambda w: orthogonal_term({"Dense_0": {"kernel": w}}))(jnp.float32(w))
    off = w.T @ w * (1 - np.eye(4))
    np.testing.assert_allclose(gradient, 4 * w @ off, rtol=1e-4, atol=1e-4)
    # The code's rows are filters: 2 (WWᵀ ∘ (1 − I)) W with W transposed.
    np.testing.assert_allclose(gradient, 2 * (2 * off @ w.T).T, rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 2**16), lengths=st.lists(st.floats(0.1, 3.0), min_size=4, max_size=4))
def test_orthogonal_filters_of_any_lengths_are_free_and_others_are_not(seed, lengths):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(9, 4)))
    value = orthogonal_term({"Dense_0": {"kernel": jnp.float32(q * np.array(lengths))}})
    np.testing.assert_allclose(value, 0.0, atol=1e-10)
    # Filters of length 1 at an angle of 60° to one another cost (4 · 3) / 4.
    tilted = np.linalg.cholesky(0.5 * np.eye(4) + 0.5).T
    other, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    np.testing.assert_allclose(
        orthogonal_term({"Dense_0": {"kernel": jnp.float32(other @ tilted)}}), 3.0, rtol=1e-5
    )


def test_orthogonal_regularisation_belongs_to_the_generator_or_is_moved_to_the_critic():
    term = orthogonal(weight=0.5)
    assert (term.player, term.per_sample) == ("generator", False)
    gan = tiny_gan(norm="spectral", size=8)  # any critic with kernels
    state = gan.init(jax.random.key(0), tiny_batch(size=8))
    kernels = [
        x
        for path, x in jax.tree_util.tree_leaves_with_path(state.critic.params)
        if path[-1].key == "kernel"
    ]
    expected = 0.5 * sum(by_numpy(x.reshape(-1, x.shape[-1])) for x in kernels)
    critique = Critique(None, None, None, None, None, None, state.critic.params, state, None)
    np.testing.assert_allclose(term.term(critique)[0], expected, rtol=1e-4)

    def metrics_of(*terms):
        gan = adversarial(
            mlp.Generator((2,), (8, 8)),
            mlp.Critic((8,)),
            loss=losses.get("hinge"),
            generator_tx=optax.sgd(RATE),
            critic_tx=optax.sgd(RATE),
            prior=PRIOR,
            regularizers={str(i): term for i, term in enumerate(terms)},
        )
        state, _ = begin(gan)
        return state, jax.jit(stepper(gan))(state, points_batch())[1]

    for player in ("generator", "critic"):
        state, plain = metrics_of()
        _, metrics = metrics_of(term._replace(player=player))
        params = getattr(state, player).params
        expected = 0.5 * sum(by_numpy(layer["kernel"]) for layer in params.values())
        np.testing.assert_allclose(metrics["orthogonal"], expected, rtol=1e-4)
        np.testing.assert_allclose(
            metrics[f"{player}_loss"] - plain[f"{player}_loss"], expected, rtol=1e-3, atol=1e-4
        )
