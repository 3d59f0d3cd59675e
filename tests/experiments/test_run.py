"""Tests of the files and the output of a run, and of samples from it."""

import fcntl
import functools
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import run, sample
from experiments.training import restore, workdir
from tests.commands import command, environment, execute, main


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
    # The first 4 of the 12 steps include the compilation.
    assert 0 < 8 * receipt["seconds_per_step"] < receipt["wall_time_seconds"]
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


def test_progress_is_plain_lines_without_a_terminal(finished):
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dcgan_mnist", "wgan_gp_mnist"])
def test_a_run_under_pmap_is_the_one_under_jit_and_resumes_exactly(name, configs, tmp_path):
    assert jax.device_count() == 8
    arguments = [f"--config={configs}/{name}.py", "--config.num_steps=8"]
    for how in ("jit", "pmap"):
        given = (*arguments, f"--config.parallel={how}", f"--workdir={tmp_path}/{how}")
        assert main(run, *given) == 0
    found, expected = (workdir.read_lines(tmp_path / how / "metrics.jsonl") for how in ("pmap", "jit"))
    for line, known in zip(found, expected, strict=True):
        assert line.keys() == known.keys()
        np.testing.assert_allclose(list(line.values()), list(known.values()), rtol=2e-4, atol=2e-5)
    ours, theirs = (restore.restore(tmp_path / how).state for how in ("pmap", "jit"))
    for player in ("generator", "critic"):
        close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4, err_msg=player)
        jax.tree.map(close, getattr(ours, player).params, getattr(theirs, player).params)

    # The folder now looks as it would after a kill between steps 4 and 8.
    killed = shutil.copytree(tmp_path / "pmap", tmp_path / "killed")
    (killed / "receipt.json").unlink()
    shutil.rmtree(killed / "checkpoints" / "8")
    assert main(run, *arguments, "--config.parallel=pmap", f"--workdir={killed}") == 0
    hashes = [workdir.read_json(x / "receipt.json")["state_sha256"] for x in (killed, tmp_path / "pmap")]
    assert hashes[0] == hashes[1]
    for path in ("metrics.jsonl", "samples/8.png"):
        assert (killed / path).read_bytes() == (tmp_path / "pmap" / path).read_bytes()


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

    def tiles(grid):
        return np.stack([grid[2:58, 58 * i + 2 : 58 * i + 58] for i in range(3)])

    assert tiles(out["truncated"]).std(0).mean() < 0.5 * tiles(out["plain"]).std(0).mean()


def test_grid_shows_what_is_saved():
    from experiments.pages.pictures import grid

    images = np.linspace(-1, 1, 5 * 64 * 64).reshape(5, 64, 64, 1)
    sheet = grid(images)
    assert sheet.shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    np.testing.assert_array_equal(sheet[2:66, 68:132, 0], np.rint((images[1, ..., 0] + 1) * 127.5))


@pytest.mark.slow
def test_progress_is_a_bar_on_a_terminal(configs, tmp_path):
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
        except OSError:  # the process has closed the terminal
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
