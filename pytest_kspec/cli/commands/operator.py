"""`kspec operator`: keep a cluster as its specifications say."""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.commands import operator_metrics
from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_kspec.operator.fleetruns import Setup
    from pytest_kspec.operator.scans import Jobs
    from pytest_kspec.operator.service import Options, Server

DESCRIPTION = """\
Reconcile the ClusterSpecifications of a cluster: scan the cluster for each of them, apply and remove its
policies, and write the results into its status. Detect drift as DriftConfigs configure it, send alerts as
AlertConfigs configure them, and contact each ClusterTarget. Only one of several replicas works, the leader;
another one takes over when it ends. Runs until SIGTERM.

A duration is written as 90s, 5m or 1h30m. Exit codes: 0 ended by SIGTERM; 1 the Lease was lost,
start it again; 4 usage error."""

EXAMPLES = """
kspec operator --cluster kind-dev --leader-elect=false
kspec operator --scan-interval 15m --store /var/lib/kspec/results.db
"""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}
_MOST_WORKERS = 64
_IMAGE = "KSPEC_IMAGE"
"""The variable that names the image of Jobs: what a manifest says once, kustomize can copy there."""
_IGNORED = {
    "enable-webhooks": "the webhook is a Deployment of its own, 'kspec webhook'.",
    "zap-stacktrace-level": "tracebacks are logged for faults only.",
}
"""Flags that manifests of v0.3 may have: accepted, and named in the log where they are set."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command; those that v0.3's manager had keep their names."""
    from pytest_kspec.audit.loglines import TIMES
    from pytest_kspec.enforce.engines import ENGINES, engine

    cluster = parser.add_argument_group("cluster")
    cluster.add_argument(
        "--cluster",
        metavar="NAME",
        default="in-cluster",
        help="kubeconfig context, or 'in-cluster' (default); also its name in clusterRef and exemptions",
    )
    arguments.add_kubeconfig(cluster)
    work = parser.add_argument_group("scans")
    work.add_argument(
        "--scan-interval",
        metavar="DURATION",
        default="5m",
        help="interval between scans (default: %(default)s)",
    )
    work.add_argument(
        "--scan-timeout",
        metavar="DURATION",
        default="15m",
        help="time limit of a scan; a scan that takes longer is an error (default: %(default)s)",
    )
    work.add_argument(
        "--fleet-timeout",
        metavar="DURATION",
        default="2h",
        help="time limit of a run over the clusters of a clusterSelector; clusters without an outcome are then errors "
        "(default: %(default)s)",
    )
    work.add_argument(
        "--fleet-webhook-image",
        metavar="IMAGE",
        default="",
        help="image, by digest, of the webhook on other clusters, for specifications with the engine webhook",
    )
    work.add_argument(
        "--max-concurrent-scans",
        type=int,
        default=2,
        metavar="N",
        help="scans at the same time (default: %(default)s)",
    )
    work.add_argument(
        "--removal-timeout",
        metavar="DURATION",
        default="5m",
        help="how long a deleted specification waits for the removal of its policies (default: %(default)s)",
    )
    work.add_argument(
        "--scan-engine",
        choices=("local", "job"),
        default="local",
        help="local (default): scans are processes beside the operator; job: Jobs in kspec-system, with results in "
        "PostgreSQL and S3",
    )
    for name, default, text in (
        ("image", "", f"image of the pods, by digest or version (default: ${_IMAGE})"),
        ("store-secret", "kspec-store", "Secret whose keys become variables of the pods: KSPEC_STORE, AWS_…"),
        ("service-account", "kspec-fleet", "ServiceAccount of the pods"),
        ("queue", "", "queue of Kueue"),
    ):
        said = f" (default: {default})" if default else ""
        work.add_argument(
            f"--scan-{name}", metavar="NAME", default=default, help=f"with --scan-engine job: {text}{said}"
        )
    work.add_argument(
        "--scan-parallelism",
        metavar="N",
        type=int,
        default=20,
        help="with --scan-engine job: pods of one Job at the same time (default: %(default)s)",
    )
    arguments.add_store(parser, "keep the results in a store: FILE.db (SQLite) or postgresql://USER@HOST/DB")
    work.add_argument(
        "--store-reports",
        metavar="PLACE",
        default="",
        help="keep full reports: a folder, or s3://BUCKET/PREFIX",
    )
    leader = parser.add_argument_group("leader election")
    _switch(leader, "--leader-elect", True, "wait for the Lease kspec-operator-lock")
    leader.add_argument(
        "--leader-election-namespace",
        metavar="NAME",
        default="",
        help="namespace of the Lease (default: that of the operator)",
    )
    for name, default, text in (
        (
            "lease-duration",
            "9s",
            "time after which another replica takes over from a leader that does not renew",
        ),
        ("renew-deadline", "6s", "time after which a leader that cannot renew stops"),
        ("retry-period", "1.5s", "time between two attempts to acquire or renew the Lease"),
    ):
        leader.add_argument(
            f"--leader-election-{name}",
            metavar="DURATION",
            default=default,
            help=f"{text} (default: {default})",
        )
    server = parser.add_argument_group("addresses")
    server.add_argument(
        "--health-probe-bind-address",
        metavar="ADDRESS",
        default=":8081",
        help="address of /healthz and /readyz; 0: disabled (default: %(default)s)",
    )
    operator_metrics.add_arguments(server, _switch)
    _add_dashboard(parser)
    log = parser.add_argument_group("log")
    log.add_argument(
        "--zap-log-level",
        choices=sorted(_LEVELS),
        default="info",
        metavar="LEVEL",
        help="debug, info, warn or error (default: %(default)s)",
    )
    log.add_argument(
        "--zap-encoder",
        choices=("console", "json"),
        default="console",
        metavar="FORMAT",
        help="console: text with fields; json: one object on each line (default: %(default)s)",
    )
    log.add_argument(
        "--zap-time-encoding",
        choices=TIMES,
        default="rfc3339",
        metavar="FORMAT",
        help=f"format of times: {', '.join(TIMES)} (default: %(default)s)",
    )
    _switch(log, "--zap-devel", False, "as --zap-log-level=debug")
    for name in sorted(ENGINES):
        engine(name).add_arguments(parser)
    for name in _IGNORED:
        log.add_argument(f"--{name}", nargs="?", const="true", default="", help=argparse.SUPPRESS)


def _add_dashboard(parser: argparse.ArgumentParser) -> None:
    server = parser.add_argument_group(
        "dashboard",
        "The pages and the API of 'kspec dashboard --serve', on each replica. They show\n"
        "the results in --store, or else the ComplianceReports of the cluster. Viewers\n"
        "sign in with a token of the cluster.",
    )
    server.add_argument(
        "--dashboard-bind-address",
        metavar="ADDRESS",
        default="0",
        help="address to listen on, such as :8000; 0: disabled (default: %(default)s)",
    )
    for name, text in (("cert", "certificate of the dashboard (PEM)"), ("key", "its key (PEM)")):
        server.add_argument(f"--dashboard-tls-{name}", metavar="FILE", default="", help=text)
    server.add_argument(
        "--dashboard-proxy-from",
        action="append",
        default=[],
        metavar="CIDR",
        help="address of a proxy that has authenticated its users and whose X-Forwarded-User and X-Forwarded-Groups "
        "are trusted; may be repeated",
    )


def _note_ignored(args: argparse.Namespace) -> None:
    """Say which flags of v0.3 have no effect here."""
    import logging

    for name, why in _IGNORED.items():
        value = getattr(args, name.replace("-", "_"))
        if value.lower() not in ("", "false", "f", "0"):
            logging.getLogger("kspec.operator").warning("--%s has no effect: %s", name, why)


def run(args: argparse.Namespace) -> int:
    """Work until SIGTERM."""
    import logging
    import signal
    import sys

    import pytest_kspec
    from pytest_kspec.audit.loglines import JsonLines, Once, OperatorLines, fields
    from pytest_kspec.audit.trail import flush
    from pytest_kspec.observe import tracing
    from pytest_kspec.operator.lease import LostLease
    from pytest_kspec.operator.service import Operator
    from pytest_kspec.storage.address import parse_address

    handler = logging.StreamHandler(sys.stderr)
    lines = JsonLines if args.zap_encoder == "json" else OperatorLines
    handler.setFormatter(lines(args.zap_time_encoding))
    handler.addFilter(Once())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("kspec").setLevel("DEBUG" if args.zap_devel else _LEVELS[args.zap_log_level])
    _note_ignored(args)

    options = _options(args)
    log = logging.getLogger("kspec.operator")
    log.info(
        "started",
        extra=fields(
            version=pytest_kspec.__version__,
            cluster=options.access.name,
            identity=options.elector.identity if options.elector is not None else None,
            store=parse_address(args.store, option="--store").shown if args.store else None,
            interval=args.scan_interval,
        ),
    )
    operator = Operator(options)
    if problem := tracing.begin("kspec-operator"):
        logging.getLogger("kspec.operator").warning("%s", problem)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: operator.stop())
    try:
        operator.run()
        log.info("ended")
        tracing.end()
    except LostLease as error:
        logging.getLogger("kspec.operator").error("%s", error)
        flush()
        logging.shutdown()
        os._exit(error.exit_code)  # whatever is still under way ends here
    return 0


def _options(args: argparse.Namespace) -> Options:
    import socket
    import uuid

    from pytest_kspec.cli.commands.webhook import own_namespace
    from pytest_kspec.cluster.writing.access import PATIENCE, Access
    from pytest_kspec.crds.names import NAMESPACE
    from pytest_kspec.operator import legacy
    from pytest_kspec.operator.kinds import controllers
    from pytest_kspec.operator.lease import Elector, Terms
    from pytest_kspec.operator.reconcile import Settings
    from pytest_kspec.operator.scans import Scanner
    from pytest_kspec.operator.service import Options

    if not 1 <= args.max_concurrent_scans <= _MOST_WORKERS:
        raise UsageError(
            f"{args.max_concurrent_scans} is not a number from 1 to {_MOST_WORKERS}.",
            where="--max-concurrent-scans",
        )
    terms = Terms(
        *(
            seconds(getattr(args, f"leader_election_{name.replace('-', '_')}"), f"--leader-election-{name}")
            for name in ("lease-duration", "renew-deadline", "retry-period")
        )
    )
    if problem := terms.problem():
        raise UsageError(f"{problem}.", where="--leader-election-lease-duration")
    elector = None
    if args.leader_elect:
        lease_access = Access(args.cluster, args.kubeconfig, limits=terms.limits)
        namespace = args.leader_election_namespace or own_namespace() or NAMESPACE
        identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        elector = Elector(lease_access, namespace, identity, terms)
    # Without retries: each write is sent at once after the check, or not at all. The queue tries again.
    limits = PATIENCE._replace(retries=0)
    access = Access(args.cluster, args.kubeconfig, limits=limits, allowed=elector.check if elector else None)
    settings = Settings(
        seconds(args.scan_interval, "--scan-interval"),
        seconds(args.removal_timeout, "--removal-timeout"),
        args.max_concurrent_scans,
        args,
        _fleets(args),
        args.fleet_webhook_image,
    )
    return Options(
        access,
        elector,
        Scanner(
            _scan_words(args),
            seconds(args.scan_timeout, "--scan-timeout"),
            _jobs(args),
            args.max_concurrent_scans,
        ),
        controllers(settings, elector),
        [legacy.clear],
        args.health_probe_bind_address,
        args.metrics_bind_address,
        [] if args.dashboard_bind_address == "0" else [_dashboard(args)],
        operator_metrics.guard_of(args),
    )


def _job_words(args: argparse.Namespace) -> list[str]:
    """How `kspec fleet scan` makes Jobs; [] where scans are processes of this machine. Raises UsageError."""
    if args.scan_engine != "job":
        return []
    from pytest_kspec.fleet.job import Settings
    from pytest_kspec.storage.address import parse_address

    where = "kspec operator --scan-engine job"
    image = args.scan_image or os.environ.get(_IMAGE, "")
    if problem := Settings(image, args.scan_store_secret).problem():
        fix = f"Set --scan-image NAME@sha256:… (or ${_IMAGE}) and --scan-store-secret."
        raise UsageError(f"{problem}.", where=where, fix=fix)
    if parse_address(_store(args), option="--store").kind == "sqlite" or not args.store_reports.startswith(
        "s3://"
    ):
        fix = "Set --store postgresql://… (or $KSPEC_STORE) and --store-reports s3://BUCKET/PREFIX."
        raise UsageError(
            "results of Jobs need a store in PostgreSQL, and full reports in S3.", where=where, fix=fix
        )
    words = ["--engine=job", f"--image={image}", f"--store-secret={args.scan_store_secret}"]
    words += [f"--service-account={args.scan_service_account}", f"--parallelism={args.scan_parallelism}"]
    return words + ([f"--queue={args.scan_queue}"] if args.scan_queue else [])


def _jobs(args: argparse.Namespace) -> Jobs | None:
    """How scans of the operator's own cluster are made as Jobs; None: they are processes of this machine."""
    from pytest_kspec.operator.scans import Jobs

    if args.scan_engine != "job":
        return None
    setup = _fleets(args)
    return Jobs((*setup.words, f"--store-reports={setup.place}"), setup.store)


def _store(args: argparse.Namespace) -> str:
    """The store, from any folder: scans work in folders of their own."""
    from pytest_kspec.fleet.local import STORE
    from pytest_kspec.storage.address import parse_address

    url = str(args.store or (args.scan_engine == "job" and os.environ.get(STORE, "")) or "")
    if not url:
        return ""
    path = parse_address(url, option="--store").path
    return os.path.abspath(path) if path else url


def _fleets(args: argparse.Namespace) -> Setup:
    """How runs over other clusters are started."""
    from pytest_kspec.operator.fleetruns import Setup

    words = [f"--hub={args.cluster}", "--run-by=kspec operator", "--allow-empty"]
    words += [f"--cluster-timeout={seconds(args.scan_timeout, '--scan-timeout'):g}"]
    words += [f"--workers={args.max_concurrent_scans}", *_job_words(args)]
    if args.kubeconfig:
        words.append(f"--kubeconfig={os.path.abspath(args.kubeconfig)}")
    return Setup(
        tuple(words),
        _store(args),
        args.store_reports,
        seconds(args.fleet_timeout, "--fleet-timeout"),
        args.max_concurrent_scans,
    )


def _dashboard(args: argparse.Namespace) -> Callable[[], Server]:
    """Starts it. Raises UsageError."""
    from pytest_kspec.cli.commands.dashboard import source_of
    from pytest_kspec.cluster.writing.access import Access
    from pytest_kspec.crds.names import NAMESPACE
    from pytest_kspec.operator.probes import parse_address

    option = "--dashboard-bind-address"
    host, port = parse_address(args.dashboard_bind_address, option)
    if bool(args.dashboard_tls_cert) != bool(args.dashboard_tls_key):
        raise UsageError("--dashboard-tls-cert and --dashboard-tls-key must be given together.")
    from pytest_kspec.dashboard.server import Background, Options, proxy_of
    from pytest_kspec.dashboard.viewers import Viewers

    proxy = proxy_of(args.dashboard_proxy_from, option="--dashboard-proxy-from")
    # Of its own: replicas that do not lead serve it, too.
    access = Access(args.cluster, args.kubeconfig)
    made = Options(
        source=source_of(args.store, args.cluster, args.kubeconfig, NAMESPACE),
        viewers=lambda answers: Viewers(access, answers, proxy=proxy),
        host=host,
        port=port,
        tls=(args.dashboard_tls_cert, args.dashboard_tls_key) if args.dashboard_tls_cert else None,
        wait=True,
    )
    return lambda: Background(made, option)


def _scan_words(args: argparse.Namespace) -> list[str]:
    """What each scan is told beside its specification. Raises UsageError for a store that cannot be right."""
    words = [f"--cluster={args.cluster}", "--run-by=kspec operator", "--allow-empty"]
    if args.kubeconfig:
        words.append(f"--kubeconfig={os.path.abspath(args.kubeconfig)}")
    if args.store_reports and not _store(args):
        raise UsageError(
            "reports can only be kept together with a store.",
            where="--store-reports",
            fix="Give --store too.",
        )
    if args.store:
        from pytest_kspec.publish.store import Store

        Store(args.store, where="--store", reports=args.store_reports)  # refuses what cannot be right
        words.append(f"--store={_store(args)}")
        words += [f"--store-reports={args.store_reports}"] if args.store_reports else []
    return words


def seconds(text: str, option: str) -> float:
    """Seconds of a Go duration, above 0. Raises UsageError."""
    found = _DURATION.fullmatch(text)
    if not found or not text:
        raise UsageError(f"'{text}' is not a duration.", where=option, fix="Write 90s, 5m or 1h30m.")
    hours, minutes, whole, thousandths = (float(part or 0) for part in found.groups())
    total = 3600 * hours + 60 * minutes + whole + thousandths / 1000
    if not 0 < total <= 365 * 86400:
        raise UsageError(f"'{text}' must be longer than 0 and at most a year.", where=option)
    return total


def _switch(parser: argparse._ArgumentGroup, name: str, default: bool | None, text: str) -> None:
    """A boolean as Go's flags are: --name, --name=true, --name=false. default None: the text says it."""
    parser.add_argument(
        name,
        type=_boolean,
        nargs="?",
        const=True,
        default=default,
        metavar="BOOL",
        help=text if default is None else f"{text} (default: {str(default).lower()})",
    )


def _boolean(text: str) -> bool:
    words = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
    return words[text.lower()]
