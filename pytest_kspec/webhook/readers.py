"""Who may read /metrics and /policies, which name specifications: on a port of their own, never for everybody.

With a cluster, who sends a bearer token that the API server knows (TokenReview) and who may `get` that path
(SubjectAccessReview). With `--client-ca`, who has a certificate of that authority: the connection is the proof.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.reviewing import may_read, user_of
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.engines import webhook_client
from pytest_kspec.errors import KspecError

log = logging.getLogger("kspec.webhook")

KNOWN_S, REFUSED_S = 60.0, 10.0
REMEMBERED = 1000
WAITING = 16
LONGEST_TOKEN = 16 << 10

Verdict = Literal["may", "unknown", "forbidden", "unavailable"]
"""unknown: the API server does not know who it is; unavailable: it could not be asked."""


class Readers:
    """access: the cluster that is asked; None: every connection has proven itself by its certificate."""

    def __init__(self, access: Access | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._clock = clock
        self._known: OrderedDict[tuple[bytes, str], tuple[float, Verdict]] = OrderedDict()
        self._asking: dict[tuple[bytes, str], asyncio.Future[Verdict]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kspec-readers")

    async def judge(self, headers: Iterable[tuple[bytes, bytes]], path: str) -> Verdict:
        """Whether this request may read this path. Many who ask at once with one token ask once."""
        if self._access is None:
            return "may"
        token = _token(headers)
        if not token:
            return "unknown"
        key = (hashlib.sha256(token.encode()).digest(), path)
        known = self._known.get(key)
        if known is not None and self._clock() < known[0]:
            return known[1]
        asking = self._asking.get(key)
        if asking is None:
            if len(self._asking) >= WAITING:
                return "unavailable"
            asking = asyncio.get_running_loop().run_in_executor(self._thread, self._ask, token, path)
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        verdict = await asyncio.shield(asking)
        if verdict != "unavailable":
            self._known[key] = (self._clock() + (KNOWN_S if verdict == "may" else REFUSED_S), verdict)
            self._known.move_to_end(key)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return verdict

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self, token: str, path: str) -> Verdict:
        def ask(writer: Writer) -> Verdict:
            source = writer.source
            user = user_of(source, token) or user_of(source, token, [webhook_client.AUDIENCE])
            if user is None:
                return "unknown"
            return "may" if may_read(source, user, path) else "forbidden"

        assert self._access is not None
        try:
            return self._access.do(ask)
        except KspecError as error:
            log.warning("the user who reads %s could not be authenticated: %s", path, error)
            return "unavailable"


def _token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The bearer token: in `Authorization`, or in the header that an API server's proxy leaves as it is."""
    found = dict(headers)
    for name in (webhook_client.HEADER.lower().encode(), b"authorization"):
        scheme, _, token = found.get(name, b"").partition(b" ")
        if scheme.lower() == b"bearer" and 0 < len(token) <= LONGEST_TOKEN and token.isascii():
            return token.decode("ascii").strip()
    return ""
