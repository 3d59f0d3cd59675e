"""Tests of comparisons at equal time: their plans, their commands, what continues, and the page."""

import csv
import hashlib
import json
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import compare
from experiments.cli import config_files, interrupts
from experiments.comparison import entries as comparison_entries
from experiments.comparison import plan as plans
from experiments.comparison import processes, runs
from experiments.training import checks, derived, workdir
from jaxgan import schedules
from tests import chromium
from tests.commands import command, environment, execute, main
from tests.conftest import component
from tests.experiments.cli.test_refusals import refusal
from tests.experiments.test_interruptions import wait_for

MODULE = "experiments.compare"
STUDY = "compare_fashion_mnist.py"
# Two systems on small digits, one of which reads labels.
TINY = """
from experiments.configs import cgan_mnist, dcgan_mnist

ENTRIES = {"plain": dcgan_mnist, "labels": cgan_mnist}

def get_config(entry="plain"):
    config = ENTRIES[entry].get_config()
    config.batch_size, config.data.size = 8, 16
    for network in config.models.values():
        network.width = 4
    return config
"""
SETTINGS = ("--minutes=1", "--num=64")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(TINY)
    return path


class Commands:
    """A stand-in for processes, which writes the files of runs and scores with known values.

    Attributes:
      done: Arguments of all commands so far, by the name of the flag and without dashes.
      outcomes: Statuses and messages of commands that fail, by module, entry and seed.
      stop_after: Number of commands after which a signal arrives; None for no signal.
    """

    seconds = 0.25  # Seconds of a step while it is timed.

    def __init__(self, monkeypatch):
        self.done, self.outcomes, self.stop_after = [], {}, None
        self.shape = [16, 16, 1]
        self._now = 0.0
        monkeypatch.setattr(processes, "execute", self)
        monkeypatch.setattr(runs.time, "monotonic", lambda: self._now)

    def __call__(self, words, signals, until=None):
        if self.stop_after is not None and len(self.done) == self.stop_after:
            raise interrupts.Stopped(signal.SIGTERM)
        module, *arguments = words
        flags = dict(argument.lstrip("-").split("=", 1) for argument in arguments)
        folder = Path(flags["workdir"])
        name, part = folder.parent.name, folder.name
        self.done.append((module.removeprefix("experiments."), name, part, flags))
        if failure := self.outcomes.get(self.done[-1][:3]):
            return processes.Outcome(*failure)
        folder.mkdir(parents=True, exist_ok=True)
        if until:
            return self._measure(folder, until)
        if module == "experiments.run":
            self._run(folder, flags)
        else:
            self._score(folder, name, int(part.removeprefix("seed")), flags)
        return processes.Outcome(0, "")

    def _measure(self, folder, until):
        for _ in range(100):
            with (folder / "metrics.jsonl").open("a") as file:
                file.write("{}\n")
            self._now += runs.LOG_EVERY * self.seconds
            if until():
                return processes.Outcome(128 + signal.SIGTERM, "stopped by SIGTERM, checkpoint saved")
        raise AssertionError("the measurement has no end")

    def _run(self, folder, flags):
        steps = int(flags["config.num_steps"])
        facts = {"device_count": 1, "device_kind": "tpu", "seconds_per_step": 0.3}
        digest = hashlib.sha256(str(folder).encode()).hexdigest()
        workdir.write_json(folder / "receipt.json", {"step": steps, "state_sha256": digest, **facts})
        workdir.write_png(folder / "samples" / f"{steps}.png", np.full((4, 4, 3), 99, np.uint8))

    def _score(self, folder, name, seed, flags):
        scores = {"fcd": {"plain": 5.0, "labels": 3.0}[name] + seed, "precision": 0.5, "recall": 0.25}
        made = {**runs.DRAWN, "count": int(flags["num"]), "shape": self.shape}
        if "class_accuracy" in flags["metrics"]:
            scores["class_accuracy"] = 0.75
            made["labels"] = "uniform over the classes"
        receipt = {
            "scored": {"state_sha256": workdir.read_json(folder / "receipt.json")["state_sha256"]},
            "generated": made,
            "metrics": {metric: {} for metric in flags["metrics"].split(",")},
        }
        workdir.write_json(
            folder / "scores.json", [{"name": "step 1", "scores": scores, "receipt": receipt}]
        )

    def names(self):
        return [f"{module} {name} {part}" for module, name, part, _ in self.done]


@pytest.fixture
def commands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Commands(monkeypatch)


def table(directory):
    with (directory / "compare.csv").open(newline="") as file:
        return list(csv.DictReader(file))


MEASURED = ["run plain calibration", "run labels calibration"]
OF_SEED = ["run plain seed{}", "evaluate plain seed{}", "run labels seed{}", "evaluate labels seed{}"]


def of_seeds(*seeds):
    return [name.format(seed) for seed in seeds for name in OF_SEED]


# The plan


def test_the_steps_take_the_time():
    for minutes, seconds in ((5, 0.041), (0.5, 1.7), (3, 0.0007)):
        steps = plans.num_steps(minutes, seconds)
        assert steps * seconds <= 60 * minutes < (steps + 1) * seconds
    assert plans.num_steps(0.01, 100.0) == 1


def test_a_step_is_timed_without_the_start(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(runs.time, "monotonic", lambda: now)
    path = tmp_path / "metrics.jsonl"
    timer = runs.StepTimer(path, 30.0)
    assert not timer()
    now = 500.0  # The first line appears after the compilation.
    path.write_text("{}\n")
    assert not timer()
    now = 600.0  # The time is over, but a second line is needed.
    assert not timer()
    assert timer.seconds_per_step is None
    now = 620.0
    path.write_text("{}\n" * 3 + "{")  # A line that is being written does not count.
    assert timer()
    assert timer.seconds_per_step == 120.0 / (2 * runs.LOG_EVERY)


def test_a_comparison_measures_trains_scores_and_writes_its_page(commands, config, capsys):
    assert main(compare, f"--config={config}", "--workdir=out", "--seeds=2", *SETTINGS) == 0
    assert commands.names() == [*MEASURED, *of_seeds(0, 1)]
    assert not Path("out/plain/calibration").exists()
    plan = json.loads(Path("out/plan.json").read_text())
    assert (plan["minutes"], plan["num"], plan["seeds"], plan["comparison"]) == (1.0, 64, 2, "tiny")
    for steps in plan["steps"].values():
        assert (steps["seconds_per_step"], steps["num_steps"]) == (0.25, 240)
    for module, name, part, flags in commands.done[2:]:
        seed = part.removeprefix("seed")
        if module == "run":
            assert flags == {
                "config": f"{config}:{name}",
                "workdir": f"out/{name}/{part}",
                "config.seed": seed,
                "config.num_steps": "240",
                "config.log_every": "5",
                "config.sample_every": "48",
                "config.checkpoint_every": "48",
            }
        else:
            metrics = "fcd,prdc" + ",class_accuracy" * (name == "labels")
            assert flags == {"workdir": f"out/{name}/{part}", "metrics": metrics, "num": "64"}
    rows = table(Path("out"))
    assert [(row["entry"], row["seed"], float(row["fcd"])) for row in rows] == [
        ("plain", "0", 5.0),
        ("plain", "1", 6.0),
        ("labels", "0", 3.0),
        ("labels", "1", 4.0),
    ]
    assert {row["class_accuracy"] for row in rows} == {"", "0.75"}
    (group,) = json.loads(Path("out/compare.json").read_text())["tables"]
    plain, labels = group["rows"]
    assert plain["values"]["fcd"] == {"mean": 5.5, "low": 5.0, "high": 6.0}
    np.testing.assert_allclose(labels["values"]["minutes"]["mean"], 240 * 0.3 / 60)
    assert "class_accuracy" not in plain["values"]
    assert group["receipt"]["generated"]["labels"] == "uniform over the classes"
    out = capsys.readouterr().out
    assert re.search(r"plain +5.5 \(5 to 6\) .* – ", out)
    assert "finished out: compare.html, compare.csv, compare.json" in out


def test_the_page(commands, config):
    main(compare, f"--config={config}", "--workdir=out", "--seeds=2", *SETTINGS)
    page = Path("out/compare.html").read_text()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "<script" not in page
    cells = re.findall(r"<t[dh](?: class=\"\w+\")?>(.*?)</t[dh]>", page, re.DOTALL)
    assert cells[1] == "fcd\N{NO-BREAK SPACE}↓"
    assert "5.5<small>5 to 6</small>" in cells
    assert '<td class="best">3.5<small>3 to 4</small></td>' in page
    assert '<td class="best">5.5' not in page
    (row,) = re.findall(r"<tr><td>plain</td>.*?</tr>", page, re.DOTALL)
    assert "<td>–</td>" in row
    entry = comparison_entries.open_entries(str(config))[0]
    assert f"{entry.generator:,}" in row
    assert f"{entry.critic:,}" in row
    assert page.count("<img ") == 2
    assert f"python -m experiments.run --config={config}:labels --workdir=out/labels/seed0" in page
    for text in ("4 of 4 runs are finished", "1 × tpu", plans.machine(), "&#34;count&#34;: 64"):
        assert text in page, text
    assert "Failed runs" not in page


def test_a_stopped_comparison_goes_on_where_it_was(commands, config):
    arguments = (f"--config={config}", "--workdir=out", "--seeds=2", *SETTINGS)
    commands.stop_after = 4  # The measurements, and a run with its scores.
    assert main(compare, *arguments) == 128 + signal.SIGTERM
    assert "1 of 4 runs are finished" in Path("out/compare.html").read_text()
    plan, receipt = Path("out/plan.json").read_text(), Path("out/plain/seed0/receipt.json").stat()
    commands.stop_after, commands.seconds = 5, 99.0  # Another speed of the machine changes no plan.
    assert main(compare, *arguments) == 128 + signal.SIGTERM
    commands.stop_after = None
    assert main(compare, *arguments) == 0
    assert commands.names() == [*MEASURED, *of_seeds(0, 1)]
    assert Path("out/plan.json").read_text() == plan
    assert Path("out/plain/seed0/receipt.json").stat() == receipt
    # A finished comparison starts no command, and more seeds start only their own.
    assert main(compare, *arguments) == 0
    assert main(compare, *arguments[:2], "--seeds=3", *SETTINGS) == 0
    assert commands.names() == [*MEASURED, *of_seeds(0, 1, 2)]
    assert "6 of 6 runs are finished" in Path("out/compare.html").read_text()


def test_a_part_of_the_entries_can_be_trained(commands, config):
    arguments = (f"--config={config}", "--workdir=out", "--seeds=1", *SETTINGS)
    assert main(compare, *arguments, "--only=labels") == 0
    assert commands.names() == [MEASURED[1], *of_seeds(0)[2:]]
    assert main(compare, *arguments, "--only=plain") == 0
    # Each page has the runs of all entries so far, and a single seed has no interval.
    assert [row["entry"] for row in table(Path("out"))] == ["plain", "labels"]
    page = Path("out/compare.html").read_text()
    assert "2 of 2 runs are finished" in page
    assert "<small>" not in page


def test_failed_runs_are_listed_and_the_others_go_on(commands, config, capsys):
    nan = "step 7: the critic's loss is nan; <b>last good</b> checkpoint: none"
    commands.outcomes = {
        ("run", "plain", "seed0"): (1, nan),
        ("evaluate", "labels", "seed0"): (1, "MemoryError"),
        ("run", "labels", "seed1"): (-9, "killed by SIGKILL"),
    }
    arguments = (f"--config={config}", "--workdir=out", "--seeds=2", *SETTINGS)
    assert main(compare, *arguments) == 0
    page = Path("out/compare.html").read_text()
    assert "1 of 4 runs are finished" in page
    assert "<li>plain, seed 0: step 7: the critic&#39;s loss is nan; &lt;b&gt;last good" in page
    assert "<li>labels, seed 0: MemoryError</li>" in page
    assert "labels, seed 1 failed: killed by SIGKILL" in capsys.readouterr().out
    failed = [(row["entry"], row["seed"], row["failed"], row["fcd"]) for row in table(Path("out"))]
    assert ("plain", "0", nan, "") in failed
    # A run whose loss was not finite would fail again. The other commands are repeated.
    commands.outcomes, commands.done = {}, []
    assert main(compare, *arguments) == 0
    assert commands.names() == ["evaluate labels seed0", "run labels seed1", "evaluate labels seed1"]
    page = Path("out/compare.html").read_text()
    assert ("3 of 4 runs are finished" in page, page.count("<li>")) == (True, 1)
    Path("out/plain/seed0/failure.json").unlink()
    assert main(compare, *arguments) == 0
    assert "Failed runs" not in Path("out/compare.html").read_text()


def test_an_entry_that_cannot_be_timed_is_listed(commands, config, capsys, monkeypatch):
    commands.outcomes = {("run", "plain", "calibration"): (2, "data.name tfds/x cannot be downloaded")}
    arguments = (f"--config={config}", "--workdir=out", "--seeds=1", *SETTINGS)
    assert main(compare, *arguments) == 0
    assert commands.names() == [*MEASURED, *of_seeds(0)[2:]]
    assert "<li>plain: data.name tfds/x cannot be downloaded</li>" in Path("out/compare.html").read_text()
    commands.outcomes = {}
    assert main(compare, *arguments) == 0
    assert "2 of 2 runs are finished" in Path("out/compare.html").read_text()


def test_a_comparison_without_a_finished_run_fails(config, commands, monkeypatch, capsys):
    from experiments.cli import exits

    commands.outcomes = {("run", name, "calibration"): (2, "no data") for name in ("plain", "labels")}
    monkeypatch.setattr("sys.argv", ["program", f"--config={config}", "--workdir=out"])
    with pytest.raises(SystemExit) as exit_:
        exits.call(compare.main)
    assert exit_.value.code == 1
    assert capsys.readouterr().err == "error: no run has finished; plain: no data\n"


def test_scores_with_other_receipts_have_a_table_of_their_own(commands, config, capsys):
    arguments = (f"--config={config}", "--workdir=out", *SETTINGS)
    main(compare, *arguments, "--seeds=1")
    commands.shape = [32, 32, 1]
    main(compare, *arguments, "--seeds=2")
    page = Path("out/compare.html").read_text()
    assert page.count("<table>") == 2
    assert "generated.shape [16, 16, 1] and [32, 32, 1]" in page
    assert "not to be compared with the above: generated.shape" in capsys.readouterr().out
    first, second = json.loads(Path("out/compare.json").read_text())["tables"]
    assert [row["seeds"] for row in first["rows"] + second["rows"]] == [[0], [0], [1], [1]]


def test_scores_of_another_kind_in_the_same_file_do_not_count(commands, config):
    arguments = (f"--config={config}", "--workdir=out", "--seeds=1", *SETTINGS)
    main(compare, *arguments, "--only=plain")
    path = Path("out/plain/seed0/scores.json")
    (result,) = json.loads(path.read_text())
    for field, value in (("truncation", 0.5), ("count", 32), ("seed", 1), ("weights", "raw")):
        changed = {**result["receipt"]["generated"], field: value}
        other = {**result, "receipt": {**result["receipt"], "generated": changed}}
        workdir.write_json(path, [other])
        commands.done.clear()
        main(compare, *arguments, "--only=plain")
        assert commands.names() == ["evaluate plain seed0"], field


# Refusals

POINTS = """
from experiments.configs import gan_gaussians
ENTRIES = ("a",)
def get_config(entry="a"):
    return gan_gaussians.get_config()
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no config given: give a comparison, such as --config=compare_fashion_mnist.py"),
        (["--config=dcgan_mnist.py"], "dcgan_mnist.py is no comparison, as it has no ENTRIES"),
        (["--config=compare_fashion_mnst.py"], "did you mean 'compare_fashion_mnist.py'"),
        ([f"--config={STUDY}:dcgan"], "takes no :ARGUMENT; --only=NAME chooses entries"),
        ([f"--config={STUDY}", "--only=dcgan,vea"], "unknown entry in --only 'vea': did you mean 'vae'"),
        ([f"--config={STUDY}", "--minutes=0"], "--minutes is 0.0: give a positive number, such as 5"),
        ([f"--config={STUDY}", "--minutes=nan"], "--minutes is nan"),
        ([f"--config={STUDY}", "--seeds=0"], "--seeds is 0: give at least 1"),
        ([f"--config={STUDY}", "--num=1"], "--num is 1: give at least 2"),
        ([f"--config={STUDY}", "--config.num_steps=3"], "unknown command line flag 'config.num_steps'"),
        ([f"--config={STUDY}", "--workdir=file"], "--workdir file is a file"),
        ([f"--config={STUDY}", "--workdir=run"], "--workdir run belongs to a run or a sweep"),
        ([f"--config={STUDY}", "--workdir=other"], "plan.json holds no plan of a comparison"),
        (["--config=points.py"], "entry 'a': data.name ring has no images that a classifier scores"),
        (["--config=slash.py"], "entry 'a/b': give a name of letters, digits, dots"),
        (["--config=loss.py"], "entry 'labels': unknown gan.loss 'hing': did you mean 'hinge'"),
    ],
)
def test_mistakes_are_refused_in_one_line(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for folder, name in (("run", "config.json"), ("other", "plan.json")):
        Path(folder).mkdir()
        Path(folder, name).write_text("{}")
    Path("points.py").write_text(POINTS)
    Path("slash.py").write_text(POINTS.replace('"a"', '"a/b"'))
    tail = 'if entry == "labels":\n        config.gan.loss = "hing"\n    return config'
    Path("loss.py").write_text(TINY.replace("return config", tail))
    before = set(tmp_path.rglob("*"))
    assert message in refusal(capsys, monkeypatch, *arguments, module=compare)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes=2", "--num=64", "--seeds=2"], "(minutes was 1.0 and is now 2.0)"),
        (["--minutes=1", "--num=65", "--seeds=2"], "(num was 64 and is now 65)"),
        (["--minutes=1", "--num=64", "--seeds=1"], "--seeds is 1, but out has 2: give at least as many"),
    ],
)
def test_another_plan_is_refused(arguments, message, commands, config, capsys, monkeypatch):
    main(compare, f"--config={config}", "--workdir=out", "--seeds=2", *SETTINGS)
    capsys.readouterr()
    arguments = [f"--config={config}", "--workdir=out", *arguments]
    assert message in refusal(capsys, monkeypatch, *arguments, module=compare)


def test_another_machine_or_config_is_refused(commands, config, capsys, monkeypatch):
    arguments = [f"--config={config}", "--workdir=out", "--seeds=1", *SETTINGS]
    main(compare, *arguments)
    capsys.readouterr()
    config.write_text(TINY.replace("width = 4", "width = 8"))
    message = refusal(capsys, monkeypatch, *arguments, module=compare)
    assert "entry plain (models.critic.width was 4 and is now 8, models.generator" in message
    config.write_text(TINY)
    monkeypatch.setattr(plans, "machine", lambda: "abacus, 10 cores")
    message = refusal(capsys, monkeypatch, *arguments, module=compare)
    assert (
        f"machine was {workdir.read_json(Path('out/plan.json'))['machine']!r} and is now 'abacus" in message
    )


# Processes


def test_a_process_is_stopped_when_it_is_time(capfd):
    began = time.monotonic()
    sleep = ["timeit", "-n1", "-r1", "import time; time.sleep(60)"]
    outcome = processes.execute(sleep, [], until=lambda: time.monotonic() > began + 0.5)
    assert outcome == (-signal.SIGTERM, "killed by SIGTERM")
    assert "$ python -m timeit -n1 -r1 'import time; time.sleep(60)'" in capfd.readouterr().out
    with pytest.raises(interrupts.Stopped, match=r"stopped by SIGINT, the same command continues"):
        processes.execute(sleep, [signal.SIGINT])
    assert time.monotonic() < began + 30


def test_a_process_that_fails_has_a_message(capfd):
    outcome = processes.execute(["experiments.run", "--config=nonsense.py"], [])
    assert outcome.status == 2
    assert outcome.message.startswith("unknown config 'nonsense.py'")
    assert capfd.readouterr().err == f"error: {outcome.message}\n"
    assert processes.execute(["timeit", "-n1", "-r1", "pass"], []) == (0, "")


@pytest.mark.slow
def test_a_real_comparison_survives_a_signal(config, tmp_path):
    arguments = (f"--config={config}", "--workdir=out", "--minutes=0.02", "--num=64", "--seeds=1")
    process = subprocess.Popen(
        command(*arguments, module=MODULE),
        cwd=tmp_path,
        env=environment(events=False),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    directory = tmp_path / "out"
    wait_for(directory / "labels" / "seed0" / "config.json", bool, process, seconds=240)
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 143, error
    assert error.endswith("stopped by SIGTERM, the same command continues the comparison\n")
    assert out.count("$ python -m experiments.run") == 4  # Two measurements and two runs.
    plan, receipt = (directory / name for name in ("plan.json", "plain/seed0/receipt.json"))
    before = plan.read_bytes(), receipt.stat().st_mtime_ns
    result = execute(*arguments, cwd=tmp_path, module=MODULE, env=environment(events=False))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("$ python -m") == 2  # The rest of a run, and its scores.
    assert (plan.read_bytes(), receipt.stat().st_mtime_ns) == before
    rows = table(directory)
    assert [row["entry"] for row in rows] == ["plain", "labels"]
    for row in rows:
        steps = json.loads(plan.read_text())["steps"][row["entry"]]["num_steps"]
        assert int(row["steps"]) == steps
        assert float(row["fcd"]) > 0
        assert 0 <= float(row["precision"]) <= 1
    assert "2 of 2 runs are finished" in (directory / "compare.html").read_text()


@pytest.mark.slow
@pytest.mark.component
def test_the_page_in_a_browser(commands, config, tmp_path):
    component(chromium.program() is not None, "chromium", "apt-get install chromium")
    main(compare, f"--config={config}", "--workdir=out", "--seeds=2", *SETTINGS)
    with chromium.page(tmp_path / "profile") as page:
        page.size(1300, 900)
        page.open((tmp_path / "out" / "compare.html").as_uri())
        assert page.evaluate("document.querySelectorAll('tbody tr').length") == 2
        assert page.evaluate("[...document.images].every(image => image.naturalWidth == 4)")
        # The table is not wider than the page.
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.problems == []


# The study


def test_every_entry_of_the_study_can_be_trained_and_scored():
    found = {entry.name: entry for entry in comparison_entries.open_entries(STUDY)}
    assert len(found) == 14
    for name, entry in found.items():
        assert entry.config.data.name == "tfds/fashion_mnist", name
        assert derived.spec_of(entry.config).shape == (32, 32, 1), name
        assert "score" not in entry.config, name
    labelled = {name for name, entry in found.items() if "class_accuracy" in entry.metrics}
    assert labelled == {"cgan", "projection", "acgan", "acgan_resnet", "sagan", "biggan"}
    assert [name for name, entry in found.items() if entry.critic is None] == ["vae"]
    assert found["vae"].config.gan.likelihood == "gaussian"


def test_schedules_of_the_study_end_with_the_planned_steps():
    for entry in ("wgan_gp_resnet", "acgan_resnet"):
        config = config_files.load(f"{STUDY}:{entry}").values
        config.num_steps = 777
        checks.check_all(config)
        rate = schedules.build(config.optimizers.critic.learning_rate.to_dict())
        np.testing.assert_allclose([rate(0), rate(777)], [2e-4, 0.0])
