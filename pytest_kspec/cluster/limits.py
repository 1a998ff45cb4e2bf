"""What one cluster may cost, whether it is a live API server or a snapshot: bytes, pages, seconds.

A server that never ends an answer, or an archive that unpacks to more than the memory holds, must cost no more than is
stated here. Two environment variables raise the bounds for clusters that are larger or slower; docs/sources.md states
the defaults.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import NamedTuple

from pytest_kspec.errors import UsageError

SECONDS = "KSPEC_CLUSTER_SECONDS"
MEGABYTES = "KSPEC_CLUSTER_MIB"
MIB = 1 << 20


class Limits(NamedTuple):
    """Times in seconds, sizes in bytes after decompression.

    connect, read: one connection, one wait for the next bytes
    request, list, cluster: one answer with its body; all answers of one list; all requests of one cluster
    pause, pause_max: how long a server that cannot be reached is left alone; doubled after each attempt in vain
    """

    page_limit: int = 500
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    retries: int = 4
    backoff_s: float = 0.5
    retry_after_max_s: float = 30.0
    list_restarts: int = 3
    list_pages: int = 10_000
    request_s: float = 120.0
    list_s: float = 300.0
    cluster_s: float = 600.0
    request_bytes: int = 128 * MIB
    list_bytes: int = 1024 * MIB
    cluster_bytes: int = 2048 * MIB
    pause_s: float = 60.0
    pause_max_s: float = 600.0


DEFAULT_LIMITS = Limits()


def default_limits(environment: Mapping[str, str] = os.environ) -> Limits:
    """The defaults, or in proportion to what the environment says of a whole cluster. Raises UsageError."""
    found = DEFAULT_LIMITS
    if SECONDS in environment:
        factor = _number(environment[SECONDS], SECONDS) / found.cluster_s
        found = found._replace(
            request_s=found.request_s * factor,
            list_s=found.list_s * factor,
            cluster_s=found.cluster_s * factor,
        )
    if MEGABYTES in environment:
        factor = _number(environment[MEGABYTES], MEGABYTES) * MIB / found.cluster_bytes
        found = found._replace(
            request_bytes=int(found.request_bytes * factor),
            list_bytes=int(found.list_bytes * factor),
            cluster_bytes=int(found.cluster_bytes * factor),
        )
    return found


def size(count: int) -> str:
    """`128 MiB`."""
    return f"{count / MIB:,.0f} MiB" if count >= MIB else f"{count:,} bytes"


def _number(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1e9:
        raise UsageError(f"{text!r} is not a number greater than 0.", where=name)
    return number
