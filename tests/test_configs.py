"""Every config builds, trains a step and says what it does."""

import ast
import functools
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import build, cli, population, sweep
from jaxgan import data
from jaxgan.steps import train_step

CONFIGS = cli.list_configs()
WITH_ARGUMENTS = [*CONFIGS, "gan_gaussians.py:sgd", "objectives.py:BEGAN", "remedies.py:unrolled"]
STUDIES = [name for name in CONFIGS if "\ndef sweep(" in (cli.CONFIGS / name).read_text()]
REQUIRED = {"dcgan_mnist.py", "dcgan_fashion_mnist.py", "dcgan_celeba.py", "dcgan_folder.py"} | {
    "gan_gaussians.py",
    "wgan_mnist.py",
    "wgan_gp_mnist.py",
    "sngan_mnist.py",
    "sngan_cifar10.py",
    "objectives.py",
    "remedies.py",
    "study_objectives.py",
    "study_collapse.py",
    "study_gradients.py",
    "study_critic_signal.py",
    "parallel_lines.py",
}


def test_all_are_here():
    assert set(CONFIGS) >= REQUIRED


@pytest.mark.parametrize("name", CONFIGS)
def test_docstring_has_the_command_the_time_and_what_to_expect(name):
    text = ast.get_docstring(ast.parse((cli.CONFIGS / name).read_text()))
    command = "sweep" if name in STUDIES else "run"
    assert f"python -m experiments.{command} --config={name}" in text
    assert re.search(
        r"\d+(\.\d+)? (s|seconds|minutes|hours|days)\b.* on 2 cores", text.replace("\n", " ")
    ), text
    assert "Expect" in text


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_it_builds_as_written(name):
    config = cli.load(name).values
    build.check(config)
    build.build(config)


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_it_trains_a_step_when_made_small(name):
    config = cli.load(name).values
    with config.unlocked():
        for player in ("generator", "critic"):
            if "width" in config.models[player]:
                config.models[player].width = 4
            else:
                config.models[player].hidden = (8, 8)
        if "size" in config.data:
            config.data.size = 16
        config.n_critic = min(config.n_critic, 2)
    gan = build.build(config)
    batch_shape = (config.n_critic, 8)
    rng = np.random.default_rng(0)
    batch = {
        "real": np.tanh(rng.normal(size=(*batch_shape, *build.sample_shape(config)))).astype(np.float32),
        "row": np.broadcast_to(np.arange(8, dtype=np.int32), batch_shape),
    }
    state = gan.init(jax.random.key(0), batch)
    step = jax.jit(functools.partial(train_step, gan=gan, ema_decay=config.ema_decay))
    state, metrics = step(state, batch)
    assert all(np.isfinite(value) for value in metrics.values())
    clip = config.optimizers.critic.get("clip")
    if clip:
        assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(state.critic.params)) <= clip


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_one_players_fields_are_not_the_others(name):
    config = cli.load(name).values
    for group in (config.models, config.optimizers):
        assert group.generator is not group.critic


def test_two_time_scales_are_two_learning_rates():
    rates = cli.load("remedies.py:two_time_scales").values.optimizers
    assert (rates.generator.learning_rate, rates.critic.learning_rate) == (2e-4, 2e-3)


def test_celeba_has_the_papers_settings():
    config = cli.load("dcgan_celeba.py").values
    assert (config.batch_size, config.latent.dim, config.latent.prior) == (128, 100, "uniform")
    for player in ("generator", "critic"):
        optimizer = config.optimizers[player]
        assert (optimizer.name, optimizer.learning_rate, optimizer.b1) == ("adam", 2e-4, 0.5)
        assert config.models[player].norm == "batch"
    assert build.sample_shape(config) == (64, 64, 3)


def test_celeba_trains_on_mock_data(tmp_path):
    import tensorflow_datasets as tfds

    config = cli.load("dcgan_celeba.py").values
    with config.unlocked():
        for player in ("generator", "critic"):
            config.models[player].width = 2
    with tfds.testing.mock_data(num_examples=16):
        source = data.open_source(**{**config.data, "path": str(tmp_path)})
        batch = source.prepare(source.batches(seed=0, n_critic=1, batch_size=8)[0])
    gan = build.build(config)
    state = gan.init(jax.random.key(0), batch)
    _, metrics = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))(state, batch)
    assert np.isfinite(metrics["generator_loss"])


def test_every_field_of_every_config_is_read():
    """No option does nothing: each belongs to a model, optimiser, penalty, remedy or source, or is read."""
    names = ("build.py", "loop.py", "progress.py", "run.py", "sweep.py")
    sources = [Path(build.__file__).parent / name for name in names]
    text = "".join(path.read_text() for path in sources)
    for name in WITH_ARGUMENTS:
        for field in cli.flatten(cli.load(name).values):
            group = field.split(".")[0]
            if group not in ("models", "optimizers", "penalties", "data", "remedies"):
                assert f"config.{field}" in text or f'config.get("{field}"' in text, field


@pytest.mark.parametrize("name", STUDIES)
def test_every_point_of_a_study_can_be_built(name):
    points = sweep.expand(cli.load(name))
    assert len({str(point.labels) for point in points}) == len(points)
    for config in {
        str(group.config): group.config for group in population.group([p.config for p in points])
    }.values():
        build.check(config)
        build.build(config)


def test_the_objectives_study_is_the_table_on_three_problems():
    full, quick = (cli.load(f"study_objectives.py{size}") for size in ("", ":quick"))
    points = sweep.expand(full)
    assert len(points) == 7 * 3 * 3
    assert len(sweep.expand(quick)) == 7
    assert len(population.group([point.config for point in points])) == 7 * 3
    for point in points:
        for player in point.config.optimizers.values():
            assert player.learning_rate == point.labels["rate"]
    began = next(point for point in points if point.labels["objective"] == "BEGAN")
    assert began.config.models.critic.code == 1
    assert began.config.began.gamma == 0.5
    wgan = next(
        point for point in points if point.labels == {"objective": "WGAN", "problem": "grid", "rate": 3e-3}
    )
    assert wgan.config.optimizers.critic.to_dict() == {
        "name": "rmsprop",
        "learning_rate": 3e-3,
        "clip": 0.01,
    }
    assert wgan.config.n_critic == 5
