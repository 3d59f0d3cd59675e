"""Runs whose state has entries in ``GANState.extra``, and configs of remedies that are refused."""

import json
import shutil

import jax
import jax.numpy as jnp
import pytest

from experiments import run
from experiments.cli import config_files
from experiments.training import build, checks
from jaxgan.errors import SetupError
from tests.commands import main
from tests.points import points_batch, stepper

SMALL = """
from experiments.configs import {module}

def get_config():
    config = {module}.get_config({argument!r})
    config.num_steps = 12
    config.batch_size = 8
    config.log_every = config.sample_every = config.checkpoint_every = 4
    for model in config.models.values():
        model.hidden = (8,)
    config.update({changes!r})
    return config
"""
RUNS = {
    # These values are far from balance, so that k changes.
    "BEGAN": ("lucic_objectives", "BEGAN", {"gan": {"gamma": 1.0, "lambda_k": 0.1}}),
    "replay": (
        "collapse_remedies",
        "replay",
        {
            "n_critic": 2,
            "pool": {"size": 40},
            "augment": {"instance_noise": {"std": 0.5, "steps": 10}},
            "penalties": {"r1": {"weight": 0.1, "every": 5}},
            "remedies": {
                "historical_averaging": {"weight": 0.1},
                "top_k": {"share": 0.5, "decay": 0.9},
            },
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_continued_run_ends_in_the_same_bits(name, tmp_path, capsys):
    module, argument, changes = RUNS[name]
    config, directory = tmp_path / "small.py", tmp_path / "out"
    config.write_text(SMALL.format(module=module, argument=argument, changes=changes))
    arguments = (f"--config={config}", f"--workdir={directory}")
    assert main(run, *arguments) == 0
    whole, metrics = capsys.readouterr().out.splitlines()[-1], (directory / "metrics.jsonl").read_text()
    last = json.loads(metrics.splitlines()[-1])
    if name == "BEGAN":
        assert 0 < last["k"] <= 1
        assert last["convergence"] > 0
    else:
        assert last["instance_noise"] == 0
        assert last["critic_history"] > 0
    for path in ("checkpoints/8", "checkpoints/12"):
        shutil.rmtree(directory / path)
    (directory / "receipt.json").unlink()
    assert main(run, *arguments) == 0
    out = capsys.readouterr().out
    assert "from step 4" in out
    assert out.splitlines()[-1] == whole
    assert (directory / "metrics.jsonl").read_text() == metrics


def remedies(**chosen):
    return {"remedies": chosen}


def pool(**fields):
    return {"pool": fields}


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        ("none", remedies(top_j={}), "unknown remedy 'top_j': did you mean 'top_k'"),
        ("none", remedies(replay={}), "unknown remedy 'replay'"),
        ("none", pool(name="reply"), "unknown pool.name 'reply': did you mean 'replay'"),
        ("none", pool(name="replay", size=8), "no field pool.share: give a number from 0 to 1"),
        ("none", pool(name="replay", size=8.5, share=0.5), "pool.size is 8.5: give a whole"),
        ("none", pool(name="history", share=0.5), "unknown pool field 'share'"),
        ("none", {"augment": {"noise": {}}}, "unknown augment 'noise': did you mean 'instance_noise'"),
        (
            "none",
            {"augment": {"instance_noise": {"std": -1.0, "steps": 10}}},
            "augment.instance_noise.std is -1.0: give 0 or more",
        ),
        ("none", remedies(top_k={"share": 2.0, "decay": 0.9}), "remedies.top_k.share is 2.0"),
        (
            "none",
            remedies(unrolled={"steps": 5, "weight": 1.0}),
            "unknown remedies.unrolled field 'weight'",
        ),
        ("none", {"gan": {"feature_matching": 1}}, "gan.feature_matching is 1: give True or False"),
        ("none", remedies(unrolled={"steps": 5}), "optimizers.critic.eps_root is 0.*1e-8"),
        (
            "none",
            {"gan": {"loss": "hinge"}, **remedies(label_smoothing={"real_label": 0.9})},
            "remedies.label_smoothing: one-sided.*give the loss minimax or non_saturating",
        ),
        (
            "none",
            {"gan": {"loss": "relativistic_average"}, **remedies(top_k={"share": 0.5, "decay": 0.9})},
            "remedies.top_k: .*not relativistic",
        ),
        (
            "none",
            {"gan": {"feature_matching": True}, **remedies(top_k={"share": 0.5, "decay": 0.9})},
            "remedies.top_k does nothing beside gan.feature_matching",
        ),
        ("none", {"gan": {"loss": "began"}}, "unknown gan.loss 'began'"),
        ("none", {"gan": {"name": "began"}}, "unknown gan field '(loss|feature_matching)'"),
        (
            "minibatch_std",
            {"penalties": {"r1": {"weight": 1.0}}},
            "penalties r1 need a gradient for each sample.*'minibatch'.*give the critic minibatch none",
        ),
        ("minibatch_std", {"models": {"critic": {"minibatch": "sdt"}}}, "unknown minibatch 'sdt'.*'std'"),
    ],
)
def test_mistakes_in_remedies_are_refused(config, changes, message):
    values = config_files.load(f"collapse_remedies.py:{config}").values
    with values.unlocked(), values.ignore_type():
        values.update(changes)
    with pytest.raises(SetupError, match=message):
        build_checked(values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gan": {"gamma": 1.5}}, "gan.gamma is 1.5: give a number from 0 to 1"),
        ({"gan": {"feature_matching": True}}, "unknown gan field 'feature_matching'"),
        ({"penalties": {"r1": {"weight": 1.0}}}, "penalties.r1: system began takes no penalties"),
        (
            remedies(top_k={"share": 0.5, "decay": 0.9}),
            "remedies.top_k changes a loss of logits, system began has none",
        ),
        ({"models": {"critic": {"family": "mlp"}}}, "models.critic: system began has no critic"),
        (
            {
                "data": {"name": "digits", "size": 32, "channels": 1},
                "models": {"autoencoder": {"family": "resnet"}},
            },
            "models.autoencoder.family resnet has no autoencoder: give dcgan or mlp",
        ),
    ],
)
def test_mistakes_with_began_are_refused(changes, message):
    values = config_files.load("lucic_objectives.py:BEGAN").values
    with values.unlocked(), values.ignore_type():
        values.update(changes)
    with pytest.raises(SetupError, match=message):
        build_checked(values)


def build_checked(values):
    checks.check(values)
    return build.build(values)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("lucic_objectives.py:BEGAN", ("gan.gamma", "gan.lambda_k", "optimizers.critic.learning_rate")),
        (
            "lucic_objectives.py:WGAN-GP",
            ("penalties.gradient_penalty.weight", "penalties.gradient_penalty.target"),
        ),
        ("lucic_objectives.py:DRAGAN", ("penalties.dragan.weight", "penalties.dragan.std")),
        ("lucic_objectives.py:WGAN", ("optimizers.critic.clip",)),
        ("collapse_remedies.py:replay", ("pool.share",)),
        ("collapse_remedies.py:top_k", ("remedies.top_k.share", "remedies.top_k.decay")),
        ("collapse_remedies.py:instance_noise", ("augment.instance_noise.std",)),
        ("collapse_remedies.py:historical_averaging", ("remedies.historical_averaging.weight",)),
        ("collapse_remedies.py:label_smoothing", ("remedies.label_smoothing.real_label",)),
        ("collapse_remedies.py:unrolled", ("optimizers.critic.learning_rate", "optimizers.critic.b1")),
    ],
)
def test_numbers_of_a_config_may_be_traced(name, fields):
    config = config_files.load(name).values

    def step(values):
        with config.unlocked(), config.ignore_type():
            config.update_from_flattened_dict(dict(zip(fields, values, strict=True)))
        gan, batch = build.build(config), points_batch(n_critic=config.n_critic)
        return stepper(gan)(gan.init(jax.random.key(0), batch), batch)[1]

    metrics = jax.eval_shape(jax.vmap(step), [jnp.ones(3)] * len(fields))
    assert metrics["generator_loss"].shape == (3,)
