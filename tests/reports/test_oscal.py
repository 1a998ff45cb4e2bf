from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from trestle.oscal.assessment_results import AssessmentResults

from pytest_kspec.reports import writer
from pytest_kspec.reports.oscal import document as oscal
from pytest_kspec.reports.oscal.terms import control, token
from pytest_kspec.results.evidence import Evidence
from pytest_kspec.results.finding import AppliedExemption
from pytest_kspec.results.result import ScanResult
from tests.reports import results

RESULTS = {
    "one": results.one(),
    "compliant": results.compliant(),
    "fleet": results.fleet(5, 40, 3),
    "twice": results.scan(results.cluster(), results.cluster()),
    "no checks": results.scan(results.cluster(checks=())),
    "empty": results.scan(),
}


def document(result: ScanResult) -> dict[str, Any]:
    return json.loads(writer.render(result, "oscal"))["assessment-results"]


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from walk(child)
    elif isinstance(node, list):
        for child in node:
            yield from walk(child)


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_valid_by_the_models_of_trestle(name: str) -> None:
    made = document(RESULTS[name])
    assert AssessmentResults.model_validate(made).metadata.oscal_version.root.root == oscal.VERSION
    made["results"][0]["end"] = "yesterday"
    with pytest.raises(ValueError, match="end"):
        AssessmentResults.model_validate(made)


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_identifiers_are_unique_and_references_lead_somewhere(name: str) -> None:
    made = document(RESULTS[name])
    uuids = [node["uuid"] for node in walk(made) if "uuid" in node]
    assert len(set(uuids)) == len(uuids)
    for node in walk(made):
        for key in ("observation-uuid", "risk-uuid", "subject-uuid", "actor-uuid", "component-uuid"):
            assert node.get(key, uuids[0]) in uuids
        if node.get("href", "").startswith("#"):
            assert node["href"][1:] in uuids


def test_findings_lead_to_observations_subjects_and_controls() -> None:
    (result,) = document(results.one())["results"]
    observations = {o["uuid"]: o for o in result["observations"]}
    items = {i["uuid"]: i for i in result["local-definitions"]["inventory-items"]}
    finding = next(f for f in result["findings"] if f["title"] == "No container runs privileged")
    assert finding["target"] == {
        "type": "objective-id",
        "target-id": token("podSecurity.standard[privileged]"),
        "title": "No container runs privileged",
        "status": {
            "state": "not-satisfied",
            "reason": "fail",
            "remarks": "2 findings covered by exemptions: this does not cause a failure.",
        },
    }
    linked = [observations[link["observation-uuid"]] for link in finding["related-observations"]]
    assert [o["types"] for o in linked] == [["control-objective"], *[["finding"]] * 5]
    subjects = [items[o["subjects"][0]["subject-uuid"]]["description"] for o in linked[1:]]
    assert subjects.count("Deployment shop/web") == 2
    risks = {r["uuid"]: r for r in result["risks"]}
    about = [risks[link["risk-uuid"]] for link in finding["related-risks"]]
    assert [r["status"] for r in about] == ["open", "deviation-approved", "deviation-approved"]
    assert [r.get("deadline") for r in about] == [None, None, "2027-03-31T00:00:00+02:00"]
    reviewed = result["reviewed-controls"]["control-selections"][0]["include-controls"]
    assert {"control-id": "ac-6"} in reviewed


def test_nothing_that_was_not_evaluated_is_satisfied() -> None:
    (result,) = document(results.one())["results"]
    by_title = {f["title"]: f["target"]["status"] for f in result["findings"]}
    secrets = by_title["Nobody but the platform may read Secrets"]
    assert (secrets["state"], secrets["reason"]) == ("not-satisfied", "other")
    assert "403 Forbidden" in secrets["remarks"]
    assert "Only allowed Service types" not in by_title  # skipped: neither satisfied nor not
    reviewed = json.dumps(result["reviewed-controls"]["control-objective-selections"])
    assert token("rbac.forbiddenRules[core/secrets]") not in reviewed
    assert token("network.allowedServiceTypes") not in reviewed


def test_frameworks() -> None:
    (result,) = document(results.one())["results"]
    controls = {
        next(p["value"] for p in f["props"] if p["name"] == "control"): f
        for f in result["findings"]
        if any(p["name"] == "framework" for p in f["props"])
    }
    states = {
        name: (f["target"]["status"]["state"], f["target"]["status"]["reason"])
        for name, f in controls.items()
    }
    assert states == {
        "5.2.2": ("not-satisfied", "fail"),
        "5.2.3": ("satisfied", "pass"),
        "5.3.2": ("not-satisfied", "other"),
    }
    assert "network plugin enforces" in controls["5.3.2"]["target"]["status"]["remarks"]
    included = result["reviewed-controls"]["control-selections"][0]["include-controls"]
    ids = {c["control-id"] for c in included}
    assert {control("cis-kubernetes-1.10", c) for c in states} <= ids
    assert control("cis-kubernetes-1.10", "1.1.1") not in ids
    assert "1 not evaluated, 1 for manual review" in result["reviewed-controls"]["remarks"]


def test_objects_and_risks_keep_their_identifiers_observations_are_new_in_each_run() -> None:
    (before,) = document(results.one())["results"]
    (after,) = document(replace(results.one(), finished_at="2026-11-25T06:00:07Z"))["results"]

    def ids(parts: list[dict[str, Any]]) -> set[str]:
        return {part["uuid"] for part in parts}

    for lasting in ("risks",):
        assert ids(before[lasting]) == ids(after[lasting])
    assert before["local-definitions"] == after["local-definitions"]
    for new in ("observations", "findings"):
        assert not ids(before[new]) & ids(after[new])


def test_evidence_is_in_the_back_matter() -> None:
    evidence = Evidence("prod.tar.gz", "ab" * 32, "2026-11-24T05:00:00Z", "cd" * 32)
    made = document(results.scan(results.cluster(source="snapshot", evidence=evidence)))
    plan, snapshot = made["back-matter"]["resources"]
    assert plan["rlinks"] == [
        {"href": "specs/strict.yaml", "hashes": [{"algorithm": "SHA-256", "value": "cd" * 32}]}
    ]
    assert snapshot["rlinks"] == [
        {"href": "prod.tar.gz", "hashes": [{"algorithm": "SHA-256", "value": "ab" * 32}]}
    ]
    assert made["results"][0]["links"] == [{"href": f"#{snapshot['uuid']}", "rel": "evidence"}]
    assert made["import-ap"]["href"] == f"#{plan['uuid']}"


@pytest.mark.parametrize(
    ("name", "framework", "made"),
    [
        ("AC-6", "nist-800-53", "ac-6"),
        ("AC-6(1)", "nist-800-53-rev5", "ac-6.1"),
        ("5.2.2", "cis-kubernetes-1.10", "cis-kubernetes-1.10_5.2.2"),
    ],
)
def test_control_ids(name: str, framework: str, made: str) -> None:
    assert control(framework, name) == made


def test_tokens_keep_names_apart() -> None:
    names = ["a[b]", "a(b)", "5", "", "日本", "a b", "ab", "-x-"]
    tokens = [token(name) for name in names]
    assert len(set(tokens)) == len(names)
    assert tokens[6] == "ab"


def test_an_exemption_that_is_no_time_has_no_deadline() -> None:
    exempted = replace(
        results.privileged(),
        findings=tuple(
            replace(f, exemption=AppliedExemption("x", "y", "", "someday"))
            for f in results.privileged().findings[:1]
        ),
    )
    (result,) = document(results.scan(results.cluster(checks=(exempted,))))["results"]
    assert ["deadline" in risk for risk in result["risks"]] == [False]
