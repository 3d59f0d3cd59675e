"""A run's checkpoints, one after another, for scores of all of them."""

import re
import shutil

import pytest

from experiments import restore
from jaxgan.errors import SetupError


def damage(directory, *steps):
    for step in steps:
        for file in (directory / "checkpoints" / str(step) / "state").rglob("*"):
            if file.is_file():
                file.write_bytes(b"")


def found(directory):
    return [int(run.state.step) for run in restore.restore_each(directory)]


@pytest.mark.parametrize(
    ("damaged", "whole"),
    [((), [4, 8, 12]), ((4,), [8, 12]), ((4, 8), [12]), ((8,), [4, 12]), ((12,), [4, 8])],
)
def test_damaged_ones_are_said_and_skipped(damaged, whole, finished, tmp_path, capsys):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    damage(directory, *damaged)
    assert found(directory) == whole
    said = re.findall(r"^checkpoint .*/(\d+) is damaged.*: skipped$", capsys.readouterr().out, re.MULTILINE)
    assert tuple(map(int, said)) == damaged


def test_where_none_is_whole_the_reasons_are_given(finished, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    damage(directory, 4, 8, 12)
    with pytest.raises(SetupError, match=r"no checkpoint in .* can be read \(12: .*; 8: .*; 4: "):
        found(directory)
    shutil.rmtree(directory / "checkpoints")
    (directory / "checkpoints").mkdir()
    with pytest.raises(SetupError, match="has no checkpoint yet"):
        found(directory)


def test_each_is_as_it_is_restored_alone(finished):
    first, *_, last = restore.restore_each(finished[0], raw=True)
    assert first.state_sha256 != last.state_sha256 == restore.restore(finished[0]).state_sha256
    assert last.state.generator.ema_params is last.state.generator.params
