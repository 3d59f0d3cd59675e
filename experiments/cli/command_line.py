"""Flags of the commands, parsed with absl."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.cli import source_files
from jaxgan import files
from jaxgan.errors import SetupError, unknown

flags.disclaim_key_flags()  # --help lists the flags defined here with those of the command


def out_file(flag: str, given: str | Path, suffix: str = "") -> Path:
    """Checks that a command can write its output file, before the command does any work.

    Args:
      flag: Name of the flag that gives the file.
      given: Value of the flag.
      suffix: Suffix that the file's name must have, in lower case; the check ignores case.

    Returns:
      The path of the file.

    Raises:
      SetupError: The name has another suffix, the folder does not exist, or the file cannot be written.
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


def check_at_least(values: flags.FlagValues, flag: str, least: int) -> None:
    """Raises a SetupError if a flag's number is below the least that is allowed."""
    value = getattr(values, flag)
    if value < least:
        raise SetupError(f"--{flag} is {value}: give at least {least}")


def check_positive(values: flags.FlagValues, flag: str, example: float) -> None:
    """Raises a SetupError, which gives an example, if a flag's number is neither None nor positive."""
    value = getattr(values, flag)
    if value is not None and not 0 < value < math.inf:
        raise SetupError(f"--{flag} is {value}: give a positive number, such as {example}")


def check_seed(values: flags.FlagValues) -> None:
    """Raises a SetupError if the flag ``--seed`` is not a 32-bit unsigned integer."""
    if not 0 <= values.seed < 2**32:
        raise SetupError(f"--seed is {values.seed}: give a whole number from 0 to 2**32 - 1")


def name_of(argument: str) -> str:
    """Returns the name of the flag in an argument, or an empty string if the argument is not a flag.

    >>> name_of("--seed=3"), name_of("-seed"), name_of("3")
    ('seed', 'seed', '')
    """
    return argument.lstrip("-").partition("=")[0] if argument.startswith("-") else ""


def read_known_flags(argv: Sequence[str], values: flags.FlagValues, usage: str) -> list[str]:
    """Parses the flags that a command defines; ``--help`` prints the usage and exits.

    Every command also has the flag ``--systems``, which names Python files of the user's own. They may add
    to :data:`jaxgan.gans.SYSTEMS` and :data:`jaxgan.models.FAMILIES`. The command runs these files, so they
    are taken only from the command line and never from a work directory.

    Args:
      argv: Name of the program and its arguments.
      values: Flags of the command, which receive their values.
      usage: Text that ``--help`` prints before the flags.

    Returns:
      The name of the program and the arguments that belong to no defined flag, in their order.

    Raises:
      SetupError: The value of a flag is malformed, or a file of ``--systems`` cannot be loaded.
    """
    flags.DEFINE_list("systems", [], "Python files that define systems or networks.", flag_values=values)
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(f"{usage}\n{values.get_help()}")
        sys.exit(0)
    values.set_gnu_getopt()  # parsing goes on after an argument that is not a flag
    try:
        rest = values(list(argv), known_only=True)
    except flags.Error as error:
        raise SetupError(str(error)) from error
    for file in values.systems:
        path = Path(file).expanduser()
        if not path.is_file():
            raise SetupError(f"--systems {file}: there is no such file")
        try:
            source_files.load_module(path)
        except SetupError:
            raise
        except Exception as error:
            raise SetupError(f"--systems {file}: {type(error).__name__}: {error}") from error
    return rest


def refuse_rest(rest: Sequence[str], values: flags.FlagValues) -> None:
    """Raises a SetupError for the first argument that no flag has taken.

    Args:
      rest: Name of the program and the arguments that are left.
      values: Flags of the command, whose names the message suggests.
    """
    for argument in rest[1:]:
        if argument.startswith("-"):
            raise unknown("command line flag", name_of(argument), values)
        raise SetupError(f"unexpected argument {argument!r}: flags are written --name=value")


def read_flags(argv: Sequence[str], values: flags.FlagValues, usage: str) -> None:
    """Parses all arguments as in :func:`read_known_flags` and refuses those that belong to no flag.

    Args:
      argv: Name of the program and its arguments.
      values: Flags of the command, which receive their values.
      usage: Text that ``--help`` prints before the flags.

    Raises:
      SetupError: A flag is unknown, its value is malformed, or a file of ``--systems`` cannot be loaded.
    """
    refuse_rest(read_known_flags(argv, values, usage), values)
