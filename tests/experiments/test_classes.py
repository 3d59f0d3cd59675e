"""Tests of the commands on runs with labels and with codes: samples, pictures and scores by class."""

import base64
import io
import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from experiments import evaluate, sample, sweep
from experiments import run as train
from experiments.cli import exits
from experiments.pages import pictures
from experiments.scoring import backbones, member_scores, receipts
from experiments.training import restore
from jaxgan import data
from jaxgan.metrics.backbone import Backbone
from tests.commands import main

# The tests share two runs, which one worker makes.
pytestmark = pytest.mark.xdist_group("classes")

SMALL = """
from experiments.configs import {base}

def get_config():
    config = {base}.get_config()
    config.num_steps = config.log_every = config.sample_every = config.checkpoint_every = 2
    config.batch_size = 8
    config.models.generator.width = config.models.critic.width = 4
    {more}
    return config
"""
CODED = """
import flax.linen as nn
import jax.numpy as jnp

from jaxgan import gans
from jaxgan.gans.adversarial import adversarial


def coded(generator: nn.Module, critic: nn.Module, *, loss, generator_tx, critic_tx, prior):
    gan = adversarial(
        generator, critic, loss=loss, generator_tx=generator_tx, critic_tx=critic_tx, prior=prior
    )

    def sample(state, key, conditions):
        codes = conditions.get("codes", conditions["row"] % 3)
        return jnp.clip(gan.sample(state, key, conditions) + 0.1 * codes[:, None, None, None], -1, 1)

    return gan._replace(sample=sample, options={"codes": 3})


gans.SYSTEMS["coded"] = coded
"""


def trained(folder, base, *flags, more="pass"):
    (folder / "config.py").write_text(SMALL.format(base=base, more=more))
    assert main(train, f"--config={folder}/config.py", f"--workdir={folder}/run", *flags) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    # A large rate tells the classes apart within two steps.
    more = "config.optimizers.generator.learning_rate = 0.1; config.batch_size = 32"
    return trained(tmp_path_factory.mktemp("labelled"), "projection_mnist", more=more)


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coded")
    (folder / "coded.py").write_text(CODED)
    flag = f"--systems={folder}/coded.py"
    more = 'config.gan = {"name": "coded", "loss": "hinge"}; config.penalties = {}'
    return trained(folder, "dcgan_mnist", flag, more=more), flag


def drawn(directory, labels, rows, key=None):
    """Draws samples of given labels without the code of the command."""
    run = restore.restore(directory)
    conditions = {"row": jnp.asarray(rows), "labels": jnp.asarray(labels)}
    return np.asarray(
        jax.jit(run.gan.sample)(run.state, jax.random.key(0) if key is None else key, conditions)
    )


def test_samples_of_sweeps_are_by_class(labelled):
    run = restore.restore(labelled)
    config = ConfigDict(run.config)
    config.data.seed = 5
    members = jax.tree.map(lambda *x: jnp.stack(x), run.state, run.state)
    source = data.open_source(**run.config.data)
    samples = member_scores.draw(run.gan, source, config)(members)
    labels, rows = np.repeat(np.arange(10), 8), np.tile(np.arange(8), 10)
    key = jax.random.fold_in(jax.random.key(5), member_scores.SAMPLE_KEY)
    expected = drawn(labelled, labels, rows, key)
    np.testing.assert_allclose(samples, [expected] * 2, atol=1e-4)


@pytest.mark.slow
def test_a_sweep_names_the_classes_of_its_samples(tmp_path):
    (tmp_path / "config.py").write_text(SMALL.format(base="projection_mnist", more="pass"))
    assert main(sweep, f"--config={tmp_path}/config.py", "--seeds=2", f"--workdir={tmp_path}/run") == 0
    done = json.loads((tmp_path / "run" / "groups" / "0" / "done.json").read_text())
    assert done["class_names"] == [str(k) for k in range(10)]
    encoded = re.findall(
        r'src="data:image/png;base64,([^"]+)"', (tmp_path / "run" / "report.html").read_text()
    )
    sizes = {Image.open(io.BytesIO(base64.b64decode(picture))).size[::-1] for picture in encoded}
    assert pictures.named_rows(np.zeros((80, 28, 28, 1)), done["class_names"]).shape[:2] in sizes


@pytest.mark.parametrize(
    ("given", "labels", "each"), [("7", [7], 6), ("0,9", [0, 9], 3), ("all", list(range(10)), 2)]
)
def test_samples_have_the_labels_of_their_rows(given, labels, each, labelled, tmp_path, capsys):
    num = len(labels) * each + len(labels) - 1  # The last few are left out.
    out = tmp_path / "grid.png"
    assert main(sample, f"--workdir={labelled}", f"--labels={given}", f"--num={num}", f"--out={out}") == 0
    assert f"{len(labels) * each} samples of step 2, " in capsys.readouterr().out
    rows = np.tile(np.arange(each), len(labels))
    names = [str(label) for label in labels]
    expected = pictures.named_rows(drawn(labelled, np.repeat(labels, each), rows), names)
    np.testing.assert_allclose(np.asarray(Image.open(out), int), expected, atol=1)
    others = pictures.named_rows(drawn(labelled, np.repeat(labels, each) ^ 1, rows), names)
    assert (np.abs(others.astype(int) - expected) > 1).any()


def test_pictures_of_training_have_a_row_for_each_class(labelled):
    sheet = np.asarray(Image.open(labelled / "samples" / "2.png"))
    samples = np.zeros((80, 28, 28, 1))
    assert sheet.shape == pictures.named_rows(samples, [str(k) for k in range(10)]).shape


def test_codes_of_a_system_that_has_some(coded, tmp_path):
    directory, system = coded
    out = tmp_path / "grid.png"
    assert main(sample, f"--workdir={directory}", "--codes=all", "--num=9", f"--out={out}", system) == 0
    sheet = np.asarray(Image.open(out))[:, -3 * 58 - 2 :].astype(int)
    # A code adds 0.1, which is 12.75 of 255 steps, to every pixel that is not clipped.
    tops = [sheet[60 * k + 2 : 60 * k + 58, 2:58] for k in range(3)]
    for k in (1, 2):
        inside = (tops[k] < 255) & (tops[0] > 0)
        assert abs((tops[k] - tops[0])[inside] - 12.75 * k).max() <= 2
    picture = np.asarray(Image.open(directory / "samples" / "2.png"))
    assert picture.shape == pictures.named_rows(np.zeros((24, 28, 28, 1)), ["code 0"] * 3).shape


def refusal(capsys, monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        exits.call(module.main)
    error = capsys.readouterr().err
    assert exit_.value.code == 2, error
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels=0,10"], "--labels has 10: give 0 to 9, or all"),
        (["--labels=one"], "--labels is 'one': give numbers, such as 0 or 0,1, or all"),
        (["--labels=all", "--num=9"], "--num is 9: give at least 10"),
        (["--codes=0"], "--codes=0: the system of this run takes no codes"),
        (["--codes=0", "--labels=0"], "give --labels or --codes"),
    ],
)
def test_sample_refuses_labels(arguments, message, labelled, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(restore, "restore", lambda *_, **__: pytest.fail("a checkpoint was read"))
    out = tmp_path / "grid.png"
    error = refusal(capsys, monkeypatch, sample, f"--workdir={labelled}", f"--out={out}", *arguments)
    assert message in error
    assert not out.exists()


def test_sample_refuses_labels_of_a_run_without_any(coded, capsys, monkeypatch, tmp_path):
    directory, system = coded
    flags = (f"--workdir={directory}", f"--out={tmp_path}/grid.png", system)
    error = refusal(capsys, monkeypatch, sample, *flags, "--labels=3")
    assert "--labels=3: the system of this run takes no labels, leave it out" in error
    assert "--codes has 3: give 0 to 2, or all" in refusal(capsys, monkeypatch, sample, *flags, "--codes=3")


POINTS = 'config.gan = {"name": "conditional", "loss": "hinge"}'
FOLDER = 'config.data = {"name": "folder", "path": "", "size": 28, "channels": 1}'


@pytest.mark.parametrize(
    ("base", "more", "message"),
    [
        ("gan_gaussians", POINTS, "gan.name conditional needs labels, data.name ring has none: give data"),
        ("projection_mnist", FOLDER, "needs labels, and the sub-folders of data.name folder are not known"),
        (
            "projection_mnist",
            'config.data.label_distribution = "even"',
            "unknown data.label_distribution 'even': .*valid: data, uniform",
        ),
    ],
)
def test_a_run_with_labels_needs_data_with_labels(base, more, message, capsys, monkeypatch, tmp_path):
    text = SMALL.format(base=base, more=more)
    if base == "gan_gaussians":
        text = text.replace("config.models.generator.width = config.models.critic.width = 4", "")
    (tmp_path / "config.py").write_text(text)
    flags = (f"--config={tmp_path}/config.py", f"--workdir={tmp_path}/run")
    assert re.search(message, refusal(capsys, monkeypatch, train, *flags))
    assert not (tmp_path / "run").exists()


@pytest.fixture
def network(monkeypatch, tmp_path):
    """Replaces the classifier by a random projection of the pixels."""
    weights = np.random.default_rng(0).normal(size=(28 * 28, 10)).astype(np.float32) / 28

    def apply(images):
        features = (images.astype(jnp.float32) / 255).reshape(len(images), -1) @ weights
        return {"features": features, "logits": features}

    monkeypatch.setattr(backbones, "open_backbone", lambda *_: Backbone("tiny", "ab" * 32, "none", apply))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return weights


def test_accuracies_by_class(labelled, network, tmp_path, capsys):
    out = tmp_path / "scores.json"
    flags = (f"--workdir={labelled}", "--num=300", f"--out={out}")
    assert main(evaluate, *flags) == 0
    assert main(evaluate, *flags, "--metrics=class_fcd,class_accuracy") == 0
    (result,) = json.loads(out.read_text())
    # The labels of the samples are those that the data's conditions ask for.
    run = restore.restore(labelled)
    asked = restore.run_sampler(run)
    labels = np.asarray(asked.labels(jax.random.key(0), jnp.arange(300)))
    images = data.to_uint8(drawn(labelled, labels, np.arange(300)))
    right = np.argmax((images / 255).reshape(300, -1) @ network, 1) == labels
    assert result["scores"]["class_accuracy"] == pytest.approx(right.mean(), abs=1e-2)
    by_class = result["by_class"]["class_accuracy"]
    assert list(by_class) == [str(k) for k in range(10)]
    for k in range(10):
        assert by_class[str(k)] == pytest.approx(right[labels == k].mean(), abs=0.05)
    counts = np.bincount(labels, minlength=10)
    overall = np.dot([by_class[str(k)] for k in range(10)], counts) / 300
    assert result["scores"]["class_accuracy"] == pytest.approx(overall)
    assert result["scores"]["class_fcd"] > 0
    assert result["receipt"]["generated"]["labels"] == "uniform over the classes"
    assert "class_accuracy by class" in capsys.readouterr().out
    page = out.with_suffix(".html").read_text()
    assert "<th>class_accuracy by class</th>" in page


def test_a_table_by_class_has_a_column_for_each_result():
    results = [
        {"name": "step 1", "by_class": {"class_accuracy": {"cats": 0.5, "dogs": 0.25}}},
        {"name": "step 2"},
        {"name": "step 3", "by_class": {"class_accuracy": {"dogs": 0.75}}},
    ]
    (table,) = receipts.class_tables(results)
    assert table.head == ["class_accuracy by class", "step 1", "step 3"]
    assert table.rows == [["cats", "0.5", "–"], ["dogs", "0.25", "0.75"]]
