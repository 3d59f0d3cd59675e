"""The sweep command: its results, exact continuation, and invalid sweeps."""

import csv
import json
import re
import signal
import subprocess

import numpy as np
import pytest

from experiments import sweep
from experiments.cli import config_fields, config_files
from experiments.scoring import member_scores
from experiments.training import population, sweep_group, sweep_plan, sweep_points, workdir
from jaxgan.errors import SetupError
from tests.commands import command, environment, execute, main

# The tests share a sweep, which one worker makes.
pytestmark = pytest.mark.xdist_group("sweep")

MODULE = "experiments.sweep"

# The sweep has two problems, and so two programs, and two rates, of which one diverges.
TINY = """
from experiments.configs import gan_gaussians

def get_config():
    config = gan_gaussians.get_config()
    config.num_steps, config.batch_size = 30, 16
    config.log_every = config.checkpoint_every = 5
    config.sample_every = 12
    config.models.generator.hidden = config.models.critic.hidden = (8, 8)
    return config

def sweep(add):
    for problem in ("ring", "spiral"):
        for rate in (1e-3, 1e38):
            add(
                {"data": {"name": problem, "path": ""}, "optimizers.generator.learning_rate": rate},
                objective="NS", problem=problem, rate=rate,
            )
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "tiny.py"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def swept(config):
    result = execute(f"--config={config}", "--seeds=3", "--workdir=out", cwd=config.parent, module=MODULE)
    assert result.returncode == 0, result.stderr
    return config.parent / "out", result


def table(directory):
    with (directory / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_line_per_run(swept):
    directory, result = swept
    assert "4 points, 3 seeds: 12 runs in 2 programs" in result.stdout
    rows = table(directory)
    assert len(rows) == 12
    assert [row["seed"] for row in rows[:6]] == ["0", "1", "2"] * 2
    for row in rows:
        diverged = row["rate"] == "1e+38"
        assert (row["failed"] != "") == diverged
        assert (row["w1"] == "") == diverged
        assert (row["modes"] == "") == (diverged or row["problem"] == "spiral")
    assert len({row["w1"] for row in rows if row["w1"]}) == 6


def test_groups_have_curves_and_samples(swept):
    directory, _ = swept
    lines = workdir.read_lines(directory / "groups" / "0" / "curves.jsonl")
    assert [line["step"] for line in lines] == [5, 10, 12, 15, 20, 24, 25, 30]
    assert [line["step"] for line in lines if "w1" in line] == [12, 24, 30]
    assert lines[-1]["critic_loss"][3:] == [None] * 3  # These members have the rate that diverges.
    with np.load(directory / "groups" / "0" / "last.npz", allow_pickle=False) as file:
        assert file["samples"].shape == (6, 2048, 2)
        assert (file["failed"] > 0).tolist() == [False] * 3 + [True] * 3


def test_the_page_is_self_contained(swept, config):
    page = (swept[0] / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "url(http" not in page
    assert "<script" not in page
    rows = table(swept[0])
    # The page must show the mean of the values in the table of runs.
    kept = [row for row in rows if row["problem"] == "ring" and row["w1"]]
    assert f">{np.mean([float(row['w1']) for row in kept]):.3g}<" in page
    assert page.count("<img ") == 2 + 2 * 2 * 3  # real points and every run
    opened = re.sub("<details>.*?</details>", "", page, flags=re.DOTALL)
    assert opened.count("<img ") == 2 + 2 * 3  # only the better rate
    assert f"python -m experiments.sweep --config={config} --seeds=3 --workdir=out" in page
    assert "6 of which became non-finite" in page
    assert "rate 0.001" in page
    assert "rate 1e+38" not in opened


@pytest.mark.slow
def test_a_finished_sweep_trains_nothing(swept, config):
    directory, _ = swept
    before = (directory / "results.csv").read_bytes()
    again = execute(f"--config={config}", "--seeds=3", "--workdir=out", cwd=config.parent, module=MODULE)
    assert again.returncode == 0, again.stderr
    assert "step" not in again.stdout
    assert (directory / "results.csv").read_bytes() == before


def stop(signum, at, arguments, cwd):
    """Starts a sweep and sends it a signal once it prints a line that starts with ``at``.

    Returns:
      The exit status of the sweep, and its standard error.
    """
    process = subprocess.Popen(
        command(*arguments, module=MODULE),
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith(at):
            process.send_signal(signum)
            break
    _, stderr = process.communicate(timeout=120)
    return process.returncode, stderr


@pytest.mark.slow
def test_a_stopped_sweep_ends_in_the_same_bits(swept, config, tmp_path):
    arguments = (f"--config={config}", "--seeds=3", f"--workdir={tmp_path}/out")
    status, stderr = stop(signal.SIGTERM, "program 1 of 2: step 10/30", arguments, tmp_path)
    assert (status, stderr) == (143, "stopped by SIGTERM, checkpoint saved\n")
    assert stop(signal.SIGKILL, "program 2 of 2: step 20/30", arguments, tmp_path)[0] == -9
    assert not (tmp_path / "out" / "results.csv").exists()
    rest = execute(*arguments, cwd=tmp_path, module=MODULE)
    assert rest.returncode == 0, rest.stderr
    assert "program 1 of 2: step" not in rest.stdout
    whole = swept[0]
    assert (tmp_path / "out" / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()
    for number in range(2):
        curves = f"groups/{number}/curves.jsonl"
        assert (tmp_path / "out" / curves).read_bytes() == (whole / curves).read_bytes()


def test_a_directory_belongs_to_one_sweep(swept, config):
    result = execute(f"--config={config}", "--seeds=2", "--workdir=out", cwd=config.parent, module=MODULE)
    assert result.returncode == 2
    assert "seeds was 3 and is now 2" in result.stderr


def loaded(config, text):
    path = config.parent / "other.py"
    path.write_text(TINY[: TINY.index("def sweep")] + text)
    return config_files.load(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def sweep(add): pass", "adds nothing"),
        ("def sweep(add): add({'batch_size': 'x'})", "sweep field batch_size is 'x': give a int"),
        ("def sweep(add): add({'ema_decay': True})", "sweep field ema_decay is True: give a float"),
        ("def sweep(add): 1 / 0", "ZeroDivisionError"),
        ("def sweep(add): add({'n_criti': 5})", "sweep field 'n_criti'.*n_critic"),
        ("def sweep(add): add({'models.criti.hidden': (8,)})", "sweep field 'models.criti.hidden'"),
        ("def sweep(add):\n    add({}, a=1)\n    add({}, a=1)", "twice"),
        ("def sweep(add): add({'seed': 1})", "label seed, a column of results.csv"),
        ("def sweep(add): add({}, failed=1)", "label failed, a column"),
        ("def sweep(add): add({}, w1=1)", "label w1, a column"),
        ("def sweep(add):\n    add({}, a=1)\n    add({}, a=2)", r"'a': 1\} and \{'a': 2\} are one config"),
        ("def sweep(add):\n    add({}, a=1)\n    add({}, b=1)", r"\['a'\], then \['b'\]"),
    ],
)
def test_invalid_sweeps_are_refused(config, text, message):
    with pytest.raises(SetupError, match=message):
        sweep_points.expand(loaded(config, text), member_scores.MEANINGS)


def test_mistakes_in_a_point_are_refused_before_any_work(config, tmp_path, capsys, monkeypatch):
    loaded(config, "def sweep(add):\n    add({'seed': 1}, name=1)\n    add({'gan.loss': 'hing'}, name=2)")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=r"loss 'hing'.*hinge"):
        main(sweep, f"--config={config.parent}/other.py")
    loaded(config, "def sweep(add):\n    add({'seed': 1}, name=1)\n    add({'gan.los': 'hinge'}, name=2)")
    with pytest.raises(SetupError, match=r"gan field 'los': did you mean 'loss'"):
        main(sweep, f"--config={config.parent}/other.py")
    with pytest.raises(SetupError, match="parallel is 'pmap': a sweep maps its members itself, give jit"):
        main(sweep, f"--config={config}", "--config.parallel=pmap")
    with pytest.raises(SetupError, match="--seeds is 0"):
        main(sweep, f"--config={config}", "--seeds=0")
    with pytest.raises(SetupError, match="--seeds is 3: from config field seed 4294967294 on there are 2"):
        main(sweep, f"--config={config}", "--config.seed=4294967294", "--seeds=3")
    assert not list(tmp_path.iterdir())


def test_labels_that_are_names_of_logged_values_are_refused(config, tmp_path):
    loaded(config, "def sweep(add): add({'penalties.r1.weight': 2.0}, r1=2.0)")
    with pytest.raises(SetupError, match=r"label r1, a column of results.csv"):
        main(sweep, f"--config={config.parent}/other.py", "--seeds=1", f"--workdir={tmp_path}/out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("('mode',)", "unknown name in config field curves 'mode': did you mean 'modes'"),
        ("'modes'", "config field curves is 'modes': give a tuple"),
    ],
)
def test_curves_of_metrics_that_no_run_logs_are_refused(config, tmp_path, field, message):
    path = tmp_path / "curves.py"
    path.write_text(TINY.replace("    return config", f"    config.curves = {field}\n    return config"))
    with pytest.raises(SetupError, match=message):
        main(sweep, f"--config={path}", "--seeds=2", f"--workdir={tmp_path}/out")
    assert not (tmp_path / "out").exists()


def test_a_config_that_fails_only_in_a_step_is_refused_before_any_training(config, tmp_path):
    loaded(
        config,
        "def sweep(add):\n"
        "    add({'n_critic': 1}, name='sound')\n"
        "    add({'optimizers.critic.eps': 'small'}, name='broken')",
    )
    path = f"--config={config.parent}/other.py"
    with pytest.raises(SetupError, match=r"point \{'name': 'broken'\} cannot be trained: TypeError"):
        main(sweep, path, "--seeds=2", f"--workdir={tmp_path}/out")
    assert not (tmp_path / "out").exists()


def test_a_point_whose_network_does_not_fit_is_named(config, tmp_path):
    loaded(
        config,
        "def sweep(add):\n"
        "    add({'n_critic': 1}, name='sound')\n"
        "    add({'models.critic.family': 'dcgan'}, name='broken')",
    )
    path = f"--config={config.parent}/other.py"
    with pytest.raises(
        SetupError, match=r"point \{'name': 'broken'\} cannot be trained: models.critic.family"
    ):
        main(sweep, path, "--seeds=2", f"--workdir={tmp_path}/out")
    assert not (tmp_path / "out").exists()


def test_points_get_copies_of_a_section_that_they_share(config):
    text = """
from ml_collections import ConfigDict

def sweep(add):
    adam = ConfigDict({"name": "adam", "learning_rate": 1.0, "b1": 0.5, "b2": 0.9})
    players = {"optimizers": ConfigDict({"generator": adam, "critic": adam})}
    for rate in (1e-4, 1e-3):
        add({**players, "optimizers.critic.learning_rate": rate}, rate=rate)
"""
    first, second = (point.config.optimizers for point in sweep_points.expand(loaded(config, text)))
    assert (first.critic.learning_rate, second.critic.learning_rate) == (1e-4, 1e-3)
    assert first.generator.learning_rate == second.generator.learning_rate == 1.0


def test_labels_are_the_fields_by_default_and_sections_may_be_given(config):
    points = sweep_points.expand(
        loaded(
            config,
            "def sweep(add):\n"
            "    add({'gan.loss': 'hinge', 'penalties': {'r1': {'weight': 1.0}}}, name='a')\n"
            "    add({'penalties.r2': {'weight': 2.0}}, name='b')\n",
        )
    )
    assert [point.labels for point in points] == [{"name": "a"}, {"name": "b"}]
    assert points[0].config.penalties.to_dict() == {"r1": {"weight": 1.0}}
    assert points[1].config.penalties.r2.weight == 2.0
    plain = sweep_points.expand(loaded(config, "def sweep(add): add({'batch_size': 8})"))
    assert plain[0].labels == {"batch_size": 8}
    assert sweep_points.expand(loaded(config, ""))[0].labels == {"config": "other"}


def test_orders_of_convolutions_are_timed_once_and_the_faster_one_is_kept(tmp_path, monkeypatch):
    config = config_files.load("dcgan_mnist.py").values
    small = {"batch_size": 4, "models.generator.width": 2, "models.critic.width": 2, "data.seed": 0}
    members = [config_fields.with_values(config, {**small, "seed": seed}) for seed in range(2)]
    plan = sweep_plan.plan_group(population.group_configs(members)[0], member_scores.SCORING)
    times = {False: 0.2, True: 0.1}
    monkeypatch.setattr(sweep_group, "seconds_per_step", lambda plan, in_turn: times[in_turn])
    assert sweep_group.choose_order(plan, tmp_path / "choice.json")
    times[True] = 0.3
    assert sweep_group.choose_order(plan, tmp_path / "choice.json")  # The choice is read from the file.
    assert json.loads((tmp_path / "choice.json").read_text())["one_by_one"] == 0.1
    assert not sweep_group.choose_order(plan, tmp_path / "again.json")


@pytest.mark.slow
def test_both_orders_can_be_timed():
    config = config_files.load("gan_gaussians.py").values
    small = {"batch_size": 4, "data.seed": 0, "models.generator.hidden": (4,)}
    members = [config_fields.with_values(config, {**small, "seed": seed}) for seed in range(2)]
    plan = sweep_plan.plan_group(population.group_configs(members)[0], member_scores.SCORING)
    assert all(sweep_group.seconds_per_step(plan, in_turn) > 0 for in_turn in (False, True))


PROBLEMS_AS_ROWS = """
def sweep(add):
    for name, options in (("spiral", {}), ("ring", {}), ("wide", {"name": "ring", "radius": 9.0})):
        add({"data": {"name": name, "path": "", **options}}, problem=name)
"""


@pytest.mark.slow
def test_a_member_that_failed_has_no_further_scores(config, tmp_path):
    loaded(
        config,
        "def sweep(add):\n"
        "    for rate in (1e-3, 1e38):\n"
        "        add({'optimizers.critic.learning_rate': rate}, rate=rate)",
    )
    small = ("--config.num_steps=4", "--config.sample_every=1", "--seeds=1")
    main(sweep, f"--config={config.parent}/other.py", *small, f"--workdir={tmp_path}/out")
    folder = tmp_path / "out" / "groups" / "0"
    with np.load(folder / "last.npz", allow_pickle=False) as file:
        assert np.isfinite(file["samples"]).all()  # The samples are from before the failed step.
        failed = file["failed"]
    lines = workdir.read_lines(folder / "curves.jsonl")
    assert failed[0] == 0
    assert 1 <= failed[1] < 4
    for name in ("w1", "modes"):
        assert all(line[name][0] is not None for line in lines)
        assert [line[name][1] is None for line in lines] == [line["step"] >= failed[1] for line in lines]


@pytest.mark.slow
def test_problems_as_rows_have_a_page(config, tmp_path):
    loaded(config, PROBLEMS_AS_ROWS)
    small = ("--config.num_steps=2", "--config.sample_every=1", "--seeds=2")
    main(sweep, f"--config={config.parent}/other.py", *small, f"--workdir={tmp_path}/out")
    page = (tmp_path / "out" / "report.html").read_text()
    table = page[page.index("<h2>w1") : page.index("<h2>Learning")]
    assert len(set(re.findall(r"<small>real points ([\d.]+)</small>", table))) == 3
    assert "Δ" not in table
    assert 'class="best"' not in table
    assert "<td>real points</td>" not in table
    assert page.count('alt="real points"') == 3
    modes = page[page.index("<h2>modes") : page.index("<h2>high_quality")]
    assert "<td>spiral</td><td>–</td>" in modes
    assert "real points 8" in modes
