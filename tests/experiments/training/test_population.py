"""Members of a population train as they would alone, on any number of devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.cli import config_fields, config_files
from experiments.scoring import member_scores
from experiments.training import build, population, sweep_group, sweep_plan, workdir
from jaxgan import data, parallel
from jaxgan.state import is_key
from jaxgan.steps import train_step, with_conditions

# The tests share programs, which one worker compiles.
pytestmark = pytest.mark.xdist_group("population")

STEPS = 4
CLOSE = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)


def tiny(base="gan_gaussians.py", **fields):
    config = config_files.load(base).values
    small = {
        "batch_size": 16,
        "data.seed": 5,
        **{f"models.{role}.hidden": (8, 8) for role in config.models},
    }
    return config_fields.with_values(config, {**small, **fields})


def configs(**fields):
    return [
        tiny(**{**fields, "seed": seed, "optimizers.generator.learning_rate": rate})
        for rate in (1e-3, 1e-2)
        for seed in range(4)
    ]


def planned(group, devices):
    mesh = parallel.device_mesh(jax.devices()[:devices], axis=parallel.MEMBERS_AXIS)
    return sweep_plan.plan_group(group, member_scores.SCORING)._replace(mesh=mesh)


def begin(plan):
    return jax.jit(lambda: sweep_group.init_members(plan, plan.parts[0]))()


def train(group, devices, in_turn=False, steps=STEPS):
    plan = planned(group, devices)
    (part,) = plan.parts
    step = parallel.jit_members(sweep_plan.member_step(part), plan.mesh, in_turn=in_turn)
    state = sweep_group.place_members(plan, begin(plan))
    for batch in sweep_group.replicated_batches(plan, part, 0, steps):
        state, metrics = step(state, batch)
    return state, metrics


def alone(config, steps=STEPS):
    gan = build.build(config)
    source = data.open_source(**config.data)
    state = build.first_state(config, gan, source)()

    @jax.jit
    def step(state, raw):
        batch = with_conditions(source.prepare(raw), state, source.conditions)
        return train_step(state, batch, gan=gan, ema_decay=config.ema_decay)

    stream = source.batches(seed=config.data.seed, n_critic=config.n_critic, batch_size=config.batch_size)
    for batch in data.iterate(stream, 0, steps):
        state, metrics = step(state, batch)
    return state, metrics


@functools.cache
def trained():
    (group,) = population.group_configs(configs())
    return train(group, 1)


@pytest.mark.parametrize("place", [0, 6])
def test_a_member_trains_as_it_would_alone(place):
    state, metrics = trained()
    expected, expected_metrics = alone(configs()[place])
    jax.tree.map(lambda x, y: CLOSE(x[place], y), state.state.generator.params, expected.generator.params)
    jax.tree.map(lambda x, y: CLOSE(x[place], y), state.state.critic.opt_state, expected.critic.opt_state)
    jax.tree.map(lambda x, y: CLOSE(x[place], y), metrics, expected_metrics)
    assert (jax.random.key_data(state.state.key[place]) == jax.random.key_data(expected.key)).all()


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "in_turn"), [(8, False), (2, True)])
def test_devices_and_order_do_not_affect_the_results(devices, in_turn):
    (group,) = population.group_configs(configs())
    state, metrics = train(group, devices, in_turn)
    assert len(state.failed.sharding.device_set) == devices
    jax.tree.map(CLOSE, state.state.generator.params, trained()[0].state.generator.params)
    jax.tree.map(CLOSE, metrics, trained()[1])


@pytest.mark.slow
def test_members_are_padded_to_a_multiple_of_the_devices():
    (group,) = population.group_configs(configs()[:7])
    plan = sweep_plan.plan_group(group, member_scores.SCORING)
    assert plan.mesh.size == 7  # 7 of the 8 devices have one member each.
    plan = planned(group, 2)
    state, metrics = train(group, 2)
    assert len(state.failed.sharding.device_set) == 2
    assert state.failed.shape == (8,)
    state, metrics = sweep_group.drop_padding(plan, (state, metrics))
    assert state.failed.shape == (7,)
    expected, expected_metrics = jax.tree.map(lambda x: x[:7], trained())
    jax.tree.map(CLOSE, state.state.generator.params, expected.state.generator.params)
    jax.tree.map(CLOSE, metrics, expected_metrics)


@pytest.mark.slow
def test_checkpoints_have_no_padding_and_continue_on_other_devices(tmp_path):
    def train_to(steps, devices, folder):
        each = {"num_steps": steps, "log_every": 1, "sample_every": 2, "checkpoint_every": 2}
        (group,) = population.group_configs([tiny(seed=seed, **each) for seed in range(3)])
        plan = planned(group, devices)
        sweep_group.train(plan, tmp_path / folder, folder, [])
        with np.load(tmp_path / folder / "last.npz", allow_pickle=False) as file:
            return file["samples"], workdir.read_lines(tmp_path / folder / "curves.jsonl")

    samples, lines = train_to(2, 2, "moved")
    assert len(samples) == 3
    assert {len(column) for line in lines for name, column in line.items() if name != "step"} == {3}
    samples, lines = train_to(4, 3, "moved")
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    expected, expected_lines = train_to(4, 1, "straight")
    CLOSE(samples, expected)
    jax.tree.map(CLOSE, lines, expected_lines)
    assert workdir.read_json(tmp_path / "moved" / "done.json")["members"] == 3


@pytest.mark.slow
def test_devices_do_not_communicate():
    (group,) = population.group_configs(configs())
    plan = sweep_plan.plan_group(group, member_scores.SCORING)
    assert plan.mesh.size == 8
    state = parallel.split_members(begin(plan).members, plan.mesh)
    (part,) = plan.parts
    batch = next(iter(sweep_group.replicated_batches(plan, part, 0, 1)))
    step = parallel.jit_members(sweep_plan.member_step(part), plan.mesh)
    text = step.lower(state, batch).compile().as_text()
    for collective in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
        assert collective not in text


def test_a_member_that_is_not_finite_is_frozen_and_the_others_continue():
    broken = configs()
    broken[2] = tiny(**{"seed": 2, "optimizers.generator.learning_rate": 1e38})
    (group,) = population.group_configs(broken)
    state, metrics = train(group, 1)
    failed = np.asarray(state.failed)
    assert 1 < failed[2] <= STEPS
    assert (np.delete(failed, 2) == 0).all()
    before, _ = train(group, 1, steps=int(failed[2]) - 1)
    for ours, theirs in zip(
        jax.tree.leaves_with_path(state.state), jax.tree.leaves(before.state), strict=True
    ):
        path, leaf = ours
        if parallel.is_clock(path):
            assert (leaf == STEPS).all()  # Clocks advance for all members.
        elif not is_key(leaf):
            np.testing.assert_array_equal(leaf[2], theirs[2], err_msg=jax.tree_util.keystr(path))
    assert np.isnan(metrics["critic_loss"][2])
    assert np.isfinite(np.delete(metrics["critic_loss"], 2)).all()
    expected, _ = trained()
    for place in (0, 7):
        jax.tree.map(
            lambda x, y, place=place: CLOSE(x[place], y[place]),
            state.state.generator.params,
            expected.state.generator.params,
        )


def test_configs_that_differ_in_traceable_numbers_share_a_program():
    changes = [
        {"seed": 0},
        {"seed": 1},
        {"seed": 0, "optimizers.critic.learning_rate": 0.5},
        {"seed": 0, "gan.loss": "hinge"},
        {"seed": 0, "n_critic": 2},
        {"seed": 1, "gan.loss": "hinge", "ema_decay": 0.5},
        {"seed": 0, "penalties.gradient_penalty.weight": 10.0},
        {"seed": 0, "penalties.gradient_penalty.weight": 1.0},
        {"seed": 0, "gan.feature_matching": True},
        {"seed": 0, "penalties.r1": {"weight": 2.0, "every": 2}},
        {"seed": 0, "penalties.r1": {"weight": 1.0, "every": 2}},
        {"seed": 0, "penalties.r1": {"weight": 1.0, "every": 3}},
    ]
    groups = population.group_configs([tiny(**fields) for fields in changes])
    assert [group.indices for group in groups] == [(0, 1, 2), (3, 5), (4,), (6, 7), (8,), (9, 10), (11,)]
    assert [sorted(group.values) for group in groups] == [
        ["optimizers.critic.learning_rate", "seed"],
        ["ema_decay", "seed"],
        ["seed"],
        ["penalties.gradient_penalty.weight", "seed"],
        ["seed"],
        ["penalties.r1.weight", "seed"],
        ["seed"],
    ]
    np.testing.assert_allclose(groups[3].values["penalties.gradient_penalty.weight"], [10, 1])
    assert groups[0].values["seed"].tolist() == [0, 1, 0]


@pytest.mark.slow
def test_traceable_numbers_can_be_traced():
    fields = {
        "penalties.gradient_penalty.weight": 10.0,
        "optimizers.critic.b1": 0.3,
        "optimizers.critic.b2": 0.8,
        "optimizers.generator.learning_rate": 1e-2,
        "ema_decay": 0.5,
    }
    one = tiny(**fields)
    (group,) = population.group_configs(
        [tiny(seed=3, **{name: 1.1 * v for name, v in fields.items()}), one]
    )
    assert set(group.values) == {"seed", *fields}
    state, _ = train(group, 1, steps=2)
    expected, _ = alone(one, steps=2)
    jax.tree.map(lambda x, y: CLOSE(x[1], y), state.state.critic.params, expected.critic.params)
    jax.tree.map(
        lambda x, y: CLOSE(x[1], y), state.state.generator.ema_params, expected.generator.ema_params
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "fields"),
    [
        (
            "collapse_remedies.py:replay",
            {
                "remedies.label_smoothing.real_label": 0.8,
                "remedies.top_k.share": 0.3,
                "remedies.top_k.decay": 0.9,
                "augment.instance_noise.std": 0.4,
                "pool.share": 0.3,
                "remedies.historical_averaging.weight": 0.2,
            },
        ),
        ("lucic_objectives.py:BEGAN", {"gan.gamma": 0.3, "gan.lambda_k": 0.1}),
        (
            "lucic_objectives.py:WGAN",
            {
                "optimizers.critic.clip": 0.2,
                "optimizers.critic.decay": 0.5,
                "penalties.dragan.weight": 3.0,
                "penalties.dragan.target": 0.5,
            },
        ),
    ],
)
def test_numbers_of_remedies_objectives_and_optimisers_are_traced(base, fields):
    counts = {"augment.instance_noise.steps": 9} if base.startswith("collapse_remedies") else {}
    one = tiny(base, seed=3, **counts, **fields)
    other = tiny(base, seed=3, **counts, **{name: value / 2 for name, value in fields.items()})
    (group,) = population.group_configs([other, one])
    assert set(group.values) == {"seed", *fields}
    state, _ = train(group, 1, steps=2)
    expected, _ = alone(one, steps=2)
    for player in ("generator", "critic"):
        params = [getattr(game, player).params for game in (state.state, expected)]
        jax.tree.map(lambda x, y: CLOSE(x[1], y), *params)


def test_with_values_copies_a_config():
    config = ConfigDict({"a": {"b": 1.0}, "c": 2}).lock()
    copy = config_fields.with_values(config, {"a.b": jnp.float32(3), "a.d": {"e": 1}})
    assert copy.a.b == 3
    assert copy.a.d.e == 1
    assert config.a.b == 1
    assert "d" not in config.a
