"""Tests of checkpoints: exact restoration, and damage that is found and skipped."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import checkpoint, parallel
from jaxgan.errors import SetupError
from jaxgan.hashing import sha256_of_tree
from jaxgan.steps import train_step
from tests.conftest import tiny_batch, tiny_gan

GAN = tiny_gan("hinge", "spectral", size=8)
BATCH = tiny_batch(size=8)
INFO = {"config": {"a": [1, 2]}, "wall_time": 1.5}


def begin():
    return GAN.init(jax.random.key(0), BATCH)


@functools.cache
def initial():
    return jax.jit(begin)()


def abstract_at(step):
    return jax.eval_shape(begin)


def at(step):
    state = initial()
    params = jax.tree.map(lambda x: x + step, state.critic.params)
    return state.replace(step=jnp.int32(step), critic=state.critic.replace(params=params))


@pytest.fixture
def directory(tmp_path):
    """Saves checkpoints at steps 1 to 4, of which the newest three are kept, and returns their folder."""
    with checkpoint.open_manager(tmp_path / "checkpoints") as manager:
        for step in (1, 2, 3, 4):
            checkpoint.save(manager, at(step), INFO)
    return tmp_path / "checkpoints"


def read(directory):
    with checkpoint.open_manager(directory, read_only=True) as manager:
        return checkpoint.restore(manager, abstract_at)


def test_round_trip_is_bit_exact(directory):
    restored, damaged = read(directory)
    assert not damaged
    assert restored.info == INFO
    assert restored.state_sha256 == sha256_of_tree(checkpoint._flatten(at(4)))
    assert jax.tree.structure(restored.state) == jax.tree.structure(abstract_at(4))
    for ours, theirs in zip(jax.tree.leaves(restored.state), jax.tree.leaves(at(4)), strict=True):
        if jnp.issubdtype(theirs.dtype, jax.dtypes.prng_key):
            ours, theirs = jax.random.key_data(ours), jax.random.key_data(theirs)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_the_newest_three_are_kept(directory):
    assert {path.name for path in directory.iterdir()} == {"2", "3", "4"}


def test_later_checkpoints_than_the_newest_asked_for_do_not_count(directory):
    with checkpoint.open_manager(directory, read_only=True) as manager:
        restored, damaged = checkpoint.restore(manager, abstract_at, newest=3)
        assert (int(restored.state.step), damaged) == (3, [])
        assert checkpoint.restore(manager, abstract_at, newest=1) == (None, [])


def test_the_shapes_of_a_state_are_those_of_its_step(tmp_path):
    """The states of a run with stages have different shapes."""

    def widened(step):
        memory = {"memory": jnp.full(step, 0.5)} if step > 2 else {}
        return at(step).replace(extra=memory)

    asked = []

    def shapes(step):
        asked.append(step)
        return jax.eval_shape(lambda: widened(step))

    with checkpoint.open_manager(tmp_path) as manager:
        for step in (2, 3):
            checkpoint.save(manager, widened(step), INFO)
        manager.wait_until_finished()
        restored, damaged = checkpoint.restore(manager, shapes)
        assert (restored.state.extra["memory"].shape, damaged, asked) == ((3,), [], [3])
        restored, damaged = checkpoint.restore(manager, shapes, newest=2)
        assert (restored.state.extra, damaged) == ({}, [])


def test_an_empty_folder_has_none(tmp_path):
    with checkpoint.open_manager(tmp_path / "new") as manager:
        assert checkpoint.restore(manager, abstract_at) == (None, [])


def _files(directory, step):
    return sorted(
        (f for f in (directory / str(step)).rglob("*") if f.is_file()), key=lambda f: f.stat().st_size
    )


def _truncate(directory, step):
    for file in _files(directory, step):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flip(directory, step):
    """Flips a bit in every fiftieth byte, because a single bit may be in a place that is not read."""
    for file in _files(directory, step):
        if "/d/" in str(file):
            content = bytearray(file.read_bytes())
            for i in range(0, len(content), 50):
                content[i] ^= 1
            file.write_bytes(bytes(content))


def _remove(directory, step):
    for file in _files(directory, step):
        if "/state/" in str(file):
            file.unlink()


def _lie(directory, step):
    """Changes the recorded hash, so that all files can be parsed but do not match."""
    meta = directory / str(step) / "meta" / "metadata"
    value = json.loads(meta.read_text())
    value["state_sha256"] = "0" * 64
    meta.write_text(json.dumps(value))


def _garble(directory, step):
    (directory / str(step) / "meta" / "metadata").write_text("{")


@pytest.mark.parametrize("damage", [_truncate, _flip, _remove, _lie, _garble])
def test_a_damaged_newest_is_named_and_the_one_before_it_used(directory, damage):
    damage(directory, 4)
    restored, damaged = read(directory)
    assert int(restored.state.step) == 3
    assert [item.path.name for item in damaged] == ["4"]
    assert damaged[0].reason
    assert (directory / "4").exists()  # Reading does not change the folder.

    with checkpoint.open_manager(directory) as manager:
        restored, damaged = checkpoint.restore(manager, abstract_at)
        assert checkpoint.set_aside(manager, damaged[0]).name == "4.damaged"
        checkpoint.save(manager, at(4), INFO)
    restored, damaged = read(directory)
    assert int(restored.state.step) == 4
    assert not damaged
    assert (directory / "4.damaged").is_dir()


def test_every_flipped_byte_is_found(directory):
    """A change of any byte of the state's data is found or does not affect the state."""
    files = [f for f in _files(directory, 4) if "/d/" in str(f)]
    rng = np.random.default_rng(0)
    for trial in range(12):
        file = files[trial % len(files)]
        good = file.read_bytes()
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        file.write_bytes(bytes(bad))
        restored, _ = read(directory)
        assert restored.state_sha256 == sha256_of_tree(checkpoint._flatten(restored.state))
        state = restored.state
        assert restored.state_sha256 == sha256_of_tree(checkpoint._flatten(at(int(state.step))))
        file.write_bytes(good)


def test_all_damaged_is_an_error_and_never_a_fresh_start(directory):
    for step in (2, 3, 4):
        _garble(directory, step)
    with pytest.raises(SetupError, match=r"no checkpoint in .* can be read .*4: .*3: .*2: .*start over"):
        read(directory)


def test_another_format_is_refused(directory):
    meta = directory / "4" / "meta" / "metadata"
    value = json.loads(meta.read_text())
    meta.write_text(json.dumps({**value, "format": 99}))
    with pytest.raises(SetupError, match=r"format 99.*reads format 2"):
        read(directory)


def test_nothing_is_pickled(directory):
    for file in _files(directory, 4):
        assert not file.read_bytes().startswith(b"\x80")
        assert file.suffix not in (".pkl", ".pickle")


def test_saving_while_training_saves_what_was(tmp_path):
    """The next step donates the state's buffers while the checkpoint is being written."""
    mesh = parallel.device_mesh(jax.devices()[:1])
    step = parallel.jit_step(functools.partial(train_step, gan=GAN, ema_decay=0.9), mesh)
    state, batch = parallel.replicate(begin(), mesh), parallel.shard_batch(BATCH, mesh)
    hashes = {}
    with checkpoint.open_manager(tmp_path) as manager:
        for _ in range(3):
            state, _ = step(state, batch)
            hashes[int(state.step)] = checkpoint.save(manager, state, INFO)
            for _ in range(2):
                state, _ = step(state, batch)
            state = state.replace(step=state.step + 10)
        manager.wait_until_finished()
        restored, damaged = checkpoint.restore(manager, abstract_at)
    assert not damaged
    assert restored.state_sha256 == hashes[int(restored.state.step)]
