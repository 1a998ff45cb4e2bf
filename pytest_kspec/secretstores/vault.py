"""HashiCorp Vault and OpenBao, through `hvac`.

The environment says where it is, as for their own command: VAULT_ADDR, VAULT_CACERT, VAULT_NAMESPACE. Who logs in is
said by VAULT_TOKEN, or by KSPEC_VAULT_ROLE: then the token of this pod's ServiceAccount, or that in the file
KSPEC_VAULT_JWT, is exchanged at the auth method that is mounted at KSPEC_VAULT_AUTH (`kubernetes`). The file is read at
each login.
"""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hvac
from hvac import exceptions
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from pytest_kspec import measured
from pytest_kspec.errors import AccessDenied, Malformed, NotFound, SourceError, SourceUnavailable, UsageError
from pytest_kspec.secretstores.endpoint import check_endpoint
from pytest_kspec.secretstores.reference import Reference
from pytest_kspec.secretstores.sealed import Sealed

TIMEOUT_S = 10
LARGEST_ANSWER = 16 << 20
"""Bytes of an answer: a secret of the largest size, with escapes in its JSON."""

_JWT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_LONGEST_JWT = 1 << 16
_RENEWED_AT = 0.8  # of the life of a login
_LONGEST_LEASE_S = 10 * 365 * 86_400


class _NotTheStore(RequestException):
    """A page of something else, such as a proxy's, or of another path of the store's host."""


class _Bounded(HTTPAdapter):
    """Answers that end: bounded in bytes and in time. `requests` reads as much as it is sent.

    A 404 that the store does not write is none: hvac reads each as "no secret".
    """

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """As ever, and the time of each answer is bounded."""
        super().init_poolmanager(*args, **more)
        measured.bind(self.poolmanager, _deadline)

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """The same through a proxy."""
        known = proxy in self.proxy_manager
        pool = super().proxy_manager_for(proxy, **more)
        if not known:
            measured.bind(pool, _deadline)
        return pool

    def send(self, request: PreparedRequest, *args: Any, **more: Any) -> Response:
        try:
            response = super().send(request, *args, **more)
        except measured.TooSlow:
            raise RequestException("too slow") from None
        content = bytearray()
        try:
            while chunk := response.raw.read1(1 << 16, decode_content=True):
                content += chunk
                if len(content) > LARGEST_ANSWER:
                    raise RequestException("too large")
        except (HTTPError, OSError) as error:
            raise RequestException("cut off") from error
        finally:
            response.raw.close()
        if response.status_code == 404 and not _is_of_the_store(content):
            raise _NotTheStore
        response.raw = io.BytesIO(content)
        return response


def _deadline() -> measured.Deadline:
    return measured.Deadline(TIMEOUT_S)


def _is_of_the_store(content: bytes | bytearray) -> bool:
    """Whether a body of 404 is the store's: `errors`, or the form of its answers, as of a version that was deleted."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and (isinstance(found.get("errors"), list) or "request_id" in found)


def _session(verify: str | bool) -> Session:
    session = Session()
    session.verify = verify  # hvac takes that of the session
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Bounded())
    return session


def _lease(found: object) -> int:
    """Seconds, of a number that somebody else wrote; 0: it is none."""
    if not isinstance(found, int) or isinstance(found, bool):
        return 0
    return min(max(found, 0), _LONGEST_LEASE_S)


class Vault:
    """As `stores.Store`. A reference's name is a path of the API: `secret/data/kspec/prod` for KV version 2."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("VAULT_ADDR") or environment.get("BAO_ADDR", "")
        if not address:
            raise UsageError("the address of the store is not set.", where="VAULT_ADDR")
        check_endpoint(address, "VAULT_ADDR")
        self._role = environment.get("KSPEC_VAULT_ROLE", "")
        self._mount = environment.get("KSPEC_VAULT_AUTH", "kubernetes")
        self._jwt = environment.get("KSPEC_VAULT_JWT", _JWT)
        if not self._role and not environment.get("VAULT_TOKEN"):
            raise UsageError("neither a token nor a role is set.", where="VAULT_TOKEN, KSPEC_VAULT_ROLE")
        self._client = hvac.Client(
            url=address,
            token="" if self._role else environment["VAULT_TOKEN"].strip(),
            namespace=environment.get("VAULT_NAMESPACE") or None,
            session=_session(environment.get("VAULT_CACERT") or True),
            timeout=TIMEOUT_S,
            allow_redirects=False,  # another host would get the token
        )
        self._again_at = 0.0  # time.monotonic()
        self._lock = threading.Lock()

    def read(self, reference: Reference) -> Sealed:
        """A key of what lies at the path; without one, all of it as JSON."""
        where = str(reference)
        with self._lock:  # one session, one login
            answer = self._ask(reference.name, where)
        if answer is None:  # what hvac makes of 404
            raise NotFound("there is no secret at this path.", where=where)
        if not isinstance(answer, dict) or not isinstance(answer.get("data", 0), dict | None):
            # A redirect, a page: not having looked is not "no secret".
            raise SourceUnavailable(
                "the answer does not come from the store, or it is a redirect.", where=where
            )
        data = answer["data"]
        if isinstance(data, dict) and isinstance(data.get("metadata"), dict) and "data" in data:
            data = data["data"]  # KV version 2
        if not isinstance(data, dict):
            raise NotFound("there is no secret at this path.", where=where)
        lease = _lease(answer.get("lease_duration"))
        expires = time.time() + lease if lease and answer.get("lease_id") else None
        if not reference.key:
            return Sealed(json.dumps(data).encode(), where=where, expires=expires)
        value = data.get(reference.key)
        if not isinstance(value, str):
            keys = ", ".join(sorted(map(str, data)))
            what = "has no key" if value is None else "has no text under the key"
            raise Malformed(f"the secret {what} '{reference.key}'.", where=where, fix=f"It has: {keys}.")
        return Sealed(value.encode(), where=where, expires=expires)

    def _ask(self, path: str, where: str) -> Any:
        try:
            if self._role and time.monotonic() >= self._again_at:
                self._login(where)
            try:
                return self._client.read(path)
            except (exceptions.Forbidden, exceptions.Unauthorized):
                if not self._role:
                    raise
                self._login(where)  # the login may have been revoked
                return self._client.read(path)
        except SourceError:
            raise
        except exceptions.InvalidPath:
            raise NotFound("there is no secret at this path.", where=where) from None
        except (exceptions.Forbidden, exceptions.Unauthorized):
            raise AccessDenied(
                "the store denies access to this path.",
                where=where,
                fix="Give its policy the capability read.",
            ) from None
        except exceptions.VaultDown:
            raise SourceUnavailable("the store is sealed or in maintenance.", where=where) from None
        except _NotTheStore:
            raise SourceUnavailable(
                "the answer (404) does not come from the store.",
                where=where,
                fix="Does VAULT_ADDR lead to it, and not to a proxy or another path?",
            ) from None
        except (exceptions.VaultError, RequestException, ValueError, RecursionError) as error:
            raise SourceUnavailable(
                f"the store does not answer ({type(error).__name__}).", where=where
            ) from None

    def _login(self, where: str) -> None:
        try:
            with Path(self._jwt).open("rb") as file:
                token = file.read(_LONGEST_JWT).decode("ascii").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not a token"
            raise SourceUnavailable(
                f"the token to log in with could not be read: {self._jwt}: {reason}.", where=where
            ) from None
        try:
            answer = self._client.auth.kubernetes.login(self._role, token, mount_point=self._mount)
        except (exceptions.InvalidRequest, exceptions.Forbidden, exceptions.Unauthorized):
            raise AccessDenied(
                f"the store does not accept this token for the role {self._role} at {self._mount}.",
                where=where,
                fix="Do the role's audience, namespace and ServiceAccount match?",
            ) from None
        except (KeyError, TypeError):
            raise SourceUnavailable(
                "the answer to the login does not come from the store.", where=where
            ) from None
        auth = answer["auth"]
        lease = _lease(auth.get("lease_duration")) if isinstance(auth, dict) else 0
        self._again_at = time.monotonic() + _RENEWED_AT * lease if lease else float("inf")


def open_store() -> Vault:
    """The store that the environment describes. Raises UsageError."""
    return Vault()
