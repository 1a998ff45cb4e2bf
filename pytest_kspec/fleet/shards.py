"""Which clusters one worker is given, so that all workers end at about the same time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from statistics import median

UNKNOWN_S = 10.0
"""What a cluster is taken to need that was never scanned, where none was."""


def balance(seconds: Sequence[float | None], shards: int) -> list[int]:
    """The shard of each cluster: the longest first, each to the shard that has least to do.

    seconds: how long each took the last time; None: not known, taken for the median of the others. All shards are used
    where there are as many clusters. The same input gives the same shards.
    """
    count = max(1, min(shards, len(seconds)))
    known = [one for one in seconds if one is not None]
    usual = median(known) if known else UNKNOWN_S
    cost = [usual if one is None else one for one in seconds]
    loads = [(0.0, 0, shard) for shard in range(count)]
    found = [0] * len(cost)
    for position in sorted(range(len(cost)), key=lambda position: (-cost[position], position)):
        load, clusters, shard = heapq.heappop(loads)
        found[position] = shard
        heapq.heappush(loads, (load + cost[position], clusters + 1, shard))
    return found
