"""The registration of `kspec webhook`: one ValidatingWebhookConfiguration a specification.

Each has the failure policy, timeout and scope of its specification, and calls the webhook by the specification's
name, so that two specifications never overwrite each other's. The webhook answers for that one, and names what others
forbid as well: an API server shows the first denial only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kspec.enforce.engines import Generated, InForce, Wanted, webhook_client
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.names import MODE_LABEL, metadata, spec_id
from pytest_kspec.errors import KspecError
from pytest_kspec.kube.globs import is_literal
from pytest_kspec.spec.operations import NamespaceScope, Webhooks
from pytest_kspec.spec.scope import NAME_LABEL

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.writing.write import Writer

NAME = "webhook"
API_VERSION = "admissionregistration.k8s.io/v1"
KIND = "ValidatingWebhookConfiguration"
KINDS = ((API_VERSION, KIND),)
IF_NOT_SERVED = "It is part of every Kubernetes API server unless it is disabled."
PATH = "/validate"
NAMESPACE, SERVICE, CERTIFICATE = "kspec-system", "kspec-webhook", "kspec-webhook"
INJECT = "cert-manager.io/inject-ca-from"
CA_MANAGER = "kspec-webhook-ca"
"""Field manager of the running webhook, which writes caBundle and nothing else."""
READ_PORT = "kspec.io/webhook-read-port"
"""Annotation, where it is not the usual one."""
READ_BY = "kspec.io/webhook-reader"
"""Annotation: the service account that may ask the webhook, where it is not the usual one."""
SYSTEM = "kube-system"
_REFUSED = {"Fail": "refused", "Ignore": "admitted"}

PODS = (
    ("", ("pods", "pods/ephemeralcontainers", "pods/resize", "replicationcontrollers", "podtemplates")),
    ("apps", ("deployments", "statefulsets", "daemonsets", "replicasets")),
    ("batch", ("jobs", "cronjobs")),
)
SERVICES = ("services",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the webhook is."""
    group = parser.add_argument_group("engine webhook")
    group.add_argument(
        "--webhook-service",
        metavar="NAMESPACE/NAME",
        default=f"{NAMESPACE}/{SERVICE}",
        help="Service of the webhook (default: %(default)s)",
    )
    group.add_argument(
        "--webhook-url", metavar="URL", help="address of the webhook instead of a Service, https://host:port"
    )
    group.add_argument(
        "--webhook-read-port",
        type=int,
        metavar="PORT",
        default=webhook_client.PORT,
        help="port on which the webhook serves /policies, for --status (default: %(default)s)",
    )
    group.add_argument(
        "--webhook-exclude-namespace",
        action="append",
        metavar="NAME",
        help="namespace to exclude; may be repeated (default: kube-system and the webhook's own)",
    )
    group.add_argument(
        "--webhook-cert-manager",
        action="store_true",
        help="cert-manager injects the caBundle (default: the webhook writes it)",
    )


def service_of(options: Any) -> tuple[str, str]:
    """Namespace and name of the webhook's Service. options: as `add_arguments` makes them, or None."""
    namespace, _, name = (getattr(options, "webhook_service", None) or f"{NAMESPACE}/{SERVICE}").partition(
        "/"
    )
    return namespace, name


def generate(wanted: Wanted) -> Generated:
    """One configuration; none for a specification that enforces nothing on pods or Services."""
    targets = {rule.target for rule in wanted.plan.rules}
    if not targets:
        return Generated((), timeless=True)
    spec = wanted.plan.spec
    asked = spec.spec.webhooks or Webhooks()
    options = wanted.options
    namespace, name = service_of(options)
    # Activation and expiry are the server's: what is registered stays right.
    head = metadata(spec, NAME, engine=NAME, mode=wanted.mode, boundary=None)
    port = getattr(options, "webhook_read_port", webhook_client.PORT)
    if port != webhook_client.PORT:
        head["annotations"][READ_PORT] = str(port)
    if getattr(options, "webhook_cert_manager", False) or asked.certificate is not None:
        head["annotations"][INJECT] = f"{namespace}/{CERTIFICATE}"
    asked_excluded = getattr(options, "webhook_exclude_namespace", None)
    excluded = [item for item in ([SYSTEM, namespace] if asked_excluded is None else asked_excluded) if item]
    webhook: dict[str, Any] = {
        "name": f"{spec_id(spec.name)}.webhook.kspec.io",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "NoneOnDryRun",
        "failurePolicy": asked.failure_policy if wanted.mode is Mode.ENFORCE else "Ignore",
        "timeoutSeconds": asked.timeout_seconds,
        "matchPolicy": "Equivalent",
        "rules": list(_rules(targets)),
        "clientConfig": _client(getattr(options, "webhook_url", None), namespace, name, spec_id(spec.name)),
    }
    selector = _namespace_selector(wanted.scope, excluded)
    if selector:
        webhook["namespaceSelector"] = selector
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": head, "webhooks": [webhook]}
    return Generated((manifest,), excluded=tuple(sorted(excluded)), timeless=True)


def cautious(manifest: dict[str, Any], there: Mapping[str, Any] | None, *, served: bool) -> dict[str, Any]:
    """The registration as it can be applied now: with failure policy Ignore until the webhook serves the specification,
    since until then an API server that must not admit what the webhook did not see would refuse everything.

    there: the present one, whose failure policy is not weakened; served: whether the webhook behind it says so
    """
    if served:
        return manifest
    known = {one.get("name"): one.get("failurePolicy") for one in (there or {}).get("webhooks") or ()}
    webhooks = [
        one if known.get(one["name"]) == one["failurePolicy"] else {**one, "failurePolicy": "Ignore"}
        for one in manifest["webhooks"]
    ]
    return {**manifest, "webhooks": webhooks}


def _client(url: str | None, namespace: str, name: str, spec: str) -> dict[str, Any]:
    path = f"{PATH}/{spec}"
    if url:
        return {"url": url.rstrip("/") + path}
    return {"service": {"namespace": namespace, "name": name, "path": path, "port": 443}}


def _rules(targets: set[Any]) -> Iterator[dict[str, Any]]:
    for group, resources in PODS:
        wanted = (
            *(resources if "pods" in targets else ()),
            *(SERVICES if "services" in targets and not group else ()),
        )
        if wanted:
            yield {
                "apiGroups": [group],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": list(wanted),
                "scope": "Namespaced",
            }


def _namespace_selector(scope: NamespaceScope | None, excluded: Sequence[str]) -> dict[str, Any]:
    """What is certainly not meant is not even sent; patterns are the server's business."""
    expressions: list[dict[str, Any]] = []
    names = [*excluded, *(filter(is_literal, scope.exclude_namespaces) if scope else ())]
    if names:
        expressions.append({"key": NAME_LABEL, "operator": "NotIn", "values": sorted(set(names))})
    if scope is not None and scope.include_namespaces and all(map(is_literal, scope.include_namespaces)):
        expressions.append({"key": NAME_LABEL, "operator": "In", "values": sorted(scope.include_namespaces)})
    labels: dict[str, str] = {}
    if scope is not None and scope.namespace_selector is not None:
        labels = dict(sorted(scope.namespace_selector.match_labels.items()))
        for requirement in scope.namespace_selector.match_expressions:
            made: dict[str, Any] = {"key": requirement.key, "operator": requirement.operator}
            expressions.append(made | ({"values": list(requirement.values)} if requirement.values else {}))
    found: dict[str, Any] = {"matchLabels": labels} if labels else {}
    return found | ({"matchExpressions": expressions} if expressions else {})


def in_force(objects: Sequence[dict[str, Any]], writer: Writer) -> list[InForce]:
    """What the webhook that is registered says that it does, and why it may not work."""
    return [_read_back(item, writer) for item in objects if item["kind"] == KIND]


def _read_back(item: dict[str, Any], writer: Writer) -> InForce:
    """The mode is the running webhook's; that of the registration only where it cannot be asked."""
    name = item["metadata"]["name"]
    registered = item["metadata"].get("labels", {}).get(MODE_LABEL, "")
    webhooks = item.get("webhooks") or []
    if not webhooks:
        return InForce(KIND, name, "", ("it has no webhook, so it has no effect",))
    webhook = webhooks[0]
    client = webhook["clientConfig"]
    away = f"every request is {_REFUSED.get(webhook.get('failurePolicy', ''), 'refused')}"
    if not client.get("caBundle"):
        problem = (
            f"it has no caBundle yet; unless a public authority signed the webhook's certificate, {away}"
        )
        return InForce(KIND, name, "", (problem,))
    try:
        served = serves(item, writer)
    except KspecError as error:
        return InForce(KIND, name, registered, (f"the running webhook could not be queried: {error.what}",))
    path = (client.get("service") or {}).get("path") or client.get("url", "")
    mode = served.get(path.rpartition("/")[2])
    if mode is None:
        return InForce(KIND, name, "", (f"the webhook does not serve this specification; until then {away}",))
    problem = f"registered for mode {registered}, but the webhook runs in mode {mode}"
    return InForce(KIND, name, mode, (problem,) if mode != registered else ())


def serves(registration: Mapping[str, Any], writer: Writer) -> dict[str, str]:
    """Mode by id of what the webhook of this registration serves, as `webhook_client.served`. Raises KspecError."""
    notes = registration["metadata"].get("annotations") or {}
    port = notes.get(READ_PORT, "")
    client = registration["webhooks"][0]["clientConfig"]
    asked = int(port) if port.isdecimal() else webhook_client.PORT
    reader = notes.get(READ_BY) or webhook_client.READER
    return webhook_client.served(client, writer.source, NAMESPACE, asked, reader)
