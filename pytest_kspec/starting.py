"""The garbage collector while a scan starts.

A start makes half a million objects, hardly any of them garbage. That Python looks at them again and again is a tenth
of a scan of few pods.
"""

from __future__ import annotations

import gc

_OBJECTS = 50_000
_usual: list[tuple[int, int, int]] = []


def begin() -> None:
    """Let the collector look rarely, until `end`."""
    if not _usual and gc.isenabled():
        _usual.append(gc.get_threshold())
        gc.set_threshold(_OBJECTS, *_usual[0][1:])


def end() -> None:
    """As before; what has been made until now stays, and is not looked at again."""
    if _usual:
        gc.freeze()
        gc.set_threshold(*_usual.pop())
