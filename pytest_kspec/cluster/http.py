"""Requests to one API server: raw bytes, bounded patience, errors in the terms of the scan.

Connection errors, timeouts, 429 and 5xx are retried by urllib3, with `Retry-After` honoured up to a bound. A
request that must not arrive twice is tried again only where the server surely did nothing.
When the server cannot be reached at all, later requests fail at once: a dead cluster must not cost a minute
for each kind.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning, MaxRetryError, NewConnectionError

import pytest_kspec
from pytest_kspec.cluster import auth, refusals
from pytest_kspec.errors import KspecError, SourceUnavailable

JSON = "application/json"
_LONGEST_MESSAGE = 256
_USER = re.compile(r"//[^/\s@]*@")
_USER_AGENT = f"pytest-kspec/{pytest_kspec.__version__}"


class Limits(NamedTuple):
    """How long to wait and how often to try. Times in seconds."""

    page_limit: int = 500
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    retries: int = 4
    backoff_s: float = 0.5
    retry_after_max_s: float = 30.0
    list_restarts: int = 3


DEFAULT_LIMITS = Limits()


class Answer(NamedTuple):
    """A response. message: what the server said about an error, capped. warnings: its `Warning` headers."""

    status: int
    content_type: str
    body: bytes
    warnings: tuple[str, ...] = ()

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


UNKNOWN_FIELD = b"failed to create typed patch object"
"""What an API server says, with HTTP 500, to a server-side apply of a field that it does not know."""


class _Patience(urllib3.Retry):
    """Retry-After beyond the bound counts as the bound; what no patience helps is not tried again."""

    retry_after_max_s = 30.0

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Self:
        if response is not None and response.status == 500 and UNKNOWN_FIELD in response.data:
            raise MaxRetryError(_pool, url or "")  # gives this response back, as raise_on_status is off
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def parse_retry_after(self, retry_after: str) -> float:
        return min(super().parse_retry_after(retry_after), self.retry_after_max_s)


class Connection:
    """One context's API server."""

    def __init__(
        self,
        context: str,
        *,
        kubeconfig: str | None = None,
        in_cluster: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._context = context
        self._kubeconfig = kubeconfig
        self._in_cluster = in_cluster
        self._limits = limits
        self._access: auth.Access | None = None
        self._client: Any = None
        self._dead: SourceUnavailable | None = None
        bounded = type("_Bounded", (_Patience,), {"retry_after_max_s": limits.retry_after_max_s})
        common = {
            "total": limits.retries,
            "redirect": False,
            "allowed_methods": None,  # any: which requests may be repeated is said by the caller
            "backoff_factor": limits.backoff_s,
            "raise_on_status": False,
            "respect_retry_after_header": True,
        }
        self._repeat = bounded(status_forcelist=[429, 500, 502, 503, 504], **common)
        self._once = bounded(status_forcelist=[429], read=0, other=0, **common)

    def access(self) -> auth.Access:
        """Where to and as whom; credentials are loaded at the first use. Raises AccessDenied, SourceUnavailable."""
        if self._access is None:
            self._access = auth.connect(
                self._context, kubeconfig=self._kubeconfig, in_cluster=self._in_cluster
            )
        return self._access

    def client(self) -> Any:
        """The official `ApiClient` on the same connections."""
        if self._client is None:
            from pytest_kspec.cluster.official import make_client

            self._client = make_client(self.access(), _USER_AGENT)
        return self._client

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
    ) -> Answer:
        """One request, as `get`. repeatable: sending it twice does the same as sending it once; if not, it
        is tried again only after 429, after 503 with `Retry-After`, and where no connection came about.
        """
        sent = (method, path, query, body, content_type, accept, repeatable)
        answer = self._send(*sent)
        if answer.status == 401:
            self.close()
            answer = self._send(*sent)
        return answer

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
    ) -> Answer:
        if self._dead is not None:
            raise SourceUnavailable(self._dead.what, where=self._dead.where, fix=self._dead.fix)
        access = self.access()
        headers = {"Accept": accept, "User-Agent": _USER_AGENT}
        headers["Accept-Encoding"] = "gzip" if access.compression else "identity"
        if body is not None:
            headers["Content-Type"] = content_type
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InsecureRequestWarning)  # the kubeconfig asks for it
                response = access.pool.request(
                    method,
                    access.server + target,
                    body=body,
                    headers=access.headers(headers),
                    timeout=urllib3.Timeout(
                        connect=self._limits.connect_timeout_s, read=self._limits.read_timeout_s
                    ),
                    retries=self._repeat if repeatable else self._once,
                )
        except (HTTPError, OSError, ValueError) as error:
            raise self._unavailable(error) from error
        except KspecError:
            raise
        except Exception as error:  # whatever the libraries raise, it is this cluster's alone
            raise refusals.error_of(error, self._context) from error
        return Answer(
            response.status,
            response.headers.get("Content-Type", ""),
            response.data,
            tuple(response.headers.getlist("Warning")),
        )

    def _unavailable(self, error: Exception) -> SourceUnavailable:
        reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        # A ValueError's text may hold the header that is wrong, and so the token; a URL the proxy's password.
        known = isinstance(reason, HTTPError | OSError)
        text = _USER.sub("//", " ".join(str(reason).split())) if known else "the request cannot be made"
        # urllib3 begins its texts with the object they come from, whose repr says nothing to a user.
        text = (text.partition(">: ")[2] or text.rpartition("): ")[2] or text).rstrip(")\"'.")
        text += ")" * (text.count("(") - text.count(")"))
        made = SourceUnavailable(
            f"the API server does not answer ({type(reason).__name__}): {text[:_LONGEST_MESSAGE]}.",
            where=self._context,
            fix="Is the cluster up, and reachable from here?",
        )
        if isinstance(reason, NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
            self._dead = made
        return made
