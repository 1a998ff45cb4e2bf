"""What is known of credentials without using them: how long they live, and whose they are."""

from __future__ import annotations

import json
import ssl
import time
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pytest_kspec.cluster.api.contexts import Context
from pytest_kspec.errors import SourceError

LONG_LIVED_S = 90 * 86400.0
"""A token that lives longer is worth a warning: whoever copies it has the cluster for that long."""


class Life(NamedTuple):
    """issued, expires: Unix time; None where the credentials do not say, or have no end."""

    issued: float | None = None
    expires: float | None = None

    @property
    def seconds(self) -> float | None:
        """From the beginning to the end."""
        return self.expires - self.issued if self.issued is not None and self.expires is not None else None


UNKNOWN = Life()


def token_life(token: str) -> Life:
    """Of a JSON Web Token, by its own words, which only its issuer verifies; UNKNOWN for any other."""
    claims = token_claims(token)
    return Life(_moment(claims.get("iat")) or _moment(claims.get("nbf")), _moment(claims.get("exp")))


def token_claims(token: str) -> Mapping[str, Any]:
    """What a JSON Web Token says; {} for any other token."""
    parts = token.strip().split(".")
    if len(parts) != 3 or len(parts[1]) > 1 << 16:
        return {}
    try:
        found = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def certificate_life(pem: bytes) -> Life:
    """Of the first certificate; UNKNOWN where it cannot be read, or the package `cryptography` is not installed."""
    try:
        from cryptography import x509
    except ModuleNotFoundError:
        return UNKNOWN
    try:
        found = x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, IndexError, ssl.SSLError):
        return UNKNOWN
    return Life(found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp())


def context_life(context: Context) -> Life:
    """Of what a context holds itself: a token or a client certificate, whichever ends first; of programs nothing."""
    user = context.user
    lives = []
    if user.token_file or user.token:
        token = user.token or ""
        if user.token_file:
            try:
                token = context.file("tokenFile", user.token_file).decode("ascii", "replace")
            except SourceError:
                return UNKNOWN
        lives.append(token_life(token))
    if user.client_certificate_data or user.client_certificate:
        try:
            pem = context.material(
                "client-certificate", user.client_certificate_data, user.client_certificate
            )
        except SourceError:
            return UNKNOWN
        lives.append(certificate_life(pem))
    known = [life for life in lives if life.expires is not None]
    return min(known, key=lambda life: life.expires or 0.0) if known else UNKNOWN


def as_time(moment: float) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def expired(life: Life, now: float | None = None) -> bool:
    """Whether it has ended by its own words."""
    return life.expires is not None and life.expires <= (time.time() if now is None else now)


def _moment(value: object) -> float | None:
    """Of a claim; what is no date of a calendar is none."""
    ok = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 253_402_300_800
    return float(value) if ok else None  # type: ignore[arg-type]


def decoded(data: str) -> bytes:
    """base64, or b"" for what is none."""
    try:
        return b64decode(data, validate=True)
    except ValueError:
        return b""
