"""What v0.3 left in a cluster: policies that know their specification by a label or not at all, and a dead webhook.

v0.3 made Kyverno's ClusterPolicies with the label of their specification, or with its annotation only, and one
registration for all specifications, whose caBundle it emptied at each turn.
"""

from __future__ import annotations

import logging

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.apply import Change
from pytest_kspec.enforce.engines import kyverno_clusterpolicy, webhook
from pytest_kspec.enforce.names import ENGINE_LABEL, SPEC_LABEL
from pytest_kspec.errors import NotServed, SourceError
from pytest_kspec.kube.objectnames import label_value
from pytest_kspec.reports.shared.text import plural

log = logging.getLogger("kspec.operator")

ANNOTATION = "kspec.dev/generated"
REGISTRATION = "kspec-validating-webhook"
POLICY = (kyverno_clusterpolicy.API_VERSION, kyverno_clusterpolicy.POLICY)


def removals(name: str, writer: Writer) -> list[Change]:
    """Of v0.3's policies of this specification, those with its label. Raises SourceError."""
    if label_value(name) != name:
        return []  # v0.3 could not have labelled anything with it
    found = writer.list(*POLICY, label_selector=f"{SPEC_LABEL}={name},!{ENGINE_LABEL}")
    return [
        Change("remove", *POLICY, item["metadata"]["name"], uid=item["metadata"].get("uid", ""), before=item)
        for item in found
    ]


def clear(writer: Writer) -> None:
    """What belongs to no specification, once a process leads. Raises nothing of a cluster: it is in the log.

    The registration is removed while it has no caBundle: it cannot be answered, and refuses all pods if it must be.
    Policies with the annotation only are named: somebody may want them.
    """
    try:
        found = writer.find(webhook.API_VERSION, webhook.KIND, REGISTRATION)
        if found is not None and not any(_bundle(one) for one in found.get("webhooks") or ()):
            writer.delete(
                webhook.API_VERSION, webhook.KIND, REGISTRATION, uid=found["metadata"].get("uid", "")
            )
            log.info("%s %s of v0.3 removed: it had no caBundle", webhook.KIND, REGISTRATION)
    except SourceError as error:
        log.warning("the webhook registration of v0.3 was not examined: %s", error)
    try:
        policies = writer.list(*POLICY, label_selector=f"!{SPEC_LABEL}")
    except NotServed:
        return
    except SourceError as error:
        log.warning("policies of v0.3 could not be listed: %s", error)
        return
    left = [
        item["metadata"]["name"]
        for item in policies
        if (item["metadata"].get("annotations") or {}).get(ANNOTATION) is not None
    ]
    if left:
        names = ", ".join(sorted(left)[:10])
        log.warning(
            "%s of v0.3 without a specification: %s. See 'Upgrade' in the docs.",
            plural(len(left), "ClusterPolicy", "ClusterPolicies"), names,
        )  # fmt: skip


def _bundle(one: object) -> object:
    return (one.get("clientConfig") or {}).get("caBundle") if isinstance(one, dict) else None
