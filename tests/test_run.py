"""The command line, in real processes where the process matters."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import cli, run, sample
from tests.conftest import FAST_COMPILATION

ROOT = Path(__file__).parent.parent

TINY = """
from experiments.configs import {base}

def get_config(argument=None):
    config = {base}.get_config()
    config.num_steps = 12
    config.batch_size = 8
    config.log_every = config.sample_every = config.checkpoint_every = 4
    if "hidden" in config.models.generator:
        config.models.generator.hidden = config.models.critic.hidden = (8, 8)
    else:
        config.models.generator.width = config.models.critic.width = 4
    if argument:
        config.seed = int(argument)
    return config
"""


@pytest.fixture(scope="session")
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    for base in ("dcgan_mnist", "wgan_gp_mnist", "gan_gaussians"):
        (folder / f"{base}.py").write_text(TINY.format(base=base))
    return folder


def environment():
    """One device, as a laptop has, and the compilation cache of these tests."""
    return {**os.environ, "XLA_FLAGS": FAST_COMPILATION, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def command(*arguments, module="experiments.run"):
    return [sys.executable, "-m", module, *map(str, arguments)]


def execute(*arguments, cwd, module="experiments.run"):
    return subprocess.run(
        command(*arguments, module=module), cwd=cwd, env=environment(), capture_output=True, text=True
    )


def main(module, *arguments):
    """A command within this process: for what ends before any process could matter."""
    try:
        module.main(["program", *map(str, arguments)])
    except SystemExit as exit_:
        return exit_.code
    return 0


def refusal(capsys, monkeypatch, *arguments, module=run):
    """The one line on standard error of a command that is refused with status 2."""
    monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.call(module.main)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    return error


@pytest.fixture(scope="session")
def finished(configs, tmp_path_factory):
    """A run from another folder than the project's, by a real process."""
    cwd = tmp_path_factory.mktemp("elsewhere")
    result = execute(f"--config={configs}/dcgan_mnist.py", "--workdir=out", cwd=cwd)
    assert result.returncode == 0, result.stderr
    return cwd / "out", result


def test_a_run_leaves_its_files(finished):
    directory, result = finished
    receipt = json.loads((directory / "receipt.json").read_text())
    assert result.stdout.splitlines()[-1] == receipt["state_sha256"]
    assert re.fullmatch("[0-9a-f]{64}", receipt["state_sha256"])
    assert receipt["step"] == 12
    assert receipt["config"] == json.loads((directory / "config.json").read_text())
    assert receipt["config"]["models"]["critic"]["width"] == 4
    assert receipt["versions"]["jax"]
    assert (receipt["device_kind"], receipt["device_count"]) == ("cpu", 1)
    assert receipt["wall_time_seconds"] > 0
    assert receipt["num_examples"] == 5000
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert all(np.isfinite(line["critic_loss"]) and np.isfinite(line["generator_loss"]) for line in lines)
    assert {path.name for path in (directory / "samples").iterdir()} == {
        "0.png",
        "4.png",
        "8.png",
        "12.png",
    }
    assert {path.name for path in (directory / "checkpoints").iterdir()} == {"4", "8", "12"}
    assert list((directory / "tensorboard").glob("events.out.tfevents.*"))


def test_plain_lines_where_there_is_no_terminal(finished):
    lines = finished[1].stdout.splitlines()
    pattern = r"step 8/12, [\d,]+ images/s, critic_loss \S+, generator_loss \S+, ETA \d:\d\d:\d\d"
    assert any(re.fullmatch(pattern, line) for line in lines), lines
    assert finished[1].stderr == ""


def test_tensorboard_events_hold_the_scalars_and_the_pictures(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(finished[0] / "tensorboard")).Reload()
    lines = [json.loads(line) for line in (finished[0] / "metrics.jsonl").read_text().splitlines()]
    logged = [(event.step, make_ndarray(event.tensor_proto)) for event in events.Tensors("critic_loss")]
    assert [step for step, _ in logged] == [4, 8, 12]
    np.testing.assert_allclose([value for _, value in logged], [line["critic_loss"] for line in lines])
    assert "samples" in {tag for tags in events.Tags().values() if isinstance(tags, list) for tag in tags}


def test_finished_runs_say_so(finished):
    directory, first = finished
    config = f"--config={configs_of(first)}"
    before = sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*.png"))
    again = execute(config, f"--workdir={directory}", cwd=directory.parent)
    assert again.returncode == 0
    assert "is finished: 12 steps" in again.stdout
    assert again.stdout.splitlines()[-1] == first.stdout.splitlines()[-1]
    assert sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*.png")) == before


def test_a_run_killed_before_its_receipt_writes_it(finished, configs, tmp_path, capsys):
    shutil.copytree(finished[0], tmp_path / "out")
    (tmp_path / "out" / "receipt.json").unlink()
    assert main(run, f"--config={configs}/dcgan_mnist.py", f"--workdir={tmp_path}/out") == 0
    first = finished[1].stdout.splitlines()[-1]
    assert capsys.readouterr().out.splitlines()[-1] == first
    assert json.loads((tmp_path / "out" / "receipt.json").read_text())["state_sha256"] == first


def configs_of(result):
    return next(argument.partition("=")[2] for argument in result.args if argument.startswith("--config="))


def test_sample_writes_grids(finished, tmp_path, capsys):
    directory, _ = finished
    out = {}
    for name, options in {
        "plain": [],
        "again": [],
        "seed": ["--seed=1"],
        "raw": ["--raw"],
        "truncated": ["--truncation=0.1"],
    }.items():
        path = tmp_path / f"{name}.png"
        code = main(sample, f"--workdir={directory}", "--num=9", f"--out={path}", *options)
        assert code == 0
        out[name] = np.asarray(Image.open(path)).astype(int)
        assert out[name].shape == (3 * 58 + 2, 3 * 58 + 2, 3)
    np.testing.assert_array_equal(out["plain"], out["again"])
    for name in ("seed", "raw", "truncated"):
        assert (out[name] != out["plain"]).any(), name
    tiles = lambda grid: np.stack([grid[2:58, 58 * i + 2 : 58 * i + 58] for i in range(3)])  # noqa: E731
    assert tiles(out["truncated"]).std(0).mean() < 0.5 * tiles(out["plain"]).std(0).mean()


def test_grid_shows_what_is_saved():
    from experiments.pictures import grid

    images = np.linspace(-1, 1, 5 * 64 * 64).reshape(5, 64, 64, 1)
    sheet = grid(images)
    assert sheet.shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    np.testing.assert_array_equal(sheet[2:66, 68:132, 0], np.rint((images[1, ..., 0] + 1) * 127.5))


# What the user got wrong

MNIST = "--config=dcgan_mnist.py"
ONLY_A_SEED = "from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({'seed': 1})"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no config given.*dcgan_mnist.py"),
        (["--config=dcgan_mnst.py"], "unknown config 'dcgan_mnst.py': did you mean 'dcgan_mnist.py'"),
        ([MNIST, "--wrkdir=x"], "(?i)unknown command line flag 'wrkdir'.*workdir"),
        ([MNIST, "extra"], "unexpected argument 'extra'"),
        (
            [MNIST, "--config.bach_size=3"],
            "unknown config field 'bach_size': did you mean 'batch_size'",
        ),
        (
            [MNIST, "--config.models.critic.widht=3"],
            "unknown config field 'models.critic.widht': did you mean 'models.critic.width'",
        ),
        ([MNIST, "--config.num_steps=many"], "config.num_steps=many"),
        ([MNIST, "--config.num_steps=0"], "num_steps is 0: give a whole number"),
        ([MNIST, "--config.seed=-1"], "seed is -1"),
        ([MNIST, "--config.ema_decay=1.5"], "ema_decay is 1.5"),
        ([MNIST, "--config.loss=hing"], "unknown loss 'hing': did you mean 'hinge'"),
        ([MNIST, "--config.data.name=digit"], "unknown data.name 'digit'.*'digits'"),
        (
            [MNIST, "--config.latent.prior=norml"],
            "unknown latent.prior 'norml'.*'normal'",
        ),
        ([MNIST, "--config.models.critic.norm=bach"], "unknown norm 'bach'.*'batch'"),
        (
            [MNIST, "--config.models.critic.family=dcgn"],
            "unknown models.critic.family 'dcgn'",
        ),
        ([MNIST, "--config.data.size=30"], "unknown image size '30'"),
        (
            [MNIST, "--config.optimizers.critic.name=adm"],
            "config.optimizers.critic: unknown optimizer 'adm': did you mean 'adam'",
        ),
        (
            [MNIST, "--config.penalties.r1.weight=1.0"],
            "penalties r1 need a gradient for each sample.*'batch_stats'",
        ),
        ([MNIST, "--config.batch_size=12"], "batch_size 12 .*8 devices: try 8 or 16"),
        (["--config=dcgan_folder.py"], "data.path is empty"),
        (
            ["--config=dcgan_folder.py", "--config.data.path=/nowhere"],
            "data.path '/nowhere' is not a folder",
        ),
        (["--config=gan_gaussians.py", "--config.models.critic.family=dcgan"], "dcgan makes images"),
        (["--config=gan_gaussians.py:nonsense"], "nonsense"),
    ],
)
def test_mistakes_are_refused_in_one_line(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    error = refusal(capsys, monkeypatch, *arguments)
    assert re.search(message, error), error
    assert not list(tmp_path.iterdir())  # nothing half-written


def test_a_real_process_exits_with_status_2_and_one_line(tmp_path):
    result = execute("--config=dcgan_mnist.py", "--config.loss=hing", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(r"error: unknown loss 'hing'.*\n", result.stderr)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere", "ModuleNotFoundError.*nowhere"),
        ("def get_config(: pass", "SyntaxError"),
        ("def get_config(): return 3", "ConfigDict"),
        (
            "from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({'seed': 1})",
            "no field num_steps",
        ),
    ],
)
def test_config_files_that_do_not_load(text, message, capsys, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(text)
    error = refusal(capsys, monkeypatch, f"--config={tmp_path}/mine.py", f"--workdir={tmp_path}/out")
    assert re.search(message, error), error


def test_a_directory_belongs_to_one_config(finished, configs, capsys, monkeypatch):
    directory, _ = finished
    error = refusal(
        capsys,
        monkeypatch,
        f"--config={configs}/dcgan_mnist.py",
        f"--workdir={directory}",
        "--config.optimizers.critic.learning_rate=0.1",
    )
    assert re.search(
        r"belongs to a run of another config \(optimizers.critic.learning_rate was .* now 0.1\)", error
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out=x.png"], "no --workdir"),
        (["--workdir=nowhere", "--out=x.png"], "nowhere.*no run"),
        (["--workdir={finished}", "--out=x.png", "--num=0"], "--num"),
        (["--workdir={finished}", "--out=x.png", "--truncation=-1"], "--truncation"),
        (["--workdir={finished}", "--out=nowhere/x.png"], "nowhere"),
        (["--workdir={finished}", "--out=x.txt"], "x.txt"),
    ],
)
def test_sample_refuses_mistakes(arguments, message, finished, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = [argument.format(finished=finished[0]) for argument in arguments]
    assert re.search(message, refusal(capsys, monkeypatch, *arguments, module=sample))
    assert not list(tmp_path.iterdir())


def test_help(capsys):
    assert main(run, "--help") == 0
    assert "--workdir" in capsys.readouterr().out


def test_bare_names_paths_and_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.resolve("dcgan_mnist.py")[0] == ROOT / "experiments" / "configs" / "dcgan_mnist.py"
    assert cli.resolve("dcgan_mnist")[0] == ROOT / "experiments" / "configs" / "dcgan_mnist.py"
    (tmp_path / "dcgan_mnist.py").write_text(TINY.format(base="dcgan_mnist"))
    assert cli.resolve("dcgan_mnist.py")[0].resolve() == tmp_path / "dcgan_mnist.py"
    config = cli.load("dcgan_mnist.py:7")
    assert (config.values.seed, config.name) == (7, "dcgan_mnist-7")


# Signals, kills, failures


def wait_for(path, predicate, process, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.exists() and predicate(path.read_text()):
            return
        assert process.poll() is None, process.stderr.read() if process.stderr else "ended"
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written in {seconds} s")


def last_step(text):
    """The step of the last whole line of a ``metrics.jsonl`` that is being written."""
    steps = re.findall(r'^{"step": (\d+),.*}$', text, re.MULTILINE)
    return int(steps[-1]) if steps else 0


def start(configs, name, directory, *arguments):
    return subprocess.Popen(
        command(f"--config={configs}/{name}.py", f"--workdir={directory}", *arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


LONG = ("--config.num_steps=100000", "--config.checkpoint_every=100000", "--config.sample_every=100000")


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
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
    # It continues from there.
    process = start(configs, "gan_gaussians", tmp_path / "out", *LONG)
    line = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert line == f"continuing {tmp_path / 'out'} from step {step}\n"


def test_a_signal_on_the_step_of_a_checkpoint(configs, tmp_path):
    process = start(configs, "gan_gaussians", tmp_path / "out", *LONG, "--config.checkpoint_every=1")
    wait_for(tmp_path / "out" / "metrics.jsonl", lambda text: last_step(text) > 8, process)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143, stderr
    assert stderr == "stopped by SIGTERM, checkpoint saved\n"


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_training_begins(signum, status, tmp_path):
    # The config is where the run is when it loads it: it says so, and waits.
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
    assert re.fullmatch("error: .* before training began\n", stderr), stderr


@pytest.mark.parametrize("name", ["gan_gaussians", "wgan_gp_mnist"])
def test_killed_runs_end_in_the_same_bits(configs, tmp_path, name):
    steps = {"gan_gaussians": 150, "wgan_gp_mnist": 24}[name]
    # A checkpoint every step or two, so that kills fall into savings.
    options = (f"--config.num_steps={steps}", "--config.checkpoint_every=2", "--config.sample_every=1000")
    whole = execute(f"--config={configs}/{name}.py", f"--workdir={tmp_path}/whole", *options, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    rng = np.random.default_rng(sum(map(ord, name)))
    kills = 0
    stdout = ""
    while not stdout:
        process = start(configs, name, tmp_path / "killed", *options)
        if kills < 3:
            # From the first lines of a run to its middle, in the finest steps a clock allows.
            target = steps * (kills + 1) // 5
            metrics = tmp_path / "killed" / "metrics.jsonl"
            wait_for(
                metrics,
                lambda text, t=target: any(f'"step": {s},' in text for s in range(t, t + 40)),
                process,
            )
            time.sleep(rng.uniform(0, 0.2))
            process.kill()
            process.communicate()
            kills += 1
            continue
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
    result = execute(f"--config={configs}/dcgan_mnist.py", f"--workdir={directory}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(r"checkpoint .*/12 is damaged .*: skipped, kept as 12.damaged", result.stdout)
    assert "from step 8" in result.stdout
    assert result.stdout.splitlines()[-1] == finished[1].stdout.splitlines()[-1]


def test_a_loss_that_is_not_a_number_stops_the_run(configs, tmp_path):
    result = execute(
        f"--config={configs}/gan_gaussians.py",
        f"--workdir={tmp_path}/out",
        "--config.loss=least_squares",
        "--config.optimizers.critic.learning_rate=1e30",
        "--config.checkpoint_every=1",
        cwd=tmp_path,
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
    from experiments import pictures

    real = pictures.save

    def full_disk(path, image):
        if path.name == "8.png":
            raise OSError("No space left on device")
        real(path, image)

    monkeypatch.setattr(pictures, "save", full_disk)
    monkeypatch.setattr(
        sys, "argv", ["program", f"--config={configs}/gan_gaussians.py", f"--workdir={tmp_path}/out"]
    )
    with pytest.raises(SystemExit) as exit_:
        cli.call(run.main)
    assert exit_.value.code == 1
    error = capsys.readouterr().err
    assert re.search(r"step 8: OSError: No space left on device; last good checkpoint: \S+/4\n", error), (
        error
    )


def test_a_bar_on_a_terminal(configs, tmp_path):
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    process = subprocess.Popen(
        command(f"--config={configs}/gan_gaussians.py", f"--workdir={tmp_path}/out"),
        env={**environment(), "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=child,
    )
    os.close(child)
    shown = b""
    while True:
        ready, _, _ = select.select([parent], [], [], 120)
        assert ready, "nothing was shown for two minutes"
        try:
            chunk = os.read(parent, 4096)
        except OSError:  # the terminal is closed
            break
        if not chunk:
            break
        shown += chunk
    process.wait()
    assert process.returncode == 0
    text = shown.decode()
    assert "step 12/12 |" in text
    for part in ("points/s", "critic_loss", "generator_loss", "ETA"):
        assert part in text
