"""Requests to one API server: raw bytes, bounded in time and size, errors in the terms of the scan.

Connection errors, timeouts, 429 and 5xx are tried again by the rules of urllib3's `Retry`, with `Retry-After` honoured
up to a bound. A request that must not arrive twice is tried again only where the server surely did nothing.
When the server cannot be reached at all, or the cluster has used up its time, later requests fail at once: a dead
cluster must not cost a minute for each kind. After a pause, one request is tried once; if it is answered, the server is
back. What a cluster has used up stays used up until its owner begins another look (`renew`).
"""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import (
    HTTPError,
    InsecureRequestWarning,
    InvalidHeader,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
)

import pytest_kspec
from pytest_kspec import measured
from pytest_kspec.cluster.api import auth
from pytest_kspec.cluster.api.bounded import Allowance, Exceeded, Meter, read_body, read_parts
from pytest_kspec.cluster.api.execplugin import PluginTimeout
from pytest_kspec.cluster.api.failing import is_certain, reason_of, said_of
from pytest_kspec.cluster.limits import DEFAULT_LIMITS, Limits
from pytest_kspec.cluster.objects import refusals
from pytest_kspec.cluster.objects.answers import Wrong, media_type_problem
from pytest_kspec.errors import KspecError, SourceUnavailable, Unreachable
from pytest_kspec.observe import requests

JSON = "application/json"
_LONGEST_MESSAGE = 256
_USER_AGENT = f"pytest-kspec/{pytest_kspec.__version__}"


class Answer(NamedTuple):
    """A response. message: what the server said about an error, capped. warnings: its `Warning` headers."""

    status: int
    content_type: str
    body: bytes
    warnings: tuple[str, ...] = ()

    def json(self) -> bytes:
        """The body, where it is said to be JSON. Raises Wrong."""
        if problem := media_type_problem(self.content_type):
            raise Wrong(problem)
        return self.body

    @property
    def message(self) -> str:
        """`Status.message`, or "" where the body is none."""
        try:
            data = json.loads(self.body[: 1 << 16])
        except (ValueError, RecursionError):
            return ""
        text = data.get("message") if isinstance(data, dict) and data.get("kind") == "Status" else None
        line = " ".join(text.split()) if isinstance(text, str) else ""
        return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"


class Watching:
    """An answer that goes on: a watch. answer: what came in its place, if the server did not accept it."""

    def __init__(
        self, response: urllib3.BaseHTTPResponse, parts: Iterator[bytes], answer: Answer | None
    ) -> None:
        self._response, self._parts = response, parts
        self.answer = answer

    def lines(self, longest: int) -> Iterator[bytes]:
        """Each line when it is whole. longest: bytes of one. Raises Exceeded, and what reading raises."""
        held = bytearray()
        for part in self._parts:
            held += part
            *whole, rest = held.split(b"\n")
            if len(rest) > longest or any(len(line) > longest for line in whole):
                raise Exceeded(f"an event of this watch has more than {longest:,} bytes")
            held = rest
            yield from (bytes(line) for line in whole if line)
        if held:
            raise ProtocolError("the watch ends within an event")

    def shut(self) -> None:
        """End it, from another thread: whoever reads sees its end."""
        with contextlib.suppress(ValueError, RuntimeError, OSError):  # it has ended by itself
            self._response.shutdown()


UNKNOWN_FIELD = b"failed to create typed patch object"
"""What an API server says, with HTTP 500, to a server-side apply of a field that it does not know."""


_NO_CONNECTION = (NewConnectionError, urllib3.exceptions.ConnectTimeoutError, ProxyError, SSLError)


class Connection:
    """One context's API server."""

    def __init__(
        self,
        context: str,
        *,
        kubeconfig: str | None = None,
        in_cluster: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        credentials: auth.Credentials | None = None,
    ) -> None:
        """credentials: whom to ask instead of a kubeconfig; `context` is then a name for messages only."""
        self._context = context
        self._credentials = credentials
        self._kubeconfig = kubeconfig
        self._in_cluster = in_cluster
        self._access: auth.Access | None = None
        self._client: Any = None
        self._meter = Meter()
        self._list: Allowance | None = None
        self._never = urllib3.Retry(total=0)
        self.bound(limits)

    def bound(self, limits: Limits) -> None:
        """Go on with other limits, on the same connections; what it has cost so far is forgotten."""
        self._limits = limits
        self._dead: SourceUnavailable | None = None
        self._pause_s = limits.pause_s
        self._again_at = 0.0  # time.monotonic()
        self._cluster = Allowance("this cluster", limits.cluster_s, limits.cluster_bytes)
        common: dict[str, Any] = {
            "total": limits.retries,
            "allowed_methods": None,  # any: which requests may be repeated is said by the caller
            "backoff_factor": limits.backoff_s,
        }
        self._repeat = urllib3.Retry(status_forcelist=[429, 500, 502, 503, 504], **common)
        self._once = urllib3.Retry(status_forcelist=[429], read=0, other=0, **common)

    def access(self) -> auth.Access:
        """Where to and as whom; credentials are loaded at the first use, and again when others are due.

        Raises AccessDenied, SourceUnavailable.
        """
        found = self._credentials.context() if self._credentials is not None else None
        if self._access is not None and found is not None and self._access.context is not found:
            self.close()
        if self._access is None:
            self._access = (
                auth.connect(self._context, kubeconfig=self._kubeconfig, in_cluster=self._in_cluster)
                if found is None
                else auth.Access(found)
            )
            measured.bind(self._access.pool, lambda: self._meter)
        return self._access

    def client(self) -> Any:
        """The official `ApiClient` on the same connections."""
        if self._client is None:
            from pytest_kspec.cluster.api.official import make_client

            self._client = make_client(self.access(), _USER_AGENT)
        return self._client

    @contextlib.contextmanager
    def one_list(self, what: str) -> Iterator[None]:
        """The requests within are one list: bounded as a whole. what: its name in errors.

        Raises SourceUnavailable where the bound was met, also if whoever read the list went on without a part of it.
        """
        allowed = self._list = Allowance(what, self._limits.list_s, self._limits.list_bytes)
        try:
            yield
        finally:
            self._list = None
        if problem := allowed.problem():
            raise self._exceeded(problem)

    def get(self, path: str, query: Mapping[str, str] | None = None, *, accept: str = JSON) -> Answer:
        """One GET; a 401 is tried once more with credentials loaded anew. Raises SourceUnavailable,
        AccessDenied.
        """
        return self.send("GET", path, query, accept=accept)

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        repeatable: bool = True,
        more: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, as `get`, with `more` headers. repeatable: sending it twice does the same as sending it once; if
        not, it is tried again only after 429, after 503 with `Retry-After`, and where no connection came about.
        """
        sent = (method, path, query, body, content_type, accept, repeatable, more)
        answer = self._send(*sent)
        if answer.status == 401:
            if self._credentials is not None and self._access is not None:
                self._credentials.refused(self._access.context)
            self.close()
            answer = self._send(*sent)
        return answer

    def renew(self) -> None:
        """Count the cost of the cluster anew, and try it again if it was given up."""
        self._cluster = Allowance(self._cluster.what, self._limits.cluster_s, self._limits.cluster_bytes)
        self._dead, self._pause_s = None, self._limits.pause_s

    @contextlib.contextmanager
    def watch(self, path: str, query: Mapping[str, str], *, seconds: float, most: int) -> Iterator[Watching]:
        """A GET whose answer goes on, for at most so many seconds and bytes. Nothing is tried again, and no other
        request is made on this connection meanwhile. Raises SourceUnavailable, AccessDenied, also within the block.
        """
        access = self.access()
        headers = {"Accept": JSON, "User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
        connect = min(self._limits.connect_timeout_s, seconds)
        try:
            identified = access.headers(headers)
            with self._meter.measure(Allowance("this watch", seconds, most)):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", InsecureRequestWarning)
                    response = access.pool.request(
                        "GET",
                        f"{access.server}{path}?{urlencode(query)}",
                        headers=identified,
                        timeout=urllib3.Timeout(connect=connect, read=seconds),
                        retries=False,
                        redirect=False,
                        preload_content=False,
                    )
                try:
                    kind = response.headers.get("Content-Type", "")
                    refused = response.status != 200 or bool(media_type_problem(kind))
                    answer = (
                        Answer(response.status, kind, access.hidden(read_body(response, self._meter)))
                        if refused
                        else None
                    )
                    yield Watching(response, read_parts(response, self._meter), answer)
                finally:
                    response.close()
        except Exceeded as error:
            # The bounds of a watch are fixed: no variable of the environment raises them.
            what = str(error).partition(" (")[0]
            raise SourceUnavailable(f"the watch was given up: {what}.", where=self._context) from None
        except (HTTPError, OSError, ValueError) as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        """Close connections; the next request opens new ones."""
        if self._access is not None:
            self._access.close()
        self._access = self._client = None

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        content_type: str,
        accept: str,
        repeatable: bool,
        more: Mapping[str, str] | None,
    ) -> Answer:
        dead = self._dead
        if dead is not None and (self._cluster.problem() or time.monotonic() < self._again_at):
            raise type(dead)(dead.what, where=dead.where, fix=dead.fix)
        try:
            access = self.access()
        except PluginTimeout as error:
            raise self._paused(error) from None
        headers = {"Accept": accept, "User-Agent": _USER_AGENT}
        headers["Accept-Encoding"] = "gzip" if access.compression else "identity"
        if body is not None:
            headers["Content-Type"] = content_type
        headers |= more or {}
        target = f"{path}?{urlencode(query)}" if query else path
        retry = self._never if dead else self._repeat if repeatable else self._once
        try:
            while True:
                try:
                    attempt = partial(self._attempt, access, method, target, body, headers)
                    answer, retry_after = requests.measured(attempt)
                    self._dead, self._pause_s = None, self._limits.pause_s
                    if answer.status == 500 and UNKNOWN_FIELD in answer.body:
                        return answer  # no patience helps
                    if not retry.is_retry(method, answer.status, bool(retry_after)):
                        return answer
                    if not retry.total:
                        return answer
                    retry = retry.increment(method, target)
                except HTTPError as error:
                    if is_certain(error):
                        raise
                    retry, retry_after = retry.increment(method, target, error=error), ""
                self._wait(retry, retry_after)
        except Exceeded as error:
            raise self._exceeded(error) from None
        except (HTTPError, OSError, ValueError) as error:
            raise self._unavailable(error) from error
        except PluginTimeout as error:
            raise self._paused(error) from None
        except KspecError:
            raise
        except Exception as error:  # whatever the libraries raise, it is this cluster's alone
            raise refusals.error_of(error, self._context) from error

    def _attempt(
        self, access: auth.Access, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[Answer, str]:
        """The answer of one request, sent once, and its `Retry-After`. Raises Exceeded, HTTPError."""
        limits = self._limits
        allowed = Allowance("one answer", limits.request_s, limits.request_bytes)
        charged = (allowed, self._list, self._cluster) if self._list else (allowed, self._cluster)
        identified = access.headers(headers)  # which may run a plugin, with a bound of its own
        with self._meter.measure(*charged), warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureRequestWarning)  # the kubeconfig asks for it
            left = self._meter.seconds_left()
            response = access.pool.request(
                method,
                access.server + target,
                body=body,
                headers=identified,
                timeout=urllib3.Timeout(
                    connect=min(limits.connect_timeout_s, left), read=min(limits.read_timeout_s, left)
                ),
                retries=False,
                redirect=False,  # another host would get the credentials
                preload_content=False,
            )
            body_read = read_body(response, self._meter)
            if response.status >= 400:
                body_read = access.hidden(body_read)
            warned = (access.hidden(one.encode()).decode() for one in response.headers.getlist("Warning"))
            kind = access.hidden(response.headers.get("Content-Type", "").encode()).decode()
            answer = Answer(response.status, kind, body_read, tuple(warned))
        return answer, response.headers.get("Retry-After", "")

    def _wait(self, retry: urllib3.Retry, retry_after: str) -> None:
        """Raises Exceeded at once where the wait would be longer than what is left."""
        seconds = retry.get_backoff_time()
        if retry_after:
            # What is no time counts as if nothing were said.
            with contextlib.suppress(InvalidHeader, ValueError, OverflowError):
                seconds = retry.parse_retry_after(retry_after) or seconds
        with self._meter.measure(*((self._list, self._cluster) if self._list else (self._cluster,))):
            seconds = min(seconds, self._limits.retry_after_max_s)
            time.sleep(min(seconds, self._meter.seconds_left()))

    def _exceeded(self, error: Exceeded) -> SourceUnavailable:
        made = SourceUnavailable(
            f"the request to the API server was abandoned: {error}.", where=self._context
        )
        if self._cluster.problem():
            self._dead = made = Unreachable(made.what, where=made.where)
        return made

    def _unavailable(self, error: Exception) -> SourceUnavailable:
        made: SourceUnavailable = SourceUnavailable(
            f"the API server does not answer {said_of(error)}.",
            where=self._context,
            fix="Is the cluster up, and reachable from here?",
        )
        if isinstance(reason_of(error), _NO_CONNECTION):
            return self._paused(made)
        return made

    def _paused(self, error: SourceUnavailable) -> Unreachable:
        """The same, remembered: for a while every request is answered with it."""
        self._dead = made = Unreachable(error.what, where=error.where, fix=error.fix)
        self._again_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._limits.pause_max_s)
        return made
