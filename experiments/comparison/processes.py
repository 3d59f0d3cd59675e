"""Commands that a comparison runs in processes of their own, one at a time."""

import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, NamedTuple

from experiments.cli import interrupts

POLL_SECONDS = 0.05


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
      status: Exit status; negative if a signal killed the process.
      message: Last line of standard error; empty for status 0.
    """

    status: int
    message: str


def _message(status: int, lines: Sequence[str]) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return lines[-1].removeprefix("error: ") if lines else f"exit status {status}"


def execute(
    words: Sequence[str], signals: Sequence[int], until: Callable[[], bool] | None = None
) -> Outcome:
    """Prints a command, runs it, and shows its output.

    A signal that this process receives stops the command, which saves its work. The command has a process
    group of its own, so that a terminal does not send it the same signal a second time.

    Args:
      words: Name of the module and its arguments.
      signals: Signals that this process has received so far.
      until: Predicate that is polled; the command is stopped when it holds.

    Returns:
      The outcome of the command.

    Raises:
      Stopped: This process has received a signal, and the command has ended.
    """
    print(f"$ python -m {shlex.join(words)}", flush=True)
    lines: list[str] = []

    def show(stream: IO[str]) -> None:
        for line in stream:
            print(line, end="", file=sys.stderr, flush=True)
            lines[:] = [line.strip()] if line.strip() else lines

    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stderr is not None
    reader = threading.Thread(target=show, args=(process.stderr,))
    reader.start()
    told = False
    try:
        while process.poll() is None:
            if not told and (signals or (until and until())):
                # SIGINT would print a traceback while Python starts.
                process.send_signal(signal.SIGTERM)
                told = True
            time.sleep(POLL_SECONDS)
    finally:  # A second signal ends this process at once.
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join()
    if signals:
        raise interrupts.Stopped(signals[0], "the same command continues the comparison")
    status = process.returncode
    return Outcome(status, _message(status, lines) if status else "")
