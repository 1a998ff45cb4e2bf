"""admission.policies: Kyverno policies of both API groups."""

from typing import Any

import pytest

from builtin_checks.admission.test_policies import KINDS
from builtin_checks.admission.test_policies import test_policy_count as count_check
from builtin_checks.admission.test_policies import test_required_policies as name_check
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import obj, told, verdict

READY = {"conditions": [{"type": "Ready", "status": "True"}]}
NOT_READY = {"conditions": [{"type": "Ready", "status": "False", "message": "broken"}]}
VALIDATE = {"name": "r", "validate": {"pattern": {}}}
UNSERVED = sorted({kind for _, kind in KINDS})
PATH = "admission.policies.requiredPolicies[p]"


def legacy(
    name: str = "p",
    kind: str = "ClusterPolicy",
    ns: str = "",
    status: Any = READY,
    rules: Any = (VALIDATE,),
    **spec: Any,
) -> dict[str, Any]:
    return obj("kyverno.io/v1", kind, name, ns, spec={"rules": list(rules), **spec}, status=status)


def current(
    name: str = "p", kind: str = "ValidatingPolicy", ns: str = "", ready: bool = True, **spec: Any
) -> dict[str, Any]:
    status = {"conditionStatus": {"ready": ready}}
    if kind.endswith("ValidatingPolicy"):
        spec = {"validations": [{"expression": "false"}], **spec}
    return obj("policies.kyverno.io/v1", kind, name, ns, spec=spec, status=status)


def named(*objects: Any, **options: Any) -> list[CheckResult]:
    spec = {"admission": {"policies": {"requiredPolicies": [{"name": "p"}]}}}
    return evaluate(name_check, objects=objects, spec=spec, **options)


def counted(n: int, *objects: Any, **options: Any) -> list[CheckResult]:
    return evaluate(
        count_check, objects=objects, spec={"admission": {"policies": {"minCount": n}}}, **options
    )


@pytest.mark.parametrize(
    "policy",
    [
        legacy(validationFailureAction="Enforce"),
        legacy(validationFailureAction="enforce", status={"ready": True}),
        legacy(rules=[{"name": "r", "validate": {"failureAction": "Enforce"}}]),
        legacy(
            validationFailureAction="Audit", rules=[{"name": "r", "validate": {"failureAction": "Enforce"}}]
        ),
        legacy(rules=[{"name": "r", "mutate": {}}, {"name": "g", "generate": {}}]),
        current(),
        current(validationActions=["Deny", "Audit"]),
        current(kind="ImageValidatingPolicy", validationActions=["Deny"]),
        current(kind="MutatingPolicy"),
        current(kind="GeneratingPolicy"),
    ],
)
def test_ready_and_enforcing(policy: Any) -> None:
    assert (told(named(policy)), verdict(named(policy))) == ([], "pass")


@pytest.mark.parametrize(
    ("policy", "finding"),
    [
        (legacy(), ("spec.validationFailureAction", None, "rule r only audits")),
        (
            legacy(validationFailureAction="Audit"),
            ("spec.validationFailureAction", "Audit", "rule r only audits"),
        ),
        (
            legacy(
                validationFailureAction="Enforce",
                rules=[VALIDATE, {"name": "s", "validate": {"failureAction": "Audit"}}],
            ),
            ("spec.rules[s].validate.failureAction", "Audit", "rule s only audits"),
        ),
        (
            legacy(rules=[{"name": "i", "verifyImages": [{"failureAction": "Audit"}]}]),
            ("spec.rules[i].verifyImages[0].failureAction", "Audit", "rule i only audits"),
        ),
        (
            legacy(
                validationFailureAction="Enforce",
                validationFailureActionOverrides=[{"action": "Audit", "namespaces": ["dev", "test"]}],
            ),
            (
                "spec.validationFailureActionOverrides[0].action",
                "Audit",
                "the policy only audits in dev, test",
            ),
        ),
        (
            legacy(validationFailureAction="Enforce", admission=False),
            ("spec.admission", False, "not applied at admission"),
        ),
        (
            legacy(validationFailureAction="Enforce", status=NOT_READY),
            ("status", "Ready is False: broken", "the policy is not ready"),
        ),
        (
            legacy(validationFailureAction="Enforce", status={}),
            ("status", "no status", "the policy is not ready"),
        ),
        (
            legacy(rules=[], validationFailureAction="Enforce"),
            ("spec.rules", None, "the policy has no rules"),
        ),
        (
            current(validations=None),
            ("spec.validations", None, "the policy has no validations"),
        ),
        (current(ready=False), ("status", "not ready", "the policy is not ready")),
        (
            current(validationActions=["Audit", "Warn"]),
            ("spec.validationActions", ["Audit", "Warn"], "the policy does not deny: Audit, Warn"),
        ),
        (
            current(evaluation={"admission": {"enabled": False}}),
            ("spec.evaluation.admission.enabled", False, "not applied at admission"),
        ),
        (
            current(evaluation={"mode": "JSON"}),
            ("spec.evaluation.mode", "JSON", "the policy is for JSON payloads"),
        ),
    ],
)
def test_not_ready_or_not_denying(policy: Any, finding: Any) -> None:
    assert told(named(policy)) == [(f"{policy['kind']} p", *finding)]


def test_one_of_two_kinds_of_that_name_is_enough() -> None:
    assert told(named(legacy(), current())) == []


def test_missing() -> None:
    assert told(named(current("other"))) == [("cluster", PATH, None, "Kyverno policy p is missing")]


@pytest.mark.parametrize(
    "policy", [legacy(kind="Policy", ns="shop"), current(kind="NamespacedValidatingPolicy", ns="shop")]
)
def test_a_policy_of_one_namespace_is_not_one_for_the_cluster(policy: Any) -> None:
    assert told(named(policy)) == [
        ("cluster", PATH, "for namespace shop only", "Kyverno policy p exists in namespace shop only")
    ]


def test_policies_of_the_scanned_cluster_are_read_and_an_unserved_kind_is_a_finding() -> None:
    message = "the cluster serves no policy of Kyverno (kyverno.io, policies.kyverno.io): nothing is enforced"
    assert told(named(missing=UNSERVED)) == [("cluster", PATH, None, message)]
    assert told(counted(1, missing=UNSERVED)) == [("cluster", "admission.policies.minCount", None, message)]
    only_current = [kind for group, kind in KINDS if group == "kyverno.io"]
    assert told(named(current(), missing=only_current)) == []


def test_not_readable_is_an_error() -> None:
    assert verdict(named(legacy(), denied=["clusterpolicies"])) == "error"


def test_count_of_ready_policies_of_all_kinds() -> None:
    policies = [
        legacy("a"),
        legacy("b", status=NOT_READY),
        legacy("c", kind="Policy", ns="shop"),
        current("d"),
        current("e", kind="NamespacedMutatingPolicy", ns="shop"),
        current("f", ready=False),
    ]
    assert told(counted(4, *policies)) == []
    assert told(counted(5, *policies)) == [
        (
            "cluster",
            "admission.policies.minCount",
            "4; not ready: b, f",
            "4 of 5 Kyverno policies exist and are ready; not ready: b, f",
        )
    ]


WRONG_RULES: tuple[Any, ...] = (
    "x",
    True,
    {},
    ["x"],
    [{"validate": []}],
    [{"verifyImages": {}}],
    [{"verifyImages": ["x"]}],
    [{"name": "r", "validate": {"failureAction": {}}}],
    [{"name": "r", "validate": {"failureAction": ["Enforce"]}}],
    [{"name": "r", "validate": {"failureAction": False}}],
)
WRONG_FIELDS: tuple[dict[str, Any], ...] = (
    {"admission": "false"},
    {"admission": 0},
    {"validationFailureActionOverrides": "x"},
    {"validationFailureActionOverrides": [{"action": ["Audit"]}]},
)
WRONG_CURRENT: tuple[dict[str, Any], ...] = (
    {"evaluation": []},
    {"evaluation": {"admission": "off"}},
    {"evaluation": {"admission": {"enabled": "false"}}},
    {"validationActions": {}},
    {"validationActions": "Deny"},
    {"validations": True},
)


@pytest.mark.parametrize(
    "policy",
    [
        *(
            legacy() | {"spec": {"validationFailureAction": "Enforce", "rules": wrong}}
            for wrong in WRONG_RULES
        ),
        *(legacy(validationFailureAction="Enforce", **wrong) for wrong in WRONG_FIELDS),
        *(current(**wrong) for wrong in WRONG_CURRENT),
    ],
)
def test_what_cannot_be_read_is_an_error(policy: Any) -> None:
    """An API server does not hold this; a file may."""
    assert verdict(named(policy)) == "error"
    assert verdict(named(policy, kind="manifests")) == "error"


def test_no_count_asked() -> None:
    assert counted(0) == []


def test_manifests_have_no_status() -> None:
    policy = current()
    del policy["status"]
    assert told(named(policy, kind="manifests")) == []
    assert told(counted(1, policy, kind="manifests")) == []
