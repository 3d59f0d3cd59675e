"""Tests of every system by name: an exact resume, and the same results on eight devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import systems
from experiments.cli import config_files
from experiments.dry_run import costs, hlo
from experiments.training import build, derived, staging
from jaxgan import data, gans, parallel
from jaxgan.hashing import sha256_of_tree
from jaxgan.state import is_key
from jaxgan.steps import train_step, with_conditions
from tests.commands import ROOT, make_small

pytestmark = pytest.mark.xdist_group("systems")  # on one worker, so that each system is compiled once

BATCH, STEPS = 8, 3
# The tolerance covers rounding, since eight devices add up in a different order.
CLOSE = functools.partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-4)


def configs_of(system):
    """Returns the system's standalone configs, except those whose data come from TFDS or a folder."""
    found = []
    for name in [*config_files.list_configs(), "lucic_objectives.py:BEGAN"]:
        config = config_files.load(name).values
        if config.gan.name == system and not config.data.name.startswith(("tfds/", "folder")):
            found.append(config)
    return found


def small(system):
    """Returns a small version of a system's first config, with SGD, as Adam magnifies rounding errors."""
    config = configs_of(system)[0]
    with config.unlocked():
        make_small(config)
        config.batch_size = BATCH
        for player in config.optimizers:
            config.optimizers[player] = {"name": "sgd", "learning_rate": 0.01}
        if "pool" in config:
            config.pool.size = 12  # the pool is full, and exchanges samples, from the second step on
        if "r1" in config.get("penalties", {}) and config.penalties.r1.weight:
            config.penalties.r1.every = 2
    return staging.stage_configs(config)[-1].config


@functools.cache
def prepared(system):
    config = small(system)
    source = data.open_source(**config.data)
    stream = source.batches(seed=0, n_critic=max(config.n_critic, 1), batch_size=BATCH)
    return config, build.build(config), source, [stream[t] for t in range(STEPS)]


def stepper(system):
    config, gan, source, _ = prepared(system)

    def step(state, raw):
        batch = with_conditions(source.prepare(raw), state, source.conditions)
        return train_step(
            state, batch, gan=gan, ema_decay=derived.ema_decay(config), n_critic=config.n_critic
        )

    return step


@functools.cache
def trained(system, how):
    config, gan, source, batches = prepared(system)
    state = build.first_state(config, gan, source)()
    if how == "pmap":
        step, state = parallel.pmap_step(stepper(system)), parallel.copy_for_pmap(state, BATCH)
        for batch in batches:
            state, metrics = step(state, parallel.split_for_pmap(batch, BATCH))
        return jax.tree.map(lambda x: x[0], (state, metrics))
    mesh = parallel.device_mesh(jax.devices()[: 1 if how == "one" else BATCH])
    step = parallel.jit_step(stepper(system), mesh)
    state = parallel.replicate(state, mesh)
    for batch in batches:
        state, metrics = step(state, parallel.shard_batch(batch, mesh))
    return state, metrics


@pytest.mark.slow
@pytest.mark.parametrize("how", ["jit", "pmap"])
@pytest.mark.parametrize("system", gans.SYSTEMS)
def test_eight_devices_equal_one(system, how):
    (state, metrics), (expected, expected_metrics) = trained(system, how), trained(system, "one")
    for name, value in expected_metrics.items():
        CLOSE(metrics[name], value, err_msg=name)
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for (path, ours), theirs in zip(
        jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(expected), strict=True
    ):
        if not jnp.issubdtype(theirs.dtype, jax.dtypes.prng_key):
            CLOSE(ours, theirs, err_msg=jax.tree_util.keystr(path))


@pytest.mark.slow
@pytest.mark.parametrize("system", gans.SYSTEMS)
def test_going_on_from_a_state_on_the_host_ends_in_the_same_bits(system):
    config, gan, source, batches = prepared(system)
    step = jax.jit(stepper(system))
    state = build.first_state(config, gan, source)()
    assert state.generator.ema_params is not None
    hashes = []
    for stop in (None, 1, 2):
        now = state
        for t, batch in enumerate(batches):
            if t == stop:  # restarts from host arrays, as from a checkpoint
                now = jax.tree.map(lambda x: x if is_key(x) else np.array(x), now)
            now, _ = step(now, batch)
        hashes.append(sha256_of_tree(now))
    assert len(set(hashes)) == 1
    assert hashes[0] != sha256_of_tree(state)
    clocks = {int(now.step), int(now.generator.updates)}
    assert clocks == {STEPS}


def products(function, *arguments):
    """Returns the FLOPs of a compiled function's matrix products; a lazy term counts by its frequency."""
    text = jax.jit(function).lower(*arguments).compile().as_text()
    return sum(x.flops for x in costs.products(hlo.parse(text)))


@pytest.mark.slow
@pytest.mark.parametrize("system", gans.SYSTEMS)
def test_a_step_multiplies_no_more_than_its_losses_and_one_pass_of_the_generator(system):
    config, gan, source, _ = prepared(system)
    with config.unlocked():
        config.n_critic = min(config.n_critic, 1)
    raw = source.batches(seed=0, n_critic=1, batch_size=BATCH)[0]
    state = jax.jit(build.first_state(config, gan, source))()
    batch = jax.tree.map(lambda x: x[0], with_conditions(source.prepare(raw), state, source.conditions))
    key, params = jax.random.key(0), state.generator.params
    fakes, _ = gan.generate(params, state, batch, key, advance=True)

    def generator_pass(params, through):
        made, pull = jax.vjp(lambda p: gan.generate(p, state, batch, key, advance=True)[0], params)
        return made, pull(through)

    # Integer fakes, such as labels, have no gradient.
    through = jax.tree.map(
        lambda x: (
            jnp.ones_like(x)
            if jnp.issubdtype(x.dtype, jnp.floating)
            else np.zeros(x.shape, jax.dtypes.float0)
        ),
        fakes,
    )
    both = jax.value_and_grad(gan.generator_loss, argnums=(0, 3), has_aux=True, allow_int=True)
    parts = products(lambda p: generator_pass(p, through), params)
    parts += products(lambda p, f: both(p, state, batch, f, key), params, fakes)
    if gan.critic_loss is not None:
        critic = jax.value_and_grad(gan.critic_loss, has_aux=True)
        parts += products(lambda p, f: critic(p, state, batch, f, key), state.critic.params, fakes)
    # The step shares some of the work of its parts, such as the transformation of kernels for convolutions.
    assert 0.8 * parts <= products(stepper(system), state, raw) <= 1.02 * parts


@pytest.mark.parametrize("system", gans.SYSTEMS)
def test_it_has_a_config_of_its_own(system):
    assert configs_of(system), f"no config has gan.name {system}"


def test_the_readmes_table_is_that_of_the_docstrings():
    text = (ROOT / "README.md").read_text()
    assert systems.insert(text) == text, "run python -m experiments.systems --write=README.md"
