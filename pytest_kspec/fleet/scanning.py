"""What a run over a fleet came to, for the one who started it: how far it is, and what is left without an outcome."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_kspec.fleet.local import Failed
from pytest_kspec.fleet.runs import Order
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.storage import fleet as stored
from pytest_kspec.storage.engine import Store


def _have(clusters: int) -> str:
    return "1 cluster has" if clusters == 1 else f"{clusters} clusters have"


def conclude(store: Store, run: str, order: Order, failed: Iterable[Failed]) -> list[str]:
    """End a run whose workers have ended. Clusters that no worker came to are errors, with the reason of their shard.

    Returns what is to be said of shards that can be tried again: their clusters have no outcome yet, and the run is
    not at its end. Raises StoreError.
    """
    again = []
    for one in failed:
        left = [target for target in stored.targets_of(store, run, one.shard) if not target.done]
        if not left:
            continue
        if not one.final:
            again.append(f"shard {one.shard}: {_have(len(left))} no outcome: {one.reason}")
            continue
        for target in left:
            reason = f"not scanned: {one.reason}"
            stored.settle(store, run, target.position, order.asked, Outcome.NOT_SCANNED, reason=reason)
    if all(target.done for target in stored.targets_of(store, run)):
        stored.end(store, run)
    return again
