"""The folder of compiled programs: used, harmless, and nobody else's."""

import os
import time
from pathlib import Path

import jax
import pytest

from experiments.cli import compilations
from tests.commands import environment, execute


def start(configs, cache, directory, *, events=False, **variables):
    """A run as a user starts it, the cache in a folder of its own; JAX says on stderr what it compiled."""
    inherited = environment(events=events)
    given = {name: value for name, value in inherited.items() if not name.startswith("JAX_")}
    env = {**given, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(cache), **variables}
    return execute(
        f"--config={configs}/gan_gaussians.py", f"--workdir={directory}", cwd=cache.parent, env=env
    )


def digest(result):
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


def programs(cache):
    return sorted(cache.rglob("*-cache"))


@pytest.mark.slow
def test_a_warm_start_compiles_nothing_and_ends_in_the_same_bits(configs, tmp_path):
    cache = tmp_path / "cache"
    explain = {"JAX_EXPLAIN_CACHE_MISSES": "true"}
    cold = start(configs, cache, tmp_path / "cold", **explain)
    assert "PERSISTENT COMPILATION CACHE MISS for 'jit_step'" in cold.stderr
    kept = programs(cache)
    assert any(path.name.startswith("jit_step-") for path in kept)
    warm = start(configs, cache, tmp_path / "warm", **explain)
    assert "PERSISTENT COMPILATION CACHE MISS" not in warm.stderr
    assert programs(cache) == kept
    assert digest(cold) == digest(warm)
    for folder in (cache / "jaxgan", kept[0].parent):
        assert folder.stat().st_mode & 0o777 == 0o700

    # Cut off, as by a kill or a full disk; overwritten; emptied.
    for i, path in enumerate(kept):
        whole = path.read_bytes()
        path.write_bytes([whole[: len(whole) // 2], b"x" * len(whole), b""][i % 3])
    damaged = start(configs, cache, tmp_path / "damaged", events=True)
    assert digest(damaged) == digest(cold)
    assert damaged.stderr == ""  # nothing of XLA's about the machine, either


@pytest.fixture
def settings():
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_users_own_folder_comes_first(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for theirs in ("/somewhere", ""):
        jax.config.update("jax_compilation_cache_dir", theirs)
        compilations.keep()
        assert jax.config.jax_compilation_cache_dir == theirs
    assert not list(tmp_path.iterdir())


def test_a_folder_that_others_may_write_to_is_not_used(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    (tmp_path / "jaxgan").mkdir()
    (tmp_path / "jaxgan").chmod(0o770)
    compilations.keep()
    assert jax.config.jax_compilation_cache_dir is None
    (tmp_path / "jaxgan").chmod(0o755)
    compilations.keep()
    assert Path(jax.config.jax_compilation_cache_dir).parent == tmp_path / "jaxgan"


def test_nothing_is_said_where_no_folder_can_be_had(settings, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    (tmp_path / "jaxgan").write_text("a file")
    compilations.keep()
    assert jax.config.jax_compilation_cache_dir is None
    assert capfd.readouterr() == ("", "")


def test_old_programs_are_removed(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    compilations.keep()
    folder = Path(jax.config.jax_compilation_cache_dir)
    for name, days in (("old-cache", 31), ("new-cache", 29)):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (time.time() - days * 86400,) * 2)
    jax.config.update("jax_compilation_cache_dir", None)
    compilations.keep()
    assert [path.name for path in folder.iterdir()] == ["new-cache"]
