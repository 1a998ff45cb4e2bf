"""Exemptions in annotations, from manifests to the report, and in admission."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.enforce.cel.program import program
from pytest_kspec.enforce.decide import decide
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.enforce.preview import preview
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.results import annotated
from pytest_kspec.rules.cel.places import PODS
from pytest_kspec.spec.loading import spec_from_part
from tests.cli.conftest import Kspec, kspec, run_kspec, write_spec
from tests.webhook.reviewing import NOW, pod, policies, policy, request

__all__ = ["kspec", "run_kspec", "write_spec"]

UNTIL = (datetime.now(UTC) + timedelta(days=20)).date().isoformat()
ASK = "workloads: {images: {requireDigests: true}}"
ALLOW = "annotationExemptions: {checks: [workloads.images.requireDigests]}"
KEY = "kspec.io/exempt.workloads.images.requireDigests"


def deployment(
    name: str, *, own: dict[str, str] | None = None, template: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "annotations": own or {}},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": template or {}},
                "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
            },
        },
    }


OBJECTS = [
    deployment("good", template={KEY: f"vendor image; until={UNTIL}"}),
    deployment("wrong-place", own={KEY: f"vendor image; until={UNTIL}"}),
    deployment("endless", template={KEY: "vendor image"}),
]


def scan(run_kspec: Kspec, tmp_path: Path, spec: Path) -> dict[str, Any]:
    (tmp_path / "apps.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": OBJECTS}))
    said = run_kspec("scan", spec, "--cluster", "./apps.json", "--report", "json:r.json")
    assert said.code == 1, said.err
    cluster: dict[str, Any] = json.loads((tmp_path / "r.json").read_text())["clusters"][0]
    return cluster


def test_from_manifests_to_the_report(run_kspec: Kspec, write_spec: Any, tmp_path: Path) -> None:
    cluster = scan(run_kspec, tmp_path, write_spec(f"{ASK}\n  {ALLOW}"))
    (check,) = cluster["checks"]
    name = f"annotation {KEY} of Deployment shop/good"
    assert {f["owner"]["name"]: f["exemption"] and f["exemption"]["name"] for f in check["findings"]} == {
        "good": name,
        "wrong-place": None,
        "endless": None,
    }
    (use,) = cluster["exemptions"]
    assert use == {
        "name": name,
        "reason": "vendor image",
        "approver": "",
        "expiresAt": f"{UNTIL}T23:59:59+00:00",
        "location": f"Deployment shop/good: metadata.annotations[{KEY}]",
        "state": "used",
        "matched": 1,
    }
    reasons = [n["reason"] for n in cluster["notEvaluated"] if n["key"] == "annotationExemptions"]
    assert reasons == [
        f"Deployment shop/endless: {KEY} has no effect: it does not end in '; until=YYYY-MM-DD'.",
        f"Deployment shop/wrong-place: {KEY} has no effect: it is on the controller; "
        "it must be in the pod template.",
    ]


def test_by_default_nothing_is_exempted_and_it_is_said(
    run_kspec: Kspec, write_spec: Any, tmp_path: Path
) -> None:
    cluster = scan(run_kspec, tmp_path, write_spec(ASK))
    assert [f["exemption"] for f in cluster["checks"][0]["findings"]] == [None, None, None]
    assert cluster["exemptions"] == []
    reasons = [n["reason"] for n in cluster["notEvaluated"] if n["key"] == "annotationExemptions"]
    assert (
        f"Deployment shop/good: {KEY} has no effect: the specification does not allow it (annotationExemptions)."
        in reasons
    )


@pytest.mark.parametrize("prefix", ["kspec.io/", "kspec.io\\/", "\\u006bspec.io/"])
def test_what_a_pod_carries_is_found_however_its_json_spells_it(tmp_path: Path, prefix: str) -> None:
    pods: dict[str, Any] = {"apiVersion": "v1", "kind": "PodList", "items": []}
    for name, key in (("plain", "other"), ("asks", KEY)):
        metadata = {"name": name, "namespace": "shop", "annotations": {key: "x"}}
        spec = {"containers": [{"name": "c", "image": "nginx:1"}]}
        pods["items"].append({"metadata": metadata, "spec": spec})
    path = tmp_path / "pods.json"
    path.write_text(json.dumps(pods).replace("kspec.io/", prefix))
    found = annotated.refusals(Inventory(open_source(str(path))).pods(), None, {}, NOW)
    assert [(pod.name, key) for pod, key, _ in found] == [("asks", KEY)]


def plan(text: str) -> Any:
    return enforcement_plan(spec_from_part(text), load_checks())


def test_a_preview_of_admission_says_the_same() -> None:
    inventory = Inventory(MemorySource(OBJECTS))
    allowed = preview(plan(f"{ASK}\n{ALLOW}"), inventory, "c")
    assert [refused.owner.name for refused in allowed.refused] == ["endless", "wrong-place"]
    assert len(preview(plan(ASK), inventory, "c").refused) == 3


def test_policies_cannot_say_it_and_the_rule_is_listed() -> None:
    made, left = program(plan(f"{ASK}\n{ALLOW}"), PODS, "c")
    assert [q.requirement_id for q in made.questions] == []
    assert [item.requirement_id for item in left] == ["workloads.images.requireDigests"]
    assert "annotations may exempt from it until a date" in left[0].reason
    made, left = program(plan(f"{ASK}\nannotationExemptions: {{checks: [rbac.minimumRules]}}"), PODS, "c")
    assert ([q.requirement_id for q in made.questions], left) == (["workloads.images.requireDigests"], [])


SOON = (NOW + timedelta(days=20)).date().isoformat()


@pytest.mark.parametrize(
    ("annotations", "allowed"), [({KEY: f"r; until={SOON}"}, True), ({KEY: "r"}, False), ({}, False)]
)
def test_the_webhook_decides_as_a_scan(annotations: dict[str, str], allowed: bool) -> None:
    asked = {"workloads": {"images": {"requireDigests": True}}}
    may = {"annotationExemptions": {"checks": ["workloads.images.requireDigests"]}}
    made = pod()
    made["metadata"] = {**made["metadata"], "annotations": annotations}
    decision = decide(request(made), policies(policy({**asked, **may})), NOW, None)
    assert decision.allowed is allowed
    if allowed:
        assert [found.finding.exemption.reason for found in decision.exempted if found.finding.exemption] == [
            "r"
        ]
    assert not decide(request(made), policies(policy(asked)), NOW, None).allowed
