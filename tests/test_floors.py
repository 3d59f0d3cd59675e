"""Tests that modules only import from their own floor of the architecture or from those below."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The modules of each floor, from the ground up. A module may import from its own floor and those below.
FLOORS = [
    ["jaxgan.errors", "jaxgan.host", "jaxgan.files", "jaxgan.hashing"],
    [
        "jaxgan.hyper",
        "jaxgan.latents",
        "jaxgan.losses",
        "jaxgan.objectives",
        "jaxgan.parallel",
        "jaxgan.penalties",
        "jaxgan.theory",
    ],
    ["jaxgan.ops", "jaxgan.optimizers", "jaxgan.schedules"],
    ["jaxgan.layers"],
    ["jaxgan.models"],
    [
        "jaxgan.steps",
        "jaxgan.stages",
        "jaxgan.state",
        "jaxgan.checkpoint",
        "jaxgan.data",
        "jaxgan.metrics",
        "jaxgan.weights",
    ],
    ["jaxgan.regularizers", "jaxgan.views"],
    ["jaxgan.gans", "jaxgan.remedies"],
    ["experiments.cli"],
    ["experiments.training"],
    ["experiments.scoring", "experiments.dry_run"],
    ["experiments.comparison"],
    ["experiments.pages", "experiments.rating"],
    ["experiments"],
]
# Pairs of packages on one floor that must not import from each other.
APART = [("experiments.scoring", "experiments.dry_run"), ("experiments.pages", "experiments.rating")]
ONLY = {
    "orbax": ["jaxgan.checkpoint"],
    "tensorflow_datasets": ["jaxgan.data"],
    "grain": ["jaxgan.data"],
    "tensorflow": [],
    "clu": ["experiments"],
    "absl": ["experiments"],
    "ml_collections": ["experiments"],
    "flask": ["experiments"],
    "jinja2": ["experiments"],
    "werkzeug": ["experiments"],
    "safetensors": ["jaxgan.weights"],
    "torch": [],
    "pickle": ["experiments.scoring.torch_file"],
    "cloudpickle": [],
}
# The only parts of jaxgan that these modules may import besides themselves.
KNOWS = {
    "jaxgan.data": ["jaxgan.errors", "jaxgan.latents"],
    "jaxgan.losses": ["jaxgan.errors", "jaxgan.parallel"],
    "jaxgan.parallel": ["jaxgan.errors"],
    "jaxgan.penalties": ["jaxgan.hyper"],
    "jaxgan.regularizers": [
        "jaxgan.errors",
        "jaxgan.hyper",
        "jaxgan.parallel",
        "jaxgan.penalties",
        "jaxgan.schedules",
        "jaxgan.state",
    ],
    "jaxgan.stages": ["jaxgan.state"],
    "jaxgan.state": [],
    "jaxgan.steps": ["jaxgan.errors", "jaxgan.parallel", "jaxgan.state"],
    "jaxgan.views": [
        "jaxgan.errors",
        "jaxgan.hyper",
        "jaxgan.parallel",
        "jaxgan.schedules",
        "jaxgan.state",
    ],
}
GROUND = {"jax", "chex", "jaxgan", "numpy", "scipy"}  # JAX itself needs the last two


def _modules():
    for package in ("jaxgan", "experiments"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, path


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _within(name, package):
    return name == package or name.startswith(package + ".")


def _floor(name):
    found = [
        (len(package), level)
        for level, packages in enumerate(FLOORS)
        for package in packages
        if _within(name, package)
    ]
    return max(found)[1] if found else None  # the floor of the longest matching name


def test_every_module_stands_on_a_floor():
    names = [name for name, _ in _modules()]
    assert not [name for name in names if _floor(name) is None and name != "jaxgan"]
    packages = [package for floor in FLOORS for package in floor]
    assert not [package for package in packages if package not in names]


@pytest.mark.parametrize(("name", "path"), list(_modules()), ids=lambda value: str(value).split("/")[-1])
def test_imports_go_down_only(name, path):
    level = _floor(name)
    for imported in _imports(path):
        target = _floor(imported)
        if level is not None and target is not None:
            assert target <= level, f"{name} imports {imported} from a floor above"
        if level is not None and level <= 1:
            top = imported.split(".")[0]
            assert top in GROUND or top in sys.stdlib_module_names, f"{name} imports {imported}"
        for pair in APART:
            for package, other in (pair, pair[::-1]):
                assert not (_within(name, package) and _within(imported, other)), (
                    f"{name} imports {imported}"
                )
        for package, owners in ONLY.items():
            if _within(imported, package):
                assert any(_within(name, owner) for owner in owners), f"{name} imports {imported}"
        for package, known in KNOWS.items():
            if _within(name, package) and _within(imported, "jaxgan") and imported != "jaxgan":
                assert any(_within(imported, x) for x in (package, *known)), f"{name} imports {imported}"


def test_no_network_loss_or_system_carries_an_axis_name():
    for name, path in _modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arguments):
                arguments = [*node.posonlyargs, *node.args, *node.kwonlyargs]
                assert not [x for x in arguments if x.arg == "axis_name"], name
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                assert node.target.id != "axis_name", name


def test_steps_know_no_model_and_no_loss():
    imported = list(_imports(ROOT / "jaxgan" / "steps.py"))
    assert not [
        name for name in imported if _within(name, "jaxgan.models") or _within(name, "jaxgan.losses")
    ]


def test_losses_import_with_only_jax_and_chex():
    # A finder that refuses all other packages imitates an environment in which they are not installed.
    program = """
import importlib.abc, sys
refused = {"flax", "optax", "tensorflow", "orbax", "grain", "tensorflow_datasets", "clu", "PIL"}
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in refused:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import jaxgan, jaxgan.losses, jaxgan.penalties, jaxgan.latents
import jaxgan.theory.divergences, jaxgan.theory.minmax
import jax.numpy as jnp
assert jaxgan.losses.get("hinge").generator(jnp.ones(3)) == -1
assert not refused & {name.split(".")[0] for name in sys.modules}
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_submodules_load_on_first_use():
    program = """
import sys, jaxgan
assert "jax" not in sys.modules
jaxgan.losses
assert "jax" in sys.modules and "flax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
