"""Who may read the operator's /metrics, which name clusters and specifications, and its certificate.

The connection is HTTPS where the address is not loopback. Its certificate comes from a folder that somebody else writes
(cert-manager's Secret as a volume), or is made by this process and lives as long as it does.
"""

from __future__ import annotations

import datetime as dt
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_kspec.cluster.writing.readers import Readers, Refusal, refusal
from pytest_kspec.serving.authority import CertificateError, Material, advance
from pytest_kspec.serving.tls import CERTIFICATE, KEY, ServerTls

log = logging.getLogger("kspec.operator")

PATIENCE_S = 10.0
"""For the API server's word on a token."""

Certificate = Callable[[], tuple[bytes, bytes]]
"""The chain and its key in PEM, as they are now. Raises CertificateError, OSError."""


class Guard:
    """Asks `readers` about each request; serves what `certificate` gives, which may change while this runs."""

    def __init__(self, readers: Readers, tls: ServerTls, certificate: Certificate) -> None:
        self._readers = readers
        self._tls = tls
        self._certificate = certificate
        self._lock = threading.Lock()
        self._failed = ""
        self.context()  # says at once what is wrong with it

    def context(self) -> ssl.SSLContext:
        """For the next connection. What was served before stays where there is nothing better."""
        with self._lock:
            try:
                self._tls.serve(*self._certificate())
                self._failed = ""
            except (CertificateError, OSError) as error:
                if str(error) != self._failed:
                    log.error("certificate of /metrics: %s", error)
                self._failed = str(error)
            return self._tls.of_readers

    def refuses(self, headers: Iterable[tuple[str, str]], path: str) -> Refusal | None:
        """What is answered instead of this page, if not the page."""
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return refusal(self._readers.judge_now(raw, path, PATIENCE_S), path)

    def close(self) -> None:
        """Ask no more."""
        self._readers.close()


def of_folder(folder: Path) -> Certificate:
    """`tls.crt` and `tls.key`."""
    return lambda: ((folder / CERTIFICATE).read_bytes(), (folder / KEY).read_bytes())


def self_signed(hosts: Iterable[str] = ()) -> Certificate:
    """An authority of this process, renewed in time; for these names and the one of the machine."""
    names = [*hosts, socket.gethostname(), "localhost"]
    kept: list[Material] = []

    def made() -> tuple[bytes, bytes]:
        material = advance(kept[0] if kept else None, names, dt.datetime.now(dt.UTC))
        kept[:] = [material]
        return material.certificate, material.key

    return made
