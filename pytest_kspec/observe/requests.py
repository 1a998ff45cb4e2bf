"""Who in this process wants to know of requests to API servers: the operator's metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

seen: Callable[[str, float], None] | None = None
"""Called after each request with its status code, "error" where there is no answer, and the seconds that it took."""


class Answered(Protocol):
    """An answer of a server."""

    @property
    def status(self) -> int:
        """The status code."""
        ...


A = TypeVar("A", bound=Answered)


def measured(send: Callable[[], tuple[A, str]]) -> tuple[A, str]:
    """What `send` gives; who wants to know is told."""
    if seen is None:
        return send()
    started, code = time.monotonic(), "error"
    try:
        answered = send()
        code = str(answered[0].status)
        return answered
    finally:
        seen(code, time.monotonic() - started)
