"""Every config is valid, builds, trains a step and is documented; new configs are found by themselves."""

import ast
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cli import config_fields, config_files
from experiments.training import build, checks, derived, population, staging, sweep_points
from jaxgan import data, schedules
from jaxgan.steps import train_step, with_conditions
from tests.commands import ROOT, make_small

CONFIGS = config_files.list_configs()
# These configs have a system, an optimiser or a remedy that no config has without an argument.
WITH_ARGUMENTS = [
    *CONFIGS,
    "gan_gaussians.py:sgd",
    "lucic_objectives.py:BEGAN",
    "collapse_remedies.py:unrolled",
]
REQUIRED = {"dcgan_mnist.py", "dcgan_fashion_mnist.py", "dcgan_celeba.py", "dcgan_folder.py"} | {
    "gan_gaussians.py",
    "wgan_mnist.py",
    "wgan_gp_mnist.py",
    "sngan_mnist.py",
    "sngan_cifar10.py",
    "lucic_objectives.py",
    "collapse_remedies.py",
    "study_objectives.py",
    "study_collapse.py",
    "study_gradients.py",
    "study_critic_signal.py",
    "parallel_lines.py",
}
STUDIES = [name for name in CONFIGS if "\ndef sweep(" in config_files.resolve(name)[0].read_text()]


def docstring(name):
    return ast.get_docstring(ast.parse(config_files.resolve(name)[0].read_text()))


def documented():
    """Returns all configs in the commands of the configs' docstrings, with their arguments."""
    found = [re.findall(r"--config=(\S+\.py(?::\S+)?)", docstring(name)) for name in CONFIGS]
    return sorted({name for names in found for name in names} | set(WITH_ARGUMENTS))


DOCUMENTED = documented()
# The steps of these configs compile quickly.
CHEAP = ("dcgan_mnist.py", "gan_gaussians.py", "lucic_objectives.py:BEGAN", "collapse_remedies.py:unrolled")
# All fields of these sections are validated against the parts that they describe.
DESCRIBED = ("augment", "data", "ema_decay", "gan", "models", "optimizers", "penalties", "pool", "remedies")


def random_batch(config, batch_size=8):
    """Returns a prepared batch of random samples, with all fields of the config's data."""
    spec, rng = derived.spec_of(config), np.random.default_rng(0)
    axes = (max(config.n_critic, 1), batch_size)

    def draw(name, field):
        if name == "row":
            return np.broadcast_to(np.arange(batch_size, dtype=np.int32), axes)
        shape = (*axes, *field.shape)
        if jnp.issubdtype(field.dtype, jnp.integer):
            return rng.integers(0, spec.classes or 2, shape).astype(field.dtype)
        return np.tanh(rng.normal(size=shape)).astype(field.dtype)

    return {name: draw(name, field) for name, field in spec.fields.items()}


def test_all_required_configs_exist():
    assert set(CONFIGS) >= REQUIRED


@pytest.mark.parametrize("name", CONFIGS)
def test_the_docstring_has_the_command_the_time_and_the_expected_result(name):
    text = docstring(name)
    command = "sweep" if name in STUDIES else "compare" if config_files.load(name).entries else "run"
    assert f"python -m experiments.{command} --config={name}" in text
    assert re.search(
        r"\d+(\.\d+)? (s|seconds|minutes|hours|days)\b.* on 2 cores", text.replace("\n", " ")
    ), text
    assert "Expect" in text


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_config_is_valid_and_builds(name):
    config = config_files.load(name).values
    checks.check_all(config)
    for stage in staging.stage_configs(config):
        build.build(stage.config)


@pytest.mark.parametrize(
    "name", [name if name in CHEAP else pytest.param(name, marks=pytest.mark.slow) for name in DOCUMENTED]
)
def test_a_small_version_of_a_config_trains_a_step(name):
    config = config_files.load(name).values
    with config.unlocked():
        make_small(config)
    for stage in staging.stage_configs(config):
        trains_a_step(stage.config)


def trains_a_step(config):
    gan, batch = build.build(config), random_batch(config)
    conditions = data.open_conditions(**config.data)
    state = gan.init(jax.random.key(0), batch)

    @jax.jit
    def step(state, batch):
        batch = with_conditions(batch, state, conditions)
        return train_step(
            state,
            batch,
            gan=gan,
            ema_decay=derived.ema_decay(config),
            n_critic=config.n_critic,
            accumulate=config.get("accumulate", 1),
        )

    state, metrics = step(state, batch)
    assert all(np.isfinite(value) for value in metrics.values())
    asked = conditions(jax.random.key(1), jnp.arange(4))
    read = {field: batch[field][0, :4] for field in gan.reads if field not in asked}
    samples = gan.sample(state, jax.random.key(1), {**asked, **read})
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(samples))
    clip = config.optimizers.get("critic", {}).get("clip")
    if clip:
        assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(state.critic.params)) <= clip


@pytest.mark.parametrize("name", DOCUMENTED)
def test_players_do_not_share_sections(name):
    config = config_files.load(name).values
    for group in (config.models, config.optimizers):
        sections = list(group.values())
        assert len({id(section) for section in sections}) == len(sections)


def test_the_two_time_scales_are_two_learning_rates():
    rates = config_files.load("collapse_remedies.py:two_time_scales").values.optimizers
    assert (rates.generator.learning_rate, rates.critic.learning_rate) == (2e-4, 2e-3)


def test_celeba_has_the_papers_settings():
    config = config_files.load("dcgan_celeba.py").values
    assert (config.batch_size, config.latent.dim, config.latent.prior) == (128, 100, "uniform")
    for player in ("generator", "critic"):
        optimizer = config.optimizers[player]
        assert (optimizer.name, optimizer.learning_rate, optimizer.b1) == ("adam", 2e-4, 0.5)
        assert config.models[player].norm == "batch"
    assert derived.spec_of(config).shape == (64, 64, 3)


def test_sagans_have_the_papers_settings():
    for name in ("sagan_fashion_mnist.py", "sagan_imagenet128.py"):
        config = config_files.load(name).values
        assert (config.gan.name, config.gan.loss, config.n_critic) == ("conditional", "hinge", 1)
        assert config.models.generator.spectral
        for player, rate in (("generator", 1e-4), ("critic", 4e-4)):
            optimizer = config.optimizers[player]
            assert (optimizer.learning_rate, optimizer.b1, optimizer.b2) == (rate, 0.0, 0.9)
    assert (config.batch_size, config.latent.dim) == (256, 128)
    assert config.models.generator.attention == config.models.critic.attention == (32,)
    spec = derived.spec_of(config)
    assert (spec.shape, spec.classes) == ((128, 128, 3), 1000)


@pytest.mark.parametrize("name", ["", ":conditional"])
def test_wgan_gp_resnet_has_the_settings_of_the_papers_program(name):
    config = config_files.load(f"wgan_gp_resnet_cifar10.py{name}").values
    assert (config.batch_size, config.n_critic, config.gan.loss) == (64, 5, "wasserstein")
    assert config.penalties.gradient_penalty.weight == 10
    assert {network.width for network in config.models.values()} == {128}
    critic = config.models["classifying_critic" if name else "critic"]
    assert (critic.norm, critic.pool) == ("none", "mean")
    for optimizer in config.optimizers.values():
        assert (optimizer.name, optimizer.b1, optimizer.b2) == ("adam", 0.0, 0.9)
        rate = schedules.build(optimizer.learning_rate.to_dict())
        np.testing.assert_allclose([rate(0), rate(50_000), rate(100_000)], [2e-4, 1e-4, 0.0])
    weights = config.gan.get("critic_class_weight"), config.gan.get("generator_class_weight")
    assert weights == ((1.0, 0.1) if name else (None, None))
    assert not config.gan.get("classify_fakes")


@pytest.mark.parametrize("name", ["biggan_imagenet128.py", "biggan_deep_imagenet128.py"])
def test_biggan_has_the_papers_settings(name):
    config = config_files.load(name).values
    assert (config.batch_size, config.n_critic, config.gan.loss) == (2048, 2, "hinge")
    assert config.penalties.orthogonal.weight == 1e-4
    for player, rate in (("generator", 5e-5), ("critic", 2e-4)):
        optimizer = config.optimizers[player]
        assert (optimizer.name, optimizer.learning_rate) == ("adam", rate)
        assert (optimizer.b1, optimizer.b2, optimizer.eps) == (0.0, 0.999, 1e-6)
        assert config.models[player].attention == (64,)
    assert derived.spec_of(config).shape == (128, 128, 3)
    assert derived.spec_of(config).classes == 1000
    # The averages are the weights themselves until step 20,000.
    decay = derived.ema_decay(config)
    assert (float(decay(0)), float(decay(20_000))) == (0.0, 0.0)
    np.testing.assert_allclose([decay(20_001), decay(150_000)], 0.9999, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "biggan_deep_imagenet128.py",
        "biggan_imagenet128.py",
        "dcgan_celeba.py",
        "sagan_imagenet128.py",
        "wgan_gp_resnet_cifar10.py",
        "wgan_gp_resnet_cifar10.py:conditional",
    ],
)
def test_a_config_for_accelerators_trains_on_mock_data(name, tmp_path):
    import tensorflow_datasets as tfds

    config = config_files.load(name).values
    with config.unlocked():
        config.n_critic = 1
        for network in config.models.values():
            network.width = 2
    with tfds.testing.mock_data(num_examples=16):
        source = data.open_source(**{**config.data, "path": str(tmp_path)})
        batch = source.prepare(source.batches(seed=0, n_critic=1, batch_size=8)[0])
    gan = build.build(config)
    state = gan.init(jax.random.key(0), batch)
    batch = with_conditions(batch, state, source.conditions)
    _, metrics = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))(state, batch)
    assert np.isfinite(metrics["generator_loss"])


def test_every_field_of_every_config_is_read():
    """Every field has an effect: it belongs to a validated section, or the code reads it."""
    sources = (ROOT / "experiments").rglob("*.py")
    text = "".join(path.read_text() for path in sources)
    for name in DOCUMENTED:
        for field in config_fields.flatten(config_files.load(name).values):
            group = field.split(".")[0]
            # In these sections, the validation refuses fields that have no effect.
            if group not in DESCRIBED:
                section, _, last = f"config.{field}".rpartition(".")
                assert f"config.{field}" in text or f'{section}.get("{last}"' in text, field


@pytest.mark.parametrize("name", STUDIES)
def test_every_point_of_a_study_can_be_built(name):
    points = sweep_points.expand(config_files.load(name))
    assert len({str(point.labels) for point in points}) == len(points)
    for group in population.group_configs([point.config for point in points]):
        checks.check_all(group.config)
        for stage in staging.stage_configs(group.config):
            build.build(stage.config)


def test_the_objectives_study_is_the_table_on_three_problems():
    full, quick = (config_files.load(f"study_objectives.py{size}") for size in ("", ":quick"))
    points = sweep_points.expand(full)
    assert len(points) == 7 * 3 * 3
    assert len(sweep_points.expand(quick)) == 7
    assert len(population.group_configs([point.config for point in points])) == 7 * 3
    for point in points:
        for player in point.config.optimizers.values():
            assert player.learning_rate == point.labels["rate"]
    began = next(point for point in points if point.labels["objective"] == "BEGAN")
    assert began.config.models.autoencoder.code == 1
    assert (began.config.gan.name, began.config.gan.gamma) == ("began", 0.5)
    wgan = next(
        point for point in points if point.labels == {"objective": "WGAN", "problem": "grid", "rate": 3e-3}
    )
    assert wgan.config.optimizers.critic.to_dict() == {
        "name": "rmsprop",
        "learning_rate": 3e-3,
        "clip": 0.01,
    }
    assert wgan.config.n_critic == 5
