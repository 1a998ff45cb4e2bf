"""What happens to a cluster between a look and a correction, and what looks like drift and is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_kspec import clock
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.drift import correcting, policies
from pytest_kspec.drift.events import DriftEvent, DriftKind, Status
from pytest_kspec.drift.ledger import InCluster, Memory
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce.engines import engine
from pytest_kspec.enforce.names import sealed
from pytest_kspec.errors import Refused
from pytest_kspec.spec.loading import LoadedSpec, spec_from_part
from tests.controlplane.served import wait_until_served
from tests.controlplane.server import ControlPlane
from tests.crds.conftest import Cluster

from .conftest import LIMIT_S, until
from .hubs import BINDING, POLICY, SPEC, SPEC_KIND, V1, Hub, conditions
from .test_engines import CRD, KYVERNO, definition

STAMP = "2026-11-29T12:00:00Z"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Applied:
    """A policy and its binding as kspec applied them, without an operator."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.spec: LoadedSpec = spec_from_part({}, name="racy")
        marks = {
            "labels": {
                "kspec.io/cluster-spec": "racy",
                "kspec.io/engine": "vap",
                "kspec.io/generated": "true",
            },
            "annotations": {"kspec.io/spec-name": "racy"},
        }
        rules = [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["podtemplates"],
            }
        ]
        self.manifests: list[dict[str, Any]] = [
            {
                "apiVersion": V1,
                "kind": POLICY,
                "metadata": {"name": "kspec-racy", **marks},
                "spec": {
                    "failurePolicy": "Fail",
                    "matchConstraints": {"resourceRules": rules},
                    "validations": [{"expression": "true"}],
                },
            },
            {
                "apiVersion": V1,
                "kind": BINDING,
                "metadata": {"name": "kspec-racy", **marks},
                "spec": {"policyName": "kspec-racy", "validationActions": ["Warn"]},
            },
        ]
        for one in self.manifests:
            writer.apply(sealed(one))

    def look(self) -> policies.Found:
        return policies.compare(self.spec, engine("vap"), self.manifests, self.writer, STAMP)

    def correct(self, found: policies.Found) -> list[DriftEvent]:
        decided = correcting.decide(found.drifted, correcting.Rules(delete_extra=True), {}, STAMP)
        return list(correcting.carry_out(decided, self.writer, Memory(), lambda: NOW, spec="racy"))


@pytest.fixture
def applied(operated: Cluster) -> Iterator[Applied]:
    made = Applied(operated.writer)
    yield made
    for kind in (BINDING, POLICY):
        made.writer.delete(V1, kind, "kspec-racy")


def soften(writer: Writer, value: str = "Ignore") -> None:
    patch = [{"op": "replace", "path": "/spec/failurePolicy", "value": value}]
    writer.patch(V1, POLICY, "kspec-racy", patch, patch_type="json", field_manager="kubectl-edit")


def test_what_is_deleted_between_look_and_correction_is_made_again(applied: Applied) -> None:
    soften(applied.writer)
    found = applied.look()
    assert [one.event.kind for one in found.drifted] == [DriftKind.MODIFIED]
    applied.writer.delete(V1, POLICY, "kspec-racy")
    applied.correct(found)
    assert applied.writer.get(V1, POLICY, "kspec-racy")["spec"]["failurePolicy"] == "Fail"
    assert applied.look().drifted == ()


def test_what_was_put_whole_and_changed_meanwhile_is_left_for_the_next_look(applied: Applied) -> None:
    """Where a field has to be taken away, the whole object is written: only the one that was looked at."""
    more = [{"op": "add", "path": "/spec/matchResources", "value": {"matchPolicy": "Exact"}}]
    applied.writer.patch(V1, BINDING, "kspec-racy", more, patch_type="json", field_manager="kubectl-edit")
    found = applied.look()
    (one,) = found.drifted
    assert one.change.whole is not None
    applied.writer.delete(V1, BINDING, "kspec-racy")
    applied.writer.apply(sealed(applied.manifests[1]))  # another object of this name: another UID
    (event,) = applied.correct(found)
    assert event.remediation is not None
    assert event.remediation.status is Status.FAILED
    assert applied.look().drifted == (), "the new one is as it should be, and was not overwritten"


def test_only_the_object_that_was_looked_at_is_deleted(applied: Applied) -> None:
    extra = {**applied.manifests[1], "metadata": {**applied.manifests[1]["metadata"], "name": "kspec-racy-x"}}
    applied.writer.apply(sealed(extra))
    found = applied.look()
    assert [one.event.kind for one in found.drifted] == [DriftKind.EXTRA]
    applied.writer.delete(V1, BINDING, "kspec-racy-x")
    applied.writer.apply(sealed(extra), field_manager="somebody")
    try:
        (event,) = applied.correct(found)
        assert event.remediation is not None
        assert event.remediation.status is Status.FAILED
        assert applied.writer.find(V1, BINDING, "kspec-racy-x") is not None
    finally:
        applied.writer.delete(V1, BINDING, "kspec-racy-x")


def test_what_the_server_would_refuse_is_not_said_to_be_unchanged(
    applied: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a field that cannot be changed: neither a dry run of an apply nor one of the whole is accepted."""
    soften(applied.writer)

    def refuse(*_: object, **__: object) -> dict[str, Any]:
        raise Refused("spec.failurePolicy: field is immutable.")

    for name in ("apply", "replace"):
        monkeypatch.setattr(applied.writer, name, refuse)
    found = applied.look()
    assert (found.drifted, found.kept) == ((), 1)
    (text,) = found.problems
    assert f"{POLICY} kspec-racy could not be compared" in text
    assert "field is immutable" in text


def test_what_webhooks_of_others_change_is_no_drift(control_plane: ControlPlane, operated: Cluster) -> None:
    """Kyverno's policies, whose kind admission may change, with an annotation and fields that somebody adds."""
    writer = operated.writer
    writer.apply(definition(*KYVERNO, "validatingpolicies"), field_manager="test")
    wait_until_served(writer, *KYVERNO)
    rules = [
        {
            "apiGroups": ["policies.kyverno.io"],
            "apiVersions": ["*"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["validatingpolicies"],
        }
    ]
    mutation = {
        "apiVersion": V1,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": "adds"},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": _PATCH}}],
        },
    }
    binding = {
        "apiVersion": V1,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "adds"},
        "spec": {"policyName": "adds"},
    }
    metadata = {
        "name": "kspec-mutated",
        "labels": {
            "kspec.io/cluster-spec": "racy",
            "kspec.io/engine": "kyverno",
            "kspec.io/generated": "true",
        },
        "annotations": {"kspec.io/spec-name": "racy"},
    }
    manifest = {
        "apiVersion": KYVERNO[0],
        "kind": KYVERNO[1],
        "metadata": metadata,
        "spec": {"validationActions": ["Deny"], "validations": [{"expression": "true"}]},
    }
    spec = spec_from_part({}, name="racy")
    try:
        for one in (mutation, binding):
            writer.apply(one, field_manager="test")
        until(lambda: "added" in writer.apply(sealed(manifest), dry_run=True)["spec"])
        writer.apply(sealed(manifest))
        made = writer.get(*KYVERNO, "kspec-mutated")
        assert made["spec"]["added"] == "by a webhook"

        def look() -> policies.Found:
            return policies.compare(spec, engine("kyverno"), [manifest], writer, STAMP)

        found = look()
        assert (found.drifted, found.outdated, found.problems, found.kept) == ((), (), (), 1)
        patch = {"spec": {"validationActions": ["Audit"]}}
        writer.patch(*KYVERNO, "kspec-mutated", patch, field_manager="kubectl-edit")
        (drifted,) = look().drifted
        assert drifted.event.path == "spec.validationActions[0]", "and nothing that the webhook added"
    finally:
        for kind in ("MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"):
            writer.delete(V1, kind, "adds")
        writer.delete(*KYVERNO, "kspec-mutated")
        writer.delete(*CRD, "validatingpolicies.policies.kyverno.io")


_PATCH = '[JSONPatch{op: "add", path: "/spec/added", value: "by a webhook"}]'


@pytest.mark.parametrize("how", ["deleted", "off"])
def test_a_correction_makes_nothing_again_that_was_removed_meanwhile(
    how: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The specification ends between the look of a DriftConfig and its correction."""
    hub.config("fix", {"interval": "5m", "remediation": {"strategy": "Apply"}})
    hub.soften()
    operator = threading.Thread(target=hub.enforce, args=("sturdy",), daemon=True)

    def ends(self: InCluster) -> str:
        if how == "deleted":
            hub.writer.delete(*SPEC_KIND, "sturdy")
        else:
            hub.specs.put("sturdy", {**SPEC, "enforcement": {"enabled": False}})
        operator.start()
        operator.join(
            LIMIT_S if how == "deleted" else 1
        )  # a change waits for a correction, a deletion does not
        assert how == "off" or left() == [], "the operator removed them"
        return ""

    def left() -> list[str]:
        found = [one["metadata"]["name"] for kind in (BINDING, POLICY) for one in hub.writer.list(V1, kind)]
        return [name for name in found if name.startswith("kspec-sturdy-")]

    monkeypatch.setattr(InCluster, "forbidden", ends)
    hub.run("fix")
    operator.join(LIMIT_S)
    assert left() == [], "nobody would ever remove them"
    if how == "deleted":
        assert hub.writer.find(*SPEC_KIND, "sturdy") is None


def test_what_ends_with_a_period_of_time_is_no_drift(hub: Hub) -> None:
    day = hub.now.date().isoformat()
    period = {"enabled": True, "activePeriods": [{"startDate": day, "endDate": day}]}
    hub.specs.put("sturdy", {**SPEC, "timeBasedActivation": period})
    hub.enforce("sturdy")
    hub.config("watch", {"interval": "5m"})
    assert conditions(hub.run("watch", 1.0))["DriftDetected"] == ("False", "NoDrift")
    assert len(applying.existing(spec_from_part({}, name="sturdy"), engine("vap"), hub.writer)) > 4
    hub.now += timedelta(days=1)
    assert conditions(hub.run("watch", 1.0))["DriftDetected"] != ("True", "DriftFound"), "its day is over"
    hub.enforce("sturdy")
    found = conditions(hub.specs.get("sturdy")["status"])
    assert (found["PolicyEnforced"], found["DriftDetected"]) == (("False", "NotActive"), ("False", "NoDrift"))
    assert conditions(hub.run("watch"))["DriftDetected"] == ("False", "NoDrift")
    assert "DriftDetected" not in [*hub.specs.events("sturdy"), *hub.events("watch")]
    assert hub.reports() == []


def test_nothing_is_reported_where_only_the_clock_went_on(hub: Hub) -> None:
    hub.config("watch", {"interval": "5m"})
    hub.soften()
    first = hub.run("watch")
    with clock.at(hub.now):
        before = hub.reports()
    for _ in range(3):
        status = hub.run("watch", 86400.0)
        assert conditions(status) == conditions(first)
    assert hub.reports() == before
    assert hub.events("watch").count("DriftDetected") == 1
