"""`kspec dashboard`: what a store, or the reports of a cluster, say now: on a terminal, or as a server of pages."""

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
Show the newest results of a fleet, from a store that 'kspec scan --store URL'
or the operator fills, or from the ComplianceReports of a cluster.

  kspec dashboard            print a table, or JSON with -o json
  kspec dashboard --watch    update it: on a terminal a screen with keys,
                             otherwise a table at each interval
  kspec dashboard --serve    serve read-only pages and an API. Viewers sign in
                             with a token of a cluster and see what its RBAC
                             grants them

Exit codes: 0 shown; 2 the store or the cluster cannot be read; 4 usage; 143 the
screen of --watch was ended by SIGTERM."""

EXAMPLES = """
kspec dashboard --store results.db
kspec dashboard --cluster kind-dev --watch --interval 30
kspec dashboard --serve --store results.db --no-auth
kspec dashboard --serve --store postgresql://kspec@db/kspec --cluster kind-hub
"""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--serve", action="store_true", help="serve pages and the API over HTTP")
    parser.add_argument("-w", "--watch", action="store_true", help="update the output until interrupted")
    _add_interval(parser)
    parser.add_argument(
        "--cluster-spec", metavar="NAME", default="", help="only results of the specification with this name"
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json"),
        default="table",
        metavar="FORMAT",
        help="table or json (default: %(default)s)",
    )
    arguments.add_store(
        parser,
        "the store: FILE.db or postgresql://USER@HOST/DATABASE (default: the ComplianceReports of the cluster)",
    )
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument(
        "--cluster",
        metavar="NAME",
        default="in-cluster",
        help="kubeconfig context of the cluster whose reports are shown, and that authenticates and authorizes "
        "viewers; or 'in-cluster' (default)",
    )
    arguments.add_kubeconfig(cluster)
    cluster.add_argument(
        "--namespace",
        metavar="NAME",
        default="kspec-system",
        help="namespace of ComplianceReports, in which RBAC for them decides what viewers see (default: %(default)s)",
    )
    _add_server(parser)


def _add_interval(parser: argparse.ArgumentParser) -> None:
    """Of the output that stays up to date only."""
    parser.add_argument(
        "--interval",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="with --watch: seconds between two updates (default: %(default)s)",
    )


def _add_server(parser: argparse.ArgumentParser) -> None:
    """Of pages and the API only."""
    server = parser.add_argument_group("server")
    server.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    server.add_argument(
        "--port",
        type=int,
        default=None,
        help="port to listen on; 0: any free port (default: $PORT, else 8000)",
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
        help="maximum requests per second of one user or address; 0: no limit (default: %(default)s)",
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
    """Show, watch or serve."""
    if args.serve and (args.watch or args.output != "table" or args.cluster_spec):
        raise UsageError(
            "--watch, --output and --cluster-spec are for the terminal.", where="kspec dashboard --serve"
        )
    for chosen, option, add in ((args.serve, "--serve", _add_server), (args.watch, "--watch", _add_interval)):
        if not chosen:
            parser = arguments.Parser("dashboard", description="", examples="")
            add(parser)
            parser.refuse_unused(args, "", (), without=option)
    if not 1 <= args.interval <= 86_400:
        raise UsageError(f"{args.interval:g} is not between 1 and 86,400 seconds.", where="--interval")
    return _serve(args) if args.serve else _show(args)


def _show(args: argparse.Namespace) -> int:
    """On the terminal, or in a pipe."""
    import sys

    from pytest_kspec.cli.output import is_interactive

    source = source_of(args.store, args.cluster, args.kubeconfig, args.namespace)
    try:
        from pytest_kspec.dashboard.source import Answers

        answers = Answers(source)
        if args.watch and args.output == "table" and is_interactive(sys.stdout) and sys.stdin.isatty():
            return _screen(answers, args)
        return _print(source, answers, args)
    finally:
        source.close()


def _screen(answers: Answers, args: argparse.Namespace) -> int:
    from pytest_kspec.dashboard.screen import watch

    return watch(answers, args.interval, args.cluster_spec)


def _print(source: Source, answers: Answers, args: argparse.Namespace) -> int:
    """Once, or at each interval; of what cannot be read, once is an error, and again is said."""
    import sys
    import time

    from pytest_kspec.cli.output import flush, has_reader, note, say, say_json, style, width
    from pytest_kspec.dashboard import terminal
    from pytest_kspec.dashboard.source import Away

    encoding = sys.stdout.encoding or "ascii"
    if not args.watch:
        fleet = source.read(lambda store: terminal.look(store, args.cluster_spec))
        if args.output == "json":
            from pytest_kspec.reports.json import pretty

            say_json(pretty(terminal.wire(fleet)))
            return 0
        for line in terminal.lines(fleet, width(), style, source.name):
            say(terminal.encodable(line, encoding))
        return 0
    import json

    while has_reader():
        try:
            known = answers.get("print", lambda store: terminal.look(store, args.cluster_spec))
        except Away as error:
            note(f"The results could not be read: {error}")
        else:
            if known.problem:
                note(terminal.aged(known.as_of, known.problem))
            if args.output == "json":
                document = {**terminal.wire(known.value), "asOf": f"{known.as_of:%Y-%m-%dT%H:%M:%SZ}"}
                say_json(json.dumps(document, ensure_ascii=False) + "\n")
            else:
                say(terminal.encodable(f"{known.as_of:%Y-%m-%d %H:%M:%S} UTC", encoding))
                for line in terminal.lines(known.value, width(), style, source.name):
                    say(terminal.encodable(line, encoding))
                say()
            flush()
        time.sleep(args.interval)
    return 0


def _serve(args: argparse.Namespace) -> int:
    import logging
    import sys

    from pytest_kspec.audit.loglines import LogLines
    from pytest_kspec.cli.output import note
    from pytest_kspec.dashboard.server import Options, proxy_of, serve
    from pytest_kspec.dashboard.viewers import Everyone, Viewers

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
    source = source_of(args.store, args.cluster, args.kubeconfig, args.namespace)
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
        wait=not args.store or args.store.startswith("postgres"),
    )
    serve(options, lambda address: note(f"kspec dashboard: {address}"))
    return 0


def source_of(store: str, cluster: str, kubeconfig: str | None, namespace: str) -> Source:
    """A store, or the reports of the cluster where none is given. Raises UsageError."""
    if not store:
        from pytest_kspec.cluster.writing.access import Access
        from pytest_kspec.dashboard.reports import ReportsSource

        return ReportsSource(Access(cluster, kubeconfig), namespace)
    from pytest_kspec.dashboard.source import StoreSource
    from pytest_kspec.storage.address import parse_address

    parse_address(store, option="--store")
    return StoreSource(store)


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
