"""Exit statuses of the commands and their one-line error messages."""

import errno
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from absl import logging

from experiments.cli import compilation_cache, interrupts
from jaxgan import host
from jaxgan.errors import SetupError


class RunFailed(Exception):
    """A failure while running, whose message names the step and the last good checkpoint."""


def fail(status: int, message: str) -> NoReturn:
    """Prints an error on one line of standard error and ends the process.

    Args:
      status: Exit status.
      message: Text of the error.
    """
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def call(main: Callable[[list[str]], None]) -> NoReturn:
    """Runs a command and ends the process with the exit status for its outcome.

    The status is 0 when the command is done, 1 for a failure while running, 2 for a mistake in the request,
    and 128 plus the number of the signal when SIGINT (130) or SIGTERM (143) stopped the command.

    Args:
      main: Function of the command, called with ``sys.argv``.
    """
    logging.set_verbosity(logging.ERROR)  # the warnings of libraries would hide the command's own output
    host.keep_freed_memory()
    compilation_cache.keep()
    signal.signal(signal.SIGTERM, lambda *_: fail(143, "terminated"))
    try:
        main(sys.argv)
    except SetupError as error:
        fail(2, str(error))
    except RunFailed as error:
        fail(1, str(error))
    except interrupts.Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signum)
    except KeyboardInterrupt:
        fail(130, "interrupted")
    except OSError as error:  # the message names the file or folder, so a traceback would add nothing
        users = isinstance(error, (PermissionError, NotADirectoryError, IsADirectoryError))
        status = 2 if users or error.errno == errno.EROFS else 1
        fail(status, f"{type(error).__name__}: {error}")
    except Exception as error:
        traceback.print_exc()
        fail(1, f"{type(error).__name__}: {error}")
    sys.exit(0)
