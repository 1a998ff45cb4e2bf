"""admission.required: objects that are there and have an effect."""

from typing import Any

import pytest

from builtin_checks.admission.test_required import test_required as check
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import ADMISSION, obj, told, verdict

VALIDATING = "ValidatingWebhookConfiguration"
POLICY = "ValidatingAdmissionPolicy"


def webhooks(name: str, kind: str = VALIDATING, count: int = 1) -> dict[str, Any]:
    return obj(ADMISSION, kind, name, webhooks=[{"name": f"w{i}.example.org"} for i in range(count)])


def policy_binding(name: str, policy: Any, *actions: Any, kind: str = POLICY) -> dict[str, Any]:
    spec = {"policyName": policy, "validationActions": list(actions)} if actions else {"policyName": policy}
    return obj(ADMISSION, f"{kind}Binding", name, spec=spec)


def run(
    *objects: Any, kind: str = VALIDATING, pattern: str | None = "kyverno-.*", count: int = 1, **options: Any
) -> list[CheckResult]:
    entry = {"type": kind, "minCount": count} | ({"namePattern": pattern} if pattern else {})
    return evaluate(check, objects=objects, spec={"admission": {"required": [entry]}}, **options)


def test_there() -> None:
    results = run(webhooks("kyverno-resource"), webhooks("other"))
    assert (told(results), verdict(results), results[0].id) == (
        [],
        "pass",
        f"admission.required[{VALIDATING}/kyverno-.*]",
    )


def test_another_kind_does_not_count() -> None:
    results = run(webhooks("kyverno-resource", "MutatingWebhookConfiguration"))
    path = f"admission.required[{VALIDATING}/kyverno-.*]"
    assert told(results) == [("cluster", path, "0", f"0 of 1 {VALIDATING} named kyverno-.*")]


def test_too_few_and_idle_ones() -> None:
    results = run(webhooks("kyverno-a"), webhooks("kyverno-b", count=0), count=2)
    assert [f[2:] for f in told(results)] == [
        ("1; kyverno-b has no webhooks", f"1 of 2 {VALIDATING} named kyverno-.*; kyverno-b has no webhooks"),
    ]


def test_the_pattern_must_match_the_whole_name() -> None:
    results = run(webhooks("not-kyverno-at-all"), pattern="kyverno")
    assert [f[2:] for f in told(results)] == [
        (
            "0; not-kyverno-at-all matches only in part, but the whole name must match",
            f"0 of 1 {VALIDATING} named kyverno; "
            "not-kyverno-at-all matches only in part, but the whole name must match",
        )
    ]


def test_a_glob_is_told_what_it_means() -> None:
    results = run(webhooks("kyverno-resource"), pattern="kyverno-*")
    assert "matches only in part" in told(results)[0][3]


def test_without_pattern_any_name_counts() -> None:
    assert verdict(run(webhooks("x"), pattern=None)) == "pass"


@pytest.mark.parametrize(
    ("bindings", "said"),
    [
        ([], "p has no binding"),
        ([policy_binding("b", "other", "Deny")], "p has no binding"),
        ([policy_binding("b", "p", "Audit", "Warn")], "p does not deny (its bindings: Audit, Warn)"),
        ([policy_binding("b", "p")], "p does not deny (its bindings: no action)"),
    ],
)
def test_a_policy_without_a_denying_binding_is_not_counted(bindings: Any, said: str) -> None:
    results = run(obj(ADMISSION, POLICY, "p", spec={}), *bindings, kind=POLICY, pattern="p")
    assert [f[2:] for f in told(results)] == [(f"0; {said}", f"0 of 1 {POLICY} named p; {said}")]


def test_a_policy_that_one_binding_denies() -> None:
    objects = [
        obj(ADMISSION, POLICY, "p", spec={}),
        policy_binding("a", "p", "Audit"),
        policy_binding("b", "p", "Deny", "Audit"),
    ]
    assert verdict(run(*objects, kind=POLICY, pattern="p")) == "pass"


def test_mutating_policies_need_a_binding_only() -> None:
    kind = "MutatingAdmissionPolicy"
    policy = obj(ADMISSION, kind, "p", spec={})
    assert verdict(run(policy, kind=kind, pattern="p")) == "fail"
    assert verdict(run(policy, policy_binding("b", "p", kind=kind), kind=kind, pattern="p")) == "pass"


def test_a_kind_that_is_not_served_is_not_there() -> None:
    assert [f[2] for f in told(run(kind=POLICY, pattern="p", missing=[POLICY]))] == ["0"]


def test_not_readable_is_an_error() -> None:
    assert verdict(run(denied=["validatingwebhookconfigurations"])) == "error"
