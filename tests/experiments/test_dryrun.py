"""Tests of the dry run, with the real compiler for TPUs that are not present."""

import importlib.util
import json
import os
import re
import site
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks import tpu_cycles
from experiments import dryrun
from experiments.cli import config_fields, config_files
from experiments.dry_run import compilation, costs, tpu
from experiments.training import build
from jaxgan.errors import SetupError
from tests.commands import ROOT, execute, main
from tests.conftest import component
from tests.experiments.cli.test_refusals import refusal

pytestmark = pytest.mark.xdist_group("dryrun")  # Only one worker loads the compiler.
MODULE = "experiments.dryrun"
TOPOLOGY = "--topology=v5e:2x4"


@pytest.fixture
def compiler():
    component(importlib.util.find_spec("libtpu") is not None, "libtpu", 'pip install "jaxgan[tpu]"')


def size(tree):
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def small_task(topology, width=16):
    config = config_files.load("dcgan_mnist.py").values
    with config.unlocked():
        config.data.size = 16
        config.models.generator.width = config.models.critic.width = width
    return compilation.Task(
        config, build.build(config), compilation.stand_in(config), tpu.open_topology(topology)
    )


@pytest.mark.slow
def test_a_user_types_the_command_and_nothing_else(compiler, configs, tmp_path, monkeypatch):
    for name in ("JAX_PLATFORMS", *tpu.ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    result = execute(
        f"--config={configs}/dcgan_mnist.py", TOPOLOGY, "--json=out.json", cwd=tmp_path, module=MODULE
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    out = json.loads((tmp_path / "out.json").read_text())
    assert (out["devices"], out["batch_size"], out["batch_size_per_device"]) == (8, 8, 1)
    assert out["config"]["models"]["critic"]["width"] == 4

    one, whole = out["per_device"], out["total"]
    assert whole["flops"] == 8 * one["flops"] > 0
    assert 0 < one["hbm_bytes"] < one["bytes_accessed"]
    memory = one["memory"]
    assert memory["aliased"] > 0.9 * memory["outputs"] > 0  # The donated state is updated in place.
    assert one["collectives"]["all-reduce"]["bytes"] > 0

    bound, estimate = out["datasheet_bound"], out["compiler_estimate"]
    seconds = max(one["flops"] / 197e12, one["hbm_bytes"] / 819e9)
    assert bound["samples_per_second"] == pytest.approx(8 / seconds)
    assert bound["samples_per_second_per_chip"] == pytest.approx(1 / seconds)
    assert estimate["step_seconds"] == pytest.approx(estimate["cycles"] / 1.5e9)
    assert estimate["samples_per_second"] == pytest.approx(8 / estimate["step_seconds"])
    assert estimate["share_of_peak"] == pytest.approx(one["flops"] / estimate["step_seconds"] / 197e12)
    cycles = [op["cycles"] for op in estimate["dearest"]]
    assert len(cycles) == 20
    assert cycles == sorted(cycles, reverse=True)
    assert sum(cycles) < estimate["cycles"]

    text = result.stdout
    for part in (
        f"{8 * one['flops'] / 1e6:.1f} MFLOP",
        f"all-reduce × {one['collectives']['all-reduce']['calls']} ",
        "of 16.0 GiB HBM",
        "bound by the datasheet: at most",
        "the compiler's estimate, not a measurement",
        "jvp(Critic)/Conv_0",
    ):
        assert part in text, text
    assert len(re.findall(r"^ +[\d,]+ +[\d.]+%  ", text, re.MULTILINE)) == 20


@pytest.mark.slow
def test_json_alone_and_points(compiler, configs, capsys):
    assert main(dryrun, f"--config={configs}/gan_gaussians.py", TOPOLOGY, "--json") == 0
    captured = capsys.readouterr()
    out = json.loads(captured.out)
    assert captured.err == ""
    assert out["per_device"]["flops"] > 0
    assert out["name"] == "gan_gaussians"


@pytest.mark.slow
def test_each_device_gets_the_configs_batch_where_they_outnumber_it(compiler, configs, capsys):
    assert main(dryrun, f"--config={configs}/gan_gaussians.py", "--topology=v5e:4x4", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["batch_size"] == 8 * 16
    assert "a run wants --config.batch_size=128" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no --topology given.*v5e:2x4"),
        (["--topology=v5e"], "--topology 'v5e': that is no topology.*v5e:2x4"),
        (["--topology=v9:2x2"], "unknown chip in --topology 'v9'.*v5e"),
        (["--topology=v5e:3x5"], "v5e has no such slice: 1x1, 2x2, 2x4"),
        (["--topology=v4:32x32x32"], "32768 chips are more than the 4096 of a v4 pod"),
        ([TOPOLOGY, "--json=nowhere/out.json"], "there is no folder nowhere"),
        ([TOPOLOGY, "--config.parallel=pmap"], "parallel is 'pmap': a dry run compiles with jit"),
        ([TOPOLOGY, "--batch=512"], "--batch=512.*Non-boolean"),
        ([TOPOLOGY, "--config.gan.loss=hing"], "unknown gan.loss 'hing'"),
    ],
)
def test_mistakes_are_refused_in_one_line(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    error = refusal(capsys, monkeypatch, "--config=dcgan_mnist.py", *arguments, module=dryrun)
    assert re.search(message, error), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--topology=v4:3x3x3"], "v4:3x3x3.*not divisible.*v4:2x2x2"),
        ([TOPOLOGY, "--config.batch_size=12"], "batch_size 12 .*8 devices: try 8 or 16"),
        ([TOPOLOGY, "--config.batch_size=4"], "batch_size 4 .*8 devices: try 8"),
        ([TOPOLOGY, f"--config.batch_size={2**33}"], "does not fit on v5e:2x4.*15.75G.*--batch"),
    ],
)
def test_what_the_chips_cannot_do_is_refused(arguments, message, compiler, capsys, monkeypatch):
    error = refusal(capsys, monkeypatch, "--config=gan_gaussians.py", *arguments, module=dryrun)
    assert re.search(message, error), error


def test_without_libtpu_one_line_says_what_to_install(tmp_path):
    # Links to all installed packages except libtpu. Debian's Python names folders that do not exist.
    for folder in filter(Path.is_dir, map(Path, site.getsitepackages())):
        for entry in folder.iterdir():
            if not entry.name.startswith("libtpu"):
                (tmp_path / entry.name).symlink_to(entry)
    result = subprocess.run(
        [sys.executable, "-S", "-m", MODULE, "--config=dcgan_mnist.py", TOPOLOGY],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(r'error: .*libtpu.*pip install "jaxgan\[tpu\]".*\n', result.stderr), result.stderr


def test_libtpu_is_silent_where_a_command_computes_on_the_cpu(compiler):
    environment = {name: value for name, value in os.environ.items() if name not in tpu.ENVIRONMENT}
    environment.pop("JAX_PLATFORMS")
    program = "import experiments, jax; print(jax.devices()[0].platform)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    if result.stdout == "cpu\n":
        assert result.stderr == ""


@pytest.mark.slow
def test_weak_scaling_from_8_to_256_chips(compiler):
    compiled = {}
    for topology in ("v5e:2x4", "v5e:16x16"):
        task = small_task(topology)
        compiled[topology] = compilation.compile_step(task, 8 * task.topology.mesh.size)
    few, many = compiled.values()
    assert many.flops == pytest.approx(few.flops, rel=0.01)
    assert many.temporaries == pytest.approx(few.temporaries, rel=0.01)
    state = jax.eval_shape(build.initializer(task.config, task.gan))
    players = (state.generator, state.critic)
    expected = size([player.params for player in players]) + size(
        [player.model_state for player in players]
    )
    for program in (few.program, many.program):
        found = costs.collectives(program)
        assert list(found) == ["all-reduce"]
        assert found["all-reduce"].bytes == pytest.approx(expected, rel=0.05)


def test_the_step_is_the_tpus_own(compiler):
    topology = tpu.open_topology("v5e:2x4")
    x = tpu.placed(jax.ShapeDtypeStruct((8, 128), jnp.float32), topology)
    step = jax.jit(lambda x: jax.lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos))
    program = tpu.compile_ahead(step, x).program
    opcodes = {x.opcode for computation in program.computations.values() for x in computation.values()}
    assert "cosine" in opcodes
    assert "sine" not in opcodes


@pytest.mark.slow
def test_a_lazy_penalty_costs_its_share(compiler):
    def compiled(**fields):
        fields = {f"penalties.r1.{name}": value for name, value in fields.items()}
        config = config_fields.with_values(config_files.load("gan_gaussians.py").values, fields)
        topology = tpu.open_topology("v5e:2x4")
        task = compilation.Task(config, build.build(config), compilation.stand_in(config), topology)
        return compilation.compile_step(task, 256)

    without, always = compiled(weight=0.0), compiled(weight=1.0)
    lazy = compiled(weight=1.0, every=64)
    whole = sum(x.cycles for x in costs.executions(lazy.program, whole=True)[0])
    assert tpu.estimated_cycles(lazy) < whole
    # XLA counts elementwise work as if it were always done. Of the matrix products, 1/64 counts.
    assert without.flops < lazy.flops < without.flops + 0.15 * (always.flops - without.flops)


def test_a_scan_costs_its_body_times_its_length(compiler):
    topology = tpu.open_topology("v5e:2x4")
    x = tpu.placed(jax.ShapeDtypeStruct((256, 256), jnp.float32), topology)

    def body_cycles(length):
        step = jax.jit(lambda c, w: jax.lax.scan(lambda c, _: (jnp.tanh(c @ w), None), c, None, length)[0])
        program = tpu.compile_ahead(step, x, x).program
        assert costs.executions(program)[1] == []
        return {op.cycles for op in costs.dearest(program) if "while/body" in op.origin}

    seven = body_cycles(7)
    assert seven
    assert body_cycles(21) == {3 * cycles for cycles in seven}


@pytest.mark.parametrize("capacity", [100, 1_000, 12_345, 3_000_000])
def test_the_largest_batch_is_found_in_few_attempts(capacity):
    attempts = []

    def attempt(batch):
        attempts.append(batch)
        needed = 50 + 3 * batch + batch // 7 % 5
        return needed if needed <= capacity else None

    best = compilation.largest_batch(attempt, capacity)
    truth = max(b for b in range(1, capacity) if 50 + 3 * b + b // 7 % 5 <= capacity)
    assert truth * 15 / 16 - 1 < best <= truth
    assert len(attempts) == len(set(attempts)) <= 9


@pytest.mark.slow
def test_batch_finds_and_reports_the_largest(compiler, configs, capsys, monkeypatch):
    # The program is a real one, and the memory of the pretended chip holds 100 samples.
    once = []

    def compile_step(task, batch_size, real=compilation.compile_step):
        if batch_size // 8 > 100:
            raise tpu.TooLargeError("Ran out of memory on HBM")
        once.append(once[0] if once else real(task, 8))
        return once[0]._replace(peak=2**24 * batch_size // 8)

    monkeypatch.setattr(compilation, "compile_step", compile_step)
    assert main(dryrun, f"--config={configs}/gan_gaussians.py", TOPOLOGY, "--batch") == 0
    out = capsys.readouterr().out
    assert "batch 104 a chip: does not fit" in out
    assert "the largest batch that fits, to 1 part in 16: 100 a chip, 800 in all" in out
    assert "gan_gaussians on v5e:2x4: 8 chips, batch 800 (100 a chip)" in out


def test_a_chip_too_small_for_anything_is_refused():
    with pytest.raises(SetupError, match="not even a batch of 1"):
        compilation.largest_batch(lambda batch: None, 100)


@pytest.mark.slow
def test_every_chip_compiles_and_its_datasheet_agrees_with_the_compiler(compiler):
    # At the clock of the table, a large matrix product takes 1 to 1.25 times as long as at its peak.
    for name, chip in tpu.CHIPS.items():
        topology = tpu.open_topology(chip.example)
        assert topology.unit == ("core" if name in ("v2", "v3") else "chip")
        x = tpu.placed(jax.ShapeDtypeStruct((4096, 4096), jnp.bfloat16), topology)
        compiled = tpu.compile_ahead(jax.jit(jnp.matmul), x, x)
        seconds = tpu.estimated_cycles(compiled) / topology.chip.clock
        assert 1.0 <= seconds * topology.chip.flops / compiled.flops < 1.25, name


@pytest.mark.slow
def test_the_step_costs_less_than_a_naive_one(compiler):
    setting = tpu_cycles.Setting(size=16, width=64, channels=3, kernel=4)
    topology = tpu.open_topology("v5e:2x4")
    naive, ours = (
        tpu.estimated_cycles(compile_side(setting, topology, 64, "float32"))
        for compile_side in tpu_cycles.SIDES.values()
    )
    assert ours < 0.86 * naive
