"""Tests that one device, eight under jit and eight under pmap train to the same numbers."""

import functools
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from jaxgan import data, parallel
from jaxgan.errors import SetupError
from jaxgan.steps import train_step
from tests.conftest import tiny_batch, tiny_gan
from tests.jaxgan.metrics.test_moments import free_port

pytestmark = pytest.mark.xdist_group("devices")  # on one worker, so that each system is compiled once

# A relativistic loss has no gradient for the last bias, and Adam would amplify its rounding errors to whole
# steps, so that system uses SGD.
SYSTEMS = {
    "ns-dcgan": {"loss": "non_saturating", "norm": "batch"},
    "wgan-gp": {"loss": "wasserstein", "norm": "layer", "penalty": "gradient_penalty", "size": 8},
    "sngan": {"loss": "hinge", "norm": "spectral", "size": 8},
    "relativistic": {
        "loss": "relativistic_average",
        "norm": "layer",
        "optimizer": optax.sgd(0.05),
        "size": 8,
    },
}
N_CRITIC = {"wgan-gp": 5}
STEPS = 3


def run(name, how):
    n_critic = N_CRITIC.get(name, 1)
    size = SYSTEMS[name].get("size", 16)
    batches = [tiny_batch(n_critic, 16, seed, size) for seed in range(STEPS)]
    gan = tiny_gan(**SYSTEMS[name])
    state = gan.init(jax.random.key(3), batches[0])
    if how == "pmap":
        step = parallel.pmap_step(functools.partial(train_step, gan=gan, ema_decay=0.9))
        state = parallel.copy_for_pmap(state, 8)
        for batch in batches:
            state, metrics = step(state, parallel.split_for_pmap(batch, 8))
        return jax.tree.map(lambda x: x[0], (state, metrics)), state
    mesh = parallel.device_mesh(jax.devices()[: 1 if how == "one" else 8])
    step = parallel.jit_step(functools.partial(train_step, gan=gan, ema_decay=0.9), mesh)
    state = parallel.replicate(state, mesh)
    for batch in batches:
        state, metrics = step(state, parallel.shard_batch(batch, mesh))
    return (state, metrics), state


@functools.cache
def single(name):
    return run(name, "one")[0]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["jit", "pmap"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_eight_devices_agree_with_one(name, how):
    (state, metrics), _ = run(name, how)
    expected, expected_metrics = single(name)
    for key, value in expected_metrics.items():
        np.testing.assert_allclose(metrics[key], value, rtol=2e-4, atol=2e-4, err_msg=key)
    for player in ("critic", "generator"):
        for part in ("params", "model_state", "ema_params", "ema_model_state"):
            jax.tree.map(
                functools.partial(
                    np.testing.assert_allclose, rtol=1e-3, atol=1e-4, err_msg=f"{player} {part}"
                ),
                getattr(getattr(state, player), part),
                getattr(getattr(expected, player), part),
            )


@pytest.mark.slow
def test_pmap_devices_stay_in_step():
    _, state = run("ns-dcgan", "pmap")
    for leaf in jax.tree.leaves(state.critic.params):
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))


def test_the_work_is_split_and_the_state_replicated():
    gan = tiny_gan()
    batch = tiny_batch(1, 16)
    mesh = parallel.device_mesh()
    step = parallel.jit_step(functools.partial(train_step, gan=gan, ema_decay=0.9), mesh)
    state = parallel.replicate(gan.init(jax.random.key(0), batch), mesh)
    sharded = parallel.shard_batch(batch, mesh)
    assert sharded["real"].addressable_shards[0].data.shape == (1, 2, 16, 16, 1)
    eight = step.lower(state, sharded).compile()
    one_mesh = parallel.device_mesh(jax.devices()[:1])
    one = (
        parallel.jit_step(functools.partial(train_step, gan=gan, ema_decay=0.9), one_mesh)
        .lower(parallel.replicate(state, one_mesh), parallel.shard_batch(batch, one_mesh))
        .compile()
    )
    # Latents are sharded like their rows, so no device repeats another's work.
    assert eight.cost_analysis()["flops"] < 0.2 * one.cost_analysis()["flops"]
    state, _ = step(state, sharded)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state))


def test_a_population_is_split_and_each_member_trains_as_if_alone():
    members, batch = 8, tiny_batch(1, 16, size=8)
    gan = tiny_gan(size=8)
    keys = jax.random.split(jax.random.key(0), members)
    population = jax.vmap(gan.init, (0, None))(keys, batch)
    one = functools.partial(train_step, gan=gan, ema_decay=0.9)
    mesh = parallel.device_mesh(axis=parallel.MEMBERS_AXIS)
    step = parallel.jit_members(one, mesh)
    shared = parallel.replicate(batch, mesh)
    state = parallel.split_members(population, mesh)
    text = step.lower(state, shared).compile().as_text()
    assert not any(
        name in text for name in ("all-reduce", "all-gather", "all-to-all", "collective-permute")
    )
    for _ in range(STEPS):
        state, metrics = step(state, shared)
    assert {leaf.addressable_shards[0].data.shape[0] for leaf in jax.tree.leaves(state)} == {1}

    alone = gan.init(keys[5], batch)
    for _ in range(STEPS):
        alone, alone_metrics = jax.jit(one)(alone, batch)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
    jax.tree.map(lambda x, y: close(x[5], y), state.generator.ema_params, alone.generator.ema_params)
    jax.tree.map(lambda x, y: close(x[5], y), metrics, alone_metrics)
    assert len(np.unique(metrics["critic_loss"])) == members
    with pytest.raises(ValueError, match="axis 0 is partitioned 8 times, but the dimension size is 6"):
        parallel.split_members(jax.tree.map(lambda x: x[:6], population), mesh)


def test_members_on_two_devices_have_batch_statistics_of_their_own():
    batch, gan = tiny_batch(1, 16, size=8), tiny_gan(size=8)
    keys = jax.random.split(jax.random.key(4), 2)
    population = jax.vmap(gan.init, (0, None))(keys, batch)
    one = functools.partial(train_step, gan=gan, ema_decay=0.9)
    mesh = parallel.device_mesh(jax.devices()[:2], axis=parallel.MEMBERS_AXIS)
    state, shared = parallel.split_members(population, mesh), parallel.replicate(batch, mesh)
    step = parallel.jit_members(one, mesh)
    for _ in range(STEPS):
        state, _ = step(state, shared)
    alone_step = jax.jit(one)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
    for place in (0, 1):
        alone = gan.init(keys[place], batch)
        for _ in range(STEPS):
            alone, _ = alone_step(alone, batch)
        for player in ("generator", "critic"):
            for part in ("params", "model_state"):
                ours, theirs = (getattr(getattr(x, player), part) for x in (state, alone))
                jax.tree.map(lambda x, y, place=place: close(x[place], y), ours, theirs)
    # Each member has its own fakes, so statistics averaged over both would match neither member's.
    for leaf in jax.tree.leaves(state.critic.model_state):
        assert not np.allclose(leaf[0], leaf[1], rtol=1e-3)
    # A mesh whose axis is a batch axis is refused for members.
    with pytest.raises(ValueError, match="members"):
        parallel.split_members(population, parallel.device_mesh(jax.devices()[:2]))


def test_members_share_their_clocks_and_nothing_else():
    gan = tiny_gan(size=8)
    state = jax.eval_shape(gan.init, jax.random.key(0), tiny_batch(size=8))
    leaves = jax.tree.leaves_with_path(state)
    clocks = {jax.tree_util.keystr(path) for path, _ in leaves if parallel.is_clock(path)}
    assert clocks == {".step", ".generator.updates", ".critic.updates"}


@pytest.mark.parametrize(("batch_size", "hint"), [(12, "8 or 16"), (4, "try 8"), (0, "try 8")])
def test_an_uneven_batch_is_refused(batch_size, hint):
    with pytest.raises(SetupError, match=f"batch_size {batch_size} .*8 devices.*{hint}"):
        parallel.check_batch_size(batch_size, 8)
    parallel.check_batch_size(24, 8)


HOST = """
import sys
import jax, numpy as np
rank = int(sys.argv[1])
jax.distributed.initialize(sys.argv[2], num_processes=2, process_id=rank)
from jaxgan import data, parallel
images = np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None, None], (9, 4, 4, 1))
source = data.from_arrays(np.ascontiguousarray(images))
own = source.batches(seed=0, n_critic=2, batch_size=6)[1]
assert own["real"].shape == (2, 3, 4, 4, 1)
np.savez(sys.argv[3], **parallel.gather_batch(own))
"""


@pytest.mark.slow
def test_two_hosts_gather_the_batch_of_one(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    commands = [
        [sys.executable, "-c", HOST, str(rank), address, str(tmp_path / f"{rank}.npz")] for rank in (0, 1)
    ]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in processes:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    images = np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None, None], (9, 4, 4, 1))
    source = data.from_arrays(np.ascontiguousarray(images))
    whole = source.batches(seed=0, n_critic=2, batch_size=6)[1]
    alone = parallel.gather_batch(whole)
    for rank in (0, 1):
        with np.load(tmp_path / f"{rank}.npz") as file:
            assert set(file) == set(whole)
            for name, value in whole.items():
                np.testing.assert_array_equal(file[name], value)
                np.testing.assert_array_equal(alone[name], value)
