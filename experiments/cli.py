"""The command line: flags, config files, and what becomes of errors."""

import errno
import functools
import importlib.util
import signal
import sys
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple, NoReturn

from absl import flags, logging
from ml_collections import config_dict, config_flags

from experiments import compilations
from jaxgan import files, memory
from jaxgan.errors import SetupError, unknown

CONFIGS = Path(__file__).parent / "configs"


class RunFailed(Exception):
    """A failure while running; its message names the step and the last good checkpoint."""


def fail(status: int, message: str) -> NoReturn:
    """Ends the process with one line on standard error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def out_file(flag: str, given: str | Path, suffix: str = "") -> Path:
    """The file that a command is to write, tried before there is anything to lose.

    Args:
      flag: that names it.
      given: its value.
      suffix: that its name must end in, in capitals or not.

    Raises:
      SetupError: its name ends otherwise, it is in no folder, or it cannot be written.
    """
    path = Path(given)
    if suffix and path.suffix.lower() != suffix:
        raise SetupError(f"--{flag} {path} does not end in {suffix}: give a file that does")
    if not path.absolute().parent.is_dir():
        raise SetupError(f"--{flag} {path}: there is no folder {path.parent}")
    try:
        files.check_writable(path)
    except OSError as error:
        raise SetupError(f"--{flag} {path} cannot be written ({error}): give another") from error
    return path


def call(main: Callable[[list[str]], None]) -> NoReturn:
    """Runs a command's ``main(argv)`` and turns its errors into exit statuses.

    0 done; 1 a failure while running; 2 what the user got wrong; 130 or 143 stopped by a signal.
    """
    logging.set_verbosity(logging.ERROR)  # libraries' remarks would drown ours
    memory.keep_freed_memory()
    compilations.keep()
    signal.signal(signal.SIGTERM, lambda *_: fail(143, "terminated"))
    try:
        main(sys.argv)
    except SetupError as error:
        fail(2, str(error))
    except RunFailed as error:
        fail(1, str(error))
    except KeyboardInterrupt:
        fail(130, "interrupted")
    except OSError as error:  # a file or a folder, of which a traceback would tell no more
        theirs = isinstance(error, (PermissionError, NotADirectoryError, IsADirectoryError))
        status = 2 if theirs or error.errno == errno.EROFS else 1
        fail(status, f"{type(error).__name__}: {error}")
    except Exception as error:
        traceback.print_exc()
        fail(1, f"{type(error).__name__}: {error}")
    sys.exit(0)


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
        path = CONFIGS / text if text.endswith(".py") else CONFIGS / f"{text}.py"
    if not path.is_file():
        raise unknown("config", text, list_configs())
    return path, argument if colon else None


class _FromSource(SourceFileLoader):
    """Reads no bytecode, which knows a file by second and size alone, and leaves none beside a config."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _load_module(path: Path) -> ModuleType:
    if path.suffix != ".py":
        raise SetupError(f"{path} is not a Python file: give one that ends in .py")
    loader = _FromSource(f"_config_{path.stem}_{zlib.crc32(str(path.absolute()).encode())}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses, and so Flax's modules, look up the module that they are defined in.
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


def load(given: str) -> Config:
    """Loads a config by name or path, with ``:argument`` passed on to its ``get_config``.

    Raises:
      SetupError: there is no such file, or it does not load.
    """
    path, argument = resolve(given)
    try:
        module = _load_module(path)
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
    return Config(unshared(values).lock(), name, sweep)


def unshared(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """A copy in which no two sections are one: a flag that sets a player's field must not set the other's.

    >>> adam = {"learning_rate": 1e-3}
    >>> config = unshared(config_dict.ConfigDict({"generator": adam, "critic": adam}))
    >>> config.generator.learning_rate = 1e-4
    >>> config.critic.learning_rate
    0.001
    """
    return config_dict.ConfigDict(
        {
            name: unshared(value) if isinstance(value, config_dict.ConfigDict) else value
            for name, value in config.items(preserve_field_references=True)
        }
    )


def with_values(config: config_dict.ConfigDict, values: Mapping[str, Any]) -> config_dict.ConfigDict:
    """Copies a config with other values, perhaps traced, in the fields given by dotted names."""
    copy = unshared(config)
    with copy.ignore_type():
        for name, value in values.items():
            *parents, field = name.split(".")
            node = copy
            for parent in parents:
                if parent not in node:
                    node[parent] = config_dict.ConfigDict()
                node = node[parent]
            # Its own: a config may give several points the same section, and change a field of it for each.
            node[field] = unshared(value) if isinstance(value, config_dict.ConfigDict) else value
    return copy


def flatten(config: config_dict.ConfigDict, prefix: str = "") -> dict[str, Any]:
    """A config's leaves by their dotted names; empty sections, whose names may tell, too.

    >>> flatten(config_dict.ConfigDict({"a": {"b": 1}, "c": 2, "d": {}}))
    {'a.b': 1, 'c': 2, 'd': {}}
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if not isinstance(value, config_dict.ConfigDict):
            flat[prefix + name] = value
        elif value:
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = {}
    return flat


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


def read_flags(argv: Sequence[str], values: flags.FlagValues, usage: str) -> None:
    """Parses argv into flag values; ``--help`` prints the usage and exits.

    Every command has the flag ``--systems``: Python files of one's own that add to
    :data:`jaxgan.gans.SYSTEMS` and :data:`jaxgan.models.FAMILIES`. They are run, so only the user names
    them, and no file of a work directory does.

    Raises:
      SetupError: a flag is unknown or its value malformed.
    """
    flags.DEFINE_list("systems", [], "Files of one's own systems, with commas.", flag_values=values)
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(f"{usage}\n{values.get_help()}")
        sys.exit(0)
    try:
        rest = values(list(argv))
    except flags.Error as error:
        raise SetupError(str(error)) from error
    if len(rest) > 1:
        raise SetupError(f"unexpected argument {rest[1]!r}: flags are written --name=value")
    for file in values.systems:
        path = Path(file).expanduser()
        if not path.is_file():
            raise SetupError(f"--systems {file}: there is no such file")
        try:
            _load_module(path)
        except SetupError:
            raise
        except Exception as error:
            raise SetupError(f"--systems {file}: {type(error).__name__}: {error}") from error


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
        read_flags(argv, values, usage)
        raise SetupError(f"no config given: --config=NAME.py, one of {', '.join(list_configs())}")
    config = load(given)
    section, names = config.values.get("data"), [x.lstrip("-").partition("=")[0] for x in argv[1:]]
    if "config.data.seed" in names and isinstance(section, config_dict.ConfigDict):
        with config.values.unlocked():  # configs leave it to be their own seed, and a flag needs a field
            section.seed = section.get("seed", config.values.get("seed", 0))
    fields = flatten(config.values)
    for argument in argv[1:]:
        name = argument.lstrip("-").partition("=")[0]
        if argument.startswith("-") and name.startswith("config."):
            field = name.removeprefix("config.")
            if field not in fields and field.removeprefix("no") not in fields:
                raise unknown("config field", field, fields)
    config_flags.DEFINE_config_dict("config", config.values, flag_values=values, sys_argv=argv)
    try:
        read_flags(argv, values, usage)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        if isinstance(error, SetupError):
            raise
        raise SetupError(str(error)) from error
    return config


def list_configs() -> list[str]:
    """The names of the configs that come with the project."""
    return sorted(file.name for file in CONFIGS.glob("*.py") if file.name != "__init__.py")
