"""Signals that stop a command after it has saved its work."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Stopped(Exception):
    """A command that was stopped by a signal and has saved its work.

    Attributes:
      signum: Number of the signal.
    """

    def __init__(self, signum: int, saved: str = "checkpoint saved"):
        """Composes the message.

        Args:
          signum: Number of the signal.
          saved: Description of the saved work.
        """
        super().__init__(f"stopped by {signal.Signals(signum).name}, {saved}")
        self.signum = signum


@contextmanager
def catch_signals() -> Iterator[list[int]]:
    """Yields a list to which SIGINT and SIGTERM are appended instead of ending the process.

    After the first signal, further signals have their usual effect.
    """
    received: list[int] = []
    previous: dict[signal.Signals, Any] = {}

    def handle(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, handle)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
