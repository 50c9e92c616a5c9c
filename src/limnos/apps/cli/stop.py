"""End at a good place when asked to, and at once when asked again."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_WAITING = "stopping after the round that is under way; once more (Ctrl-C, SIGTERM) to stop at once, without it\n"


@contextmanager
def asked_to_stop() -> Generator[threading.Event]:
    """Give an event that the first interrupt or SIGTERM sets.

    Raises:
        KeyboardInterrupt: At the second.
    """
    asked = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        # The stream itself may be in the middle of a line.
        os.write(sys.stderr.fileno(), _WAITING.encode())

    before = {one: signal.signal(one, ask) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
