"""`kspec drift detect` on a real API server: what is drift, what is not, and who made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.enforce.modes import Mode
from pytest_kspec.spec.loading import load_spec

from .drifting import BINDING, NAMES, POLICY, SPEC, V1, Drift, found, op


def test_what_was_just_applied_has_not_drifted_and_costs_one_list_a_kind(drift: Drift) -> None:
    drift.enforce()
    since = drift.plane.audit_position()
    code, out, err = drift.run("detect")
    assert (code, out, err) == (0, f"drifty 1.0.0 on {drift.plane.name}: no drift\n", "")
    asked = [
        one
        for one in drift.plane.requests_seen(since=since)
        if one.resource.startswith("validatingadmission")
    ]
    assert sorted((one.verb, one.resource) for one in asked) == [
        ("list", "validatingadmissionpolicies"),
        ("list", "validatingadmissionpolicybindings"),
    ]
    code, document = drift.detect()
    assert code == 0
    assert {key: document[key] for key in ("drift", "events", "errors", "outdated", "checked")} == {
        "drift": {
            "detected": False,
            "severity": "",
            "types": [],
            "counts": {"total": 0, "policies": 0, "compliance": 0, "configuration": 0},
        },
        "events": [],
        "errors": [],
        "outdated": [],
        "checked": ["policy"],
    }


def test_nothing_applied_is_all_missing(drift: Drift) -> None:
    code, document = drift.detect()
    assert code == 1
    assert found(document) == [
        *[("missing", "high", POLICY, name) for name in NAMES],
        *[("missing", "high", BINDING, name) for name in NAMES],
    ]
    assert document["drift"]["counts"] == {"total": 8, "policies": 8, "compliance": 0, "configuration": 0}
    assert (document["drift"]["severity"], document["drift"]["types"]) == ("high", ["policy"])
    assert document["spec"] == {"name": "drifty", "version": "1.0.0"}


CHANGES: dict[str, tuple[str, dict[str, Any], str, Any, Any]] = {
    "a value": (
        POLICY,
        op("replace", "/spec/failurePolicy", "Ignore"),
        "spec.failurePolicy",
        "Fail",
        "Ignore",
    ),
    "a field that kspec leaves to the server": (
        POLICY,
        op("replace", "/spec/matchConstraints/matchPolicy", "Exact"),
        "spec.matchConstraints.matchPolicy",
        "Equivalent",
        "Exact",
    ),
    "a label": (
        POLICY,
        op("replace", "/metadata/labels/kspec.io~1enforcement-mode", "audit"),
        "metadata.labels[kspec.io/enforcement-mode]",
        "enforce",
        "audit",
    ),
    "the label that it is found by": (
        BINDING,
        op("remove", "/metadata/labels/kspec.io~1cluster-spec"),
        "metadata.labels[kspec.io/cluster-spec]",
        "drifty",
        None,
    ),
    "the actions": (
        BINDING,
        op("replace", "/spec/validationActions", ["Warn"]),
        "spec.validationActions",
        ["Deny", "Audit"],
        ["Warn"],
    ),
    "something beside it": (
        BINDING,
        op("add", "/spec/matchResources", {"namespaceSelector": {"matchLabels": {"never": "true"}}}),
        "spec.matchResources",
        None,
        ...,
    ),
    "an item of a list": (
        POLICY,
        op("add", "/spec/auditAnnotations", [{"key": "k", "valueExpression": "'v'"}]),
        "spec.auditAnnotations",
        None,
        ...,
    ),
}


@pytest.mark.parametrize("manager", ["kubectl-edit", "kspec"])
@pytest.mark.parametrize("case", CHANGES)
def test_a_change_by_hand_is_named_with_its_author(drift: Drift, case: str, manager: str) -> None:
    drift.enforce()
    kind, operation, path, expected, actual = CHANGES[case]
    drift.patch(kind, "kspec-drifty-pods", operation, manager=manager)
    code, document = drift.detect()
    assert (code, found(document)) == (1, [("modified", "medium", kind, "kspec-drifty-pods")])
    (event,) = document["events"]
    fields = {
        **{path: (None, value) for path, value in event["diff"]["added"].items()},
        **{path: (value, None) for path, value in event["diff"]["removed"].items()},
        **{path: (one["old_value"], one["new_value"]) for path, one in event["diff"]["modified"].items()},
    }
    if path == "spec.validationActions":  # a list without keys, compared by position
        assert set(fields) == {"spec.validationActions[0]", "spec.validationActions[1]"}
    else:
        assert {name: (was, ... if actual is ... else now) for name, (was, now) in fields.items()} == {
            path: (expected, actual)
        }
    if manager == "kubectl-edit" and operation["op"] != "remove":
        assert event["changed_by"]["manager"] == manager
        assert event["changed_by"]["timestamp"]
    drift.enforce()
    assert drift.detect()[0] == 0


def test_each_is_told_apart_from_the_one_beside_it(drift: Drift) -> None:
    drift.enforce()
    drift.patch(POLICY, NAMES[0], op("replace", "/spec/failurePolicy", "Ignore"), manager="helm-upgrade")
    drift.patch(POLICY, NAMES[0], op("add", "/metadata/labels/team", "a"), manager="kubectl-label")
    drift.writer.delete(V1, BINDING, NAMES[1])
    drift.patch(POLICY, NAMES[2], op("add", "/metadata/labels/team", "a"), manager="kubectl-label")
    code, document = drift.detect()
    assert (code, found(document)) == (
        1,
        [("missing", "high", BINDING, NAMES[1]), ("modified", "medium", POLICY, NAMES[0])],
    )
    assert document["events"][1]["changed_by"]["manager"] == "helm-upgrade", "not who wrote last elsewhere"
    code, out, _ = drift.run("detect")
    assert code == 1
    assert f"high     missing   {BINDING} {NAMES[1]}\n    {BINDING} {NAMES[1]} does not exist.\n" in out
    assert "changed by helm-upgrade, 0 seconds ago" in out or "changed by helm-upgrade, " in out
    assert "spec.failurePolicy: Fail → Ignore" in out


def test_what_the_specification_changed_is_out_of_date_and_no_drift(drift: Drift) -> None:
    drift.enforce()
    drift.spec({**SPEC, "enforcement": {"enabled": True, "mode": "audit"}})
    code, document = drift.detect()
    assert (code, document["events"], len(document["outdated"])) == (0, [], 8)
    drift.patch(BINDING, NAMES[0], op("replace", "/spec/validationActions", ["Warn"]))
    code, document = drift.detect()
    assert (code, found(document), len(document["outdated"])) == (
        1,
        [("modified", "medium", BINDING, NAMES[0])],
        7,
    )


def test_a_removed_list_item_has_no_author_and_is_drift_all_the_same(drift: Drift) -> None:
    drift.enforce()
    drift.patch(POLICY, NAMES[1], op("remove", "/spec/matchConditions/0"))
    code, document = drift.detect()
    assert (code, found(document)) == (1, [("modified", "medium", POLICY, NAMES[1])])


def test_extra_is_what_has_our_labels_and_those_of_others_are_left_alone(drift: Drift) -> None:
    drift.enforce()
    there = drift.writer.get(V1, POLICY, NAMES[1])
    metadata = {key: there["metadata"][key] for key in ("labels", "annotations")}
    copy = {"apiVersion": V1, "kind": POLICY, "spec": there["spec"]}
    drift.writer.create(
        {**copy, "metadata": {**metadata, "name": "kspec-drifty-copy"}}, field_manager="kubectl-create"
    )
    foreign = {**metadata["labels"], "kspec.io/cluster-spec": "drifty-other"}
    drift.writer.create(
        {**copy, "metadata": {"name": "kspec-drifty-other", "labels": foreign}}, field_manager="kspec"
    )
    code, document = drift.detect()
    assert (code, found(document)) == (1, [("extra", "low", POLICY, "kspec-drifty-copy")])
    assert document["events"][0]["remediation"]["action"] == "manual-required"
    drift.spec({**SPEC, "enforcement": {"enabled": False}})
    code, document = drift.detect()
    assert {one["drift_kind"] for one in document["events"]} == {"extra"}
    assert len(document["events"]) == 9


def test_a_name_that_is_taken_is_missing_and_for_a_person(drift: Drift) -> None:
    drift.writer.create(
        {
            "apiVersion": V1,
            "kind": BINDING,
            "metadata": {"name": NAMES[1]},
            "spec": {"policyName": "other", "validationActions": ["Warn"]},
        },
        field_manager="kubectl-create",
    )
    drift_events = drift.detect()[1]["events"]
    (event,) = [
        one for one in drift_events if one["resource"] == {"kind": BINDING, "name": NAMES[1], "path": ""}
    ]
    assert event["remediation"]["status"] == "manual-required"
    assert "already exists, and it was not created by kspec" in event["message"]


def test_a_specification_that_says_nothing_is_compared_in_the_mode_that_was_applied(drift: Drift) -> None:
    silent = {key: value for key, value in SPEC.items() if key != "enforcement"}
    drift.spec(silent)
    code, _, err = drift.run("detect")
    assert (code, "there is nothing to compare" in err) == (2, True)
    assert drift.run("detect", "--allow-empty")[0] == 0
    drift.enforce(Mode.AUDIT)
    assert drift.detect()[0] == 0
    assert drift.detect("--mode", "enforce")[1]["outdated"]
    drift.writer.delete(V1, POLICY, NAMES[0])
    assert found(drift.detect()[1]) == [("missing", "high", POLICY, NAMES[0])]


def test_the_result_in_a_file(drift: Drift, tmp_path: Path) -> None:
    code, out, err = drift.run("detect", "-o", "json", "--output-file", str(tmp_path / "new" / "drift.json"))
    assert (code, out) == (1, "")
    assert err.endswith("drift.json: 8 differences\n")
    assert len(json.loads((tmp_path / "new" / "drift.json").read_text())["events"]) == 8
    assert drift.run("detect", "--output-file", str(tmp_path))[0] == 2


def test_a_cluster_that_cannot_be_read_is_no_drift_and_not_none(drift: Drift, tmp_path: Path) -> None:
    drift.enforce()
    dead = yaml.safe_load(drift.plane.kubeconfig().read_text())
    dead["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "dead").write_text(yaml.safe_dump(dead))
    code, out, err = drift.run("detect", "--kubeconfig", str(tmp_path / "dead"))
    assert (code, "no drift" in out) == (2, False)
    assert "error" in err


def test_two_specifications_are_refused(drift: Drift, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(drift.path.read_text().replace("drifty", "other"))
    assert load_spec(tmp_path / "other.yaml").name == "other"
    code, _, err = drift.run("detect", "-s", str(tmp_path / "other.yaml"))
    assert (code, "2 specifications are given" in err) == (4, True)
