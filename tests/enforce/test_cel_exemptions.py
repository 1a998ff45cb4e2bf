"""Exemptions in policies cover what they cover in a scan, and what cannot be expressed is not left out silently."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from pytest_kspec.checks.authoring import ATTRIBUTE, check
from pytest_kspec.enforce.cel.program import program, shortened
from pytest_kspec.enforce.plan import NotEnforceable, enforcement_plan
from pytest_kspec.errors import UsageError
from pytest_kspec.plan.checkset import CheckSet, Entry
from pytest_kspec.rules.cel.places import PODS
from pytest_kspec.rules.cel.text import literal
from pytest_kspec.rules.pods.fieldrule import FieldRule
from pytest_kspec.spec.exemption import Exemption
from pytest_kspec.spec.loading import spec_from_part
from tests.enforce.evaluating import CHECKSET, CLUSTER, NOW, planned, refused
from tests.parity.test_exemptions import EXEMPTIONS, OBJECTS, placed
from tests.parity.verdicts import agreed
from tests.rules.celruntime import values

SPEC = {
    "podSecurity": {"enforce": "baseline"},
    "network": {"disallowedPorts": [22]},
    "workloads": {"images": {"allowedRegistries": ["registry.example.com"]}},
}
MORE: dict[str, dict[str, Any]] = {
    "another-check": {"checks": ["rbac.*"]},
    "this-cluster": {"checks": ["podSecurity.*"], "clusters": [CLUSTER, "d"]},
    "another-cluster": {"namespaces": ["kspec-*"], "clusters": ["d"]},
    "a-name-of-any-kind-in-a-namespace": {"resources": [{"name": "w*", "namespace": "kspec-?"}]},
    "a-namespace-alone": {"resources": [{"namespace": "kspec-b"}]},
    "labels-of-one-kind": {"resources": [{"kind": "Pod", "labelSelector": {"team": "core"}}]},
    "containers-of-a-pod": {"containers": ["side"], "resources": [{"kind": "Pod", "name": "web"}]},
}
COVERS_NOTHING = {"expired", "another-check", "another-cluster"}
ALL: dict[str, Any] = EXEMPTIONS | MORE
NAMESPACES = ("kspec-a", "kspec-b", "kspec-infra-1")
NOTHING_EXEMPTED = planned(SPEC, "exempt-none")


def exemption(name: str, **fields: Any) -> Exemption:
    return Exemption.model_validate({"name": name, "reason": "r", "checks": ["*"], **fields})


@cache
def without(index: int, namespace: str) -> set[tuple[str, str]]:
    """What the policy says of an object where nothing is exempted."""
    return refused(NOTHING_EXEMPTED, placed(OBJECTS[index][0], namespace))


@pytest.mark.parametrize("name", ALL)
def test_as_a_scan_has_it(name: str) -> None:
    plan = planned(SPEC, f"exempt-{name}", exemptions=[exemption(name, **ALL[name])])
    fewer = False
    for index, (plain, others) in enumerate(OBJECTS):
        for at in (index, index + 1):
            namespace = NAMESPACES[at % len(NAMESPACES)]
            obj = placed(plain, namespace)
            found = refused(plan, obj)
            assert found == agreed(plan, obj, [placed(other, namespace) for other in others]), obj
            every = without(index, namespace)
            assert found <= every
            fewer = fewer or found < every
    assert fewer == (name not in COVERS_NOTHING)


def test_several_exemptions_each_cover_their_own() -> None:
    plan = planned(
        SPEC,
        "exempt-three",
        exemptions=[
            exemption("a", containers=["app"], namespaces=["kspec-a"]),
            exemption("b", containers=["side"], checks=["workloads.*"]),
            exemption("c", resources=[{"name": "web"}], checks=["podSecurity.standard[hostNamespaces]"]),
        ],
    )
    for namespace in ("kspec-a", "kspec-b"):
        for plain, others in OBJECTS:
            obj = placed(plain, namespace)
            assert refused(plan, obj) == agreed(plan, obj, [placed(one, namespace) for one in others])


def test_an_exemption_holds_until_it_ends() -> None:
    plan = planned(
        SPEC,
        "exempt-ends",
        exemptions=[
            exemption("ends", namespaces=["kspec-a"], expiresAt=(NOW + timedelta(seconds=1)).isoformat())
        ],
    )
    assert refused(plan, placed(OBJECTS[0][0], "kspec-a")) == set()


def test_an_exemption_of_a_cluster_needs_its_name() -> None:
    theirs = exemption("theirs", namespaces=["x"], clusters=["d", "e*"]).located("exempt.yaml:3:5")
    plan = planned(SPEC, "exempt-unnamed", exemptions=[theirs])
    with pytest.raises(UsageError) as raised:
        program(plan, PODS, None)
    assert str(raised.value) == (
        "exempt.yaml:3:5: exemption 'theirs' applies to clusters d, e*, but the name of this cluster is not known. "
        "Name it with --cluster-name."
    )
    everywhere = planned(SPEC, "exempt-everywhere", exemptions=[exemption("ours", namespaces=["x"])])
    assert program(everywhere, PODS, None) == program(everywhere, PODS, CLUSTER)


def test_what_annotations_may_exempt_from_is_not_expressed() -> None:
    allowed = {"checks": ["podSecurity.standard[privileged]"], "maxDays": 30, "maxSeverity": "critical"}
    loaded = spec_from_part({**SPEC, "annotationExemptions": allowed}, name="annotated")
    plan = enforcement_plan(loaded, CHECKSET, now=NOW)
    made, left = program(plan, PODS, CLUSTER)
    not_expressed = "podSecurity.standard[privileged]"
    assert left == [
        NotEnforceable(
            not_expressed,
            "annotations may exempt from it until a date (annotationExemptions), and CEL cannot read the time; "
            "the webhook does it",
            loaded.locate("podSecurity.enforce"),
        )
    ]
    others = {rule.requirement.id for rule in plan.rules if rule.target == "pods"} - {not_expressed}
    assert [question.requirement_id for question in made.questions] == sorted(others)


def test_requirements_of_similar_ids_are_all_asked() -> None:
    """Ids that are one name in CEL: each has a variable of its own."""
    ids = ("acme.a-b", "acme.a.b", "acme.a-b.c", "acme.a.b-c", "acme.a.b.c")

    def made(id: str) -> Entry:
        rule = FieldRule(field="hostPID", over="pod", allowed=(None, False), reason="r")

        @check(id=id, title="t", severity="low", remediation="r", rule=rule)
        def test_thing() -> None:
            """Why."""

        return Entry(getattr(test_thing, ATTRIBUTE), ModuleType("m"), False)

    plan = enforcement_plan(spec_from_part({}, name="similar"), CheckSet(list(map(made, ids))), now=NOW)
    program_, _ = program(plan, PODS, CLUSTER)
    assert [(one.requirement_id, one.check.id, one.variable, one.is_met) for one in program_.questions] == [
        (id, id, name, f"variables.{name}.size() == 0")
        for id, name in (
            ("acme.a-b", "acme_a_b"),
            ("acme.a-b.c", "acme_a_b_c"),
            ("acme.a.b", "acme_a_b_2"),
            ("acme.a.b-c", "acme_a_b_c_2"),
            ("acme.a.b.c", "acme_a_b_c_3"),
        )
    ]
    assert program_.place is PODS
    assert [name for name, _ in program_.variables] == ["spec", *(q.variable for q in program_.questions)]


def test_variables_are_those_that_are_used_each_behind_those_that_it_uses() -> None:
    host = {"workloads": {"containers": {"forbidden": [{"key": "hostPID"}]}}}
    question = "workloads_containers_forbidden_hostPID"
    for exempted, names in (
        ({}, ["spec", "os", question]),
        ({"namespaces": ["x"]}, ["objectNamespace", "spec", "os", "exempt0", question]),
        (
            {"resources": [{"kind": "Deployment", "name": "web"}]},
            ["name", "owners", "controller", "owner", "spec", "os", "exempt0", question],
        ),
    ):
        plan = planned(host, "used", exemptions=[exemption("e", **exempted)] if exempted else [])
        assert [name for name, _ in program(plan, PODS, CLUSTER)[0].variables] == names


@pytest.mark.parametrize("size", [0, 1, 2500, 2501, 9000])
def test_a_message_is_one_line_of_bounded_length(size: int) -> None:
    text = shortened(literal("x" * size))
    said = values([("m", text)], {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}})["m"]
    assert said == ("x" * size if size <= 2500 else "x" * 2500 + "…")
    lines = shortened(literal("a\nb\rc"))
    assert (
        values([("m", lines)], {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}})["m"]
        == "a b c"
    )
