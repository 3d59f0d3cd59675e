"""Config files, which are found by name, loaded, and overridden by flags."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags
from ml_collections import config_dict, config_flags

from experiments.cli import command_line, config_fields, source_files
from jaxgan.errors import SetupError, unknown

CONFIGS = Path(__file__).parent.parent / "configs"
FOLDERS = (CONFIGS, CONFIGS / "studies")

flags.disclaim_key_flags()  # --help lists --config with the flags of the command


class Config(NamedTuple):
    """A loaded config file.

    Attributes:
      values: The locked config, with overrides applied.
      name: Stem of the file's name, followed by the argument if there is one. Default work directories
        have this name.
      sweep: The file's function ``sweep(add)``, with the argument bound to the parameter ``argument``; None
        if the file defines no sweep.
      entries: The file's ``ENTRIES``, the arguments of the configs that a comparison trains; empty if the
        file defines no comparison.
    """

    values: config_dict.ConfigDict
    name: str
    sweep: Callable[[Callable[..., None]], None] | None = None
    entries: tuple[str, ...] = ()


def resolve(given: str) -> tuple[Path, str | None]:
    """Finds the file of a config and splits off its argument.

    Args:
      given: ``FILE`` or ``FILE:ARGUMENT``. A bare name that is no file in the current folder is looked up
        in ``experiments/configs/`` and ``experiments/configs/studies/``; its suffix may be left out.

    Returns:
      The path of the file and the argument, which is None if there is none.

    Raises:
      SetupError: The file does not exist. The message suggests similar names.
    """
    text, colon, argument = given.partition(":")
    path = Path(text).expanduser()
    if not path.is_file() and path.name == text:
        name = text if text.endswith(".py") else f"{text}.py"
        path = next((folder / name for folder in FOLDERS if (folder / name).is_file()), path)
    if not path.is_file():
        raise unknown("config", text, list_configs())
    return path, argument if colon else None


def load(given: str) -> Config:
    """Loads a config by name or path and passes ``:ARGUMENT`` on to its ``get_config``.

    Args:
      given: ``FILE`` or ``FILE:ARGUMENT``, as in :func:`resolve`.

    Raises:
      SetupError: The file does not exist or cannot be loaded.
    """
    path, argument = resolve(given)
    try:
        module = source_files.load_module(path)
        values = module.get_config(*([] if argument is None else [argument]))
        if not isinstance(values, config_dict.ConfigDict):
            raise TypeError("its get_config() did not return a ConfigDict")
    except SetupError:
        raise
    except Exception as error:
        raise SetupError(f"config {given}: {type(error).__name__}: {error}") from error
    name = path.stem if argument is None else f"{path.stem}-{argument}"
    sweep = getattr(module, "sweep", None)
    if sweep is not None and argument is not None:
        sweep = functools.partial(sweep, argument=argument)
    entries = tuple(getattr(module, "ENTRIES", ()))
    return Config(config_fields.unshared(values).lock(), name, sweep, entries)


def _override(config: config_dict.ConfigDict, argv: Sequence[str]) -> list[str]:
    """Applies the flags ``--config.FIELD=VALUE`` to a config and returns the other arguments."""
    names = [command_line.name_of(argument).removeprefix("no") for argument in argv[1:]]
    given = [name.removeprefix("config.") for name in names if name.startswith("config.")]
    data = config.get("data")
    if "data.seed" in given and isinstance(data, config_dict.ConfigDict) and "seed" not in data:
        # Configs leave this field out because it defaults to their seed, but a flag needs a field to set.
        with config.unlocked():
            data.seed = 0
    fields = config_fields.flatten(config)
    for field in given:
        if field not in fields:
            raise unknown("config field", field, fields)
    overrides = flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=overrides, sys_argv=list(argv))
        return overrides(list(argv), known_only=True)
    except (flags.Error, TypeError, ValueError, KeyError, AttributeError) as error:
        raise SetupError(str(error)) from error


def read_config(argv: Sequence[str], values: flags.FlagValues, usage: str) -> Config:
    """Parses arguments that name a config and may override its fields.

    We do not use ``config_flags.DEFINE_config_file`` because it may load stale bytecode instead of the
    file, and because its flags would set a field in all sections of a config that are the same object.

    Args:
      argv: Name of the program and its arguments.
      values: Flags of the command, which receive their values; ``--config`` is added to them.
      usage: Text that ``--help`` prints before the flags.

    Returns:
      The config with overrides applied.

    Raises:
      SetupError: No config is given, or a flag, a field or a value is unknown or malformed.
    """
    flags.DEFINE_string(
        "config",
        None,
        "Config file, by path or by its name in experiments/configs, with :ARGUMENT if it takes one."
        " --config.FIELD=VALUE overrides any of its fields.",
        flag_values=values,
    )
    rest = command_line.read_known_flags(argv, values, usage)
    if values.config is None:
        raise SetupError(f"no config given: --config=NAME.py, one of {', '.join(list_configs())}")
    config = load(values.config)
    command_line.refuse_rest(_override(config.values, rest), values)
    return config


def list_configs() -> list[str]:
    """Returns the sorted names of the configs that come with the project."""
    found = (file.name for folder in FOLDERS for file in folder.glob("*.py"))
    return sorted(name for name in found if name != "__init__.py")
