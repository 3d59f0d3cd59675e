"""How commands end: exit statuses and one-line errors."""

import errno
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from absl import logging

from experiments.cli import compilations
from jaxgan import host
from jaxgan.errors import SetupError


class RunFailed(Exception):
    """A failure while running; its message names the step and the last good checkpoint."""


def fail(status: int, message: str) -> NoReturn:
    """Ends the process with one line on standard error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def call(main: Callable[[list[str]], None]) -> NoReturn:
    """Runs a command's ``main(argv)`` and turns its errors into exit statuses.

    0 done; 1 a failure while running; 2 what the user got wrong; 130 or 143 stopped by a signal.
    """
    logging.set_verbosity(logging.ERROR)  # libraries' remarks would drown ours
    host.keep_freed_memory()
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
