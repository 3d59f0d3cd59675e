"""Tests of signals, kills, damaged checkpoints and failures while running."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import run
from experiments.cli import exits
from experiments.training import workdir
from tests.commands import command, environment, execute


def wait_for(path, predicate, process, seconds=120):
    """Waits until a process has written a file whose text satisfies a predicate."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.exists() and predicate(path.read_text()):
            return
        assert process.poll() is None, process.stderr.read() if process.stderr else "ended"
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written in {seconds} s")


def last_step(text):
    """Returns the step of the last complete line of a ``metrics.jsonl`` that is being written."""
    steps = re.findall(r'^{"step": (\d+),.*}$', text, re.MULTILINE)
    return int(steps[-1]) if steps else 0


def start(configs, name, directory, *arguments, events=False):
    """Starts a run in a new process and returns the process."""
    return subprocess.Popen(
        command(f"--config={configs}/{name}.py", f"--workdir={directory}", *arguments),
        env=environment(events=events),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


LONG = ("--config.num_steps=100000", "--config.checkpoint_every=100000", "--config.sample_every=100000")


@pytest.mark.parametrize(
    ("signum", "status"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)],
)
def test_signals_save_a_checkpoint(configs, tmp_path, signum, status):
    process = start(configs, "gan_gaussians", tmp_path / "out", *LONG)
    wait_for(tmp_path / "out" / "metrics.jsonl", lambda text: text.count("\n") > 2, process)
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == status, stderr
    assert "checkpoint saved" in stderr
    assert "Traceback" not in stderr
    (step,) = (int(path.name) for path in (tmp_path / "out" / "checkpoints").iterdir())
    assert step > 8
    if signum == signal.SIGINT:
        return
    # The run continues from that step after either signal.
    process = start(configs, "gan_gaussians", tmp_path / "out", *LONG)
    line = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert line == f"continuing {tmp_path / 'out'} from step {step}\n"


@pytest.mark.slow
def test_a_signal_on_the_step_of_a_checkpoint(configs, tmp_path):
    process = start(configs, "gan_gaussians", tmp_path / "out", *LONG, "--config.checkpoint_every=1")
    wait_for(tmp_path / "out" / "metrics.jsonl", lambda text: last_step(text) > 8, process)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143, stderr
    assert stderr == "stopped by SIGTERM, checkpoint saved\n"


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_training_begins(signum, status, tmp_path):
    # Loading this config writes a file, which marks the moment for the signal, and then waits.
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('loading').write_text('')\ntime.sleep(60)\n"
    )
    process = subprocess.Popen(
        command(f"--config={tmp_path}/slow.py"),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(tmp_path / "loading", lambda _: True, process)
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert stderr == f"error: {'interrupted' if signum == signal.SIGINT else 'terminated'}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "steps", "times", "events"), [("gan_gaussians", 100, 2, False), ("wgan_gp_mnist", 24, 1, True)]
)
def test_killed_runs_end_in_the_same_bits(configs, tmp_path, name, steps, times, events):
    # Checkpoints are frequent, so that a kill may interrupt one that is being saved.
    options = (f"--config.num_steps={steps}", "--config.checkpoint_every=2", "--config.sample_every=1000")
    whole = execute(
        f"--config={configs}/{name}.py",
        f"--workdir={tmp_path}/whole",
        *options,
        cwd=tmp_path,
        env=environment(events=False),
    )
    assert whole.returncode == 0, whole.stderr
    rng = np.random.default_rng(sum(map(ord, name)))
    killed = 0
    for kill in range(1, times + 1):
        process = start(configs, name, tmp_path / "killed", *options, events=events)
        # The random sleep places each kill at a different point of a step.
        target = steps * kill // 4
        wait_for(
            tmp_path / "killed" / "metrics.jsonl",
            lambda text, t=target: any(f'"step": {s},' in text for s in range(t, t + 40)),
            process,
        )
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed, "every run had ended before it was killed"
    process = start(configs, name, tmp_path / "killed", *options, events=events)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert stdout.splitlines()[-1] == whole.stdout.splitlines()[-1]
    metrics = [(tmp_path / kind / "metrics.jsonl").read_text() for kind in ("whole", "killed")]
    assert metrics[0] == metrics[1]


def test_a_damaged_checkpoint_is_named_and_skipped(configs, finished, tmp_path):
    directory = tmp_path / "out"
    shutil.copytree(finished[0], directory)
    (directory / "receipt.json").unlink()
    for file in (directory / "checkpoints" / "12" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    result = execute(
        f"--config={configs}/dcgan_mnist.py",
        f"--workdir={directory}",
        cwd=tmp_path,
        env=environment(events=False),
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"checkpoint .*/12 is damaged .*: skipped, kept as 12.damaged", result.stdout)
    assert "from step 8" in result.stdout
    assert result.stdout.splitlines()[-1] == finished[1].stdout.splitlines()[-1]


def test_a_loss_that_is_not_a_number_stops_the_run(configs, tmp_path):
    result = execute(
        f"--config={configs}/gan_gaussians.py",
        f"--workdir={tmp_path}/out",
        "--config.gan.loss=least_squares",
        "--config.optimizers.critic.learning_rate=1e30",
        "--config.checkpoint_every=1",
        cwd=tmp_path,
        env=environment(events=False),
    )
    assert result.returncode == 1
    pattern = (
        r"error: step (\d+): the \w+'s (?:loss|gradient) is (?:nan|-?inf); last good checkpoint: (\S+);"
    )
    match = re.search(pattern, result.stderr)
    assert match, result.stderr
    assert "Traceback" not in result.stderr
    last = match[2]
    if last != "none":
        assert Path(last).is_dir()
        assert int(Path(last).name) < int(match[1])


def test_a_failure_while_running_names_the_step(configs, tmp_path, monkeypatch, capsys):
    real = workdir.write_png

    def full_disk(path, image):
        if path.name == "8.png":
            raise OSError("No space left on device")
        real(path, image)

    monkeypatch.setattr(workdir, "write_png", full_disk)
    monkeypatch.setattr(
        sys, "argv", ["program", f"--config={configs}/gan_gaussians.py", f"--workdir={tmp_path}/out"]
    )
    with pytest.raises(SystemExit) as exit_:
        exits.call(run.main)
    assert exit_.value.code == 1
    error = capsys.readouterr().err
    assert re.search(r"step 8: OSError: No space left on device; last good checkpoint: \S+/4\n", error), (
        error
    )
