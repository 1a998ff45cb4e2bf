"""Reads of a socket that are measured: the timeout of a socket begins anew with every byte, and a server may send one.

What reads status lines, headers, interim answers, chunks and trailers has no bound in all. So every read, from the
first byte of a proxy's answer to the last trailer, asks a measure what is left.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from urllib3.exceptions import HTTPError

Pool = TypeVar("Pool", bound=type[Any])


class Measure(Protocol):
    """What reads may still cost. measuring: whether they are measured at all now."""

    @property
    def measuring(self) -> bool: ...

    def seconds_left(self) -> float:
        """Until reading has to end. Raises what says so."""

    def take_raw(self, count: int) -> None:
        """So many bytes came. Raises what says that they are too many."""


class TooSlow(HTTPError):
    """An answer was not there in time. urllib3 does not ask again then."""


class Deadline:
    """A measure that ends so many seconds after it was made."""

    measuring = True

    def __init__(self, seconds: float) -> None:
        self._seconds, self._until = seconds, time.monotonic() + seconds

    def seconds_left(self) -> float:
        """Raises TooSlow."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TooSlow(f"an answer takes longer than {self._seconds:g} s")
        return left

    def take_raw(self, count: int) -> None:
        """Who reads a body bounds it."""


class Timed(io.RawIOBase):
    """A socket's reads, each of them measured."""

    def __init__(self, raw: io.RawIOBase, sock: Any, measure: Measure) -> None:
        self._raw, self._sock, self._measure = raw, sock, measure

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Raises what the measure raises."""
        if not self._measure.measuring:
            return self._raw.readinto(buffer)
        before, left = self._sock.gettimeout(), self._measure.seconds_left()
        if before is None or left < before:
            self._sock.settimeout(left)
        try:
            count = self._raw.readinto(buffer)
        except TimeoutError:
            self._measure.seconds_left()
            raise
        finally:
            self._sock.settimeout(before)
        self._measure.take_raw(count or 0)
        return count

    def close(self) -> None:
        """With what it reads from."""
        super().close()
        self._raw.close()


class _Response(http.client.HTTPResponse):
    made: Callable[[], Measure]

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(Timed(self.fp.detach(), sock, type(self).made()))


def bind(pools: Any, made: Callable[[], Measure]) -> None:
    """Measure every answer on the connections that a `PoolManager`, of any kind of proxy or of none, will make.

    made: called for each answer when its request has been sent
    """
    pools.pool_classes_by_scheme = {
        scheme: pool_class(pool, made) for scheme, pool in pools.pool_classes_by_scheme.items()
    }


def pool_class(pool: Pool, made: Callable[[], Measure]) -> Pool:
    """The same kind of connection pool, whose answers are measured."""
    response = type("MeasuredResponse", (_Response,), {"made": staticmethod(made)})
    connection = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), {"response_class": response})
    return cast("Pool", type(pool.__name__, (pool,), {"ConnectionCls": connection}))
