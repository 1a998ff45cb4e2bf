"""Which processes do nothing: they wait for a server that does not answer, and need no place of their own."""

from __future__ import annotations

import time
from collections.abc import Iterable

IDLE_S = 10.0
_BUSY = 0.02
"""Of a CPU: less than that is waiting."""


class Effort:
    """Looks at the CPU time of processes from time to time. Where a system does not tell it, none is idle."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._since: dict[int, tuple[float, int]] = {}

    def idle(self, processes: Iterable[int]) -> set[int]:
        """Those that used almost no CPU for that long, and still use none."""
        now = time.monotonic()
        found: set[int] = set()
        before, self._since = self._since, {}
        for process in processes:
            ticks = _ticks(process)
            if ticks is None:
                continue
            since, then = before.get(process, (now, ticks))
            if (ticks - then) > 1 + (now - since) * _BUSY * _PER_SECOND:
                since, then = now, ticks
            self._since[process] = since, then
            if now - since >= self._idle_s:
                found.add(process)
        return found


_PER_SECOND = 100
"""Of Linux, in what it tells to programs."""


def _ticks(process: int) -> int | None:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            fields = file.read(4096).rpartition(b")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return None
