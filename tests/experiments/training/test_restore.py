"""Restoring checkpoints of a run: damaged ones, all in turn, and those of other versions."""

import re
import shutil

import pytest

from experiments import evaluate, rate, report, run, sample, sweep
from experiments.training import restore, workdir
from jaxgan import checkpoint
from jaxgan.errors import SetupError
from tests.experiments.cli.test_refusals import refusal


def damage(directory, *steps):
    for step in steps:
        for file in (directory / "checkpoints" / str(step) / "state").rglob("*"):
            if file.is_file():
                file.write_bytes(b"")


def restored_steps(directory):
    return [int(run.state.step) for run in restore.restore_each(directory)]


@pytest.mark.parametrize(
    ("damaged", "whole"),
    [((), [4, 8, 12]), ((4,), [8, 12]), ((4, 8), [12]), ((8,), [4, 12]), ((12,), [4, 8])],
)
def test_damaged_checkpoints_are_reported_and_skipped(damaged, whole, finished, tmp_path, capsys):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    damage(directory, *damaged)
    assert restored_steps(directory) == whole
    reported = re.findall(
        r"^checkpoint .*/(\d+) is damaged.*: skipped$", capsys.readouterr().out, re.MULTILINE
    )
    assert tuple(map(int, reported)) == damaged


def test_if_no_checkpoint_can_be_read_the_reasons_are_given(finished, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    damage(directory, 4, 8, 12)
    with pytest.raises(SetupError, match=r"no checkpoint in .* can be read \(12: .*; 8: .*; 4: "):
        restored_steps(directory)
    shutil.rmtree(directory / "checkpoints")
    (directory / "checkpoints").mkdir()
    with pytest.raises(SetupError, match="has no checkpoint yet"):
        restored_steps(directory)


def test_checkpoints_in_turn_are_the_same_as_alone(finished):
    first, *_, last = restore.restore_each(finished[0], raw=True)
    assert first.state_sha256 != last.state_sha256 == restore.restore(finished[0]).state_sha256
    assert last.state.generator.ema_params is last.state.generator.params


def test_raw_weights_are_those_of_both_players(finished):
    run = restore.restore(finished[0])
    averaged = run.state.replace(critic=run.state.generator)  # a critic that keeps averages
    restored = checkpoint.Restored(averaged, {}, run.state_sha256)
    stages = [restore._BuiltStage(12, run.config, run.gan, run.state)]
    for raw in (False, True):
        state = restore._run_of(stages, restored, raw).state
        for player in (state.generator, state.critic):
            assert (player.ema_params is player.params) == raw


def folder_of_an_earlier_version(directory, kind="run"):
    """Makes a work directory of an earlier version: a config without a system, a checkpoint of format 1."""
    config = {"num_steps": 4, "loss": "hinge", "data": {"name": "ring", "path": ""}}
    point = {"labels": {"config": "gan_gaussians"}, "config": config}
    directory.mkdir()
    workdir.write_json(
        directory / "config.json", config if kind == "run" else {"seeds": 2, "points": {"0": point}}
    )
    (directory / "metrics.jsonl").write_text('{"step": 4, "critic_loss": 1.0, "generator_loss": 1.0}\n')
    (directory / "checkpoints" / "4" / "meta").mkdir(parents=True)
    workdir.write_json(directory / "checkpoints" / "4" / "meta" / "metadata", {"format": 1})
    return directory


@pytest.mark.parametrize("module", [run, sample, evaluate, report, rate, sweep])
def test_a_folder_of_an_earlier_version_is_refused(module, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = module.__name__.rpartition(".")[2]
    directory = folder_of_an_earlier_version(tmp_path / "old", "sweep" if module is sweep else "run")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    given = ["--config=gan_gaussians.py"] if name in ("run", "sweep") else []
    error = refusal(capsys, monkeypatch, *given, f"--workdir={directory}", module=module)
    assert re.search(
        r"old was written by another version of jaxgan \(its config has no section gan\)", error
    )
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_checkpoint_of_another_format_is_refused_and_kept(finished, tmp_path, monkeypatch, capsys):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    for meta in (directory / "checkpoints").glob("*/meta/metadata"):
        text = meta.read_text()
        assert f'"format": {checkpoint.FORMAT}' in text
        meta.write_text(text.replace(f'"format": {checkpoint.FORMAT}', '"format": 1'))
    error = refusal(capsys, monkeypatch, f"--workdir={directory}", module=sample)
    assert re.search(r"checkpoints/12 has format 1, this version of jaxgan reads format 2", error)
    assert sorted(path.name for path in (directory / "checkpoints").iterdir()) == ["12", "4", "8"]
