"""Tests that mistakes of the user are refused with status 2 and one line, before anything is written."""

import math
import os
import re
import sys
from pathlib import Path

import pytest
from absl import flags
from ml_collections import ConfigDict

from experiments import run, sample
from experiments.cli import config_fields, config_files, exits, source_files
from experiments.scoring import evaluation
from experiments.training import build, checks, derived
from jaxgan import penalties
from jaxgan.errors import SetupError
from tests.commands import ROOT, TINY, execute, main


def refusal(capsys, monkeypatch, *arguments, module=run):
    """Runs a command that must be refused with status 2 and returns its line of standard error."""
    monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        exits.call(module.main)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    return error


MNIST = "--config=dcgan_mnist.py"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no config given.*dcgan_mnist.py"),
        (["--config=dcgan_mnst.py"], "unknown config 'dcgan_mnst.py': did you mean 'dcgan_mnist.py'"),
        ([MNIST, "--wrkdir=x"], "unknown command line flag 'wrkdir': did you mean 'workdir'"),
        ([MNIST, "--noconfig.latnt"], "unknown config field 'latnt': did you mean 'latent"),
        ([MNIST, "--config"], "Missing value for flag .*config"),
        ([MNIST, "extra"], "unexpected argument 'extra'"),
        (
            [MNIST, "--config.bach_size=3"],
            "unknown config field 'bach_size': did you mean 'batch_size'",
        ),
        (
            [MNIST, "--config.models.critic.widht=3"],
            "unknown config field 'models.critic.widht': did you mean 'models.critic.width'",
        ),
        ([MNIST, "--config.num_steps=many"], "config.num_steps=many"),
        ([MNIST, "--config.num_steps=0"], "num_steps is 0: give a whole number"),
        ([MNIST, "--config.seed=-1"], "seed is -1"),
        ([MNIST, "--config.data.seed=-1"], "data.seed is -1"),
        ([MNIST, "--config.ema_decay=1.5"], "ema_decay is 1.5"),
        ([MNIST, "--config.gan.loss=hing"], "unknown gan.loss 'hing': did you mean 'hinge'"),
        ([MNIST, "--config.dtype=float16"], "unknown dtype 'float16'.*'bfloat16'.*float32"),
        ([MNIST, "--config.data.name=digit"], "unknown data.name 'digit'.*'digits'"),
        (
            [MNIST, "--config.latent.prior=norml"],
            "unknown latent.prior 'norml'.*'normal'",
        ),
        ([MNIST, "--config.models.critic.norm=bach"], "unknown norm 'bach'.*'batch'"),
        (
            [MNIST, "--config.models.critic.family=dcgn"],
            "unknown models.critic.family 'dcgn'",
        ),
        ([MNIST, "--config.data.size=30"], "unknown image size '30'"),
        (
            [MNIST, "--config.optimizers.critic.name=adm"],
            "config.optimizers.critic: unknown optimizer 'adm': did you mean 'adam'",
        ),
        (
            [MNIST, "--config.penalties.r1.weight=1.0"],
            "penalties r1 need a gradient for each sample.*'batch_stats'",
        ),
        (["--config=wgan_mnist.py", "--config.optimizers.critic.clip=-1.0"], "critic.clip is -1.0"),
        ([MNIST, "--config.batch_size=12"], "batch_size 12 .*8 devices: try 8 or 16"),
        (["--config=dcgan_folder.py"], "data.path is empty"),
        (
            ["--config=dcgan_folder.py", "--config.data.path=/nowhere"],
            "data.path '/nowhere' is not a folder",
        ),
        (["--config=gan_gaussians.py", "--config.models.critic.family=dcgan"], "dcgan makes images"),
        (["--config=gan_gaussians.py:nonsense"], "nonsense"),
    ],
)
def test_mistakes_are_refused_in_one_line(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    error = refusal(capsys, monkeypatch, *arguments)
    assert re.search(message, error), error
    assert not list(tmp_path.iterdir())  # nothing was written


def test_a_real_process_exits_with_status_2_and_one_line(tmp_path):
    result = execute("--config=dcgan_mnist.py", "--config.gan.loss=hing", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(r"error: unknown gan.loss 'hing'.*\n", result.stderr)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere", "ModuleNotFoundError.*nowhere"),
        ("def get_config(: pass", "SyntaxError"),
        ("def get_config(): return 3", "ConfigDict"),
        (
            "from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({'seed': 1})",
            "no field num_steps",
        ),
    ],
)
def test_config_files_that_do_not_load(text, message, capsys, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(text)
    error = refusal(capsys, monkeypatch, f"--config={tmp_path}/mine.py", f"--workdir={tmp_path}/out")
    assert re.search(message, error), error


def test_a_directory_belongs_to_one_config(finished, configs, capsys, monkeypatch):
    directory, _ = finished
    error = refusal(
        capsys,
        monkeypatch,
        f"--config={configs}/dcgan_mnist.py",
        f"--workdir={directory}",
        "--config.optimizers.critic.learning_rate=0.1",
    )
    assert re.search(
        r"belongs to a run of another config \(optimizers.critic.learning_rate was .* now 0.1\)", error
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out=x.png"], "no --workdir"),
        (["--workdir=nowhere", "--out=x.png"], "nowhere.*no run"),
        (["--workdir={finished}", "--out=x.png", "--num=0"], "--num"),
        (["--workdir={finished}", "--out=x.png", "--truncation=-1"], "--truncation"),
        (["--workdir={finished}", "--out=nowhere/x.png"], "nowhere"),
        (["--workdir={finished}", "--out=x.txt"], "x.txt"),
    ],
)
def test_sample_refuses_mistakes(arguments, message, finished, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = [argument.format(finished=finished[0]) for argument in arguments]
    assert re.search(message, refusal(capsys, monkeypatch, *arguments, module=sample))
    assert not list(tmp_path.iterdir())


def test_help_lists_the_flags_with_and_without_a_config(capsys):
    for arguments in (["--help"], [MNIST, "--help"], ["--config=nowhere.py", "--help"]):
        assert main(run, *arguments) == 0
        shown = capsys.readouterr().out
        for flag in ("--config", "--workdir", "--systems"):
            assert f"  {flag}: " in shown


def test_bare_names_paths_and_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_files.resolve("dcgan_mnist.py")[0] == ROOT / "experiments" / "configs" / "dcgan_mnist.py"
    assert config_files.resolve("dcgan_mnist")[0] == ROOT / "experiments" / "configs" / "dcgan_mnist.py"
    (tmp_path / "dcgan_mnist.py").write_text(TINY.format(base="dcgan_mnist"))
    assert config_files.resolve("dcgan_mnist.py")[0].resolve() == tmp_path / "dcgan_mnist.py"
    config = config_files.load("dcgan_mnist.py:7")
    assert (config.values.seed, config.name) == (7, "dcgan_mnist-7")


def test_a_config_is_read_as_it_is_and_leaves_nothing_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    # Bytecode would not distinguish these files, because they have the same size and time.
    for size in "12":
        path.write_text(TINY.format(base="dcgan_mnist").replace("batch_size = 8", f"batch_size = {size}"))
        os.utime(path, (1, 1))
        assert config_files.load(str(path)).values.batch_size == int(size)
    assert list(tmp_path.iterdir()) == [path]
    assert Path(source_files.load_module(path).__file__) == path
    path.rename(tmp_path / "mine.txt")
    with pytest.raises(SetupError, match=r"mine.txt is not a Python file: give one that ends in .py"):
        config_files.load(str(tmp_path / "mine.txt"))


def test_a_flag_sets_a_field_of_one_player_even_if_both_share_a_section(tmp_path):
    (tmp_path / "shared.py").write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n"
        "    adam = ConfigDict({'learning_rate': 1e-3})\n"
        "    return ConfigDict({'generator': adam, 'critic': adam})\n"
    )
    arguments = ["program", f"--config={tmp_path}/shared.py", "--config.generator.learning_rate=0.5"]
    config = config_files.read_config(arguments, flags.FlagValues(), "").values
    assert config.generator.learning_rate == 0.5
    assert config.critic.learning_rate == 1e-3


def test_flags_may_stand_in_any_order_and_without_an_equals_sign():
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    lazy = "--noconfig.penalties.gradient_penalty.one_sided"
    arguments = ["program", "--config.seed", "3", "--workdir", "x", lazy, "-config", "dcgan_mnist"]
    config = config_files.read_config(arguments, values, "").values
    assert (config.seed, values.workdir) == (3, "x")
    assert config.penalties.gradient_penalty.one_sided is False


def test_references_between_fields_are_kept(tmp_path):
    (tmp_path / "tied.py").write_text(
        "from experiments.configs import dcgan_mnist\n"
        "def get_config():\n"
        "    config = dcgan_mnist.get_config()\n"
        "    config.log_every = config.get_ref('sample_every')\n"
        "    return config\n"
    )
    arguments = ["program", f"--config={tmp_path}/tied.py", "--config.sample_every=7"]
    assert config_files.read_config(arguments, flags.FlagValues(), "").values.log_every == 7


@pytest.mark.parametrize(
    ("base", "field", "value", "message"),
    [
        ("gan_gaussians", "penalties", {"dragan": {"weight": 1.0, "sd": 0.1}}, "dragan field 'sd'.*'std'"),
        ("gan_gaussians", "penalties", {"dragan": {"weight": 0.0, "std": "x"}}, "dragan.std is 'x'"),
        (
            "gan_gaussians",
            "penalties",
            {"r1": {"weight": 1.0, "target": 1.0}},
            "field 'target'.*valid: every, weight",
        ),
        ("gan_gaussians", "penalties", {"r1": {}}, "no field penalties.r1.weight: give 0 or more"),
        ("gan_gaussians", "penalties", {"r1": {"weight": "1"}}, "penalties.r1.weight is '1'"),
        ("gan_gaussians", "penalties", {"r1": 1.0}, "penalties.r1 is 1.0: give a section"),
        (
            "gan_gaussians",
            "penalties",
            {"gradient_penalty": {"weight": 1.0, "one_sided": 1.0}},
            "one_sided is 1.0: give True or False",
        ),
        ("gan_gaussians", "ema_decay", "0.9", "ema_decay is '0.9'"),
        ("gan_gaussians", "batch_size", "64", "batch_size is '64'"),
        ("gan_gaussians", "seed", "1", "seed is '1'"),
        ("gan_gaussians", "optimizers.critic.learning_rate", math.nan, "critic.learning_rate is nan"),
        ("gan_gaussians", "optimizers.critic.learning_rate", "0.1", "critic.learning_rate is '0.1'"),
        ("gan_gaussians", "optimizers.critic.clip", "0.1", "critic.clip is '0.1'"),
        ("gan_gaussians", "penalties", {"r1": {"weight": math.inf}}, "penalties.r1.weight is inf"),
        ("gan_gaussians", "remedies", "top_k", "remedies is 'top_k': give a section"),
        ("gan_gaussians", "remedies", {"top_k": 3}, "remedies.top_k is 3: give a section"),
        ("gan_gaussians", "remedies", {"replay": {"size": 9}}, "unknown remedy 'replay'"),
        ("gan_gaussians", "pool", {"name": "replay", "size": 9, "share": "x"}, "pool.share is 'x'"),
        ("gan_gaussians", "pool", {"name": "replay", "size": 9, "share": None}, "pool.share is None"),
        ("gan_gaussians", "pool", {"name": "reply", "size": 9}, "unknown pool.name 'reply'.*'replay'"),
        ("gan_gaussians", "pool", {"name": ["replay"], "size": 9}, "unknown pool.name"),
        ("gan_gaussians", "models.critic.family", ["mlp"], "unknown models.critic.family"),
        ("gan_gaussians", "optimizers.critic.name", ["adam"], "unknown optimizer"),
        ("gan_gaussians", "data.name", 3, "data.name is 3: give a name"),
        ("gan_gaussians", "pool", "replay", "pool is 'replay': give a section"),
        ("gan_gaussians", "augment", {"noise": {"std": 1.0}}, "unknown augment 'noise'.*instance_noise"),
        ("gan_gaussians", "augment", {"instance_noise": {"std": -1.0, "steps": 9}}, "noise.std is -1.0"),
        ("gan_gaussians", "penalties", {"r1": {"weight": 1.0, "every": 0}}, "penalties.r1.every is 0"),
        ("gan_gaussians", "parallel", "pmp", "unknown parallel 'pmp': did you mean 'pmap'"),
        ("gan_gaussians", "accumulate", 0, "accumulate is 0: give a whole number"),
        ("gan_gaussians", "gan", {"name": "adversarial"}, "no field gan.loss"),
        ("gan_gaussians", "gan", {"name": "gann", "loss": "hinge"}, "unknown gan.name 'gann'"),
        ("gan_gaussians", "gan", {"name": "adversarial", "loss": "hinge", "gamma": 0.5}, "'gamma'"),
        ("gan_gaussians", "loss", "hinge", "unknown config field 'loss'"),
        (
            "gan_gaussians",
            "stages",
            ({"until": 9, "parallel": "pmap"}, {"until": 10_000, "carry": "grow"}),
            "stage 0 has a parallel, which is the whole run's",
        ),
        ("gan_gaussians", "remedies", {"historical_averaging": {"weight": "1"}}, "weight is '1'"),
        ("gan_gaussians", "remedies", {"historical_averaging": {"weight": math.inf}}, "weight is inf"),
        (
            "lucic_objectives",
            "gan",
            {"name": "began", "gamma": "0.5", "lambda_k": 0.1},
            "gan.gamma is '0.5'",
        ),
    ],
)
def test_values_of_the_wrong_kind_in_a_config_file(
    base, field, value, message, capsys, monkeypatch, tmp_path
):
    argument = "'BEGAN'" if base == "lucic_objectives" else ""
    section, _, name = field.rpartition(".")
    (tmp_path / "mine.py").write_text(
        "from math import inf, nan\n"
        f"from experiments.configs import {base}\n"
        "def get_config():\n"
        f"    config = {base}.get_config({argument})\n"
        f"    node = config.{section}\n".replace("config.\n", "config\n")
        + f"    with node.ignore_type():\n        node.{name} = {value!r}\n"
        "    return config\n"
    )
    error = refusal(capsys, monkeypatch, f"--config={tmp_path}/mine.py", f"--workdir={tmp_path}/out")
    assert re.search(message, error), error
    assert not (tmp_path / "out").exists()


def test_every_penalty_says_what_it_takes():
    for name in penalties.PENALTIES:
        section = {"penalties": ConfigDict({name: {"weight": 1.0, "x": 1}})}
        config = config_fields.with_values(config_files.load("gan_gaussians").values, section)
        with pytest.raises(SetupError, match=f"unknown penalties.{name} field 'x'.*weight"):
            checks.check(config)


def test_batches_may_have_a_seed_of_their_own():
    arguments = ["program", "--config=gan_gaussians.py", "--config.seed=3"]
    plain = config_files.read_config(arguments, flags.FlagValues(), "").values
    assert derived.data_seed(plain) == 3
    assert "seed" not in plain.data  # a flag that is not given adds no field
    own = config_files.read_config([*arguments, "--config.data.seed=100"], flags.FlagValues(), "").values
    assert (own.seed, derived.data_seed(own)) == (3, 100)
    checks.check(own)


@pytest.mark.parametrize(
    ("base", "field", "value", "message"),
    [
        ("dcgan_mnist", "stages", 5, "stages is 5: give a tuple of sections"),
        ("dcgan_mnist", "stages", ("a",), "give a tuple of sections"),
        ("dcgan_mnist", "stages", ({"until": 3000, "seed": 1},), "has a seed, which is the whole run's"),
        ("dcgan_mnist", "gan.loss", ["hinge"], r"unknown gan\.loss"),
        ("dcgan_mnist", "optimizers", "adam", "optimizers is 'adam': give a section"),
        ("dcgan_mnist", "optimizers.critic", "adam", "optimizers.critic is 'adam': give a section"),
        ("dcgan_mnist", "models.generator", "family", "models.generator is 'family': give a section"),
        ("dcgan_mnist", "optimizers.critic.groups", "x", "groups is 'x': give a section for each group"),
        ("dcgan_mnist", "latent.bound", 1.0, "unknown latent field 'bound'"),
        (
            "dcgan_mnist",
            "ema_decay",
            {"schedule": "linear", "init_value": 0.0, "end_value": 1.0, "steps": 3},
            "unknown ema_decay argument 'steps'",
        ),
        ("vae_mnist", "n_critic", 5, "n_critic is 5: system vae has no critic, give 0"),
        ("cyclegan_rings", "latent", {"prior": "normal", "dim": 2}, "system cyclegan draws no latents"),
        ("cyclegan_rings", "gan.loss", "relativistic_average", "judge each sample by itself"),
        (
            "cyclegan_rings",
            "remedies",
            {"top_k": {"share": 0.5, "decay": 0.9}},
            "judge each sample by itself",
        ),
    ],
)
def test_what_a_config_cannot_say_is_refused_before_any_data_is_opened(base, field, value, message):
    config = config_fields.with_values(config_files.load(f"{base}.py").values, {field: value})
    with pytest.raises(SetupError, match=message) as error:
        checked(config)
    assert "\n" not in str(error.value)


def checked(config):
    """Checks and builds a config."""
    checks.check_all(config)
    build.build(config)


@pytest.mark.parametrize(
    ("trained", "held_out", "refused"),
    [
        (None, "test", True),
        ("train", "test", False),
        ("train", "train[:100]", True),
        ("train[:500]", "train", True),
        ("train[:100]+validation", "test", False),
        ("train[:100]+validation", "validation", True),
    ],
)
def test_what_was_trained_on_is_not_held_out(trained, held_out, refused):
    config = config_files.load("dcgan_mnist.py").values
    with config.unlocked():
        config.data.split = trained
    fields = config.data.to_dict()
    if refused:
        with pytest.raises(SetupError, match="has seen that split"):
            evaluation.check_held_out(held_out, fields, config)
    else:
        evaluation.check_held_out(held_out, fields, config)
    evaluation.check_held_out(held_out, {**fields, "name": "folder"}, config)
    evaluation.check_held_out(held_out, fields, None)
