"""Tests of streaming moments against np.cov in float64, for any batches and order of merging."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from jaxgan import parallel
from jaxgan.errors import SetupError
from jaxgan.metrics import moments
from jaxgan.metrics.moments import Moments, covariance, empty, from_features, merge, update

# The points are far from the origin, and their scales differ. In float32, no digit of the last variance
# would be right.
SCALES = np.array([3.0, 1.0, 1e-2])
CLOUD = (np.random.default_rng(0).normal(size=(24, 3)) * SCALES + [100.0, -10.0, 7.0]).astype(np.float32)


def check(found, rows):
    exact = np.asarray(rows, np.float64)
    assert [leaf.dtype for leaf in found] == [np.float64] * 3
    assert float(found.count) == len(exact)
    np.testing.assert_allclose(np.asarray(found.mean), exact.mean(axis=0), rtol=1e-14)
    scale = np.sqrt(np.outer(*[exact.var(axis=0, ddof=1)] * 2))
    np.testing.assert_allclose(covariance(found) / scale, np.cov(exact.T) / scale, atol=1e-12, rtol=1e-12)


def test_by_hand():
    found = update(empty(2), np.array([[0, 0], [2, 0], [0, 4]], np.float32))
    np.testing.assert_allclose(np.asarray(found.mean), [2 / 3, 4 / 3], rtol=1e-15)
    # The sample has n = 3, so the divisor is 2.
    np.testing.assert_allclose(covariance(found) * 3, [[4, -4], [-4, 16]], rtol=1e-14)


@given(cuts=st.sets(st.integers(1, 23), max_size=4), order=st.randoms(), rows=st.permutations(range(24)))
def test_cuts_and_orders_change_nothing(cuts, order, rows):
    shuffled = CLOUD[list(rows)]
    pieces = np.split(shuffled, sorted(cuts))
    check(functools.reduce(update, pieces, empty(3)), CLOUD)
    parts = [update(empty(3), piece) for piece in pieces] + [empty(3)]
    while len(parts) > 1:
        order.shuffle(parts)
        parts.append(merge(parts.pop(), parts.pop()))
    check(parts[0], CLOUD)


def test_a_set_in_memory_is_taken_in_blocks(monkeypatch):
    monkeypatch.setattr(moments, "BLOCK", 7)
    check(from_features(CLOUD), CLOUD)
    check(from_features(jnp.asarray(CLOUD)), CLOUD)


def test_the_rest_of_the_process_keeps_32_bits():
    found = jax.jit(update)(empty(3), CLOUD)
    check(found, CLOUD)
    check(merge(Moments(*map(np.asarray, found)), empty(3)), CLOUD)  # NumPy arrays come from a cache.
    assert jnp.zeros(1).dtype == jnp.float32
    assert jnp.asarray(np.zeros(1)).dtype == jnp.float32


def test_a_batch_that_is_sharded_over_eight_devices():
    sharding = jax.sharding.NamedSharding(parallel.device_mesh(), PartitionSpec(parallel.AXIS))
    sharded = jax.device_put(CLOUD, sharding)
    assert len(sharded.sharding.device_set) == 8
    check(update(empty(3), sharded), CLOUD)


HOST = """
import sys
import jax, numpy as np
rank = int(sys.argv[1])
jax.distributed.initialize(sys.argv[2], num_processes=2, process_id=rank)
from jaxgan.metrics.moments import covariance, from_features, merge_hosts
cloud = np.load(sys.argv[3])
found = merge_hosts(from_features(cloud[:10] if rank == 0 else cloud[10:]))
assert jax.numpy.zeros(1).dtype == np.float32
np.savez(sys.argv[4], *map(np.asarray, found))
"""


def test_two_hosts(tmp_path):
    np.save(tmp_path / "cloud.npy", CLOUD)
    address = f"127.0.0.1:{free_port()}"
    commands = [
        [
            sys.executable,
            "-c",
            HOST,
            str(rank),
            address,
            str(tmp_path / "cloud.npy"),
            str(tmp_path / f"{rank}.npz"),
        ]
        for rank in (0, 1)
    ]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in processes:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    for rank in (0, 1):
        with np.load(tmp_path / f"{rank}.npz") as file:
            check(Moments(*file.values()), CLOUD)


def free_port():
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_one_host_is_itself():
    found = from_features(CLOUD)
    assert moments.merge_hosts(found) is found


def test_refusals():
    with pytest.raises(SetupError, match=r"shape \(24, 3\): \(samples, 4\) is needed"):
        update(empty(4), CLOUD)
    with pytest.raises(SetupError, match=r"shape \(0, 3\)"):
        update(empty(3), CLOUD[:0])
    with pytest.raises(SetupError, match="3 and of 4 dimensions"):
        merge(empty(3), empty(4))
    with pytest.raises(SetupError, match="1 samples have no covariance"):
        covariance(update(empty(3), CLOUD[:1]))
    with pytest.raises(SetupError, match="NaN"):
        covariance(update(empty(3), CLOUD * [1, 1, np.nan]))
