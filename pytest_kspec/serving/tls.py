"""The TLS context of the server, whose certificate changes without a restart.

A certificate and its key are tried together before they are put in force: half a rotation (a new certificate
with the old key) never reaches a client. New connections see the new certificate, open ones keep theirs.
"""

from __future__ import annotations

import datetime as dt
import ssl
import tempfile
from pathlib import Path
from typing import Any

from pytest_kspec.files import write_whole
from pytest_kspec.serving import authority
from pytest_kspec.serving.authority import CertificateError

CERTIFICATE, KEY, BUNDLE, AUTHORITY_KEY = "tls.crt", "tls.key", "ca.crt", "ca.key"
"""Names of files and of keys of a Secret; the first three as cert-manager writes them."""


class ServerTls:
    """`context` is for the server; a handshake is handed on to the context that is in force then.

    A context in use is never changed: between its new certificate and its new key a handshake would fail.
    `of_readers` is the same for those who read: with client_ca, a PEM file, they need a certificate of this authority.
    Raises CertificateError where that file holds none.
    """

    def __init__(self, client_ca: Path | None = None) -> None:
        self.context = _context()
        self.context.sni_callback = self._choose  # also called where the client names no server
        self._client_ca = client_ca
        self.of_readers = self._of_readers()
        self.of_readers.sni_callback = self._choose_for_readers
        self._current_of_readers: ssl.SSLContext | None = None
        self.expires: dt.datetime | None = None
        self.certificates = 0
        """How many were put in force, one after the other."""
        self._current: ssl.SSLContext | None = None
        self._served: tuple[bytes, bytes] | None = None

    @property
    def ready(self) -> bool:
        """Whether there is a certificate at all, and it is still valid."""
        return self.expires is not None and self.expires > dt.datetime.now(dt.UTC)

    def serve(self, certificate: bytes, key: bytes) -> bool:
        """Put a PEM chain and its key in force; False if they already are. Raises CertificateError."""
        if self._served == (certificate, key):
            return False
        expires = authority.expiry(certificate)
        context, of_readers = _context(), self._of_readers()
        with tempfile.TemporaryDirectory(prefix="kspec-tls-") as name:  # mode 0700
            paths = (Path(name) / CERTIFICATE, Path(name) / KEY)
            for path, content in zip(paths, (certificate, key), strict=True):
                write_whole(path, content, private=True)
            try:
                context.load_cert_chain(*paths)
                of_readers.load_cert_chain(*paths)
            except ssl.SSLError as error:
                raise CertificateError(
                    f"the certificate and the key do not belong together ({error.reason})."
                ) from error
        self._current, self._current_of_readers = context, of_readers
        self.expires = expires
        self.certificates += 1
        self._served = (certificate, key)
        return True

    def _of_readers(self) -> ssl.SSLContext:
        context = _context()
        if self._client_ca is not None:
            try:
                context.load_verify_locations(self._client_ca)
            except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
                raise CertificateError(f"{self._client_ca} could not be read: {error.strerror}.") from error
            except (OSError, ssl.SSLError) as error:
                raise CertificateError(
                    f"{self._client_ca} does not contain a certificate of an authority."
                ) from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _base: Any) -> int | None:
        return _exchange(connection, self._current)

    def _choose_for_readers(
        self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _base: Any
    ) -> int | None:
        return _exchange(connection, self._current_of_readers)


def _exchange(connection: ssl.SSLObject | ssl.SSLSocket, context: ssl.SSLContext | None) -> int | None:
    if context is None:
        return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
    connection.context = context
    return None


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
