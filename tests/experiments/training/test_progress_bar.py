"""Tests of the time that a run's progress measures."""

from experiments.cli import config_files
from experiments.training import progress_bar


def test_start_and_compilation_are_not_timed(monkeypatch):
    clock = iter((0.0, 100.0, 102.0, 108.0, 200.0, 250.0, 253.0))
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: next(clock))
    config = config_files.load("gan_gaussians.py").values
    report = progress_bar.ProgressBar(0, config, "points", progress_bar.Timed(0, 0.0))
    report(10, {})
    assert report.timed == (0, 0.0)
    report(20, {})
    report(40, {})
    assert report.timed == (30, 8.0)
    # The first steps of a process that continues the run are not timed either.
    report = progress_bar.ProgressBar(40, config, "points", report.timed)
    report(50, {})
    assert report.timed == (30, 8.0)
    report(60, {})
    assert report.timed == (40, 11.0)
