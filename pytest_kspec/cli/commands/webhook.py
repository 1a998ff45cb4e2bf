"""`kspec webhook`: serve admission reviews."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.writing.access import Access
    from pytest_kspec.webhook.certificates import Keeper

DESCRIPTION = """\
Serve /validate for API servers: what a specification forbids is denied (mode enforce), warned
about (audit) or only counted (monitor), by the same rules that a scan evaluates. Also /healthz
and /readyz; on a port of their own, for those who may read them, /metrics and /policies.
Specifications and certificate are loaded again when they change.
'kspec enforce --engine webhook' writes the registration."""

EXAMPLES = """
kspec webhook prod.yaml --tls-dir /etc/kspec/tls
kspec webhook --from-cluster --tls-secret kspec-system/kspec-webhook-tls
kspec webhook --manifests registry.example.com/kspec:1.0 | kubectl apply -f -
kspec webhook specs/ --self-signed ./tls --host 127.0.0.1 --cluster none
"""

NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
NO_CLUSTER = "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    arguments.add_specs(parser)
    arguments.add_checks(parser)
    parser.add_argument(
        "--from-cluster",
        action="store_true",
        help="also enforce the cluster's ClusterSpecification resources",
    )
    arguments.add_exemptions(parser)
    parser.add_argument(
        "--mode", choices=("monitor", "audit", "enforce"), help="instead of what each specification says"
    )
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument(
        "--cluster",
        metavar="NAME",
        default="in-cluster",
        help="kubeconfig context of the cluster that is served, 'in-cluster' (default), or 'none': no Events, "
        "no caBundle, no namespace labels",
    )
    arguments.add_kubeconfig(cluster)
    cluster.add_argument(
        "--cluster-name", metavar="NAME", help="its name in clusterRef and exemptions (default: --cluster)"
    )
    cluster.add_argument(
        "--exclude-namespace",
        action="append",
        metavar="NAME",
        help="allow everything there unseen; may be repeated (default: kube-system and the own one)",
    )
    cluster.add_argument("--no-events", action="store_true", help="write no Events")
    tls = parser.add_argument_group("certificate (one of)")
    tls.add_argument("--tls-dir", metavar="DIR", help="tls.crt and tls.key that somebody else writes there")
    tls.add_argument(
        "--tls-secret",
        metavar="NAMESPACE/NAME",
        help="a Secret: cert-manager's where it is in the cluster, else of an authority of our own",
    )
    tls.add_argument("--self-signed", metavar="DIR", help="an authority of our own, kept in a folder")
    tls.add_argument(
        "--hostname",
        action="append",
        default=[],
        metavar="NAME",
        help="name or address that the own certificate is for; may be repeated (default: of the Service)",
    )
    tls.add_argument(
        "--service", metavar="NAME", default="kspec-webhook", help="Service (default: %(default)s)"
    )
    tls.add_argument(
        "--configuration",
        metavar="NAME",
        default="",
        help="a ValidatingWebhookConfiguration whose caBundle is kept right, beside those that "
        "'kspec enforce --engine webhook' made",
    )
    server = parser.add_argument_group("server")
    server.add_argument("--host", default="0.0.0.0", help="address to listen on (default: %(default)s)")
    server.add_argument("--port", type=int, default=9443, help="port (default: %(default)s)")
    server.add_argument(
        "--read-port",
        type=int,
        default=9444,
        metavar="PORT",
        help="for /metrics and /policies, to those who may get them by the cluster's RBAC (default: %(default)s)",
    )
    server.add_argument(
        "--client-ca",
        metavar="FILE",
        help="instead: to those whose client certificate is of this authority (PEM)",
    )
    server.add_argument("--max-body", type=int, default=7, metavar="MIB", help="(default: %(default)s)")
    server.add_argument(
        "--max-connections", type=int, default=1000, metavar="N", help="(default: %(default)s)"
    )
    server.add_argument(
        "--rate",
        type=float,
        default=0.0,
        metavar="N",
        help="reviews a second of one address (default: no limit)",
    )
    server.add_argument(
        "--drain",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="serve on after SIGTERM (default: %(default)s)",
    )
    install = parser.add_argument_group("installation")
    install.add_argument(
        "--manifests",
        metavar="IMAGE",
        help="print what a cluster needs to run this image, and do nothing else",
    )
    install.add_argument(
        "--issuer",
        metavar="NAME",
        help="with --manifests: a ClusterIssuer of cert-manager, or KIND/NAME (default: an authority of our own)",
    )
    log = parser.add_argument_group("audit log")
    log.add_argument(
        "--audit-log", metavar="FILE", help="append what is denied, warned, exempted; '-': stdout"
    )
    log.add_argument(
        "--audit-format", choices=("json", "ecs", "cef"), default="json", help="(default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    import logging
    import sys

    if args.manifests:
        return _print_manifests(args)
    try:
        from pytest_kspec.webhook.limits import MIB, Limits
        from pytest_kspec.webhook.server import Options, Webhook
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the webhook needs the package {error.name}.",
            where="kspec webhook",
            fix="Install it with: pip install 'pytest-kspec[webhook]'.",
        ) from error
    from pathlib import Path

    from pytest_kspec.enforce.modes import Mode
    from pytest_kspec.webhook.loglines import LogLines
    from pytest_kspec.webhook.specs import Specs

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("kspec").setLevel(logging.INFO)
    paths = [*args.spec, *args.specs]
    if not paths and not args.from_cluster:
        raise UsageError("no specification is given.", fix="Name one, or say --from-cluster.")
    access = _access(args)
    if args.from_cluster and access is None:
        raise UsageError("--from-cluster needs a cluster.", fix="Remove '--cluster none'.")
    specs = Specs(
        paths=paths,
        cluster=args.cluster_name or args.cluster,
        version=_version(access),
        checks=[Path(path) for path in args.checks],
        exemptions=args.exemptions,
        access=access if args.from_cluster else None,
        mode=Mode(args.mode) if args.mode else None,
    )
    keeper = _keeper(args, access)
    specs.check_files()
    Webhook(
        Options(
            specs=specs,
            keeper=keeper,
            host=args.host,
            port=args.port,
            read_port=args.read_port,
            client_ca=Path(args.client_ca) if args.client_ca else None,
            access=access,
            excluded=frozenset(_excluded(args)),
            events=not args.no_events,
            audit=(args.audit_log, args.audit_format) if args.audit_log else None,
            limits=Limits(body=args.max_body * MIB, connections=args.max_connections, rate=args.rate),
            drain_s=args.drain,
        )
    ).run()
    return 0


def _print_manifests(args: argparse.Namespace) -> int:
    import yaml

    from pytest_kspec.cli.output import say_yaml
    from pytest_kspec.enforce.engines.webhook import NAMESPACE
    from pytest_kspec.spec.operations import Certificate
    from pytest_kspec.webhook.install import manifests

    issuer = None
    if args.issuer:
        kind, _, name = args.issuer.rpartition("/")
        kind = kind or "ClusterIssuer"
        if kind not in ("ClusterIssuer", "Issuer") or not name:
            raise UsageError(f"{args.issuer!r} is no issuer.", where="--issuer", fix="Write Issuer/NAME.")
        issuer = Certificate.model_validate({"issuer": name, "issuerKind": kind})
    made = manifests(args.manifests, own_namespace() or NAMESPACE, args.service, issuer)
    say_yaml(yaml.safe_dump_all(made, sort_keys=False))
    return 0


def own_namespace() -> str:
    """The namespace that this process runs in; "" outside of a cluster."""
    try:
        with open(NAMESPACE_FILE, encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError:
        return os.environ.get("POD_NAMESPACE", "")


def _excluded(args: argparse.Namespace) -> list[str]:
    if args.exclude_namespace is not None:
        return [name for name in args.exclude_namespace if name]
    return [name for name in ("kube-system", own_namespace()) if name]


def _access(args: argparse.Namespace) -> Access | None:
    from pytest_kspec.cluster.writing.access import Access

    return None if args.cluster == NO_CLUSTER else Access(args.cluster, args.kubeconfig)


def _version(access: Access | None) -> str:
    """Asked once: an API server is newer after its webhook was restarted or later, never older."""
    return access.do(lambda writer: writer.source.info().version) if access is not None else ""


def _keeper(args: argparse.Namespace, access: Access | None) -> Keeper:
    from pathlib import Path

    from pytest_kspec.webhook import certificates

    given = [name for name in ("tls_dir", "tls_secret", "self_signed") if getattr(args, name)]
    if len(given) != 1:
        raise UsageError("give one of --tls-dir, --tls-secret and --self-signed.", where="kspec webhook")
    if args.tls_dir:
        return certificates.Files(Path(args.tls_dir))
    publish = certificates.Publisher(access, args.configuration) if access else certificates.nowhere
    if args.self_signed:
        namespace = own_namespace() or "kspec-system"
        store: certificates.Store = certificates.Folder(Path(args.self_signed))
    else:
        namespace, _, name = args.tls_secret.partition("/")
        if access is None or not name:
            raise UsageError("--tls-secret takes NAMESPACE/NAME, in a cluster.", where="kspec webhook")
        store = certificates.Secret(access, namespace, name)
    from pytest_kspec.webhook.install import service_names

    hosts = args.hostname or service_names(args.service, namespace)
    return certificates.SelfSigned(store, hosts, publish)
