"""Costs of the training loop: compilation, dispatches, reads from the device, and memory."""

import collections
import functools
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax import monitoring
from jax.profiler import ProfileData, ProfileOptions

from experiments import run
from experiments.cli import config_files
from experiments.training import build, loop, progress_bar, run_program
from jaxgan import checkpoint, data, parallel
from jaxgan.state import is_key
from jaxgan.steps import train_step
from tests.commands import ROOT, environment, main
from tests.conftest import tiny_batch, tiny_gan

NAMES = ("gan_gaussians", pytest.param("wgan_gp_mnist", marks=pytest.mark.slow))
LOG_EVERY = 4  # The small configs log, draw and save every 4 steps.


@pytest.fixture
def compiled():
    """Lists in order the names of functions that are traced, and ``jit(name)`` for programs compiled."""
    events = []

    def listen(name, seconds, fun_name="", **_):
        if name in ("/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/backend_compile_duration"):
            events.append(fun_name)

    monitoring.register_event_duration_secs_listener(listen)
    yield events
    monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_compiles_its_step_once_and_so_does_its_continuation(
    name, configs, tmp_path, monkeypatch, compiled
):
    report = progress_bar.ProgressBar.__call__

    def logged(self, step, metrics):
        compiled.append(f"logged {step}")
        return report(self, step, metrics)

    monkeypatch.setattr(progress_bar.ProgressBar, "__call__", logged)
    arguments = [f"--config={configs}/{name}.py", f"--workdir={tmp_path}/out"]
    assert main(run, *arguments) == 0
    logs = ["logged 4", "logged 8", "logged 12"]
    assert (compiled.count("step"), compiled.count("jit(step)")) == (1, 1)
    assert compiled[-3:] == logs  # Nothing is traced or compiled after the first log.

    for path in ("checkpoints/8", "checkpoints/12", "receipt.json"):
        path = tmp_path / "out" / path
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    jax.clear_caches()
    compiled.clear()
    assert main(run, *arguments) == 0
    # A continued run draws its first picture after its first log, because step 0 has a picture already.
    after = compiled[compiled.index("logged 8") :]
    assert (compiled.count("step"), compiled.count("jit(step)")) == (1, 1)
    assert {name for name in after if name.startswith("jit(")} <= {"jit(sample)", "jit(judge)"}
    assert compiled[-1] == "logged 12"


def test_a_restored_state_is_the_same_as_a_fresh_one_for_jax(tmp_path):
    gan, mesh = tiny_gan(), parallel.device_mesh()
    init = functools.partial(gan.init, jax.random.key(0), tiny_batch())
    fresh = parallel.replicate(init(), mesh)
    with checkpoint.open_manager(tmp_path) as manager:
        checkpoint.save(manager, fresh, {})
        manager.wait_until_finished()
        restored, _ = checkpoint.restore(manager, lambda step: jax.eval_shape(init))
    again = parallel.replicate(restored.state, mesh)

    def properties(state):
        return [
            (leaf.aval, leaf.weak_type, leaf.sharding, leaf.committed, leaf.format)
            if not is_key(leaf)
            else (leaf.aval, leaf.sharding, leaf.committed)
            for leaf in jax.tree.leaves(state)
        ]

    expected = properties(fresh)
    assert properties(again) == expected
    step = parallel.jit_step(functools.partial(train_step, gan=gan, ema_decay=0.9), mesh)
    assert properties(step(again, parallel.shard_batch(tiny_batch(), mesh))[0]) == expected


@pytest.mark.parametrize("devices", [1, 8])
def test_the_whole_state_is_donated_and_written_in_place(devices):
    config = config_files.load("gan_gaussians.py").values
    gan, mesh = build.build(config), parallel.device_mesh(jax.devices()[:devices])
    source = data.open_source(**config.data)
    step = run_program.make_step(gan, source, config, mesh)
    state = parallel.replicate(build.initializer(config, gan)(), mesh)
    batches = source.batches(seed=0, n_critic=1, batch_size=8)
    batch = parallel.shard_batch(batches[0], mesh)
    leaves = jax.tree.leaves(state)
    # All leaves are donated, including the key, which no step changes, and the counters.
    size = sum((jax.random.key_data(x) if is_key(x) else x).nbytes for x in leaves)
    program = step.lower(state, batch).compile()
    assert program.memory_analysis().alias_size_in_bytes >= size
    state, _ = step(state, batch)
    assert all(leaf.is_deleted() for leaf in leaves)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((state, batch)))


class Sealed:
    """A metric of a step that records when it is waited for or read."""

    def __init__(self, value, look):
        self.value, self.look = value, look

    def __array__(self, *_, **__):
        self.look("read")
        return np.asarray(self.value)

    def __float__(self):
        return float(self.__array__())

    def __getattr__(self, name):
        self.look("wait" if name == "block_until_ready" else "read")
        return getattr(self.value, name)


class SealedState(Sealed):
    """A state that records the same. It is a pytree whose only child is the state itself."""


def _open(sealed):
    sealed.look("read")
    return (sealed.value,), None


jax.tree_util.register_pytree_node(SealedState, _open, lambda _, children: children[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_read_between_log_points(name, configs, tmp_path, monkeypatch):
    make_step = run_program.make_step
    looks = collections.defaultdict(set)  # (kind, step) of each look, by the number of steps dispatched
    dispatched = 0

    def make(*arguments):
        compiled = make_step(*arguments)

        def step(state, batch):
            nonlocal dispatched
            dispatched += 1
            made = dispatched
            state, metrics = compiled(state.value if made > 1 else state, batch)

            def look(what):
                looks[dispatched].add((what, made))

            return SealedState(state, look), {name: Sealed(value, look) for name, value in metrics.items()}

        return step

    monkeypatch.setattr(run_program, "make_step", make)
    assert main(run, f"--config={configs}/{name}.py", f"--workdir={tmp_path}/out") == 0
    assert dispatched == 12
    for now, seen in looks.items():
        reads = {made for what, made in seen if what == "read"}
        waits = {made for what, made in seen if what == "wait"}
        if now % LOG_EVERY == 0:
            # This also shows that the test observes reads.
            assert reads == set(range(now - LOG_EVERY + 1, now + 1))
        else:
            assert not reads, f"step {now}"
        # Waiting for an earlier step leaves the device with work, and lets a signal take effect soon.
        assert waits <= {now - loop.AHEAD}, f"step {now}"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_step_is_one_dispatch(name, configs, tmp_path, monkeypatch):
    options = ProfileOptions()
    options.python_tracer_level = 0
    report = progress_bar.ProgressBar.__call__

    def logged(self, step, metrics):
        if step == 4:
            jax.profiler.start_trace(str(tmp_path / "profile"), profiler_options=options)
        if step == 8:
            jax.profiler.stop_trace()
        return report(self, step, metrics)

    monkeypatch.setattr(progress_bar.ProgressBar, "__call__", logged)
    rarely = ("--config.sample_every=1000", "--config.checkpoint_every=1000")
    assert main(run, f"--config={configs}/{name}.py", f"--workdir={tmp_path}/out", *rarely) == 0
    (path,) = (tmp_path / "profile").rglob("*.xplane.pb")
    executions = sum(
        event.name.endswith("::ExecutePrepare")
        for plane in ProfileData.from_file(str(path)).planes
        for line in plane.lines
        for event in line.events
    )
    assert executions == 4 * jax.device_count()


MEMORY = """
import sys
from pathlib import Path

from experiments import run
from experiments.cli import exits
from experiments.training import progress_bar

report = progress_bar.ProgressBar.__call__

def logged(self, step, metrics):
    print("resident", int(Path("/proc/self/statm").read_text().split()[1]) * 4096, flush=True)
    return report(self, step, metrics)

progress_bar.ProgressBar.__call__ = logged
exits.call(run.main)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_flat(configs, tmp_path):
    options = ("--config.num_steps=3000", "--config.log_every=100")
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            MEMORY,
            f"--config={configs}/gan_gaussians.py",
            f"--workdir={tmp_path}/out",
            # Pictures and checkpoints are left out, because the allocator keeps memory that they needed.
            "--config.sample_every=1000000",
            "--config.checkpoint_every=1000000",
            *options,
        ],
        cwd=ROOT,
        env=environment(events=False),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    resident = np.array([int(found) for found in re.findall(r"resident (\d+)", result.stdout)]) / 2**20
    assert len(resident) == 30
    # Growth is measured from step 1,000, when everything has been used once, to step 3,000. A leak of 2 kB
    # per step would be 4 MiB.
    growth = resident[-5:].mean() - resident[10:15].mean()
    assert growth < 4, resident
