"""Tests of the page of a run and of the critic's surface in its pictures."""

import base64
import io
import re
import shutil

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from experiments import report
from experiments.cli import config_fields, config_files
from experiments.pages import pictures, sample_pictures
from experiments.training import build
from jaxgan.errors import SetupError
from jaxgan.models import mlp
from tests.commands import execute, main


def images(page):
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in found]


def test_a_finished_run_has_its_page(finished):
    directory, _ = finished
    page = (directory / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "<script" not in page
    *timeline, animation = images(page)
    assert len(timeline) == 4  # steps 0, 4, 8 and 12
    assert animation.n_frames == 4
    with Image.open(directory / "samples" / "12.png") as last:
        assert np.array_equal(np.asarray(timeline[-1]), np.asarray(last))
    for text in ("critic_loss", "generator_grad_norm", "12 steps in", "step 12"):
        assert text in page


def test_a_run_that_has_not_ended_gets_one_too(finished, tmp_path):
    shutil.copytree(
        finished[0], tmp_path / "run", ignore=shutil.ignore_patterns("receipt.json", "report.html")
    )
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 16, "critic_l')  # the run was killed while writing
    result = execute("--workdir=run", cwd=tmp_path, module="experiments.report")
    assert result.returncode == 0, result.stderr
    assert "This run has not finished." in (tmp_path / "run" / "report.html").read_text()


def test_what_is_no_run_is_refused(tmp_path):
    for arguments, message in (
        ([], "no --workdir given"),
        ([f"--workdir={tmp_path}"], "no metrics.jsonl"),
    ):
        with pytest.raises(SetupError, match=message):
            main(report, *arguments)
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(SetupError, match="has logged nothing yet"):
        main(report, f"--workdir={tmp_path}")


def small(**fields):
    """Returns a small system for points in the plane and its initial state."""
    hidden = {"models.generator.hidden": (8,), "models.critic.hidden": (8,)}
    config = config_fields.with_values(config_files.load("gan_gaussians.py").values, {**hidden, **fields})
    gan = build.build(config)
    return gan, build.initializer(config, gan)()


def test_the_surface_is_the_critic_at_every_place():
    gan, state = small()
    surface = sample_pictures.make_surface(gan, 2.0)(state)
    line = np.linspace(-2, 2, sample_pictures.SURFACE)
    critic = mlp.Critic((8,))
    for row, column in ((0, 0), (0, 63), (63, 0), (10, 40)):
        point = np.array([[line[column], line[row]]], np.float32)
        logit = critic.apply({"params": state.critic.params}, point, False)
        np.testing.assert_allclose(surface[row, column], logit[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "fields",
    [
        {"models.critic.minibatch": "std"},
        {
            "gan": ConfigDict({"name": "began", "gamma": 0.5, "lambda_k": 0.001}),
            "penalties": ConfigDict(),
            "models": ConfigDict(
                {
                    "generator": {"family": "mlp", "hidden": (8,)},
                    "autoencoder": {"family": "mlp", "hidden": (8,), "code": 1},
                }
            ),
        },
    ],
)
def test_critics_without_a_logit_a_point_have_none(fields):
    gan, state = small(**fields)
    surface = sample_pictures.make_surface(gan, 2.0)
    assert surface is None or surface(state) is None


def test_red_is_where_the_critic_sees_real():
    points = np.array([[9.0, 9.0], [-9.0, -9.0]])
    surface = np.tile(np.linspace(-1, 1, 8), (8, 1))  # rises to the right
    picture = pictures.scatter(points[:1], points, "", surface).astype(int)
    left, right = picture[300, 120], picture[300, 500]
    assert left[2] > left[0]
    assert right[0] > right[2]
    blank = pictures.scatter(points[:1], points, "", np.full((8, 8), np.nan)).astype(int)
    assert (blank[300, 120] == 255).all()
