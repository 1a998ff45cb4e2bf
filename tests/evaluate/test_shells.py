"""A check has the same verdict, findings and reasons, whoever runs it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from pytest_kspec import Findings, check
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.enforce.decide import decide
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.enforce.preview import preview
from pytest_kspec.evaluate.findings import NOT_LOOKED
from pytest_kspec.onboard.survey import Survey
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.result import CheckResult
from pytest_kspec.spec.loading import spec_from_part
from pytest_kspec.testing import evaluate
from tests.evaluate import cases
from tests.webhook.reviewing import (
    CHECKSET,
    CONTAINER,
    GROUPS,
    NOW,
    deployment,
    pod,
    policies,
    policy,
    request,
)

CASES = Path(cases.__file__)
LIMIT_S = 2.0
"""Of a step of a check; three of the cases wait for it. All others take milliseconds."""

SPEC: dict[str, Any] = {
    "namespaceScope": {"excludeNamespaces": ["play"]},
    "policyExemptions": [
        {
            "name": "agreed",
            "reason": "agreed with the owner",
            "approver": "lee",
            "expiresAt": "2099-01-01",
            "checks": ["acme.*"],
            "resources": [{"kind": "Pod", "name": "exempt"}],
        }
    ],
}


def _object(kind: str, name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}


OBJECTS = [
    *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("shop", "play")),
    *(
        _object("Pod", name, namespace, containers=[{"name": "app", "image": "a"}], hostNetwork=True)
        for name, namespace in (("plain", "shop"), ("exempt", "shop"), ("other", "play"))
    ),
    *(
        _object("Service", name, "shop", type="NodePort", ports=[{"port": 80}])
        for name in ("front", "hidden")
    ),
]


def _document(spec: dict[str, Any]) -> str:
    head = {"apiVersion": "kspec.dev/v1", "kind": "ClusterSpecification"}
    return yaml.safe_dump({**head, "metadata": {"name": "strict", "version": "1.0.0"}, "spec": spec})


def _said(result: dict[str, Any]) -> dict[str, Any]:
    """Of a result as plain data, all that is about the check, not about the run."""
    return {k: v for k, v in result.items() if k not in ("nodeid", "durationSeconds", "location", "id")}


def _different(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [
        f"{id} {key}: {one[id][key]} | {other[id][key]}"
        for id in other
        for key in other[id]
        if one[id][key] != other[id][key]
    ]


class Shells:
    """The cases on one cluster, by every shell: id → result."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.cluster = folder / "cluster.yaml"
        self.cluster.write_text(yaml.safe_dump_all(OBJECTS))
        self.file = folder / "spec.yaml"
        self.file.write_text(_document(spec))
        checks = folder / "test_cases.py"
        checks.write_text(CASES.read_text())
        self.checks = checks

    def by_pytest(self) -> dict[str, Any]:
        """As `kspec scan`, which has pytest run them."""
        out = self.file.with_name("result.json")
        words = ["scan", self.file, "--cluster", self.cluster, "--checks", self.checks]
        words += ["--check-timeout", str(LIMIT_S), "--report", f"json:{out}"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest_kspec.cli.main", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.file.parent,
        )
        assert done.returncode == 2, done.stdout + done.stderr
        (cluster,) = json.loads(out.read_text())["clusters"]
        return {check["id"]: _said(check) for check in cluster["checks"]}

    def by_testing(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, func in vars(cases).items():
            if name.startswith("test_"):
                source = open_source(str(self.cluster))
                for result in evaluate(func, spec=self.spec, source=source, timeout_s=LIMIT_S):
                    found[result.id] = _said(result.to_wire())
        return found


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Shells:
    return Shells(tmp_path_factory.mktemp("shells"), SPEC)


@pytest.fixture(scope="module")
def by_pytest(shells: Shells) -> dict[str, Any]:
    return shells.by_pytest()


@pytest.fixture(scope="module")
def by_testing(shells: Shells) -> dict[str, Any]:
    return shells.by_testing()


def test_every_case_is_run_by_both(by_pytest: dict[str, Any], by_testing: dict[str, Any]) -> None:
    assert sorted(by_pytest) == sorted(by_testing)
    assert len(by_testing) > 50


def test_both_say_the_same(by_pytest: dict[str, Any], by_testing: dict[str, Any]) -> None:
    assert _different(by_pytest, by_testing) == []


def test_a_check_that_looks_at_nothing_is_an_error(by_testing: dict[str, Any]) -> None:
    """Builds a generator over what it should look at, lists it, or returns before it looks."""
    said = NOT_LOOKED
    names = {
        "builds": "pods",
        "builds-elsewhere": "resources, Pod",
        "unread": "Pod",
        "no-roles": "rbac",
        "unread-pairs": "workloads",
    }
    assert {name: by_testing[f"acme.{name}"]["reason"] for name in names} == {
        name: said.format(unread) for name, unread in names.items()
    }
    looked = [by_testing[f"acme.{name}"]["verdict"] for name in ("counts", "version", "outer")]
    assert looked == ["pass", "pass", "pass"]


def test_what_is_meant_for_the_whole_run_is_no_verdict() -> None:
    def interrupts() -> None:
        signal.raise_signal(signal.SIGINT)

    def keeps_it() -> None:
        with contextlib.suppress(BaseException):
            interrupts()

    def exits() -> None:
        pytest.exit("stop")

    for do, error in (
        (interrupts, KeyboardInterrupt),
        (keeps_it, KeyboardInterrupt),
        (exits, pytest.exit.Exception),
    ):

        @check(id="acme.ends", title="Ends the run", severity="low", remediation="None.")
        def ends(findings: Findings, do: Callable[[], None] = do) -> None:
            """Why."""
            do()

        with pytest.raises(error):
            evaluate(ends)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_specification_that_is_not_active_asks_for_nothing() -> None:
    past = {"startDate": "2020-01-01", "endDate": "2020-02-01"}
    asked = {"timeBasedActivation": {"enabled": True, "activePeriods": [past]}}
    (result,) = evaluate(cases.test_finds, objects=OBJECTS, spec=asked)
    assert (result.verdict, result.findings) == ("skip", ())
    assert "timeBasedActivation" in result.reason


BUILT_IN: dict[str, Any] = {
    "podSecurity": {"enforce": "restricted", "version": "v1.34"},
    "network": {"defaultDeny": True, "allowedServiceTypes": ["ClusterIP"]},
    "workloads": {
        "containers": {"required": [{"key": "resources.limits.memory", "exists": True}]},
        "images": {"requireDigests": True, "allowedRegistries": ["registry.example.com"]},
    },
}


def _tested(spec: dict[str, Any], objects: Sequence[dict[str, Any]] = OBJECTS) -> dict[str, CheckResult]:
    return {
        result.id: result
        for check in CHECKSET.checks
        if check.key or check.requirements
        for result in evaluate(check.func, spec=spec, objects=objects)
    }


def test_built_in_checks_say_the_same_in_a_survey() -> None:
    """`kspec init` runs them too."""
    surveyed = {r.id: replace(r, controls={}) for r in Survey(MemorySource(OBJECTS))._try(BUILT_IN)}
    assert len(surveyed) > 10
    assert surveyed == _tested(BUILT_IN)


def test_findings_at_admission_are_those_of_a_scan() -> None:
    """A webhook judges one object at a time, by the rules of the same checks."""
    exempt = {**SPEC["policyExemptions"][0], "checks": ["*.*"]}
    spec = BUILT_IN | {"policyExemptions": [exempt], "namespaceScope": SPEC["namespaceScope"]}
    made = policy(spec, cluster="test")
    enforced = {rule.requirement.id for rule in made.rules}
    admitted: dict[str, set[str]] = {id: set() for id in enforced}
    for obj in OBJECTS:
        if obj["kind"] in GROUPS:
            for item in decide(request(obj), policies(made), NOW).found:
                admitted[item.rule.requirement.id].add(_text(item.finding))
    scanned = {id: set(map(_text, r.findings)) for id, r in _tested(spec).items() if id in enforced}
    assert sum(map(len, scanned.values())) > 10
    assert admitted == scanned


def _text(finding: Finding) -> str:
    return json.dumps(replace(finding, fix=None).to_wire(), sort_keys=True)  # admission offers no fix


MALFORMED: list[dict[str, Any]] = [
    pod(containers=[CONTAINER, "text", CONTAINER | {"securityContext": []}]),
    pod(hostNetwork="yes", initContainers={}),
    deployment({"containers": [CONTAINER | {"securityContext": {"privileged": "yes"}}, 5]}),
    deployment({"containers": [CONTAINER], "volumes": "none", "securityContext": {"sysctls": [1]}}),
    {
        **_object("Service", "list", "shop"),
        "spec": ["type"],
    },
    _object("Service", "number", "shop", type=5),
]


@pytest.mark.parametrize("obj", MALFORMED, ids=range(len(MALFORMED)))
def test_what_could_not_be_evaluated_is_said_the_same_at_admission_and_in_a_preview(
    obj: dict[str, Any],
) -> None:
    made = policy(BUILT_IN, cluster="test")
    enforced = {rule.requirement.id for rule in made.rules}
    decision = decide(request(obj), policies(made), NOW)
    assert not decision.allowed
    assert not decision.is_internal_error
    admitted = {failure.requirement_id: failure.what for failure in decision.failures}
    found: dict[str, set[str]] = {}
    for item in decision.found:
        found.setdefault(item.rule.requirement.id, set()).add(_text(item.finding))

    ref = f"{obj['kind']} {obj['metadata']['namespace']}/{obj['metadata']['name']}"
    scanned = {id: result for id, result in _tested(BUILT_IN, [obj]).items() if id in enforced}
    assert admitted == {
        id: result.reason.replace(f"{ref}: ", "")
        for id, result in scanned.items()
        if result.verdict == "error"
    }
    assert found == {
        id: set(map(_text, result.findings)) for id, result in scanned.items() if result.findings
    }

    plan = enforcement_plan(spec_from_part(BUILT_IN), CHECKSET, version="v1.34.0", now=NOW)
    previewed = preview(plan, Inventory(MemorySource([obj])), "test")
    lines = sorted({line.removeprefix(f"{ref}: ") for line in previewed.errors}, key=len, reverse=True)
    for sentence in admitted.values():
        for line in lines:
            sentence = sentence.replace(line, "")
        assert sentence.strip("; ") == ""
