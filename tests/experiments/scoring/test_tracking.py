"""Tests of scores during training, and of the checkpoint with the best score."""

import json
import re
import shutil

import jax
import jax.numpy as jnp
import pytest

from experiments import run
from experiments.cli import config_files
from experiments.scoring import backbones, image_sets, tracking
from experiments.training import build, restore, workdir
from jaxgan import checkpoint, data, weights
from jaxgan.errors import SetupError
from jaxgan.metrics import inception_backbone
from jaxgan.metrics.backbone import Backbone
from tests.commands import TINY, main
from tests.experiments.cli.test_refusals import refusal

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


@pytest.mark.slow
def test_a_run_that_goes_on_from_an_earlier_checkpoint_scores_the_same(config, whole, tmp_path):
    # A killed run may leave scores and a best checkpoint that are later than its last checkpoint.
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


@pytest.mark.slow
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
        if manager.directory.name == "best":  # The run is killed before the checkpoint is complete.
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


@pytest.fixture
def network(monkeypatch, tmp_path):
    """Replaces the network by the means of rows of pixels; the hash of its weights can be set."""
    weights = {"sha256": "ab" * 32}

    def open_backbone(given, data):
        def apply(images):
            features = jnp.mean(images.astype(jnp.float32), (2, 3))
            return {"features": features, "logits": features}

        return Backbone(given, weights["sha256"], "none", apply)

    monkeypatch.setattr(backbones, "open_backbone", open_backbone)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return weights


def of_images(folder, base="dcgan_mnist", **fields):
    """Writes a config of images with a score every two steps, and returns its file."""
    score = {"every": 2, "metric": "fcd", "num": 16, **fields}
    text = TINY.replace("    if argument:", "    config.score = {score}\n    if argument:")
    (folder / "images.py").write_text(text.format(base=base, score=score))
    return folder / "images.py"


@pytest.mark.slow
def test_scores_by_two_networks_never_make_one_curve(network, tmp_path, capsys, monkeypatch):
    config, directory = of_images(tmp_path), tmp_path / "run"
    arguments = (f"--config={config}", f"--workdir={directory}")
    assert main(run, *arguments, "--config.num_steps=4") == 0
    receipt = json.loads((directory / "scores_receipt.json").read_text())
    assert receipt == {
        "metric": "fcd",
        "backbone": {"name": "classifier-digits", "sha256": "ab" * 32},
        "reference": {
            "sha256": image_sets.of_source(config_files.load(str(config)).values.data).facts["sha256"]
        },
        "num": 16,
        "seed": 0,
    }
    assert "<h2>Score</h2>" in (directory / "report.html").read_text()
    # Without its receipt, the run looks as if it was killed on its last step.
    (directory / "receipt.json").unlink()
    network["sha256"] = "cd" * 32
    files = ("scores.jsonl", "scores_receipt.json", "metrics.jsonl")
    before = [(directory / name).read_bytes() for name in files]
    error = refusal(capsys, monkeypatch, *arguments, "--config.num_steps=4")
    assert re.search(r"backbone.sha256 was '(ab){32}' and is now '(cd){32}'\): remove scores.jsonl", error)
    assert [(directory / name).read_bytes() for name in files] == before
    (directory / "scores.jsonl").unlink()
    shutil.rmtree(directory / "best")
    assert main(run, *arguments, "--config.num_steps=4") == 0
    assert json.loads((directory / "scores_receipt.json").read_text())["backbone"]["sha256"] == "cd" * 32


@pytest.mark.slow
def test_a_network_may_be_given(network, tmp_path):
    file = tmp_path / "inception.safetensors"
    file.write_bytes(weights.encode({}, {"network": inception_backbone.NAME}))
    config = of_images(tmp_path, metric="fid", backbone=str(file))
    assert main(run, f"--config={config}", f"--workdir={tmp_path}/run", "--config.num_steps=2") == 0
    (line,) = lines(tmp_path / "run")
    assert line["fid"] > 0
    receipt = json.loads((tmp_path / "run" / "scores_receipt.json").read_text())
    assert (receipt["metric"], receipt["backbone"]["name"]) == ("fid", str(file))


@pytest.mark.parametrize(
    ("start", "kept", "refused"), [(4, None, True), (0, None, False), (0, "2", True), (0, "tmp", False)]
)
def test_only_what_is_kept_must_compare(start, kept, refused, tmp_path):
    (tmp_path / "scores.jsonl").write_text('{"step": 2, "fcd": 1.0}\n')
    if kept:
        (tmp_path / "best" / kept).mkdir(parents=True)
    receipt = {"backbone": {"name": "classifier-digits"}}
    if refused:
        with pytest.raises(SetupError, match=r"backbone.name was 'absent' and is now 'classifier-digits'"):
            tracking.check_receipt(tmp_path, receipt, start)
    else:
        tracking.check_receipt(tmp_path, receipt, start)
    workdir.write_json(tmp_path / "scores_receipt.json", receipt)
    tracking.check_receipt(tmp_path, receipt, start)


def test_more_is_better_for_some(config, tmp_path):
    scores = iter([1.0, 3.0, float("nan"), 2.0, 3.0])
    values = config_files.load(str(config)).values.copy_and_resolve_references()
    values.score.metric = "modes"
    gan, source = build.build(values), data.open_source(**values.data)
    made = tracking.make_score(values, gan, source)
    tracked = tracking.Progress(values, made._replace(of=lambda state: next(scores)), tmp_path, 0)
    improved = [tracked.improves(next(scores)) for _ in range(5)]
    tracked.close()
    assert improved == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("base", "score", "message"),
    [
        ("gan_gaussians", {"every": 0, "metric": "w1"}, "score.every is 0"),
        ("gan_gaussians", {"every": 2}, "no field score.metric"),
        ("gan_gaussians", {"every": "x", "metric": "w1"}, "score.every is 'x': give a whole number"),
        ("gan_gaussians", {"every": 2.5, "metric": "w1"}, "score.every is 2.5: give a whole number"),
        (
            "gan_gaussians",
            {"every": 2, "metric": ["w1"]},
            r"score.metric is \['w1'\]: give a name",
        ),
        (
            "dcgan_mnist",
            {"every": 2, "metric": "fcd", "num": ()},
            r"score.num is \(\): give a whole number",
        ),
        ("gan_gaussians", {"every": 2, "metric": "w2"}, "unknown score.metric 'w2': did you mean 'w1'"),
        ("gan_gaussians", {"every": 2, "metric": "w1", "num": 5}, "unknown score field 'num'"),
        ("dcgan_mnist", {"every": 2, "metric": "w1", "num": 5}, "unknown score.metric 'w1'.*fcd"),
        ("dcgan_mnist", {"every": 2, "metric": "fcd", "num": 1}, "score.num is 1"),
        (
            "dcgan_celeba",
            {"every": 2, "metric": "fcd", "num": 50},
            "no field score.backbone, .* no network of its own for tfds/celeb_a: give a file of Inception",
        ),
        (
            "dcgan_mnist",
            {"every": 2, "metric": "fid", "num": 50},
            "score.metric fid is not made with classifier-digits: give fcd, or another score.backbone",
        ),
        (
            "dcgan_celeba",
            {"every": 2, "metric": "fcd", "num": 50, "backbone": "bad.py"},
            "score.backbone: bad.py is no file of a network's weights, or is damaged: .*; give a file",
        ),
        (
            "dcgan_celeba",
            {"every": 2, "metric": "fid", "num": 50, "backbone": "nowhere.safetensors"},
            "score.backbone: there is no file nowhere.safetensors",
        ),
        (
            "dcgan_celeba",
            {"every": 2, "metric": "fcd", "num": 50, "backbone": "classifier-digits"},
            "the images are 64×64×3, classifier-digits takes 28×28×1 or squares of another size: give fid",
        ),
        (
            "dcgan_mnist",
            {"every": 2, "metric": "fcd", "num": 50, "backbone": "classifier-digit"},
            "unknown score.backbone 'classifier-digit': did you mean 'classifier-digits'",
        ),
        (
            "dcgan_mnist",
            {"every": 2, "metric": "fcd", "num": 50, "backbone": 3},
            "score.backbone is 3: give a file or classifier-DATASET",
        ),
        (
            "gan_gaussians",
            {"every": 2, "metric": "w1", "backbone": "classifier-digits"},
            "unknown score field 'backbone'",
        ),
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


@pytest.mark.parametrize("part", [False, True])
def test_modes_of_a_problem_without(part):
    values = config_files.load("gan_gaussians.py").values.copy_and_resolve_references()
    with values.unlocked():
        roll = {"name": "swiss_roll", "path": ""}
        values.data = {"name": "zipped", "real": roll, "other": {"name": "ring"}} if part else roll
        values.score = {"every": 2, "metric": "modes"}
    with pytest.raises(SetupError, match="swiss_roll has no modes; give w1"):
        tracking.check(values)


def test_points_of_the_part_called_real_are_scored():
    values = config_files.load("gan_gaussians.py").values.copy_and_resolve_references()
    scores = {}
    for name, section in {
        "alone": {"name": "ring", "std": 0.1},
        "zipped": {"name": "zipped", "real": {"name": "ring", "std": 0.1}, "other": {"name": "grid"}},
    }.items():
        with values.unlocked():
            values.data = section
            values.score = {"every": 2, "metric": "w1"}
        tracking.check(values)
        gan, source = build.build(values), data.open_source(**values.data)
        state = gan.init(jax.random.key(0), source.spec.zeros(1, 1))
        scores[name] = tracking.make_score(values, gan, source).of(state)
    assert scores["zipped"] == scores["alone"] > 0
