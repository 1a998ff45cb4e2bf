"""Tells an interrupt of the user (Ctrl-C, SIGINT) from a KeyboardInterrupt that a check raises.

The first one is meant for the run, and ends it even where a check handles every exception; the other one is that
check's error. Python makes the same exception of both.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """What is known of it while code of users runs. came: whether the process was interrupted."""

    def __init__(self, *, came: bool = False) -> None:
        self.came = came

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """As signal handler."""
        self.came = True
        raise KeyboardInterrupt


_heard: list[Interrupt] = []


@contextmanager
def heard() -> Iterator[Interrupt]:
    """Code of users runs in here. Raises KeyboardInterrupt at the end if it kept one of the user's to itself.

    Where the signal has another handler than Python's own, or in another thread, each is taken for the user's.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and _heard:
        yield _heard[-1]
        return
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield Interrupt(came=True)
        return
    interrupt = Interrupt()
    signal.signal(signal.SIGINT, interrupt.note)
    _heard.append(interrupt)
    try:
        yield interrupt
    finally:
        _heard.remove(interrupt)
        if signal.getsignal(signal.SIGINT) == interrupt.note:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if interrupt.came:
            raise KeyboardInterrupt
