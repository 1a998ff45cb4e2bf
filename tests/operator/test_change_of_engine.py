"""Another engine takes over on a real API server: what the first one applied stays until the new one is in force."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from pytest_kspec.errors import KspecError
from tests.controlplane.served import wait_until_served
from tests.crds.conftest import CRD, Cluster
from tests.operator.conftest import until
from tests.operator.hubs import BINDING, POLICY, SPEC, V1, Hub, conditions
from tests.operator.test_engines import KINDS, KYVERNO, OLD, REGISTRATION

OURS = "kspec.io/cluster-spec=sturdy"


@pytest.fixture
def kyverno(operated: Cluster) -> Iterator[None]:
    for one in KINDS:
        operated.writer.apply(one, field_manager="test")
    for one in KINDS:
        version = f"{one['spec']['group']}/{one['spec']['versions'][0]['name']}"
        wait_until_served(operated.writer, version, one["spec"]["names"]["kind"])
    yield
    for one in KINDS:
        operated.writer.delete(*CRD, one["metadata"]["name"])


def asked(engine: str, **more: Any) -> dict[str, Any]:
    return {**SPEC, "enforcement": {**SPEC["enforcement"], "engine": engine}, **more}


class Watched:
    """What is there of one specification, and what its status says."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def started(self, api: str) -> Hub:
        """An operator with another `--kyverno-api` has its turns from now on."""
        self.hub, before = Hub(self.hub.specs, options=argparse.Namespace(kyverno_api=api)), self.hub
        self.hub.now = before.now
        return self.hub

    def turn(self, spec: dict[str, Any] | None = None) -> tuple[str, str]:
        """A minute later, with this specification: PolicyEnforced."""
        if spec is not None:
            self.hub.specs.put("sturdy", spec)
        self.hub.now += timedelta(minutes=1)
        with contextlib.suppress(KspecError):  # an attempt that fails is made again
            self.hub.enforce("sturdy")
        return conditions(self.hub.specs.get("sturdy")["status"])["PolicyEnforced"]

    def message(self) -> str:
        return str(self.hub.specs.condition("sturdy", "PolicyEnforced")["message"])

    def engines(self) -> list[str]:
        return list(self.hub.specs.get("sturdy")["status"]["enforcement"]["engines"])

    def there(self, kind: tuple[str, str]) -> list[dict[str, Any]]:
        return list(self.hub.writer.list(*kind, label_selector=OURS))

    def vap(self) -> bool:
        """Whether all of it is there."""
        policies, bindings = self.there((V1, POLICY)), self.there((V1, BINDING))
        assert len(policies) == len(bindings)
        return bool(policies)

    def names(self, kind: tuple[str, str]) -> list[str]:
        return [one["metadata"]["name"] for one in self.there(kind)]

    def hear(self, status: str = "True", kind: tuple[str, str] = KYVERNO) -> None:
        """As Kyverno says of each policy that it has put into its webhook, or why it has not."""
        name = "Ready" if kind == OLD else "WebhookConfigured"
        said = {"conditions": [{"type": name, "status": status, "message": "no room"}]}
        told: dict[str, Any] = said if kind == OLD else {"conditionStatus": said}
        for policy in self.there(kind):
            self.hub.writer.replace({**policy, "status": told}, field_manager="t", subresource="status")


def test_the_old_engine_goes_when_the_new_one_is_in_force(hub: Hub, kyverno: None) -> None:
    watched = Watched(hub)
    until(lambda: watched.turn() == ("True", "PoliciesDeployed"))

    assert watched.turn(asked("kyverno")) == ("False", "PoliciesPending")
    assert watched.message().startswith("policies of vap stay until those of kyverno are in force: ")
    assert (watched.vap(), watched.engines()) == (True, ["kyverno", "vap"])
    written = hub.specs.get("sturdy")["metadata"]["resourceVersion"]
    assert watched.turn() == ("False", "PoliciesPending")  # as the next leader would
    assert watched.vap()
    hub.specs.put("sturdy", asked("kyverno"))
    assert watched.turn() == ("False", "PoliciesPending")
    assert hub.specs.get("sturdy")["metadata"]["resourceVersion"] == written, "nothing is written again"

    watched.hear("False")
    assert watched.turn() == ("False", "PoliciesPending"), (
        "so that it is looked at again before the next scan"
    )
    assert (watched.vap(), "no room" in watched.message()) == (True, True)

    watched.hear()
    assert watched.turn() == ("True", "PoliciesDeployed")
    assert (watched.vap(), watched.engines()) == (False, ["kyverno"])
    assert "stay" not in watched.message()

    # And back, in another mode.
    audit = asked("vap")
    audit["enforcement"] = {**audit["enforcement"], "mode": "audit"}
    hub.specs.put("sturdy", audit)
    until(lambda: watched.turn() == ("True", "PoliciesDeployed"))
    assert (watched.vap(), watched.there(KYVERNO), watched.engines()) == (True, [], ["vap"])


def test_the_old_engine_stays_where_the_new_one_is_not_there(hub: Hub) -> None:
    watched = Watched(hub)
    assert watched.turn(asked("kyverno")) == ("False", "EnforcementFailed")
    assert watched.message().startswith("policies of vap stay until those of kyverno are in force: ")
    assert "Is Kyverno installed?" in watched.message()
    assert (watched.vap(), watched.engines()) == (True, ["vap"])
    until(lambda: watched.turn(asked("vap")) == ("True", "PoliciesDeployed"))
    assert "stay" not in watched.message()


def test_what_is_to_go_altogether_does_not_wait(hub: Hub, kyverno: None) -> None:
    watched = Watched(hub)
    watched.turn(asked("kyverno"))
    seldom = {"enabled": True, "schedule": "7 3 29 2 *", "duration": "1m"}
    assert watched.turn(asked("kyverno", timeBasedActivation=seldom))[1] == "NotActive"
    assert not watched.vap()
    watched.turn(asked("vap"))
    watched.turn(asked("kyverno"))
    off = {**SPEC, "enforcement": {"enabled": False}}
    assert watched.turn(off) == ("False", "EnforcementDisabled")
    assert (watched.vap(), watched.there(KYVERNO)) == (False, [])


def test_a_webhook_that_serves_it_no_more_is_not_registered_meanwhile(hub: Hub) -> None:
    """An API server that must ask it would refuse every request."""
    watched = Watched(hub)
    watched.turn(asked("webhook"))
    assert len(watched.there(REGISTRATION)) == 1
    until(lambda: watched.turn(asked("vap", webhooks={"failurePolicy": "Fail"})) and watched.vap())
    assert watched.there(REGISTRATION) == []

    watched.turn(asked("webhook"))
    assert watched.turn(asked("kyverno", webhooks={"failurePolicy": "Fail"}))[1] == "EnforcementFailed"
    assert watched.there(REGISTRATION) == []
    assert watched.vap(), "the registration never worked"

    watched.turn(asked("webhook"))
    assert watched.turn(asked("kyverno"))[1] == "EnforcementFailed"
    assert len(watched.there(REGISTRATION)) == 1, "it is served still"


@pytest.mark.parametrize("corrects", [False, True])
def test_another_kind_of_the_same_engine_takes_over_as_another_engine_does(
    hub: Hub, kyverno: None, corrects: bool
) -> None:
    """`--kyverno-api`: neither the specification nor its policies changed, and nothing of it is drift."""
    watched = Watched(hub)
    spec = asked("kyverno")
    spec["enforcement"] = {**spec["enforcement"], "autoRemediate": corrects}
    watched.turn(spec)
    watched.hear()
    assert watched.turn() == ("True", "PoliciesDeployed")
    old = watched.names(KYVERNO)

    watched.started("clusterpolicy")
    assert watched.turn() == ("False", "PoliciesPending")
    assert (watched.names(KYVERNO), watched.names(OLD)) == (old, old)
    assert watched.message().startswith(
        "policies of kind ValidatingPolicy stay until those of kind ClusterPolicy are in force: "
    )
    assert watched.turn() == ("False", "PoliciesPending")
    assert conditions(hub.specs.get("sturdy")["status"])["DriftDetected"] == ("False", "NoDrift")
    assert (watched.names(KYVERNO), watched.names(OLD)) == (old, old)

    watched.hear(kind=OLD)
    assert watched.turn() == ("True", "PoliciesDeployed")
    assert (watched.names(KYVERNO), watched.names(OLD)) == ([], old)
    assert hub.specs.get("sturdy")["status"]["summary"]["policiesEnforced"] == len(old)

    watched.started("validatingpolicy")
    assert watched.turn() == ("False", "PoliciesPending")
    assert (watched.names(KYVERNO), watched.names(OLD)) == (old, old)
    watched.hear()
    assert watched.turn() == ("True", "PoliciesDeployed")
    assert (watched.names(KYVERNO), watched.names(OLD)) == (old, [])
