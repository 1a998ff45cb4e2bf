"""`kspec dashboard`: what a store, or the reports of a cluster, say now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.dashboard.source import Answers, Source
    from pytest_kspec.dashboard.viewers import Everyone, Viewers

DESCRIPTION = """\
Serve pages and an API about the results of a fleet, read from a store that
'kspec scan --store URL' or the operator fills. Pages are read-only. Viewers
sign in with a token of a cluster and see what RBAC of that cluster grants
them; see docs/dashboards.md.

Runs until SIGTERM. Exit codes: 0 told to end; 2 the store or the cluster
cannot be read; 4 usage."""

EXAMPLES = """
kspec dashboard --serve --store results.db --no-auth
kspec dashboard --serve --store postgresql://kspec@db/kspec --cluster kind-hub
kspec dashboard --serve --store results.db --tls-cert tls.crt --tls-key tls.key
"""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--serve", action="store_true", help="serve pages and the API over HTTP")
    arguments.add_store(parser, "the store: FILE.db or postgresql://USER@HOST/DATABASE")
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument(
        "--cluster",
        metavar="NAME",
        default="in-cluster",
        help="kubeconfig context of the cluster that says who viewers are and what they may see, "
        "or 'in-cluster' (default)",
    )
    arguments.add_kubeconfig(cluster)
    cluster.add_argument(
        "--namespace",
        metavar="NAME",
        default="kspec-system",
        help="namespace in which RBAC for compliancereports decides what viewers see (default: %(default)s)",
    )
    server = parser.add_argument_group("server")
    server.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    server.add_argument(
        "--port",
        type=int,
        default=None,
        help="port to listen on; 0: any that is free (default: $PORT, else 8000)",
    )
    server.add_argument("--tls-cert", metavar="FILE", default="", help="certificate of the server (PEM)")
    server.add_argument("--tls-key", metavar="FILE", default="", help="its key (PEM)")
    server.add_argument(
        "--no-auth",
        action="store_true",
        help="serve everything without authentication; on a loopback address only",
    )
    server.add_argument(
        "--rate",
        type=float,
        default=20.0,
        metavar="N",
        help="most requests per second of one user or address; 0: no limit (default: %(default)s)",
    )
    proxy = parser.add_argument_group("authenticating proxy (OIDC)")
    proxy.add_argument(
        "--proxy-from",
        action="append",
        default=[],
        metavar="CIDR",
        help="address of a proxy that has authenticated its users and whose headers are trusted; may be repeated",
    )
    proxy.add_argument(
        "--proxy-user-header",
        metavar="NAME",
        default="X-Forwarded-User",
        help="header with the name of the user (default: %(default)s)",
    )
    proxy.add_argument(
        "--proxy-groups-header",
        metavar="NAME",
        default="X-Forwarded-Groups",
        help="header with the groups of the user, separated by commas (default: %(default)s)",
    )
    proxy.add_argument(
        "--proxy-prefix",
        metavar="TEXT",
        default="",
        help="prefix of these names in RBAC, as in the OIDC options of the API server (default: none)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    if not args.serve:
        raise UsageError("nothing to do.", where="kspec dashboard", fix="Add --serve.")
    return _serve(args)


def _serve(args: argparse.Namespace) -> int:
    import logging
    import sys

    from pytest_kspec.cli.output import note
    from pytest_kspec.webhook.loglines import LogLines

    try:
        from pytest_kspec.dashboard.server import Options, proxy_of, serve
        from pytest_kspec.dashboard.viewers import Everyone, Viewers
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the dashboard needs the package {error.name}.",
            where="kspec dashboard",
            fix="Install it with: pip install 'pytest-kspec[dashboard]'.",
        ) from error

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("kspec").setLevel(logging.INFO)
    if bool(args.tls_cert) != bool(args.tls_key):
        raise UsageError("--tls-cert and --tls-key must be given together.", where="kspec dashboard")
    if args.no_auth and args.host not in _LOOPBACK:
        raise UsageError(
            f"without authentication the dashboard listens on loopback only, not on {args.host}.",
            where="--no-auth",
            fix="Leave out --host, or --no-auth.",
        )
    source = _source(args)
    proxy = proxy_of(args.proxy_from, args.proxy_user_header, args.proxy_groups_header, args.proxy_prefix)

    def viewers(answers: Answers) -> Viewers | Everyone:
        if args.no_auth:
            return Everyone()
        from pytest_kspec.cluster.writing.access import Access

        access = Access(args.cluster, args.kubeconfig)
        return Viewers(access, answers, proxy=proxy, namespace=args.namespace)

    options = Options(
        source=source,
        viewers=viewers,
        host=args.host,
        port=_port(args),
        tls=(args.tls_cert, args.tls_key) if args.tls_cert else None,
        rate=args.rate,
        wait=args.store.startswith("postgres"),
    )
    serve(options, lambda address: note(f"kspec dashboard: {address}"))
    return 0


def _source(args: argparse.Namespace) -> Source:
    """Raises UsageError."""
    if not args.store:
        raise UsageError("no store is given.", where="kspec dashboard", fix="Add --store FILE.db.")
    from pytest_kspec.dashboard.source import StoreSource
    from pytest_kspec.storage.address import parse_address

    parse_address(args.store, option="--store")
    return StoreSource(args.store)


def _port(args: argparse.Namespace) -> int:
    """Raises UsageError."""
    given = args.port if args.port is not None else os.environ.get("PORT", "") or 8000
    try:
        port = int(given)
    except ValueError as error:
        raise UsageError(f"'{given}' is not a port.", where="$PORT") from error
    if not 0 <= port <= 65535:
        raise UsageError(f"{port} is not a port.", where="--port")
    return port
