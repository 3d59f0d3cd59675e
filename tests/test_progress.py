"""A score while training, and the checkpoint of the best."""

import json
import shutil

import pytest

from experiments import cli, progress, restore, run
from jaxgan import checkpoint
from jaxgan.errors import SetupError
from tests.commands import TINY, main

SCORED = TINY.replace(
    "    if argument:", '    config.score = {{"every": 2, "metric": "w1"}}\n    if argument:'
)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("scored") / "scored.py"
    path.write_text(SCORED.format(base="gan_gaussians"))
    return path


@pytest.fixture(scope="module")
def whole(config):
    directory = config.parent / "whole"
    assert main(run, f"--config={config}", f"--workdir={directory}") == 0
    return directory


def lines(directory):
    return [json.loads(line) for line in (directory / "scores.jsonl").read_text().splitlines()]


def best(directory):
    with checkpoint.open_manager(directory / "best", read_only=True) as manager:
        return sorted(manager.all_steps())


def test_scores_are_written_and_the_best_is_kept(whole):
    found = lines(whole)
    assert [line["step"] for line in found] == [2, 4, 6, 8, 10, 12]
    assert best(whole) == [min(found, key=lambda line: line["w1"])["step"]]
    assert "<h2>Score</h2>" in (whole / "report.html").read_text()


def test_the_best_can_be_restored(whole):
    (step,) = best(whole)
    assert int(restore.restore(whole, best=True).state.step) == step
    assert int(restore.restore(whole).state.step) == 12


def test_a_run_that_goes_on_from_an_earlier_checkpoint_scores_the_same(config, whole, tmp_path):
    # As after a kill: scores and a best checkpoint from beyond the last checkpoint are there.
    directory = shutil.copytree(whole, tmp_path / "killed")
    for folder in (directory / "checkpoints").iterdir():
        if folder.name in ("8", "12"):
            shutil.rmtree(folder)
    (directory / "receipt.json").unlink()
    assert main(run, f"--config={config}", f"--workdir={directory}") == 0
    assert lines(directory) == lines(whole)
    assert best(directory) == best(whole)
    assert (
        json.loads((directory / "receipt.json").read_text())["state_sha256"]
        == (json.loads((whole / "receipt.json").read_text())["state_sha256"])
    )


def test_a_kill_before_the_best_is_kept_is_made_good(config, whole, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    directory = tmp_path / "killed"
    (kept,) = best(whole)
    save = checkpoint.save

    def killed():
        raise Killed

    def save_slowly(manager, state, info):
        if int(state.step) != kept:
            return save(manager, state, info)
        if manager.directory.name == "best":  # its writing in the background comes to no end
            monkeypatch.setattr(manager, "wait_until_finished", killed)
            return ""
        save(manager, state, info)
        manager.wait_until_finished()
        raise Killed

    monkeypatch.setattr(checkpoint, "save", save_slowly)
    every = "--config.checkpoint_every=1"
    with pytest.raises(Killed):
        main(run, f"--config={config}", f"--workdir={directory}", every)
    monkeypatch.undo()
    assert main(run, f"--config={config}", f"--workdir={directory}", every) == 0
    assert lines(directory) == lines(whole)
    assert best(directory) == best(whole)


def test_more_is_better_for_some(config, tmp_path):
    scores = iter([1.0, 3.0, float("nan"), 2.0, 3.0])
    values = cli.load(str(config)).values.copy_and_resolve_references()
    values.score.metric = "modes"
    tracked = progress.Progress(values, lambda state: next(scores), tmp_path, 0)
    improved = [tracked.improves(next(scores)) for _ in range(5)]
    tracked.close()
    assert improved == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("base", "score", "message"),
    [
        ("gan_gaussians", {"every": 0, "metric": "w1"}, "score.every is 0"),
        ("gan_gaussians", {"every": 2}, "no field score.metric"),
        ("gan_gaussians", {"every": 2, "metric": "w2"}, "unknown score.metric 'w2': did you mean 'w1'"),
        ("gan_gaussians", {"every": 2, "metric": "w1", "num": 5}, "unknown score field 'num'"),
        ("dcgan_mnist", {"every": 2, "metric": "w1", "num": 5}, "unknown score.metric 'w1'.*fcd"),
        ("dcgan_mnist", {"every": 2, "metric": "fcd", "num": 1}, "score.num is 1"),
        ("dcgan_celeba", {"every": 2, "metric": "fcd", "num": 50}, "no --backbone given"),
    ],
)
def test_what_cannot_be_scored(base, score, message, tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text(
        f"from experiments.configs import {base}\n\ndef get_config():\n    config = {base}.get_config()\n"
        f"    config.score = {score}\n    return config\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=message):
        main(run, "--config=bad.py")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.py"]


def test_modes_of_a_problem_without(tmp_path):
    values = cli.load("gan_gaussians.py").values.copy_and_resolve_references()
    with values.unlocked():
        values.data.name = "swiss_roll"
        values.score = {"every": 2, "metric": "modes"}
    with pytest.raises(SetupError, match="swiss_roll has no modes; give w1"):
        progress.check(values)
