"""The registration of `kspec webhook`: one ValidatingWebhookConfiguration a specification.

Each has the failure policy, timeout and scope of its specification, and calls the webhook by the specification's
name, so that two specifications never overwrite each other's. The webhook answers for that one, and names what others
forbid as well: an API server shows the first denial only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kspec.enforce.engines import Generated, InForce, Wanted
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.names import MODE_LABEL, metadata, spec_id
from pytest_kspec.model.globs import is_literal
from pytest_kspec.model.scope import NAME_LABEL
from pytest_kspec.model.spec_operator import NamespaceScope, Webhooks

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.write import Writer

NAME = "webhook"
API_VERSION = "admissionregistration.k8s.io/v1"
KIND = "ValidatingWebhookConfiguration"
KINDS = ((API_VERSION, KIND),)
IF_NOT_SERVED = "Every Kubernetes API server has it, if it is not switched off."
PATH = "/validate"
NAMESPACE, SERVICE, CERTIFICATE = "kspec-system", "kspec-webhook", "kspec-webhook"
INJECT = "cert-manager.io/inject-ca-from"
SYSTEM = "kube-system"

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
        help="the webhook's Service (default: %(default)s)",
    )
    group.add_argument("--webhook-url", metavar="URL", help="instead: its address, https://host:port")
    group.add_argument(
        "--webhook-exclude-namespace",
        action="append",
        metavar="NAME",
        help="namespaces left out; may be repeated (default: kube-system and the webhook's own)",
    )
    group.add_argument(
        "--webhook-cert-manager",
        action="store_true",
        help="cert-manager injects the caBundle; otherwise the webhook writes it itself",
    )


def generate(wanted: Wanted) -> Generated:
    """One configuration; none for a specification that enforces nothing on pods or Services."""
    targets = {rule.target for rule in wanted.plan.rules}
    if not targets:
        return Generated(())
    spec = wanted.plan.spec
    asked = spec.spec.webhooks or Webhooks()
    options = wanted.options
    service = getattr(options, "webhook_service", None) or f"{NAMESPACE}/{SERVICE}"
    namespace, _, name = service.partition("/")
    # Activation and expiry are the server's: what is registered stays right.
    head = metadata(spec, NAME, engine=NAME, mode=wanted.mode, boundary=None)
    if getattr(options, "webhook_cert_manager", False) or asked.certificate is not None:
        head["annotations"][INJECT] = f"{namespace}/{CERTIFICATE}"
    excluded = getattr(options, "webhook_exclude_namespace", None)
    if excluded is None:
        excluded = [SYSTEM, namespace]
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
    selector = _namespace_selector(wanted.scope, [item for item in excluded if item])
    if selector:
        webhook["namespaceSelector"] = selector
    return Generated(({"apiVersion": API_VERSION, "kind": KIND, "metadata": head, "webhooks": [webhook]},))


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
    """Configurations in the mode that they were made for, and why they may not work."""
    found = []
    for item in objects:
        if item["kind"] == KIND:
            head = item["metadata"]
            problems = [text for webhook in item.get("webhooks") or () for text in _problems(webhook)]
            found.append(
                InForce(KIND, head["name"], head.get("labels", {}).get(MODE_LABEL, ""), tuple(problems))
            )
    return found


def _problems(webhook: dict[str, Any]) -> Iterator[str]:
    if not webhook["clientConfig"].get("caBundle"):
        yield "it has no caBundle yet, so the API server cannot call the webhook"
