"""Tests of problems with a known distribution: samples, densities, and their agreement."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from experiments import run, sample
from experiments.cli import config_files
from experiments.pages import pictures
from experiments.training import checks, derived
from jaxgan import data
from jaxgan.data.problems.curves import spiral, swiss_roll
from jaxgan.data.problems.points import gaussian, grid, mixture, parallel_lines, ring, uniforms
from jaxgan.errors import SetupError
from tests.commands import main

TILTED = (((2.0, 0.9), (0.9, 0.5)), ((1.0, 0.0), (0.0, 1.0)))

# Problems with a density, and the side of the square cells for its integral, which is at most half a std.
DENSE = {
    "ring": (ring(modes=6, std=0.1), 0.05),
    "grid": (grid(side=3, spacing=0.9, std=0.1), 0.05),
    "mixture": (mixture(sigma=TILTED, p=(0.25, 0.75)), 0.125),
    "swiss_roll": (swiss_roll(std=0.1), 0.05),
    "spiral": (spiral(arms=2, std=0.1), 0.05),
    "gaussian": (gaussian(mean=3.0, std=0.5), 0.05),
    "uniforms": (uniforms(intervals=((0.0, 2.0), (1.0, 1.5), (4.0, 5.0)), p=(0.5, 0.25, 0.25)), 0.05),
}


def draw(problem, count, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return np.asarray(jax.jit(jax.vmap(problem.sample))(keys), np.float64)


@pytest.mark.parametrize("name", DENSE)
def test_density_integrates_to_1_and_samples_have_it(name):
    problem, step = DENSE[name]
    points = draw(problem, 20_000)
    assert points.shape == (20_000, problem.dim)
    # The box consists of blocks of 8 cells per side. The mass outside the box is less than 1e-6.
    block, margin = 8 * step, 0.6 if name != "mixture" else 4.0
    low = np.floor((points.min(0) - margin) / block) * block
    blocks = np.ceil((points.max(0) + margin - low) / block).astype(int)
    axes = [a + step * (np.arange(8 * n) + 0.5) for a, n in zip(low, blocks, strict=True)]
    centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    log_density = jax.jit(lambda x: jax.lax.map(problem.log_density, x, batch_size=512))
    density = np.exp(np.asarray(log_density(jnp.asarray(centres, jnp.float32)), np.float64))
    mass = density * step**problem.dim
    np.testing.assert_allclose(mass.sum(), 1, atol=2e-5)
    # Pearson's test compares the blocks with at least ten expected points; the other blocks are merged.
    expected = mass.reshape([n for count in blocks for n in (count, 8)])
    expected = 20_000 * expected.sum(axis=tuple(range(1, 2 * problem.dim, 2)))
    edges = [a + block * np.arange(n + 1) for a, n in zip(low, blocks, strict=True)]
    observed = np.histogramdd(points, edges)[0]
    many = expected >= 10
    assert many.sum() > 5
    rest = [20_000 - expected[many].sum(), 20_000 - observed[many].sum()]
    statistic = (np.square(observed - expected)[many] / expected[many]).sum()
    statistic += np.square(rest[0] - rest[1]) / max(rest[0], 1)
    assert scipy.stats.chi2.sf(statistic, many.sum()) > 1e-3


@pytest.mark.parametrize("name", ["ring", "grid", "mixture", "gaussian"])
def test_modes_are_those_of_samples_and_density(name):
    problem, _ = DENSE[name]
    centres, covariances, weights = problem.modes
    np.testing.assert_allclose(np.sum(weights), 1, rtol=1e-12)
    points = draw(problem, 20_000, seed=1)
    nearest = np.linalg.norm(points[:, None] - centres, axis=-1).argmin(1)
    np.testing.assert_allclose(np.bincount(nearest) / 20_000, weights, atol=0.01)
    for k, (centre, covariance) in enumerate(zip(centres, covariances, strict=True)):
        own, scale = points[nearest == k], np.trace(covariance)
        np.testing.assert_allclose(own.mean(0), centre, atol=0.08 * scale**0.5)
        np.testing.assert_allclose(np.cov(own.T).reshape(covariance.shape), covariance, atol=0.08 * scale)
    gaussians = zip(*problem.modes, strict=True)
    reference = sum(w * scipy.stats.multivariate_normal(c, s).pdf(points[:50]) for c, s, w in gaussians)
    np.testing.assert_allclose(np.exp(problem.log_density(points[:50])), reference, rtol=2e-4)


def test_defaults_are_the_ones_in_common_use():
    assert len(ring().modes.weights) == 8
    assert len(grid().modes.weights) == 25
    np.testing.assert_allclose(np.linalg.norm(ring().modes.centres, axis=1), 2)
    pair = mixture().modes
    np.testing.assert_array_equal(pair.centres, [[1, 2], [-3, -5]])
    np.testing.assert_array_equal(pair.covariances, [np.diag([2, 0.5]), np.eye(2)])
    np.testing.assert_array_equal(pair.weights, [0.5, 0.5])
    x = np.array([[0.5], [1.5], [2.5], [3.0], [9.999], [10.0]], np.float32)
    np.testing.assert_allclose(np.exp(uniforms().log_density(x)), [0, 0.25, 0, 0.25, 0.5, 0])


# These are the points of a fixed seed, which must stay the same so that old runs can be repeated.
FIRST = {
    "ring": [
        (1.9912218, -0.03558358),
        (2.0292585, -0.006068388),
        (2.0058427, 0.0036428941),
        (-1.4320540, -1.4215044),
        (-0.013808412, -1.9887359),
        (-1.4142712, 1.4212253),
    ],
    "grid": [
        (-2.0219457, -0.088958956),
        (-1.9268540, -0.015170972),
        (-1.9853932, 2.0091074),
        (-0.044601772, 0.98177350),
        (-2.0345211, 0.02816016),
        (-2.0001442, 0.017529529),
    ],
}


@pytest.mark.parametrize("name", FIRST)
def test_the_points_of_a_seed_are_what_they_were(name):
    source = data.open_source(name, path="", seed=4)
    batch = source.batches(seed=4, n_critic=2, batch_size=3)[7]
    points = jax.jit(source.prepare)(batch)["real"]
    np.testing.assert_allclose(points.reshape(-1, 2), FIRST[name], rtol=1e-6, atol=1e-7)


# Along a curve


def test_a_roll_without_noise_lies_on_the_curve():
    problem = swiss_roll(std=0.0)
    assert problem.log_density is None
    points = draw(problem, 5_000)
    t = 7.5 * np.linalg.norm(points, axis=1)
    curve = np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / 7.5
    np.testing.assert_allclose(points, curve, atol=2e-5)
    assert scipy.stats.kstest(t / np.pi, scipy.stats.uniform(1.5, 3).cdf).pvalue > 1e-3


def test_arms_of_a_spiral_without_noise():
    problem = spiral(arms=3, turns=1.0, radius=0.5, std=0.0)
    assert problem.log_density is None
    points = draw(problem, 6_000)
    s = np.linalg.norm(points, axis=1) / 0.5
    assert scipy.stats.kstest(s**2, "uniform").pvalue > 1e-3
    angle = np.arctan2(points[:, 1], points[:, 0]) - 2 * np.pi * s
    arm = 3 * angle / (2 * np.pi)
    far = s > 0.05  # The angle of a point near the origin is dominated by rounding.
    np.testing.assert_allclose(arm[far], np.rint(arm[far]), atol=1e-4)
    np.testing.assert_allclose(np.bincount(np.rint(arm).astype(int) % 3) / 6_000, 1 / 3, atol=0.02)


@pytest.mark.parametrize("std", [0.02, 0.3])
def test_curve_density_matches_adaptive_quadrature(std):
    problem = swiss_roll(std=std)
    inner = 1.5 * np.pi
    for x in ([0.0, -inner / 7.5], [0.5, 1.1], [-1.2, 0.6 + std], [1.6, 1.2]):

        def integrand(t, x=x):
            square = (x[0] - t * np.cos(t) / 7.5) ** 2 + (x[1] - t * np.sin(t) / 7.5) ** 2
            return np.exp(-square / (2 * std**2)) / (2 * np.pi * std**2) / (3 * np.pi)

        parts = np.linspace(inner, 3 * inner, 400)
        truth = sum(scipy.integrate.quad(integrand, a, b)[0] for a, b in itertools.pairwise(parts))
        found = problem.log_density(jnp.asarray(x))
        np.testing.assert_allclose(found, np.log(truth), rtol=1e-4, atol=1e-4)


def test_parallel_lines_have_no_density():
    problem = parallel_lines(theta=-0.75)
    assert problem.log_density is None
    assert problem.modes is None
    points = draw(problem, 5_000)
    assert (points[:, 0] == -0.75).all()
    assert scipy.stats.kstest(points[:, 1], "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("make", "name"),
    [
        *((make, "std") for make in (ring, grid, swiss_roll, spiral, gaussian)),
        *((ring, "radius"), (grid, "spacing"), (spiral, "radius"), (spiral, "turns")),
        *((gaussian, "mean"), (parallel_lines, "theta")),
    ],
)
def test_samples_of_traced_numbers(make, name, key):
    values = jnp.array([0.1, 0.4])
    traced = jax.jit(jax.vmap(lambda value: make(**{name: value}).sample(key)))(values)
    alone = [jax.jit(make(**{name: float(value)}).sample)(key) for value in values]
    np.testing.assert_allclose(traced, np.stack(alone), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "name"),
    [(swiss_roll, "std"), (spiral, "std"), (spiral, "radius"), (spiral, "turns")],
)
def test_a_curves_density_needs_concrete_numbers(make, name):
    x = jnp.zeros(2)
    with pytest.raises(SetupError, match="density needs numbers that are not traced"):
        jax.vmap(lambda value: make(**{name: value}).log_density(x))(jnp.array([0.1, 0.4]))
    # The points may be traced. A number that is not an argument of the traced function stays concrete.
    assert np.isfinite(jax.jit(lambda x: make(**{name: 0.4}).log_density(x))(x))


def test_densities_of_traced_numbers():
    values = jnp.array([0.1, 0.4])
    x = jnp.array([2.0, 0.1])
    density = jax.jit(jax.vmap(lambda std: ring(std=std).log_density(x)))(values)
    alone = [jax.jit(ring(std=float(std)).log_density)(x) for std in values]
    np.testing.assert_allclose(density, np.stack(alone), rtol=1e-5)


# By name


@pytest.mark.parametrize("name", data.PROBLEMS)
def test_every_problem_is_a_source(name):
    source = data.open_source(name, path="", seed=3)
    problem = data.make_problem(name)
    assert source.shape == (problem.dim,)
    assert source.num_examples is None
    assert (source.problem.log_density is None) == (name == "parallel_lines")
    batch = source.batches(seed=3, n_critic=2, batch_size=4)[1]
    real = jax.jit(source.prepare)(batch)["real"]
    assert real.shape == (2, 4, problem.dim)
    assert real.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("swiss_roll", {"nois": 1}, "unknown data field of swiss_roll 'nois'.*valid: std"),
        ("ring", {"mods": 3}, "unknown data field of ring 'mods': did you mean 'modes'"),
        ("ring", {"modes": 0}, "data.name ring: modes is 0: give a whole number"),
        ("ring", {"modes": 2.5}, "modes is 2.5"),
        ("ring", {"radius": float("nan")}, "radius is nan: give a positive"),
        ("ring", {"modes": True}, "modes is True: give a whole number"),
        ("ring", {"std": "wide"}, "data.name ring: std is wide: give a positive number"),
        ("ring", {"std": True}, "std is True: give a positive number"),
        ("ring", {"radius": ()}, r"radius is \(\): give a positive number"),
        ("grid", {"spacing": (1.0, 2.0)}, r"spacing is \(1.0, 2.0\): give a positive number"),
        ("grid", {"spacing": float("inf")}, "spacing is inf: give a positive number"),
        ("gaussian", {"mean": float("nan")}, "data.name gaussian: mean is nan: give a finite number"),
        ("gaussian", {"mean": "far"}, "mean is far: give a finite number"),
        (
            "parallel_lines",
            {"theta": "far"},
            "data.name parallel_lines: theta is far: give a finite number",
        ),
        ("parallel_lines", {"theta": float("nan")}, "theta is nan: give a finite number"),
        ("parallel_lines", {"theta": (1.0, 2.0)}, r"theta is \(1.0, 2.0\): give a finite number"),
        ("swiss_roll", {"std": float("nan")}, "std is nan: give 0 or"),
        ("swiss_roll", {"std": "wide"}, "std is wide: give 0 or"),
        ("spiral", {"arms": True}, "arms is True: give a whole number"),
        ("mixture", {"mu": ((1.0, 2.0), (float("nan"), 0.0))}, r"mu is .*nan.*: give finite numbers"),
        ("mixture", {"sigma": (((float("inf"), 0), (0, 1)),) * 2}, "positive definite"),
        ("uniforms", {"intervals": ((0, float("inf")),), "p": (1,)}, "give finite pairs"),
        ("uniforms", {"intervals": ((float("nan"), 1),), "p": (1,)}, "give finite pairs"),
        ("grid", {"std": -1.0}, "std is -1.0: give a positive"),
        ("gaussian", {"std": 0.0}, "std is 0.0"),
        ("swiss_roll", {"std": -0.1}, "std is -0.1: give 0 or"),
        ("spiral", {"turns": 0}, "turns is 0"),
        ("mixture", {"mu": ((1.0, 2.0), (3.0,))}, "data.name mixture: "),
        ("mixture", {"mu": ((1.0,),)}, r"mu of shape \(1, 1\), sigma of shape \(2, 2, 2\)"),
        ("mixture", {"sigma": (((1, 2), (2, 1)),) * 2}, "positive definite"),
        ("mixture", {"p": (0.5, 0.6)}, "p is .*give 2 positive numbers that sum to 1"),
        ("uniforms", {"intervals": ((2, 1),), "p": (1,)}, "give finite pairs"),
        ("uniforms", {"p": (0.5, 0.5)}, "give 3 positive numbers"),
    ],
)
def test_bad_options_are_refused(name, options, message):
    with pytest.raises(SetupError) as error:
        data.open_source(name, path="", seed=0, **options)
    assert re.search(message, str(error.value)), error.value


def test_numbers_may_be_arrays():
    for number in (1, 1.0, np.int64(1), np.float32(1), np.ones(()), jnp.float32(1), jnp.bfloat16(1)):
        assert float(parallel_lines(theta=number).sample(jax.random.key(0))[0]) == 1
        assert gaussian(mean=number, std=number).modes.centres == 1
        ring(radius=number, std=number), swiss_roll(std=number)


# End to end

LINE = """
from experiments.configs import gan_gaussians

def get_config():
    config = gan_gaussians.get_config()
    config.num_steps = config.log_every = config.sample_every = config.checkpoint_every = 4
    config.batch_size = 8
    config.data = {"name": "uniforms", "path": "", "intervals": ((5, 7),), "p": (1,)}
    config.models.generator.hidden = config.models.critic.hidden = (8, 8)
    return config
"""


def test_numbers_on_a_line_train_and_are_sampled(tmp_path, capsys):
    (tmp_path / "line.py").write_text(LINE)
    assert main(run, f"--config={tmp_path}/line.py", f"--workdir={tmp_path}/out") == 0
    assert (tmp_path / "out" / "samples" / "4.png").is_file()
    assert main(sample, f"--workdir={tmp_path}/out", f"--out={tmp_path}/more.png") == 0
    assert "600×600" in capsys.readouterr().out


def test_shapes_come_from_the_problem():

    config = config_files.load("gan_gaussians.py").values
    assert derived.spec_of(config).shape == (2,)
    with config.unlocked():
        config.data = {"name": "gaussian", "path": "", "std": 2.0}
    assert derived.spec_of(config).shape == (1,)
    with config.unlocked():
        config.data = {"name": "digits", "path": ""}
    with pytest.raises(SetupError, match=r"no field data\.size"):
        checks.check(config)


def test_a_histogram_follows_the_density():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(4000, 1)).astype(np.float32)
    draw_one = functools.partial(pictures.picture, title="", log_density=gaussian().log_density)
    same, shifted = draw_one(real, real), draw_one(real + 9, real)
    assert same.shape == (600, 600, 3)
    blue = [np.sum((image[..., 2].astype(int) - image[..., 0]) > 40) for image in (same, shifted)]
    # Numbers beyond the axis are not drawn, so that only the patch in the legend is left.
    assert blue[0] > 10 * blue[1]
