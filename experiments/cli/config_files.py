"""Config files: found by name, loaded, and overridden by flags."""

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


class Config(NamedTuple):
    """A config file's values, overrides applied.

    Attributes:
      values: locked.
      name: the file's stem and its argument, if any: what a default work directory is called.
      sweep: the file's ``sweep(add)``, its argument applied as ``argument=``; None if it has none.
    """

    values: config_dict.ConfigDict
    name: str
    sweep: Callable[[Callable[..., None]], None] | None = None


def resolve(given: str) -> tuple[Path, str | None]:
    """A config's file and argument: a path as it is, a bare name in ``experiments/configs/``.

    Raises:
      SetupError: there is no such file; the message has the nearest names.
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
    """Loads a config by name or path, with ``:argument`` passed on to its ``get_config``.

    Raises:
      SetupError: there is no such file, or it does not load.
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
    return Config(config_fields.unshared(values).lock(), name, sweep)


def _take(argv: list[str], flag: str) -> str | None:
    """Removes ``--flag=value`` or ``--flag value`` from argv and returns the last value."""
    value = None
    for i in range(len(argv) - 1, 0, -1):
        dashless = argv[i].lstrip("-")
        if not argv[i].startswith("-") or dashless.partition("=")[0] != flag:
            continue
        if "=" in dashless:
            taken, argv[i : i + 1] = dashless.partition("=")[2], []
        elif i + 1 < len(argv):
            taken, argv[i : i + 2] = argv[i + 1], []
        else:
            raise SetupError(f"--{flag} has no value: give --{flag}=VALUE")
        value = taken if value is None else value
    return value


def read_config(argv: Sequence[str], values: flags.FlagValues, usage: str) -> Config:
    """Parses argv, which must name a config and may override its fields.

    Args:
      argv: the program's name and its arguments.
      values: holds the command's own flags, and gets their values.
      usage: for ``--help``.

    Returns:
      The config, overrides applied.

    Raises:
      SetupError: no config is given, or a flag, field or value is unknown or malformed.
    """
    argv = list(argv)
    given = _take(argv, "config")
    if given is None:
        command_line.read_flags(argv, values, usage)
        raise SetupError(f"no config given: --config=NAME.py, one of {', '.join(list_configs())}")
    config = load(given)
    section, names = config.values.get("data"), [x.lstrip("-").partition("=")[0] for x in argv[1:]]
    if "config.data.seed" in names and isinstance(section, config_dict.ConfigDict):
        with config.values.unlocked():  # configs leave it to be their own seed, and a flag needs a field
            section.seed = section.get("seed", config.values.get("seed", 0))
    fields = config_fields.flatten(config.values)
    for argument in argv[1:]:
        name = argument.lstrip("-").partition("=")[0]
        if argument.startswith("-") and name.startswith("config."):
            field = name.removeprefix("config.")
            if field not in fields and field.removeprefix("no") not in fields:
                raise unknown("config field", field, fields)
    config_flags.DEFINE_config_dict("config", config.values, flag_values=values, sys_argv=argv)
    try:
        command_line.read_flags(argv, values, usage)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        if isinstance(error, SetupError):
            raise
        raise SetupError(str(error)) from error
    return config


def list_configs() -> list[str]:
    """The names of the configs that come with the project."""
    found = (file.name for folder in FOLDERS for file in folder.glob("*.py"))
    return sorted(name for name in found if name != "__init__.py")
