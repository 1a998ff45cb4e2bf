"""The garbage collector while a scan starts.

A start makes a hundred thousand objects, hardly any of them garbage. That Python looks at them again and again is a
tenth of a scan of few pods; to look at them once, a thirtieth.
"""

from __future__ import annotations

import gc

_OBJECTS = 1_000_000
_usual: list[tuple[int, int, int]] = []


def begin() -> None:
    """Let the collector look only where far more than that is made, until `end`."""
    if not _usual and gc.isenabled():
        _usual.append(gc.get_threshold())
        gc.set_threshold(_OBJECTS, *_usual[0][1:])


def end() -> None:
    """As before; what has been made until now stays, and is not looked at again."""
    if _usual:
        gc.freeze()
        gc.set_threshold(*_usual.pop())
