"""What the pods were allowed and what they asked for, in the whole run: the last test here."""

from __future__ import annotations

from typing import Any

import yaml

from pytest_kspec.crds.names import NAMESPACE
from tests.node.conftest import Installed
from tests.operator.conftest import CONFIG

NOT_IN_THIS_RUN = {
    ("get", "validatingwebhookconfigurations"),  # --configuration
    ("update", "secrets"),  # a certificate that is renewed
    # What the operator is told: an apply after the first denial; whether one waits for it, the run decides.
    *((verb, "configmaps") for verb in ("create", "get", "patch")),
}


def asked(installed: Installed, account: str) -> set[tuple[str, str]]:
    """(verb, resource) of all its requests; none was refused."""
    user = f"system:serviceaccount:{NAMESPACE}:{account}"
    seen = installed.cluster.plane.requests_seen(user=user)
    assert [one for one in seen if one.status == 403] == []
    return {(one.verb, f"{one.resource}/{one.subresource}".rstrip("/")) for one in seen if one.resource}


def test_no_pod_asked_for_what_it_may_not_do(installed: Installed) -> None:
    assert ("update", "leases") in asked(installed, "kspec-operator")
    assert ("update", "clusterspecifications/status") in asked(installed, "kspec-operator")


def test_the_webhook_needs_what_it_is_granted(installed: Installed) -> None:
    objects: list[dict[str, Any]] = list(
        yaml.safe_load_all((CONFIG / "webhook" / "webhook.yaml").read_text(encoding="utf-8"))
    )
    granted = {
        (verb, resource)
        for one in objects
        if one["kind"] in ("ClusterRole", "Role") and one["metadata"]["name"] == "kspec-webhook"
        for rule in one["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    told = {one for one in NOT_IN_THIS_RUN if one[1] == "configmaps"}
    assert granted - asked(installed, "kspec-webhook") - told == NOT_IN_THIS_RUN - told
