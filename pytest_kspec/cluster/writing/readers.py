"""Who may read what names specifications, such as /metrics: on a port of its own, never for everybody.

With a cluster, who sends a bearer token that the API server knows (TokenReview) and who may `get` that path
(SubjectAccessReview). Without one the connection is the proof: a certificate of the authority that the server names.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, NamedTuple

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.reviewing import may_read, user_of
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import KspecError

log = logging.getLogger("kspec.readers")

KNOWN_S, REFUSED_S = 60.0, 10.0
REMEMBERED = 1000
WAITING = 16
LONGEST_TOKEN = 16 << 10

Verdict = Literal["may", "unknown", "forbidden", "unavailable"]
"""unknown: the API server does not know who it is; unavailable: it could not be asked."""


class Refusal(NamedTuple):
    """What a verdict is in HTTP; challenge: of `WWW-Authenticate`, or ""."""

    status: int
    text: str
    challenge: str = ""


def refusal(verdict: Verdict, path: str) -> Refusal | None:
    """What is answered; None: the page."""
    if verdict == "may":
        return None
    if verdict == "unknown":
        return Refusal(401, "send a bearer token that the API server accepts", "Bearer")
    if verdict == "forbidden":
        return Refusal(403, f"the permission to get the nonResourceURL {path} is missing")
    return Refusal(503, "the API server could not verify your identity and permissions; try again")


class Readers:
    """access: the cluster that is asked; None: every connection has proven itself by its certificate.

    audience: for whom a token may be made, beside the API server; header: where it may be beside `Authorization`
    """

    def __init__(
        self,
        access: Access | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        audience: str = "",
        header: str = "",
    ) -> None:
        self._access = access
        self._clock = clock
        self._audience = audience
        self._headers = [name.encode() for name in (header.lower(), "authorization") if name]
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[bytes, str], tuple[float, Verdict]] = OrderedDict()
        self._asking: dict[tuple[bytes, str], Future[Verdict]] = {}
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kspec-readers")

    async def judge(self, headers: Iterable[tuple[bytes, bytes]], path: str) -> Verdict:
        """Whether this request may read this path. Many who ask at once with one token ask once."""
        found = self._begin(headers, path)
        return found if isinstance(found, str) else await asyncio.shield(asyncio.wrap_future(found))

    def judge_now(self, headers: Iterable[tuple[bytes, bytes]], path: str, patience_s: float) -> Verdict:
        """The same for a thread, which waits so many seconds."""
        found = self._begin(headers, path)
        if isinstance(found, str):
            return found
        try:
            return found.result(patience_s)
        except TimeoutError:
            return "unavailable"

    def close(self) -> None:
        """Ask no more: from now on the answer is "unavailable", unless it is known."""
        with self._lock:
            self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin(self, headers: Iterable[tuple[bytes, bytes]], path: str) -> Verdict | Future[Verdict]:
        if self._access is None:
            return "may"
        token = self._token(headers)
        if not token:
            return "unknown"
        key = (hashlib.sha256(token.encode()).digest(), path)
        with self._lock:
            known = self._known.get(key)
            if known is not None and self._clock() < known[0]:
                return known[1]
            asking = self._asking.get(key)
            if asking is None:
                if self._closed or len(self._asking) >= WAITING:
                    return "unavailable"
                asking = self._asking[key] = self._thread.submit(self._answer, key, token, path)
        return asking

    def _answer(self, key: tuple[bytes, str], token: str, path: str) -> Verdict:
        verdict: Verdict = "unavailable"
        try:
            verdict = self._ask(token, path)
        finally:
            with self._lock:
                self._asking.pop(key, None)
                if verdict != "unavailable":
                    self._known[key] = (self._clock() + (KNOWN_S if verdict == "may" else REFUSED_S), verdict)
                    self._known.move_to_end(key)
                    if len(self._known) > REMEMBERED:
                        self._known.popitem(last=False)
        return verdict

    def _ask(self, token: str, path: str) -> Verdict:
        def ask(writer: Writer) -> Verdict:
            source = writer.source
            user = user_of(source, token)
            if user is None and self._audience:
                user = user_of(source, token, [self._audience])
            if user is None:
                return "unknown"
            return "may" if may_read(source, user, path) else "forbidden"

        assert self._access is not None
        try:
            return self._access.do(ask)
        except KspecError as error:
            log.warning("the user who reads %s could not be authenticated: %s", path, error)
            return "unavailable"

    def _token(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The bearer token: in `Authorization`, or in the header that an API server's proxy leaves as it is."""
        found = dict(headers)
        for name in self._headers:
            scheme, _, token = found.get(name, b"").partition(b" ")
            if scheme.lower() == b"bearer" and 0 < len(token) <= LONGEST_TOKEN and token.isascii():
                return token.decode("ascii").strip()
        return ""
