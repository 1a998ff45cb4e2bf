"""A context → how its API server is reached and what each request says about who sends it.

As client-go does, which the tests compare with kubectl: over plain HTTP no credentials are sent; a token file is read
again each minute, and before `token`; an exec plugin runs only where nothing else identifies the user; impersonation is
in the headers of every request.
"""

from __future__ import annotations

import json
import math
import ssl
import time
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import SplitResult

from urllib3 import HTTPHeaderDict

from pytest_kspec import proxies
from pytest_kspec.cluster.api import contexts, execplugin
from pytest_kspec.cluster.api.contexts import Context
from pytest_kspec.cluster.api.kubeconfig import read_kubeconfig
from pytest_kspec.cluster.api.tls import make_context
from pytest_kspec.errors import SourceError, SourceUnavailable
from pytest_kspec.redaction.marker import REDACTED

TOKEN_FILE_S = 50.0
"""A token file is read anew when what was read is older."""

_SHORTEST_HIDDEN = 6  # bytes: less is part of ordinary words
_EXPIRY_SKEW_S = 10.0
_RENEWED_AT = 0.8
"""Of what is left of the life of a plugin's credentials: then it is asked for others."""

_LEGAL_IN_NAMES = frozenset(
    b"!#$&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # RFC 7230, without %
)


class Credentials(Protocol):
    """Whom a connection asks where no kubeconfig file knows the cluster. Called from several threads."""

    def context(self) -> Context:
        """Where to and as whom: the same object until others are due. Raises AccessDenied, SourceUnavailable."""
        ...

    def refused(self, context: Context) -> None:
        """The API server answered 401 to these: what is loaded next must not be what was kept."""
        ...


def connect(context: str, *, kubeconfig: str | None = None, in_cluster: bool = False) -> Access:
    """Load the credentials of this context; an exec plugin runs. Raises AccessDenied or SourceUnavailable, never
    with a credential in it.
    """
    found = (
        contexts.in_cluster(context)
        if in_cluster
        else contexts.find_context(read_kubeconfig(kubeconfig), context)
    )
    return Access(found)


class Access:
    """One API server, as one user.

    server: scheme, host, port and path prefix, without a slash at the end
    compression: whether answers may come compressed
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        parts = self._server()
        prefix = parts.path.rstrip("/")
        self.server = f"{parts.scheme}://{parts.netloc.lower()}{prefix}"
        self.compression = not context.cluster.disable_compression
        self._secure = parts.scheme == "https"
        self._proxy = self._choose_proxy(parts)
        self._impersonate = _impersonation(context)
        self._credential: execplugin.Credential | None = None
        self._plugin_again_at = 0.0  # time.monotonic()
        self._token = ""
        self._token_read = 0.0
        self._sent: set[bytes] = set()
        self._authorization()  # before a connection is opened: a plugin may bring its certificate
        server_name = context.cluster.tls_server_name or None
        self.pool: Any = proxies.pool(self._proxy, self._make_tls(), server_name)

    def headers(self, others: Mapping[str, str]) -> HTTPHeaderDict:
        """These headers, and those that say who asks. Raises as `connect`: credentials that have expired are
        loaded anew.
        """
        made = HTTPHeaderDict(others)
        authorization = self._authorization()
        if authorization:
            made["Authorization"] = authorization
            self._sent.add(authorization.partition(" ")[2].encode())
        for name, value in self._impersonate:
            made.add(name, value)
        return made

    def hidden(self, said: bytes) -> bytes:
        """What a server says, without the credentials that it was sent: some quote the request in an error."""
        for sent in self._sent:
            if len(sent) >= _SHORTEST_HIDDEN and sent in said:
                said = said.replace(sent, REDACTED.encode())
        return said

    def close(self) -> None:
        """Close all connections."""
        self.pool.clear()

    def _server(self) -> SplitResult:
        text = self.context.cluster.server or ""
        try:
            parts = proxies.parse_endpoint(text if "://" in text else f"http://{text}", ("http", "https"))
        except ValueError as error:
            raise self.context.wrong(f"the cluster's `server` cannot be used: {error}.") from None
        return parts

    def _choose_proxy(self, server: SplitResult) -> proxies.Proxy | None:
        given = self.context.cluster.proxy_url
        try:
            return proxies.given_proxy(given) if given else proxies.proxy_of_environment(server)
        except ValueError as error:
            name = "`proxy-url`" if given else "the proxy of the environment"
            raise self.context.wrong(f"{name} cannot be used: {error}.") from None

    def _make_tls(self) -> ssl.SSLContext | None:
        context, user = self.context, self.context.user
        if not self._secure:
            return None
        certificate = context.material(
            "client-certificate", user.client_certificate_data, user.client_certificate
        )
        key = b""
        if certificate:
            key = context.material("client-key", user.client_key_data, user.client_key)
        elif self._credential is not None:
            certificate, key = self._credential.certificate.encode(), self._credential.key.encode()
        return make_context(context, certificate, key)

    def _authorization(self) -> str:
        """The header's value, or ""."""
        user = self.context.user
        if not self._secure:
            return ""
        if user.token or user.token_file:
            return self._bearer(self._file_token() if user.token_file else user.token or "")
        if user.username or user.password:
            pair = f"{user.username or ''}:{user.password or ''}".encode()
            return f"Basic {b64encode(pair).decode()}"
        if user.auth_provider is not None:
            return self._bearer(_id_token(self.context))
        if user.exec is not None and not (user.client_certificate or user.client_certificate_data):
            token = self._plugin(user.exec).token
            return self._bearer(token) if token else ""
        return ""

    def _bearer(self, token: str) -> str:
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable():
            raise self.context.wrong(
                "the token is empty or contains characters that are not allowed in a header."
            )
        return f"Bearer {token}"

    def _file_token(self) -> str:
        """Of the file, as long as it can be read; else the last one, else `token`."""
        user = self.context.user
        if self._token and time.monotonic() - self._token_read < TOKEN_FILE_S:
            return self._token
        try:
            token = self.context.file("tokenFile", user.token_file or "").decode("utf-8", "replace").strip()
        except SourceUnavailable:
            if not self._token and not user.token:
                raise
            token = ""
        self._token = token or self._token or user.token or ""
        self._token_read = time.monotonic()
        return self._token

    def _plugin(self, plugin: contexts.Exec) -> execplugin.Credential:
        known = self._credential
        valid = known is not None and (known.expires is None or known.expires - _EXPIRY_SKEW_S > time.time())
        if known is not None and valid and time.monotonic() < self._plugin_again_at:
            return known
        try:
            made = execplugin.run(self.context, plugin, self.context.cluster.proxy_url or "")
        except SourceError:
            if known is None or not valid:
                raise
            made = known  # it is good for a while, and the program is asked again before it is not
        self._credential = made
        left = made.expires - time.time() if made.expires is not None else math.inf
        self._plugin_again_at = time.monotonic() + max(_RENEWED_AT * left, _EXPIRY_SKEW_S)
        if known is not None and known[1:3] != made[1:3]:
            self.pool.clear()
            self.pool.connection_pool_kw["ssl_context"] = self._make_tls()
        return made


def _impersonation(context: Context) -> tuple[tuple[str, str], ...]:
    """Header fields, repeated where there are several values."""
    user = context.user
    if not user.impersonate:
        return ()
    found = [("Impersonate-User", user.impersonate)]
    found += [("Impersonate-Uid", user.impersonate_uid)] if user.impersonate_uid else []
    found += [("Impersonate-Group", group) for group in user.impersonate_groups or ()]
    for key, values in (user.impersonate_extra or {}).items():
        found += [(f"Impersonate-Extra-{_escape(key)}", value) for value in values or ()]
    for _, value in found:
        if any((ord(letter) < 32 and letter != "\t") or ord(letter) == 127 for letter in value):
            raise context.wrong("a name in `as…` contains control characters.")
    # http.client sends text as Latin-1, and Go sends UTF-8.
    return tuple((name, value.encode().decode("latin-1")) for name, value in found)


def _escape(key: str) -> str:
    """A key as part of a header's name, as client-go writes it."""
    return "".join(chr(byte) if byte in _LEGAL_IN_NAMES else f"%{byte:02X}" for byte in key.encode())


def _id_token(context: Context) -> str:
    """The id-token of an OpenID Connect provider while it is valid; refreshing it is left to kubectl."""
    provider = context.user.auth_provider
    name = provider.name if provider is not None else ""
    if provider is None or name != "oidc":
        raise context.wrong(
            f"the auth-provider {name!r} is not supported; kubectl has removed it.", "Use an exec plugin."
        )
    token = (provider.config or {}).get("id-token", "")
    try:
        claims = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
        valid = float(claims["exp"]) - _EXPIRY_SKEW_S > time.time()
    except (ValueError, IndexError, KeyError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise context.wrong(
            "the id-token of the auth-provider has expired or is not a valid token.",
            "Let kubectl refresh it (kubectl get namespaces), or use an exec plugin.",
        )
    return token
