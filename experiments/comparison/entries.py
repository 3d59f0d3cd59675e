"""The systems that a comparison trains."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from experiments.cli import config_files
from experiments.scoring import backbones, classifiers
from experiments.training import build, checks, derived
from jaxgan.errors import SetupError, unknown
from jaxgan.state import TrainState


class Entry(NamedTuple):
    """A system of a comparison.

    Attributes:
      name: Name of the entry, which is also the name of its folder.
      argument: Config of the entry, as the flag ``--config`` takes it.
      flags: Further flags that every command of the entry needs.
      config: The config itself.
      metrics: Scores of the entry, as the flag ``--metrics`` of ``experiments.evaluate`` takes them.
      generator: Number of the generator's parameters.
      critic: Number of the critic's parameters; None for a system without a critic.
    """

    name: str
    argument: str
    flags: tuple[str, ...]
    config: ConfigDict
    metrics: tuple[str, ...]
    generator: int
    critic: int | None


def _count(player: TrainState | None) -> int | None:
    return None if player is None else sum(leaf.size for leaf in jax.tree.leaves(player.params))


def _open(file: str, name: str, flags: tuple[str, ...]) -> Entry:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise SetupError("give a name of letters, digits, dots, dashes and underscores")
    argument = f"{file}:{name}"
    config = config_files.load(argument).values
    checks.check_all(config)
    if config.get("stages"):
        raise SetupError("config field stages: a comparison chooses num_steps: leave the stages out")
    spec = derived.spec_of(config)
    if not spec.images or not classifiers.fits(spec.shape):
        raise SetupError(f"data.name {config.data.name} has no images that a classifier scores")
    backbones.default(config.data.name)
    gan = build.build(config)
    # Only shapes are computed here.
    state = jax.eval_shape(build.initializer(config, gan))
    labels = ("class_accuracy",) if "labels" in gan.reads else ()
    generator = _count(state.generator)
    assert generator is not None
    metrics = ("fcd", "prdc", *labels)
    return Entry(name, argument, flags, config, metrics, generator, _count(state.critic))


def open_entries(file: str, systems: Sequence[str] = ()) -> list[Entry]:
    """Loads and checks the entries of a comparison, without opening any data.

    Args:
      file: Config file of the comparison, as the flag ``--config`` takes it.
      systems: Files of the user's own systems, which have been loaded.

    Raises:
      SetupError: The file is no comparison, or an entry cannot be trained and scored.
    """
    if config_files.resolve(file)[1] is not None:
        raise SetupError(f"--config={file}: a comparison takes no :ARGUMENT; --only=NAME chooses entries")
    names = config_files.load(file).entries
    if not names:
        raise SetupError(
            f"--config={file} is no comparison, as it has no ENTRIES: give one that has, such as"
            " compare_fashion_mnist.py"
        )
    flags = (f"--systems={','.join(systems)}",) if systems else ()
    entries = []
    for name in names:
        try:
            entries.append(_open(file, name, flags))
        except SetupError as error:
            raise SetupError(f"the comparison's entry {name!r}: {error}") from error
    return entries


def choose(entries: Sequence[Entry], only: Sequence[str]) -> list[Entry]:
    """Returns the entries with the given names, in the order of the comparison; all if there are none.

    Raises:
      SetupError: There is no entry of a name.
    """
    names = [entry.name for entry in entries]
    for name in only:
        if name not in names:
            raise unknown("entry in --only", name, names)
    return [entry for entry in entries if not only or entry.name in only]
