"""Tests that files are never left partially written, and that system errors are reported in one line."""

import errno
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import run
from experiments.cli import exits, interrupts
from experiments.pages import page
from experiments.training import sweep_results, workdir
from jaxgan.metrics import inception_backbone
from jaxgan.models import inception_layers
from tests.experiments.cli.test_refusals import refusal


def write_inception(path):
    state = {name: np.zeros(shape, np.float32) for name, shape in inception_layers.shapes().items()}
    inception_backbone.save(path, state, source_sha256="0" * 64)


RUN = sweep_results.Run({"loss": "hinge"}, 0, 0, {"fid": [1.0]}, [1], np.zeros((1, 2)))
WRITERS = {
    "json": lambda path: workdir.write_json(path, {"a": 1}),
    "page": lambda path: page.write(path, "base.html", title="title"),
    "picture": lambda path: workdir.write_png(path, np.zeros((2, 2, 3), np.uint8)),
    "table": lambda path: sweep_results.write_csv(path, [RUN]),
    "trimmed": lambda path: workdir.trim_metrics(path, 1),
    "inception": write_inception,
}


@pytest.mark.parametrize("name", WRITERS)
def test_another_process_may_be_writing_the_same_file(name, tmp_path):
    path = tmp_path / "file"
    path.write_text('{"step": 1}\n{"step": 2}\n')
    other = tmp_path / ".file.partial"  # a folder, so that no file of this name can be written
    other.mkdir()
    WRITERS[name](path)
    assert sorted(tmp_path.iterdir()) == [other, path]
    assert path.read_text(errors="replace") != '{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize("name", WRITERS)
def test_a_failed_write_leaves_no_file_behind(name, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text('{"step": 1}\n{"step": 2}\n')

    def full_disk(self, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        WRITERS[name](path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_workdir_that_cannot_be_made_is_refused(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    error = refusal(capsys, monkeypatch, "--config=gan_gaussians.py", f"--workdir={tmp_path}/file/run")
    assert f"Not a directory: '{tmp_path}/file/run'" in error


@pytest.mark.parametrize(
    ("number", "status"), [(errno.EACCES, 2), (errno.EROFS, 2), (errno.ENOSPC, 1), (errno.EIO, 1)]
)
def test_system_errors_are_reported_in_one_line(number, status, tmp_path, capsys, monkeypatch):
    def failing(self, content):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "write_bytes", failing)
    arguments = ("--config=gan_gaussians.py", "--config.num_steps=1", f"--workdir={tmp_path}/run")
    monkeypatch.setattr(sys, "argv", ["run", *arguments])
    with pytest.raises(SystemExit) as exit_:
        exits.call(run.main)
    assert exit_.value.code == status
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{os.strerror(number)}: '{tmp_path}/run/.config.json." in error
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_a_signal_stopped_has_a_status_of_its_own(signum, capsys):
    def stopped(argv):
        raise interrupts.Stopped(signum, saved="3 of 4 answers saved")

    with pytest.raises(SystemExit) as exit_:
        exits.call(stopped)
    assert exit_.value.code == {signal.SIGINT: 130, signal.SIGTERM: 143}[signum]
    assert capsys.readouterr().err == f"stopped by {signum.name}, 3 of 4 answers saved\n"
