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
Serve admission reviews at /validate: violations of a specification are denied (mode enforce), admitted with
a warning (audit) or only counted (monitor). The webhook applies the same rules as a scan. It also serves
/healthz and /readyz and, on a separate port for authorized users, /metrics and /policies. Specifications
and certificates are reloaded when they change. 'kspec enforce --engine webhook' registers the webhook."""

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
        "--mode", choices=("monitor", "audit", "enforce"), help="overrides the mode of each specification"
    )
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument(
        "--cluster",
        metavar="NAME",
        default="in-cluster",
        help="kubeconfig context of the cluster, 'in-cluster' (default), or 'none' (no Events, no caBundle and "
        "no namespace labels)",
    )
    arguments.add_kubeconfig(cluster)
    cluster.add_argument(
        "--cluster-name",
        metavar="NAME",
        help="name of the cluster in clusterRef and exemptions (default: --cluster)",
    )
    cluster.add_argument(
        "--any-cluster",
        action="store_true",
        help="also enforce specifications whose clusterRef is another cluster",
    )
    cluster.add_argument(
        "--exclude-namespace",
        action="append",
        metavar="NAME",
        help="namespace whose objects are admitted without evaluation; may be repeated "
        "(default: kube-system and the webhook's own)",
    )
    cluster.add_argument("--no-events", action="store_true", help="do not write Events")
    tls = parser.add_argument_group("certificate (one of)")
    tls.add_argument(
        "--tls-dir", metavar="DIR", help="folder with tls.crt and tls.key, maintained by another program"
    )
    tls.add_argument(
        "--tls-secret",
        metavar="NAMESPACE/NAME",
        help="Secret with the certificate: from cert-manager if it is installed, "
        "else created by the webhook's own authority",
    )
    tls.add_argument(
        "--self-signed", metavar="DIR", help="folder in which the webhook keeps its own certificate authority"
    )
    tls.add_argument(
        "--hostname",
        action="append",
        default=[],
        metavar="NAME",
        help="name or address in a certificate of the webhook's own authority; "
        "may be repeated (default: names of the Service)",
    )
    tls.add_argument(
        "--service",
        metavar="NAME",
        default="kspec-webhook",
        help="name of the Service (default: %(default)s)",
    )
    tls.add_argument(
        "--configuration",
        metavar="NAME",
        default="",
        help="ValidatingWebhookConfiguration whose caBundle is kept up to date, in addition to those of "
        "'kspec enforce --engine webhook'",
    )
    server = parser.add_argument_group("server")
    server.add_argument("--host", default="0.0.0.0", help="address to listen on (default: %(default)s)")
    server.add_argument("--port", type=int, default=9443, help="port of /validate (default: %(default)s)")
    server.add_argument(
        "--read-port",
        type=int,
        default=9444,
        metavar="PORT",
        help="port of /metrics and /policies, for users whom RBAC allows to get these paths (default: %(default)s)",
    )
    server.add_argument(
        "--client-ca",
        metavar="FILE",
        help="authorize users of the read port by client certificates of this authority (PEM) instead of RBAC",
    )
    server.add_argument(
        "--max-body", type=int, default=7, metavar="MIB", help="largest request body (default: %(default)s)"
    )
    server.add_argument(
        "--max-connections",
        type=int,
        default=1000,
        metavar="N",
        help="maximum number of open connections (default: %(default)s)",
    )
    server.add_argument(
        "--rate",
        type=float,
        default=0.0,
        metavar="N",
        help="maximum reviews per second from one address (default: no limit)",
    )
    server.add_argument(
        "--drain",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="time to keep serving after SIGTERM (default: %(default)s)",
    )
    install = parser.add_argument_group("installation")
    install.add_argument(
        "--manifests",
        metavar="IMAGE",
        help="print the manifests that run this image as the webhook, and exit",
    )
    install.add_argument(
        "--issuer",
        metavar="NAME",
        help="with --manifests: a ClusterIssuer of cert-manager, or KIND/NAME (default: the webhook's own authority)",
    )
    log = parser.add_argument_group("audit log")
    log.add_argument(
        "--audit-log",
        metavar="FILE",
        help="file to which denied, warned and exempted reviews are appended, as a chain that 'kspec audit verify' "
        "follows; '-' for standard output",
    )
    log.add_argument(
        "--audit-format",
        choices=("json", "ecs", "cef", "ocsf"),
        default="json",
        help="format of the audit log (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    import logging
    import sys

    if args.manifests:
        return _print_manifests(args)
    from pathlib import Path

    from pytest_kspec.audit.loglines import LogLines
    from pytest_kspec.crds.names import NAMESPACE
    from pytest_kspec.enforce.modes import Mode
    from pytest_kspec.observe import tracing
    from pytest_kspec.serving.limits import MIB, Limits
    from pytest_kspec.webhook.server import Options, Webhook
    from pytest_kspec.webhook.specs import Specs

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("kspec").setLevel(logging.INFO)
    paths = [*args.spec, *args.specs]
    if not paths and not args.from_cluster:
        raise UsageError("no specification is given.", fix="Name one, or add --from-cluster.")
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
        any_cluster=args.any_cluster,
    )
    keeper = _keeper(args, access)
    if problem := tracing.begin("kspec-webhook"):
        logging.getLogger("kspec.webhook").warning("%s", problem)
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
            namespace=own_namespace() or NAMESPACE,
        )
    ).run()
    tracing.end()
    return 0


def _print_manifests(args: argparse.Namespace) -> int:
    import yaml

    from pytest_kspec.cli.output import say_yaml
    from pytest_kspec.enforce.engines.webhook import NAMESPACE
    from pytest_kspec.enforce.webhook_install import manifests
    from pytest_kspec.spec.operations import Certificate

    issuer = None
    if args.issuer:
        kind, _, name = args.issuer.rpartition("/")
        kind = kind or "ClusterIssuer"
        if kind not in ("ClusterIssuer", "Issuer") or not name:
            raise UsageError(f"{args.issuer!r} is not an issuer.", where="--issuer", fix="Write Issuer/NAME.")
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
        raise UsageError(
            "exactly one of --tls-secret, --tls-dir and --self-signed must be given.", where="kspec webhook"
        )
    if args.tls_dir:
        return certificates.Files(Path(args.tls_dir))
    namespace = args.tls_secret.partition("/")[0] if args.tls_secret else own_namespace() or "kspec-system"
    # With names of the user's own the Service is not the only way to it.
    service = None if args.hostname else (namespace, args.service)
    publish = certificates.Publisher(access, args.configuration, service) if access else certificates.nowhere
    if args.self_signed:
        store: certificates.Store = certificates.Folder(Path(args.self_signed))
    else:
        _, _, name = args.tls_secret.partition("/")
        if access is None or not name:
            raise UsageError(
                "NAMESPACE/NAME, in a cluster, is required by --tls-secret.", where="kspec webhook"
            )
        store = certificates.Secret(access, namespace, name)
    from pytest_kspec.enforce.webhook_install import service_names

    hosts = args.hostname or service_names(args.service, namespace)
    return certificates.SelfSigned(store, hosts, publish)
