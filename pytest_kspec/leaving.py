"""How a command ends: what was registered for the end is done, and then the process is gone.

Python takes apart every module and object first, which is a twentieth of a scan of few pods, for memory that the
operating system takes back at once. It also ends threads wherever they are, and one that is in C++ code then aborts the
process, whose exit code is lost.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable

_code: list[int] = []


def arrange() -> None:
    """Before anything else is registered: what is registered first is done last.

    Where something is already, such as the measurement of coverage, Python ends as it always does.
    """
    registered: Callable[[], int] = getattr(atexit, "_ncallbacks", lambda: 1)
    if not registered():
        atexit.register(_leave)


def with_code(code: int) -> None:
    """The command is done, and this is its exit code. Without, as after an exception, Python ends as always."""
    _code[:] = [code]


def _leave() -> None:
    if not _code:
        return
    code = _code[0]
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # gone or closed
            code = code or 120  # as Python says it
    os._exit(code)
