"""Tests of the compilation cache: that it is used, private, limited in size, and robust to damage."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments.cli import compilation_cache
from tests.commands import environment, execute


def start(configs, cache, directory, *, events=False, **variables):
    """Runs a command in a new process as a user would, with its own cache folder."""
    inherited = environment(events=events)
    given = {name: value for name, value in inherited.items() if not name.startswith("JAX_")}
    env = {**given, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(cache), **variables}
    return execute(
        f"--config={configs}/gan_gaussians.py", f"--workdir={directory}", cwd=cache.parent, env=env
    )


def digest(result):
    """Returns the hash that a successful run prints last."""
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


def programs(cache):
    """Returns the files of all compiled programs in a cache folder."""
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

    # A kill or a full disk may cut a file short; files may also be overwritten or emptied.
    for i, path in enumerate(kept):
        whole = path.read_bytes()
        path.write_bytes([whole[: len(whole) // 2], b"x" * len(whole), b""][i % 3])
    damaged = start(configs, cache, tmp_path / "damaged", events=True)
    assert digest(damaged) == digest(cold)
    assert damaged.stderr == ""  # and XLA prints no message about the machine either


@pytest.fixture
def settings():
    """Restores JAX's settings of the cache after the test."""
    names = (
        "jax_compilation_cache_dir",
        "jax_compilation_cache_max_size",
        "jax_persistent_cache_min_compile_time_secs",
    )
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_users_own_folder_comes_first(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for theirs in ("/somewhere", ""):
        jax.config.update("jax_compilation_cache_dir", theirs)
        compilation_cache.keep()
        assert jax.config.jax_compilation_cache_dir == theirs
    assert not list(tmp_path.iterdir())


def test_a_folder_that_others_may_write_to_is_not_used(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    (tmp_path / "jaxgan").mkdir()
    (tmp_path / "jaxgan").chmod(0o770)
    compilation_cache.keep()
    assert jax.config.jax_compilation_cache_dir is None
    (tmp_path / "jaxgan").chmod(0o755)
    compilation_cache.keep()
    assert Path(jax.config.jax_compilation_cache_dir).parent == tmp_path / "jaxgan"


def test_nothing_is_printed_if_no_folder_can_be_made(settings, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    (tmp_path / "jaxgan").write_text("a file")
    compilation_cache.keep()
    assert jax.config.jax_compilation_cache_dir is None
    assert capfd.readouterr() == ("", "")


def test_the_cache_is_limited_and_unfinished_programs_are_removed(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.keep()
    assert jax.config.jax_compilation_cache_max_size == compilation_cache.MAX_BYTES
    folder = Path(jax.config.jax_compilation_cache_dir)
    for name in ("whole-cache", "whole-atime", "unfinished-cache"):
        (folder / name).write_bytes(b"")
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.keep()
    assert {path.name for path in folder.iterdir()} == {"whole-cache", "whole-atime"}


PROGRAM = """
import sys
from pathlib import Path
import jax
from experiments.cli import compilation_cache
compilation_cache.MAX_BYTES = int(sys.argv[1])
compilation_cache.keep()
for i in range(20):
    jax.jit(lambda x: x + i).lower(1.0).compile()
files = list(Path(jax.config.jax_compilation_cache_dir).glob("*-cache"))
print(len(files), sum(file.stat().st_size for file in files))
"""


def test_jax_removes_programs_beyond_the_limit(tmp_path):
    inherited = {name: value for name, value in environment().items() if not name.startswith("JAX_")}
    env = {**inherited, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(tmp_path)}

    def compiled(limit):
        arguments = [sys.executable, "-c", PROGRAM, str(limit)]
        result = subprocess.run(arguments, env=env, capture_output=True, text=True, check=True)
        assert result.stderr == ""
        return map(int, result.stdout.split())

    count, size = compiled(2**20)
    assert count == 20
    for path in programs(tmp_path):
        path.unlink()
    fewer, smaller = compiled(size // 2)
    assert 0 < fewer < 20
    assert smaller <= size // 2
