"""What a comparison costs, and what it says where the user may only read."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

from pytest_kspec.drift import correcting
from pytest_kspec.drift.events import Action, DriftKind
from pytest_kspec.drift.policies import NO_DRY_RUN, judge
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce.engines import engine
from pytest_kspec.enforce.names import sealed
from pytest_kspec.errors import AccessDenied
from pytest_kspec.spec.loading import spec_from_part

V1 = "admissionregistration.k8s.io/v1"
SPEC = spec_from_part({}, name="many")
NOW = "2026-01-01T00:00:00Z"


def manifest(number: int) -> dict[str, Any]:
    metadata = {
        "name": f"kspec-many-{number}",
        "labels": {"a": "b"},
        "annotations": {"kspec.io/spec-name": "many"},
    }
    spec = {"failurePolicy": "Fail", "variables": [{"name": "x", "expression": "1"}]}
    return {"apiVersion": V1, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec}


def applied(number: int) -> dict[str, Any]:
    """As an API server has it: with a default, and with who wrote what."""
    made = copy.deepcopy(sealed(manifest(number)))
    made["spec"]["matchConstraints"] = {"matchPolicy": "Equivalent"}
    fields: dict[str, Any] = {
        "f:spec": {"f:failurePolicy": {}, "f:variables": {'k:{"name":"x"}': {".": {}, "f:expression": {}}}}
    }
    held = {"manager": "kspec", "operation": "Apply", "time": NOW, "fieldsV1": fields}
    made["metadata"] |= {"managedFields": [held], "uid": f"uid-{number}", "resourceVersion": "1"}
    return made


class Writer:
    """Counts what it is asked. dry_run: what a dry run is answered with."""

    source = SimpleNamespace(name="prod", no_policies="")

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self.objects = objects
        self.asked: list[str] = []

    def list(self, _: str, kind: str, *, label_selector: str) -> list[dict[str, Any]]:
        self.asked.append(f"list {kind}")
        return [one for one in self.objects if one["kind"] == kind]

    def apply(self, obj: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
        assert dry_run
        self.asked.append(f"apply {obj['metadata']['name']}")
        raise AccessDenied("cannot apply: forbidden.")


def compare(writer: Any, count: int) -> Any:
    planned = applying.changes(
        SPEC, engine("vap"), [manifest(number) for number in range(count)], writer, keep_errors=True
    )
    return judge(SPEC, planned, NOW)


def test_500_policies_cost_one_list_a_kind() -> None:
    writer = Writer([applied(number) for number in range(500)])
    found = compare(writer, 500)
    assert (found.kept, found.drifted, found.outdated, found.problems) == (500, (), (), ())
    assert writer.asked == ["list ValidatingAdmissionPolicy", "list ValidatingAdmissionPolicyBinding"]


def test_without_a_dry_run_only_what_kspec_sets_is_compared_and_that_is_said() -> None:
    objects = [applied(number) for number in range(500)]
    objects[7]["spec"]["failurePolicy"] = "Ignore"
    other = {"manager": "kubectl-edit", "operation": "Update", "time": NOW}
    objects[8]["metadata"]["managedFields"].append(
        {**other, "fieldsV1": {"f:spec": {"f:matchConstraints": {"f:matchPolicy": {}}}}}
    )
    writer = Writer(objects)
    found = compare(writer, 500)
    (one,) = found.drifted
    assert (one.event.kind, one.event.path) == (DriftKind.MODIFIED, "spec.failurePolicy")
    assert NO_DRY_RUN in one.event.message
    assert [text.partition(" could")[0] for text in found.problems] == [
        "ValidatingAdmissionPolicy kspec-many-8"
    ]
    assert writer.asked[2:] == ["apply kspec-many-7", "apply kspec-many-8"]


def test_what_is_being_deleted_is_missing_and_cannot_be_corrected() -> None:
    objects = [applied(number) for number in range(3)]
    leaves = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/hold"]}
    objects[1]["metadata"] |= leaves
    writer = Writer(objects)
    found = compare(writer, 3)
    (one,) = found.drifted
    assert (found.kept, one.event.kind, one.event.resource.name) == (2, DriftKind.MISSING, "kspec-many-1")
    assert "it is being deleted, and finalizers block the deletion (example.com/hold)." in one.event.message
    (decided,) = correcting.decide(found.drifted, correcting.Rules(), {}, NOW)
    assert (decided.acts, decided.remediation.action) == (False, Action.MANUAL)
    (extra,) = compare(Writer([{**objects[1]}]), 0).drifted
    assert extra.event.kind is DriftKind.EXTRA, "what is not wanted may go"
