"""GET requests to one registry: bounded in time, size, attempts and redirects; credentials go to nobody else.

The library for registries that is kept (oras) reads answers of any size and follows redirects by itself; what is
needed here are three kinds of GET, so urllib3 does.
"""

from __future__ import annotations

import ipaddress
import json
import re
import threading
from typing import NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

import pytest_kspec
from pytest_kspec import measured, proxies
from pytest_kspec.errors import AccessDenied, SourceError, SourceUnavailable
from pytest_kspec.kube.images import DOCKER_HUB
from pytest_kspec.signatures.credentials import Credentials, DockerConfig

HUB_API = "registry-1.docker.io"
MAX_REDIRECTS = 5
THREADS = 8
"""Requests at a time; more wait for a connection."""

MAX_TOKEN_BYTES = 1 << 20
_CHUNK = 64 << 10
_SHOWN = 200
_PARAMETER = re.compile(r'(?<![a-zA-Z])([a-zA-Z]++)="([^"]*)"')


class Patience(NamedTuple):
    """How long to wait and how often to try. Times in seconds; total: for one answer, its body included."""

    connect_s: float = 5.0
    read_s: float = 20.0
    total_s: float = 60.0
    retries: int = 3
    backoff_s: float = 0.5
    retry_after_max_s: float = 10.0


PATIENCE = Patience()


class Answer(NamedTuple):
    """content_type: without parameters. link: the `Link` header."""

    status: int
    content_type: str
    body: bytes
    link: str = ""


class _Retry(urllib3.Retry):
    """`Retry-After` beyond the bound counts as the bound."""

    longest_s = PATIENCE.retry_after_max_s

    def parse_retry_after(self, retry_after: str) -> float:
        return min(super().parse_retry_after(retry_after), self.longest_s)


class Connection:
    """One registry, for several threads. What cannot be reached once is not tried again.

    registry: as `ImageReference.registry` names it
    """

    def __init__(self, registry: str, config: DockerConfig, patience: Patience = PATIENCE) -> None:
        self._registry = registry
        self._config = config
        self._patience = patience
        self._plain = is_loopback(urlsplit(f"//{registry}").hostname or "")
        scheme = "http" if self._plain else "https"
        self._base = f"{scheme}://{HUB_API if registry == DOCKER_HUB else registry}"
        bounded = type("_Bounded", (_Retry,), {"longest_s": patience.retry_after_max_s})
        self._retries = bounded(
            total=patience.retries,
            redirect=False,
            status_forcelist=[429, 500, 502, 503, 504],
            backoff_factor=patience.backoff_s,
            raise_on_status=False,
            respect_retry_after_header=True,
        )
        self._lock = threading.Lock()
        self._tokens: dict[str, str] = {}
        self._dead: SourceError | None = None
        self._pool = self._make_pool()
        measured.bind(self._pool, lambda: measured.Deadline(patience.total_s))

    def _make_pool(self) -> urllib3.PoolManager:
        if self._plain:
            return proxies.pool(None, maxsize=THREADS)
        try:
            return proxies.pool(proxies.proxy_of_environment(urlsplit(self._base)), maxsize=THREADS)
        except ValueError as error:
            self._dead = SourceUnavailable(f"the proxy cannot be used: {error}.", where=self._registry)
            return proxies.pool(None, maxsize=THREADS)

    def get(self, path: str, repository: str, *, accept: str, limit: int) -> Answer:
        """One answer; 401 is answered with a token or with credentials once.

        path: "/v2/…"; limit: bytes of the body. Raises SourceUnavailable (no answer, larger than `limit`, or a status
        that is no answer), AccessDenied. 404 comes back as an answer.
        """
        where = f"{self._registry}/{repository}"
        if self._dead is not None:
            raise type(self._dead)(self._dead.what, where=where, fix=self._dead.fix)
        url = self._base + path
        answer, challenge = self._get(url, self._tokens.get(repository, ""), accept, limit, where)
        if answer.status == 401:
            authorization = self._authorize(challenge, repository, where)
            if authorization:
                answer, _ = self._get(url, authorization, accept, limit, where)
                if answer.status == 200:
                    with self._lock:
                        self._tokens[repository] = authorization
        if answer.status in (401, 403):
            raise AccessDenied(
                f"the registry denies access (HTTP {answer.status}).",
                where=where,
                fix="Log in to it on the machine of the scan (docker login), as a user who may pull.",
            )
        if answer.status not in (200, 404):
            raise SourceUnavailable(f"the registry answers with HTTP {answer.status}.", where=where)
        return answer

    def _get(self, url: str, authorization: str, accept: str, limit: int, where: str) -> tuple[Answer, str]:
        """Follows redirects; the header goes to this registry only. Returns the answer and `WWW-Authenticate`."""
        origin = _origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            headers = {"Accept": accept, "User-Agent": f"pytest-kspec/{pytest_kspec.__version__}"}
            if authorization and _origin(url) == origin:
                headers["Authorization"] = authorization
            response = self._request(url, headers, where)
            try:
                target = response.headers.get("Location", "") if response.status in _REDIRECTS else ""
                if not target:
                    body = self._body(response, limit, where)
                    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                    link = response.headers.get("Link", "")
                    asked = response.headers.get("WWW-Authenticate", "")
                    return Answer(response.status, kind, body, link), asked
                response.close()  # its body may be of any size, and is not wanted
            finally:
                response.release_conn()
            url = urljoin(url, target)
            if urlsplit(url).scheme != "https" and not (self._plain and _is_plain_loopback(url)):
                raise SourceUnavailable("the registry redirects to a URL without TLS.", where=where)
        raise SourceUnavailable(f"the registry redirects more than {MAX_REDIRECTS} times.", where=where)

    def _request(self, url: str, headers: dict[str, str], where: str) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                "GET",
                url,
                headers=headers,
                redirect=False,
                preload_content=False,
                retries=self._retries,
                timeout=urllib3.Timeout(
                    total=self._patience.total_s, connect=self._patience.connect_s, read=self._patience.read_s
                ),
            )
        except measured.TooSlow:
            raise self._too_slow(where) from None
        except (HTTPError, OSError, ValueError) as error:
            raise self._unavailable(error, url, where) from None  # the error may show a URL with a signature

    def _body(self, response: urllib3.BaseHTTPResponse, limit: int, where: str) -> bytes:
        """Counted while it is read, whatever its headers say: nobody fills the memory of a scan."""
        size = 0
        chunks = []
        try:
            while chunk := response.read1(_CHUNK, decode_content=False):
                size += len(chunk)
                if size > limit:
                    response.close()
                    raise SourceUnavailable(
                        f"an answer of the registry is larger than {limit} bytes.", where=where
                    )
                chunks.append(chunk)
        except measured.TooSlow:
            response.close()
            raise self._too_slow(where) from None
        except (HTTPError, OSError) as error:
            response.close()
            what = f"the registry closed the connection within an answer ({type(error).__name__})."
            raise SourceUnavailable(what, where=where) from None
        return b"".join(chunks)

    def _too_slow(self, where: str) -> SourceUnavailable:
        what = f"an answer of the registry takes longer than {self._patience.total_s:g} s."
        return SourceUnavailable(what, where=where)

    def _unavailable(self, error: Exception, url: str, where: str) -> SourceUnavailable:
        reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        made = SourceUnavailable(
            f"the registry does not answer ({type(reason).__name__}).",
            where=where,
            fix="Is it up and reachable from the machine of the scan?",
        )
        unreachable = isinstance(reason, NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
        if unreachable and url.startswith(self._base):
            self._dead = made
        return made

    def _authorize(self, challenge: str, repository: str, where: str) -> str:
        """What to send after this `WWW-Authenticate`, "" if nothing is known."""
        scheme, _, rest = challenge.partition(" ")
        known = self._config.find(self._registry)
        if scheme.lower() == "basic":
            return known.basic if known is not None and known.user else ""
        if scheme.lower() != "bearer":
            return ""
        parameters = {name.lower(): value for name, value in _PARAMETER.findall(rest)}
        realm = parameters.get("realm", "")
        if urlsplit(realm).scheme != "https" and not (self._plain and _is_plain_loopback(realm)):
            raise AccessDenied("the registry requests credentials without TLS.", where=where)
        scope = f"repository:{repository}:pull"
        return self._token(realm, parameters.get("service", ""), scope, known, where)

    def _token(self, realm: str, service: str, scope: str, known: Credentials | None, where: str) -> str:
        query = {"service": service, "scope": scope} if service else {"scope": scope}
        headers = {"Accept": "application/json", "User-Agent": f"pytest-kspec/{pytest_kspec.__version__}"}
        if known is not None and known.user:
            headers["Authorization"] = known.basic
        fields = None
        if known is not None and not known.user:  # an identity token
            fields = {
                **query,
                "grant_type": "refresh_token",
                "refresh_token": known.secret,
                "client_id": "kspec",
            }
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}" if fields is None else realm
        try:
            response = self._pool.request(
                "GET" if fields is None else "POST",
                url,
                body=urlencode(fields) if fields is not None else None,
                headers=headers
                if fields is None
                else {**headers, "Content-Type": "application/x-www-form-urlencoded"},
                redirect=False,
                preload_content=False,
                retries=self._retries,
                timeout=urllib3.Timeout(connect=self._patience.connect_s, read=self._patience.read_s),
            )
        except (HTTPError, OSError, ValueError) as error:
            what = f"the registry's token service does not answer ({type(error).__name__})."
            raise SourceUnavailable(what, where=where) from None
        try:
            body = self._body(response, MAX_TOKEN_BYTES, where)
        finally:
            response.release_conn()
        if response.status in (400, 401, 403):
            raise AccessDenied(
                f"the registry's token service refuses (HTTP {response.status}).",
                where=where,
                fix="Log in to the registry on the machine of the scan (docker login), as a user who may pull.",
            )
        try:
            data = json.loads(body) if response.status == 200 else None
        except (ValueError, RecursionError):
            data = None
        token = (data.get("token") or data.get("access_token")) if isinstance(data, dict) else None
        if not isinstance(token, str) or not token.isprintable():
            what = f"the registry's token service gives no token (HTTP {response.status})."
            raise SourceUnavailable(what, where=where)
        return f"Bearer {token}"

    def close(self) -> None:
        """Close connections."""
        self._pool.clear()


_REDIRECTS = (301, 302, 303, 307, 308)


def is_loopback(host: str) -> bool:
    """Whether this machine itself is meant: there alone a registry may speak plain HTTP, as Docker has it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_plain_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and is_loopback(parts.hostname or "")


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").lower(),
        parts.port or {"http": 80, "https": 443}.get(parts.scheme),
    )
