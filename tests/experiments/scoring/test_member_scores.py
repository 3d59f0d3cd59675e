"""Tests of the scores of sweeps on problems with known answers."""

import numpy as np
import pytest

from experiments.cli import config_fields, config_files
from experiments.scoring import member_scores
from jaxgan import data


@pytest.fixture(scope="module")
def ring():
    config = config_fields.with_values(config_files.load("gan_gaussians.py").values, {"data.seed": 3})
    return data.make_problem("ring"), config


def test_real_points_score_as_real_points_do(ring):
    found = member_scores.floor(*ring)
    assert found["modes"] == 8
    # The mass of a Gaussian in the plane within 3 standard deviations is 1 − exp(−9/2). The tolerance is 4
    # standard errors.
    assert found["high_quality"] == pytest.approx(0.98889, abs=4 * np.sqrt(0.98889 * 0.01111 / 2048))
    assert 0 <= found["kl_modes"] < 0.01  # Its mean is 7 / (2 · 2,048) = 0.0017.
    assert 0 < found["w1"] < 0.3
    assert 0 < found["sliced_w1"] < found["w1"]


def test_a_collapsed_and_a_broken_generator(ring):
    problem, config = ring
    collapsed = np.broadcast_to(np.float32([2.0, 0.0]), (member_scores.NUM_POINTS, 2))
    broken = collapsed.copy()
    broken[7] = np.nan
    found = member_scores.of_points(problem, config)(np.stack([collapsed, broken]))
    assert found["modes"][0] == 1
    assert found["high_quality"][0] == 1
    assert found["kl_modes"][0] == pytest.approx(np.log(8), rel=1e-5)
    real = member_scores.held_out(problem, config)[: member_scores.NUM_PAIRED]
    # All samples are at one point, so every transport plan costs the mean distance to that point.
    assert found["w1"][0] == pytest.approx(np.linalg.norm(real - [2.0, 0.0], axis=1).mean(), rel=1e-5)
    assert np.isnan([found["w1"][1], found["kl_modes"][1]]).all()


def test_held_out_points_are_none_of_those_trained_on(ring):
    problem, config = ring
    source = data.from_problem(problem)
    batch = source.prepare(source.batches(seed=3, n_critic=1, batch_size=512)[0])
    shown = {tuple(point) for point in np.asarray(batch["real"][0]).tolist()}
    first, second = (
        {tuple(p) for p in member_scores.held_out(problem, config, i).tolist()} for i in (0, 1)
    )
    assert not shown & first
    assert not first & second
