"""Tests that the code in the README runs and that its commands exist."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from experiments.cli import config_fields, config_files
from jaxgan import data, losses, penalties
from jaxgan.layers import NORMS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("[be]*/**/*.md")])
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def commands():
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    indented = re.findall(r"^    (pip install .*)$", README, re.MULTILINE)
    for line in [*"".join(blocks).splitlines(), *indented]:
        yield from (part.split("  #")[0].strip() for part in line.split("&&") if part.strip())


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_python_blocks_run(block):
    block = block.replace("range(3000)", "range(2)").replace("width=32", "width=4")
    namespace = {}
    exec(block, namespace)
    if "images" in namespace:
        assert namespace["images"].shape == (64, 28, 28, 1)
        assert int(namespace["state"].step) == 2
    if "sweep" in namespace:
        fields = config_fields.flatten(namespace["get_config"]())
        points = []
        namespace["sweep"](lambda values, **labels: points.append((values, labels)))
        assert len(points) == 6
        assert all(name in fields for values, _ in points for name in values)


def test_the_example_is_the_main_config():
    config = config_files.load("dcgan_mnist.py").values
    block = BLOCKS[0]
    for part in (
        f"range({config.num_steps})",
        f"batch_size={config.batch_size}",
        f"width={config.models.generator.width}",
        f"ema_decay={config.ema_decay}",
        f"dim={config.latent.dim}",
    ):
        assert part in block, part
    assert config.optimizers.generator.learning_rate == float(re.search(r"learning_rate=(\S+),", block)[1])


@pytest.mark.parametrize("command", commands())
def test_commands_exist(command):
    words = shlex.split(command)
    if words[:2] == ["pip", "install"]:
        extra = re.fullmatch(r"\.\[(\w+)\]", words[3])[1]
        assert (
            extra
            in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        )
    else:
        assert words[:2] == ["python", "-m"]
        if words[2] != "pytest":
            assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file()
        for word in words[3:]:
            if word.startswith("--config="):
                config_files.load(word.removeprefix("--config="))
            elif word.startswith("--config."):
                field = word.removeprefix("--config.").partition("=")[0]
                assert field in config_fields.flatten(config_files.load("dcgan_mnist.py").values)


def test_it_starts_with_the_two_commands_and_a_picture():
    lines = [line for line in README.splitlines() if line]
    assert (
        lines[1].strip()
        == 'pip install -e ".[experiments]" && python -m experiments.run --config=dcgan_mnist.py'
    )
    assert lines[2].strip() == 'pip install -e ".[dev]" && python -m pytest'
    picture = re.match(r"!\[.*\]\((.*)\)", lines[3])[1]
    assert (ROOT / picture).is_file()


def test_every_config_is_named():
    text = README + (ROOT / "experiments" / "README.md").read_text()
    for name in config_files.list_configs():
        assert name in text, name


def test_every_loss_penalty_and_norm_is_named():
    text = (ROOT / "experiments" / "configs" / "README.md").read_text()
    for name in [*losses.PAIRS, *penalties.PENALTIES, *NORMS, *data.SOURCES, *data.PROBLEMS]:
        assert f"`{name}`" in text, name


def test_it_is_short():
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_markdown_wraps_at_108_columns(path):
    code = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code ^= line.startswith("```")
        # Tables, code and links that cannot break are as long as they need to be.
        exempt = code or line.startswith(("|", "    ")) or " " not in line.strip("-* ")
        assert exempt or len(line) <= 108, f"line {number} has {len(line)} columns"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\((?!http)(.*?)\)", path.read_text()):
        assert (path.parent / link).exists(), link
