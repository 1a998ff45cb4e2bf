"""Work in one thread that follows watches, and that another thread may end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pytest_kspec.cluster.api.http import Watching


class Ending:
    """Base of what follows watches: `_watching` is the one that is open.

    chance: a number from 0 to 1, by which waits differ
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._stopped = threading.Event()
        self._watching: Watching | None = None

    def stop(self) -> None:
        """End `run`, also where it waits for the next event."""
        self._stopped.set()
        watching = self._watching
        if watching is not None:
            watching.shut()

    def _wait(self, most: float) -> None:
        """Between half of these seconds and all, or until `stop`."""
        self._stopped.wait(most * (0.5 + self._chance() / 2))
