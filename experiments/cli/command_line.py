"""Flags of the commands, parsed with absl."""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.cli import source_files
from jaxgan import files
from jaxgan.errors import SetupError


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
            source_files.load_module(path)
        except SetupError:
            raise
        except Exception as error:
            raise SetupError(f"--systems {file}: {type(error).__name__}: {error}") from error
