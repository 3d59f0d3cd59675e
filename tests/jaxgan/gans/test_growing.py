"""Tests of a run of two stages: α = 0 changes nothing, the carry keeps shared state, resumes are exact."""

import csv
import functools
import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import run, sample, sweep
from experiments.cli import config_files
from experiments.training import build, checks, derived, progress_bar, staging
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.models import growing
from jaxgan.ops.resample import mean_pool, upsample_nearest
from jaxgan.stages import CARRIES, stage_of
from tests.commands import environment, main

pytestmark = pytest.mark.xdist_group("growing")  # on one worker, so that the shared run happens once

CONFIG = """
from experiments.configs import staged_mnist

def get_config():
    config = staged_mnist.get_config()
    config.num_steps, config.batch_size = 12, 8
    config.log_every = config.sample_every = config.checkpoint_every = 1
    config.data.size = 16
    config.latent.dim = 4
    config.gan.fade.update({"transition_begin": 6, "transition_steps": 3})
    for role in ("generator", "critic"):
        config.models[role].width = 1
    config.penalties.r1.every = 4
    first, second = (dict(stage) for stage in config.stages)
    config.stages = ({**first, "until": 6, "data.size": 8}, {**second, "until": 12})
    return config
"""


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("staged") / "staged.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def stages(config_file):
    found = staging.stage_configs(config_files.load(str(config_file)).values)
    states = []
    for stage in found:
        gan = build.build(stage.config)
        batch = derived.spec_of(stage.config).zeros(1, 4)
        states.append((gan, gan.init(jax.random.key(len(states)), batch)))
    return states


def networks(grown):
    return growing.Generator(16 if grown else 8, 1, 1, grown=grown), growing.Critic(1, grown=grown)


def test_at_alpha_0_the_grown_networks_are_the_old_ones_bit_for_bit(stages):
    (_, old), (_, fresh) = stages
    grown = CARRIES["grow"](old, fresh)
    z, zeros = jax.random.normal(jax.random.key(5), (3, 4)), jnp.zeros(3)
    (old_generator, old_critic), (generator, critic) = networks(False), networks(True)
    for train in (False, True):
        images = [
            module.apply(
                {"params": player.params, **player.model_state}, z, zeros, train, mutable=["batch_stats"]
            )[0]
            for module, player in ((old_generator, old.generator), (generator, grown.generator))
        ]
        np.testing.assert_array_equal(upsample_nearest(images[0]), images[1])
    x = jax.random.normal(jax.random.key(6), (3, 8, 8, 1))
    logits = [
        passes.evaluate(module, player, image, zeros)
        for module, player, image in (
            (old_critic, old.critic, x),
            (critic, grown.critic, upsample_nearest(x)),
        )
    ]
    np.testing.assert_array_equal(*logits)
    ones = jnp.ones(3)
    assert np.abs(passes.evaluate(generator, grown.generator, z, ones) - images[1]).max() > 1e-3


def test_at_alpha_1_only_the_new_layers_draw(stages):
    _, (_, state) = stages
    generator, _ = networks(True)
    z, ones = jax.random.normal(jax.random.key(5), (3, 4)), jnp.ones(3)
    image = passes.evaluate(generator, state.generator, z, ones)
    params = dict(state.generator.ema_params)
    params["to_image_8"] = jax.tree.map(lambda p: p + 1.0, params["to_image_8"])
    other = state.generator.replace(ema_params=params)
    np.testing.assert_array_equal(image, passes.evaluate(generator, other, z, ones))


def test_real_images_are_blended_with_their_coarse_selves(stages):
    _, (gan, state) = stages
    real = jax.random.normal(jax.random.key(0), (4, 16, 16, 1))
    batch = {"real": real, "row": jnp.arange(4), "conditions": {"row": jnp.arange(4)}}
    coarse = {**batch, "real": upsample_nearest(mean_pool(real))}
    # The fade begins at step 6, so α is 0 at this state's step.
    fakes, _ = gan.generate(state.generator.params, state, batch, state.key, advance=False)
    values = [
        gan.critic_loss(state.critic.params, state, x, fakes, state.key)[1].metrics["real_logits"]
        for x in (batch, coarse)
    ]
    np.testing.assert_allclose(*values, rtol=1e-6)
    late = state.replace(step=jnp.int32(9))
    fine = gan.critic_loss(state.critic.params, late, batch, fakes, state.key)[1].metrics
    assert float(fine["alpha"]) == 1.0
    assert fine["real_logits"] != values[0]


def test_the_carry_keeps_what_both_have_and_starts_optimisers_afresh(stages):
    (_, old), (_, fresh) = stages
    old = old.replace(
        step=jnp.int32(6),
        critic=old.critic.replace(updates=jnp.int32(6)),
        extra={**old.extra, "real_sign": jnp.float32(0.25)},
    )
    state = CARRIES["grow"](old, fresh)
    assert (int(state.step), int(state.critic.updates)) == (6, 6)
    np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(old.key))
    assert float(state.extra["real_sign"]) == 0.25
    assert jax.tree.structure(state) == jax.tree.structure(fresh)
    kernel = functools.partial(lambda x, name: x.params[name]["kernel"])
    for name in ("block_4", "block_8", "to_image_8"):
        np.testing.assert_array_equal(kernel(state.generator, name), kernel(old.generator, name))
    for name in ("block_16", "to_image_16"):
        np.testing.assert_array_equal(kernel(state.generator, name), kernel(fresh.generator, name))
    jax.tree.map(np.testing.assert_array_equal, state.critic.opt_state, fresh.critic.opt_state)


def final(directory):
    return json.loads((directory / "receipt.json").read_text())["state_sha256"]


@pytest.fixture(scope="module")
def whole(config_file, tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "run"
    assert main(run, f"--config={config_file}", f"--workdir={directory}") == 0
    return directory


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop",
    [3, 6, 7],
)
def test_stopped_in_either_stage_or_between_them_it_ends_in_the_same_bits(
    stop, whole, config_file, tmp_path, monkeypatch
):
    report = progress_bar.ProgressBar.__call__

    def stopping(self, step, metrics):
        if step == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return report(self, step, metrics)

    monkeypatch.setattr(progress_bar.ProgressBar, "__call__", stopping)
    arguments = (f"--config={config_file}", f"--workdir={tmp_path}/run")
    assert main(run, *arguments) == 128 + signal.SIGTERM
    assert max(int(x.name) for x in (tmp_path / "run" / "checkpoints").iterdir()) == stop
    monkeypatch.undo()
    assert main(run, *arguments) == 0
    assert final(tmp_path / "run") == final(whole)
    lines = [(x / "metrics.jsonl").read_text() for x in (tmp_path / "run", whole)]
    assert lines[0] == lines[1]


KILLED_IN_THE_CARRY = """
import os, signal, sys
from jaxgan import stages
from experiments import run
from experiments.cli import exits

def kill(old, fresh):
    os.kill(os.getpid(), signal.SIGKILL)

stages.CARRIES["grow"] = kill
# Shapes are evaluated abstractly before the first step, where the carry must not kill.
import jax
evaluate = jax.eval_shape
jax.eval_shape = lambda f, *a, **k: a[1] if f is kill else evaluate(f, *a, **k)
exits.call(run.main)
"""


@pytest.mark.slow
def test_killed_while_one_stage_hands_over_to_the_other(whole, config_file, tmp_path):
    arguments = [f"--config={config_file}", "--workdir=run"]
    command = [sys.executable, "-c", KILLED_IN_THE_CARRY, *arguments]
    # The new processes have as many devices as this process, because their runs are compared.
    env = {**environment(events=False), "XLA_FLAGS": os.environ["XLA_FLAGS"]}
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    command = [sys.executable, "-m", "experiments.run", *arguments]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "continuing run from step" in result.stdout
    assert final(tmp_path / "run") == final(whole)


@pytest.mark.slow
def test_the_first_stage_is_sampled_by_its_own_networks(whole, tmp_path):
    # A checkpoint holds the state of the stage that trained it.
    assert [stage_of([6, 12], step) for step in (0, 6, 7)] == [0, 0, 1]
    assert main(sample, f"--workdir={whole}", "--num=4", f"--out={tmp_path}/grid.png") == 0


@pytest.mark.slow
def test_each_stage_draws_images_of_its_own_size(whole):
    sides = {step: Image.open(whole / "samples" / f"{step}.png").width for step in (0, 6, 7, 12)}
    # A grid of 8 × 8 enlarges images of 8 and of 16 pixels to 56 and to 48 pixels, with gaps of 2 pixels.
    assert sides == {0: 466, 6: 466, 7: 402, 12: 402}


@pytest.mark.slow
def test_its_lines_tell_of_lazy_r1_alpha_and_the_sign(whole):
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [line["alpha"] for line in lines] == pytest.approx([1] * 6 + [0, 1 / 3, 2 / 3, 1, 1, 1])
    # R1 is computed at the first of every four updates, also across the change of stage.
    r1 = [line["r1"] for line in lines]
    assert all(r1[i] == r1[i - 1] for i in range(1, 12) if i % 4)
    assert len(set(r1[::4])) == 3


def test_stages_that_do_not_fit_are_refused_in_a_line(config_file):
    config = config_files.load(str(config_file)).values
    for entries, message in (
        (({"until": 6}, {"until": 5, "carry": "grow"}), "stage 1 has until 5"),
        (
            ({"until": 6}, {"until": 12, "carry": "grwo"}),
            "unknown carry of stage 1 'grwo': did you mean 'grow'",
        ),
        (({"until": 6}, {"until": 9, "carry": "grow"}), "the last stage ends at step 9, num_steps is 12"),
        (({"until": 12, "carry": "grow"},), "stage 0 has a carry 'grow', but no stage comes before it"),
        (({"until": 12, "gan.loss.x": 3},), "unknown field of stage 0 'gan.loss.x'"),
        (({"until": 12, 3: 8},), "stage 0 has a field 3: give a name"),
        (({"until": 12, "data.sise": 8},), "unknown field of stage 0 'data.sise'"),
    ):
        with config.unlocked():
            config.stages = entries
        with pytest.raises(SetupError, match=message):
            checks.check_stages(config)


@pytest.mark.slow
def test_a_signal_between_two_stages_saves_the_state_before_the_carry(
    whole, config_file, tmp_path, monkeypatch
):
    config = tmp_path / "rare.py"
    text = config_file.read_text()
    config.write_text(text.replace("config.checkpoint_every = 1", "config.checkpoint_every = 5"))
    grow = CARRIES["grow"]

    def interrupted(old, fresh):
        if not isinstance(old.step, jax.core.Tracer):
            os.kill(os.getpid(), signal.SIGTERM)
        return grow(old, fresh)

    monkeypatch.setitem(CARRIES, "grow", interrupted)
    arguments = (f"--config={config}", f"--workdir={tmp_path}/run")
    assert main(run, *arguments) == 128 + signal.SIGTERM
    assert max(int(x.name) for x in (tmp_path / "run" / "checkpoints").iterdir()) == 6
    monkeypatch.undo()
    assert main(run, *arguments) == 0
    assert final(tmp_path / "run") == final(whole)


def test_a_pool_whose_images_have_another_size_begins_afresh(stages):
    (_, old), (_, fresh) = stages

    def pool(size, filled):
        return {"samples": jnp.zeros((4, size, size, 1)), "filled": jnp.int32(filled)}

    old = old.replace(extra={**old.extra, "pool": pool(8, 4), "k": jnp.float32(0.5)})
    fresh = fresh.replace(extra={**fresh.extra, "pool": pool(16, 0), "k": jnp.float32(0)})
    extra = CARRIES["grow"](old, fresh).extra
    assert (int(extra["pool"]["filled"]), float(extra["k"])) == (0, 0.5)


def test_a_stages_own_value_is_no_members(config_file):
    config = config_files.load(str(config_file)).values
    first, second = (dict(stage) for stage in config.stages)
    with config.unlocked():
        config.stages = (first, {**second, "optimizers.critic.learning_rate": 1e-5})
    values = {"optimizers.critic.learning_rate": 0.5, "optimizers.generator.learning_rate": 0.25, "seed": 3}
    found = [stage.with_values(values) for stage in staging.stage_configs(config)]
    assert [x.optimizers.critic.learning_rate for x in found] == [0.5, 1e-5]
    assert [x.optimizers.generator.learning_rate for x in found] == [0.25, 0.25]
    assert [x.seed for x in found] == [3, 3]


@pytest.mark.slow
def test_a_sweep_of_two_stages_has_members_that_are_the_runs_alone(whole, config_file, tmp_path):
    assert main(sweep, f"--config={config_file}", f"--workdir={tmp_path}/sweep", "--seeds=2") == 0
    with (tmp_path / "sweep" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["failed"] for row in rows] == ["", ""]
    alone = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    for name in ("critic_loss", "generator_loss", "r1", "alpha", "real_sign"):
        np.testing.assert_allclose(float(rows[0][name]), alone[name], rtol=2e-3, atol=1e-5, err_msg=name)
    assert rows[0]["critic_loss"] != rows[1]["critic_loss"]
