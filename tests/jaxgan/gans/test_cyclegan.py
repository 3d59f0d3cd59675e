"""Tests of CycleGAN in the plane against its formulas, also for the identity and for swapped domains."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import losses
from jaxgan.gans.cyclegan import cyclegan
from jaxgan.models import mlp
from jaxgan.steps import train_step
from jaxgan.views.augmentation import Augmentation
from jaxgan.views.pool import POOL, history

BATCH = 8


def system(**options):
    return cyclegan(
        mlp.Translators((6,)),
        mlp.DomainCritics((6,)),
        loss=losses.get("least_squares"),
        generator_tx=optax.sgd(0.1),
        critic_tx=optax.sgd(0.1),
        **options,
    )


def make_batch(seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, BATCH, 2)).astype(np.float32)
    rows = np.arange(BATCH, dtype=np.int32)
    return {"a": a[None], "b": (b + 2)[None], "row": rows[None]}


def first(batch):
    return {name: values[0] for name, values in batch.items()}


@pytest.fixture(scope="module")
def begun():
    gan, batch = system(), make_batch()
    return gan, gan.init(jax.random.key(0), batch), batch


def swapped(tree, pairs=(("to_a", "to_b"), ("of_a", "of_b"))):
    """Returns the parameters with every network exchanged for the other domain's."""
    names = {old: new for pair in pairs for old, new in (pair, pair[::-1])}
    return {names.get(name, name): values for name, values in tree.items()}


def exchange(state):
    generator = state.generator.replace(params=swapped(state.generator.params))
    critic = state.critic.replace(params=swapped(state.critic.params))
    return state.replace(generator=generator, critic=critic)


def losses_of(gan, state, data):
    fakes, _ = gan.generate(state.generator.params, state, data, state.key, advance=False)
    critic = gan.critic_loss(state.critic.params, state, data, fakes, state.key)[0]
    generator, aux = gan.generator_loss(state.generator.params, state, data, fakes, state.key)
    return critic, generator, aux.metrics


def test_it_is_symmetric_under_exchange_of_the_domains(begun):
    gan, state, batch = begun
    data = first(batch)
    other = {**data, "a": data["b"], "b": data["a"]}
    ours, theirs = losses_of(gan, state, data), losses_of(gan, exchange(state), other)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), ours, theirs)


def test_the_identity_has_no_cycle_and_no_identity_error(begun):
    gan, state, batch = begun
    zeros = jax.tree.map(jnp.zeros_like, state.generator.params)  # the translators compute x + 0
    state = state.replace(generator=state.generator.replace(params=zeros, ema_params=zeros))
    *_, metrics = losses_of(gan, state, first(batch))
    assert float(metrics["cycle"]) == float(metrics["identity"]) == 0.0
    # The identity also has a cycle error of 0, which therefore proves nothing by itself.
    measure = gan.measures["cycle_error"]
    rows = jax.tree.map(np.asarray, measure.per_row(state, first(batch), state.key))
    assert measure.reduce(rows) == 0.0


def test_the_generators_loss_is_the_papers(begun):
    gan, state, batch = begun
    data = first(batch)
    module, critics = mlp.Translators((6,)), mlp.DomainCritics((6,))
    params = {"params": state.generator.params}
    g = functools.partial(module.apply, params, train=True, method="a_to_b")
    f = functools.partial(module.apply, params, train=True, method="b_to_a")
    a, b = data["a"], data["b"]
    on_a, on_b = critics.apply({"params": state.critic.params}, f(b), g(a), True)

    def l1(x, y):
        return float(np.mean(np.abs(np.asarray(x) - np.asarray(y))))

    adversarial = 0.5 * np.mean((np.asarray(on_a) - 1) ** 2) + 0.5 * np.mean((np.asarray(on_b) - 1) ** 2)
    cycle, same = l1(f(g(a)), a) + l1(g(f(b)), b), l1(g(b), b) + l1(f(a), a)
    _, value, _ = losses_of(gan, state, data)
    np.testing.assert_allclose(value, adversarial + 10 * cycle + 5 * same, rtol=1e-5)


def test_samples_are_named_columns_and_depend_on_their_row_alone(begun):
    gan, state, batch = begun
    asked = {"row": jnp.arange(BATCH), **{x: batch[x][0] for x in "ab"}}
    found = gan.sample(state, jax.random.key(1), asked)
    assert set(found) == {"a", "a_to_b", "a_cycle", "b", "b_to_a", "b_cycle"}
    alone = gan.sample(state, jax.random.key(1), {name: values[3:4] for name, values in asked.items()})
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x[3:4], y, rtol=1e-5, atol=1e-6), found, alone)
    assert gan.reads == ("a", "b")


def test_cycles_and_identities_never_see_the_view_and_critics_do(begun):
    _, state, batch = begun
    shift = Augmentation(lambda x, keys, state: x + 100.0, lambda state: {})
    plain, moved = (losses_of(system(augment=view), state, first(batch)) for view in (None, shift))
    for name in ("cycle", "identity"):
        assert plain[2][name] == moved[2][name]
    assert plain[2]["adversarial"] != moved[2]["adversarial"]
    assert plain[0] != moved[0]


def test_a_memory_for_each_domain_is_filled_by_the_critics_updates():
    gan, batch = system(pool=history(size=20)), make_batch()
    state = gan.init(jax.random.key(0), batch)
    step = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))
    before = state
    for _ in range(3):
        state, metrics = step(state, batch)
    memories = state.extra[POOL]
    assert {name: int(memory["filled"]) for name, memory in memories.items()} == {"a": 20, "b": 20}
    fakes, _ = gan.generate(before.generator.params, before, first(batch), before.key, advance=False)
    np.testing.assert_allclose(memories["b"]["samples"][:BATCH], fakes["a_to_b"], rtol=1e-5, atol=1e-6)
    assert all(np.isfinite(value) for value in metrics.values())
