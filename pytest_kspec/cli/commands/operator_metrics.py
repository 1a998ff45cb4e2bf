"""Where `kspec operator` serves /metrics, and for whom: they name clusters and specifications."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    from pytest_kspec.operator.guarded import Guard

_SERVICE = "kspec-metrics"
_SECURE = "--metrics-secure"

Switch = Callable[[argparse._ArgumentGroup, str, bool | None, str], None]


def add_arguments(server: argparse._ArgumentGroup, switch: Switch) -> None:
    """--metrics-…, with the names that controller-runtime gave them."""
    server.add_argument(
        "--metrics-bind-address",
        metavar="ADDRESS",
        default=":8080",
        help="address of /metrics; 0: disabled (default: %(default)s)",
    )
    switch(
        server,
        _SECURE,
        None,
        "HTTPS, for clients with a token whose user may get /metrics (default: true; on a loopback address "
        "only with one of the two options below)",
    )
    server.add_argument(
        "--metrics-cert-dir",
        metavar="DIR",
        help="folder with tls.crt and tls.key, read again when they change (default: a self-signed certificate)",
    )
    server.add_argument(
        "--metrics-client-ca",
        metavar="FILE",
        help="instead of tokens: only clients with a certificate of this authority",
    )


def guard_of(args: argparse.Namespace) -> Callable[[], Guard] | None:
    """Makes who decides on readers; None: everybody who reaches the address may read. Raises UsageError."""
    from pytest_kspec.operator.probes import parse_address

    if args.metrics_bind_address == "0":
        return None
    host, _ = parse_address(args.metrics_bind_address, "--metrics-bind-address")
    local = host == "localhost" or _is_loopback(host)
    named = args.metrics_cert_dir or args.metrics_client_ca
    secure = args.metrics_secure
    if secure is None:
        secure = bool(named) or not local
    if not secure:
        if named:
            raise UsageError(
                "--metrics-cert-dir and --metrics-client-ca are used with HTTPS only.",
                where=f"{_SECURE}=false",
            )
        if not local:
            logging.getLogger("kspec.operator").warning(
                "/metrics is open to everyone who reaches %s (%s=false)", args.metrics_bind_address, _SECURE
            )
        return None
    return lambda: _guard(args)


def _guard(args: argparse.Namespace) -> Guard:
    from pytest_kspec.cluster.writing.access import Access
    from pytest_kspec.cluster.writing.readers import Readers
    from pytest_kspec.crds.names import NAMESPACE
    from pytest_kspec.operator import guarded
    from pytest_kspec.serving.authority import CertificateError
    from pytest_kspec.serving.tls import ServerTls

    folder = Path(args.metrics_cert_dir) if args.metrics_cert_dir else None
    authority = Path(args.metrics_client_ca) if args.metrics_client_ca else None
    try:
        tls = ServerTls(authority)
    except CertificateError as error:
        raise UsageError(error.what, where="--metrics-client-ca") from error
    # Of its own: replicas that do not lead are read, too.
    readers = Readers(None if authority else Access(args.cluster, args.kubeconfig))
    hosts = [f"{_SERVICE}.{args.leader_election_namespace or NAMESPACE}.svc"]
    return guarded.Guard(readers, tls, guarded.of_folder(folder) if folder else guarded.self_signed(hosts))


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
