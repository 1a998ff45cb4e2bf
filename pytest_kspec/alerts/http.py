"""One request to a receiver: bounded in time and size, to the address that was looked at, repeated where that helps."""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from pytest_kspec import __version__, measured, proxies
from pytest_kspec.alerts.guard import Guard
from pytest_kspec.errors import SourceError
from pytest_kspec.redaction.known import without
from pytest_kspec.redaction.text import redact
from pytest_kspec.shown import printable

LARGEST_ANSWER = 64 << 10
_SHOWN = 200
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
_LONGEST_RETRY_AFTER_S = 86_400.0
"""A receiver that asks for more would never be told anything again."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0


class NotDelivered(SourceError):
    """A receiver did not take a message. again_s: when it wants to be asked again, where it said so."""

    again_s: float | None = None


class Answer(NamedTuple):
    """status, and the beginning of the body. again_s: of Retry-After."""

    status: int
    body: str
    again_s: float | None = None


@dataclass(frozen=True)
class Request:
    """What is sent. secrets: what must never be shown of it, beside the URL; also parts of them are not."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    method: str = "POST"
    secrets: tuple[str, ...] = field(default=(), repr=False)
    accepts: Callable[[Answer], bool] = lambda answer: 200 <= answer.status < 300


@dataclass(frozen=True)
class Patience:
    """retries: how often it is sent again; timeout_s: of one attempt; deadline: of all, on the monotonic clock."""

    retries: int
    timeout_s: float
    deadline: float
    sleep: Callable[[float], None] = time.sleep


def send(request: Request, guard: Guard, patience: Patience, where: str) -> None:
    """Deliver it. Raises NotDelivered, with the answer of the receiver but none of its secrets."""
    for attempt in range(patience.retries + 1):
        left = patience.deadline - time.monotonic()
        if left <= 0:
            raise NotDelivered("the time limit ended before it could be sent.", where=where)
        wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt) * random.uniform(0.5, 1.0)
        try:
            answer = _once(request, guard, min(patience.timeout_s, left), where)
        except NotDelivered:
            if attempt == patience.retries:
                raise
        else:
            if request.accepts(answer):
                return
            failure = _refused(answer, request, where)
            if answer.status not in _AGAIN or attempt == patience.retries:
                raise failure
            if answer.again_s is not None:
                wait = answer.again_s
            if time.monotonic() + wait > patience.deadline:
                raise failure
        patience.sleep(min(wait, max(0.0, patience.deadline - time.monotonic())))


def _refused(answer: Answer, request: Request, where: str) -> NotDelivered:
    text = printable(redact(without(answer.body, (request.url, *request.secrets), "…")))[:_SHOWN]
    what = f"it answers with HTTP {answer.status}" + (f": {text}" if text else "")
    if 300 <= answer.status < 400:
        what = f"it redirects (HTTP {answer.status}), which is not followed"
    failure = NotDelivered(f"{what.rstrip('.')}.", where=where)
    failure.again_s = answer.again_s
    if answer.again_s is not None:
        failure.what += f" It requests a delay of {answer.again_s:.0f} s."
    return failure


def _once(request: Request, guard: Guard, timeout_s: float, where: str) -> Answer:
    """One attempt. Raises NotDelivered where there is no answer, NotAllowed."""
    parts = urlsplit(request.url)
    timeout = urllib3.Timeout(total=timeout_s, connect=timeout_s, read=timeout_s)
    headers = {"User-Agent": f"pytest-kspec/{__version__}", **request.headers}
    try:
        pool, target = _pool(request.url, guard, timeout_s, where)
        with pool:
            response = pool.urlopen(
                request.method,
                target,
                body=request.body,
                headers={"Host": parts.netloc.rpartition("@")[2], **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=timeout,
            )
            try:
                body = b""
                # Its beginning is there, and the status says whether the message was taken: sending it again, because
                # the rest does not come, would be a second one.
                with contextlib.suppress(HTTPError, OSError):
                    while len(body) < LARGEST_ANSWER:
                        chunk = response.read1(LARGEST_ANSWER - len(body), decode_content=False)
                        if not chunk:
                            break
                        body += chunk
                again = _retry_after(response.headers.get("Retry-After", ""))
            finally:
                response.close()
    except (SSLError, ssl.SSLError) as error:
        raise NotDelivered(tls_failed(error), where=where) from None
    except (HTTPError, OSError, ValueError) as error:
        reason = type(getattr(error, "reason", None) or error).__name__
        raise NotDelivered(f"it does not answer ({reason}).", where=where) from None
    return Answer(response.status, body.decode("utf-8", "replace"), again)


def tls_failed(error: BaseException) -> str:
    """What OpenSSL says; of a certificate, why it is not valid."""
    found: object = error
    while isinstance(found, SSLError) and found.args:  # urllib3's, around Python's
        found = found.args[0]
    if isinstance(found, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {printable(found.verify_message).rstrip('.')}."
    reason = found.reason if isinstance(found, ssl.SSLError) else ""
    return f"TLS failed ({reason or type(found).__name__})."


def _pool(
    url: str, guard: Guard, timeout_s: float, where: str
) -> tuple[urllib3.PoolManager | urllib3.HTTPConnectionPool, str]:
    """Connections to the address that was looked at, and what to ask for; through a proxy, which resolves names."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    proxy = proxies.proxy_of_environment(parts)

    def deadline() -> measured.Deadline:
        return measured.Deadline(timeout_s)

    if proxy is not None:
        _check_literal(guard, host, where)
        pool = proxies.pool(proxy)
        measured.bind(pool, deadline)
        return pool, url
    address = guard.resolve(host, port, where)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "https":
        kind = measured.pool_class(urllib3.HTTPSConnectionPool, deadline)
        return (
            kind(address, port, server_hostname=host, assert_hostname=host, cert_reqs="CERT_REQUIRED"),
            target,
        )
    return measured.pool_class(urllib3.HTTPConnectionPool, deadline)(address, port), target


def _check_literal(guard: Guard, host: str, where: str) -> None:
    """What a proxy is asked for by address; names, it resolves itself.

    urllib3 asks for %31 as 1, and a proxy may take a name that ends with a dot for the address before it.
    """
    host = host.rstrip(".")
    if "%" in host and ":" not in host:
        raise SourceError("the host name must not contain '%'.", where=where)
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        try:
            address = socket.inet_ntoa(socket.inet_aton(host))  # 2852039166, 0xa9fea9fe, 169.254.43518
        except OSError:
            return
    guard.check(address, where)


def _retry_after(text: str) -> float | None:
    """Seconds, of a number or a date, at most a day; None where it is neither."""
    if text.strip().isascii() and text.strip().isdigit():
        return min(float(text), _LONGEST_RETRY_AFTER_S)
    try:
        moment = email.utils.parsedate_to_datetime(text) if text else None
    except (ValueError, OverflowError):  # of numbers that no date has
        return None
    if moment is None:
        return None
    return min(max(0.0, moment.timestamp() - time.time()), _LONGEST_RETRY_AFTER_S)
