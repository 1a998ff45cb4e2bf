"""How a run over a fleet goes on, for metrics: its shards, read from the store of the run while its workers fill it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime

from pytest_kspec.errors import KspecError

POLL_S = 5.0
"""Between two looks."""


@contextmanager
def watched(store: str, run: str, tell: Callable[[Mapping[str, int]], None]) -> Iterator[None]:
    """Tell of the shards of a run in a store, by state, until the block ends. A look that fails tells nothing."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            shards = _shards(store, run)
            if shards and not over.is_set():
                tell(shards)

    thread = threading.Thread(target=watch, daemon=True, name=f"kspec-run-{run}")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(POLL_S)  # a store that hangs delays a run no longer


def seconds_of(created_at: str, ended_at: str) -> float:
    """Between two times of a store; 0 where a clock went back."""
    return max(0.0, (datetime.fromisoformat(ended_at) - datetime.fromisoformat(created_at)).total_seconds())


def _shards(url: str, run: str) -> Mapping[str, int]:
    """Nothing, where the run is not there yet, or the store cannot be read."""
    from pytest_kspec.storage.engine import open_store
    from pytest_kspec.storage.fleet import shards_of

    try:
        with closing(open_store(url, option="--store")) as store:
            found = shards_of(store, run)
    except KspecError:
        return {}
    return found if any(found.values()) else {}
