"""Tests that a system in a file outside the package, written as CONTRIBUTING says, has all features."""

import json
import os
import re
import signal

import numpy as np
import pytest

from experiments import evaluate, run, sample, sweep
from experiments.training import progress_bar
from jaxgan import gans
from jaxgan.errors import SetupError
from tests.commands import ROOT, main

CONFIG = """
from ml_collections import ConfigDict

def get_config():
    adam = {"name": "adam", "learning_rate": 1e-3, "b1": 0.5}
    return ConfigDict({
        "num_steps": 8, "batch_size": 8, "seed": 0, "n_critic": 1, "dtype": "float32", "ema_decay": 0.9,
        "log_every": 2, "sample_every": 4, "checkpoint_every": 2,
        "data": {"name": "digits", "path": "", "size": 8, "channels": 1, "split": "train"},
        "latent": {"prior": "normal", "dim": 4},
        "gan": {"name": "margin", "margin": 1.5},
        "models": {
            "generator": {"family": "mlp", "hidden": (8,)},
            "critic": {"family": "mlp", "hidden": (8,)},
        },
        "optimizers": {"generator": dict(adam), "critic": dict(adam)},
    })

def sweep(add):
    for margin in (0.5, 1.5):
        add({"gan.margin": margin}, margin=f"m{margin}")
"""


def recipe():
    """Returns the code of the example system in CONTRIBUTING."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    return next(block for block in blocks if 'SYSTEMS["margin"]' in block)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mine")
    (folder / "margin.py").write_text(recipe())
    (folder / "digits.py").write_text(CONFIG)
    yield folder
    gans.SYSTEMS.pop("margin", None)


@pytest.fixture(scope="module")
def whole(files):
    arguments = (f"--config={files}/digits.py", f"--systems={files}/margin.py")
    assert main(run, *arguments, f"--workdir={files}/whole") == 0
    return files / "whole"


def receipt(directory):
    return json.loads((directory / "receipt.json").read_text())


def test_it_trains_and_its_metrics_are_logged(whole):
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    assert {"critic_loss", "generator_loss", "real_logits"} <= set(lines[0])


def test_it_resumes_exactly(whole, files, monkeypatch):
    report = progress_bar.ProgressBar.__call__

    def stopping(self, step, metrics):
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return report(self, step, metrics)

    monkeypatch.setattr(progress_bar.ProgressBar, "__call__", stopping)
    arguments = (
        f"--config={files}/digits.py",
        f"--systems={files}/margin.py",
        f"--workdir={files}/stopped",
    )
    assert main(run, *arguments) == 128 + signal.SIGTERM
    monkeypatch.undo()
    assert main(run, *arguments) == 0
    assert receipt(files / "stopped")["state_sha256"] == receipt(whole)["state_sha256"]


def test_it_is_sampled_and_measured_on_data_of_its_own(whole, files, tmp_path):
    system = f"--systems={files}/margin.py"
    assert main(sample, f"--workdir={whole}", system, "--num=4", f"--out={tmp_path}/grid.png") == 0
    arguments = (f"--workdir={whole}", system, "--metrics=margin_kept", "--data.split=test")
    assert main(evaluate, *arguments) == 0
    (result,) = json.loads((whole / "scores.json").read_text())
    assert 0 <= result["scores"]["margin_kept"] <= 1
    assert result["receipt"]["measured_on"]["count"] == 1000
    assert "share of real samples" in result["receipt"]["metrics"]["margin_kept"]["is"]


@pytest.mark.slow
def test_it_is_swept_over_seeds_and_its_hyper_parameter_in_one_program(files, capsys):
    arguments = (
        f"--config={files}/digits.py",
        f"--systems={files}/margin.py",
        f"--workdir={files}/sweep",
        "--seeds=2",
    )
    assert main(sweep, *arguments) == 0
    assert "2 points, 2 seeds: 4 runs in 1 programs" in capsys.readouterr().out
    lines = (files / "sweep" / "results.csv").read_text().splitlines()
    assert len(lines) == 5
    assert "margin_kept" in lines[0]


def test_its_mistakes_are_named_like_those_of_ours(files, whole):
    arguments = (f"--config={files}/digits.py", f"--systems={files}/margin.py")
    with pytest.raises(SetupError, match=r"config field gan.margin is -1.0: give a positive number"):
        main(run, *arguments, "--config.gan.margin=-1.0")
    with pytest.raises(SetupError, match=r"--systems nowhere.py: there is no such file"):
        main(run, f"--config={files}/digits.py", "--systems=nowhere.py")
    gans.SYSTEMS.pop("margin")
    with pytest.raises(SetupError, match=r"unknown gan.name 'margin'.*--systems=FILE.py"):
        main(sample, f"--workdir={whole}")
