"""podSecurity.enforce, .audit, .warn: labels of namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from builtin_checks.pod_security import test_namespace_labels as labels
from pytest_kspec.testing import evaluate

MODES = {"enforce": labels.test_enforce, "audit": labels.test_audit, "warn": labels.test_warn}
PREFIX = "pod-security.kubernetes.io/"


def namespace(name: str, **given: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": {f"{PREFIX}{mode.replace('_', '-')}": v for mode, v in given.items()}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def run(mode: str, *namespaces: Any, denied: Any = (), **pod_security: Any) -> tuple[str, list[Any]]:
    (result,) = evaluate(MODES[mode], objects=namespaces, spec={"podSecurity": pod_security}, denied=denied)
    found = [
        (f.resource.name, f.path.removeprefix("metadata.labels"), f.actual, f.expected)
        for f in result.findings
    ]
    return str(result.verdict), found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("asked", "actual", "expected"),
    [
        ("baseline", "baseline", None),
        ("baseline", "restricted", None),
        ("baseline", "privileged", "baseline or stricter"),
        ("baseline", None, "baseline or stricter"),
        ("baseline", "Baseline", "baseline or stricter"),
        ("restricted", "restricted", None),
        ("restricted", "baseline", "restricted"),
        ("privileged", "privileged", None),
        ("privileged", None, None),
        ("privileged", "none", "privileged or stricter"),
        ("privileged", "", "privileged or stricter"),
    ],
)
def test_level(mode: str, asked: Any, actual: Any, expected: Any) -> None:
    given = {} if actual is None else {mode: actual}

    assert run(mode, namespace("shop", **given), **{mode: asked}) == (
        ("pass", []) if expected is None else ("fail", [("shop", f"[{PREFIX}{mode}]", actual, expected)])
    )


@pytest.mark.parametrize(
    ("asked", "actual", "expected"),
    [
        (None, None, None),
        (None, "v1.0", None),
        (None, "1.30", "latest or a version such as v1.30"),
        ("v1.30", None, None),
        ("v1.30", "latest", None),
        ("v1.30", "v1.30", None),
        ("v1.30", "v1.31", None),
        ("v1.30", "v1.9", "v1.30, newer, or latest"),
        ("v1.30", "v1.29", "v1.30, newer, or latest"),
        ("v1.30", "new", "v1.30, newer, or latest"),
        ("v1.30", "v1.031", "v1.30, newer, or latest"),
        ("latest", None, None),
        ("latest", "latest", None),
        ("latest", "v1.37", "latest"),
    ],
)
def test_version(asked: Any, actual: Any, expected: Any) -> None:
    given = {} if actual is None else {"enforce_version": actual}
    asks = {} if asked is None else {"version": asked}

    assert run("enforce", namespace("shop", enforce="baseline", **given), enforce="baseline", **asks) == (
        ("pass", [])
        if expected is None
        else ("fail", [("shop", f"[{PREFIX}enforce-version]", actual, expected)])
    )


def test_every_namespace_is_named_and_none_is_left_out() -> None:
    names = ["default", "kube-system", "shop"]

    verdict, found = run("enforce", *map(namespace, names), enforce="baseline")
    assert (verdict, [name for name, *_ in found]) == ("fail", names)


@pytest.mark.parametrize(
    ("mode", "asked", "exempted", "actual", "expected"),
    [
        ("enforce", "restricted", "baseline", "baseline", None),
        ("enforce", "restricted", "baseline", "restricted", None),
        ("enforce", "restricted", "baseline", "privileged", "baseline or stricter"),
        ("enforce", "restricted", "baseline", None, "baseline or stricter"),
        ("enforce", "restricted", "privileged", None, None),
        ("enforce", "baseline", "restricted", "baseline", "restricted"),
        ("warn", "restricted", "baseline", "baseline", None),
        ("warn", "baseline", "restricted", "baseline", None),
    ],
)
def test_exempted_namespaces(mode: str, asked: Any, exempted: Any, actual: Any, expected: Any) -> None:
    given = {} if actual is None else {mode: actual}
    exemption = {"namespace": "sh*", "level": exempted, "reason": "agreed"}

    assert run(mode, namespace("shop", **given), **{mode: asked}, exemptions=[exemption]) == (
        ("pass", []) if expected is None else ("fail", [("shop", f"[{PREFIX}{mode}]", actual, expected)])
    )


def test_an_expired_exemption_does_not_count() -> None:
    exemption = {"namespace": "shop", "level": "baseline", "reason": "agreed", "expiresAt": "2020-01-01"}

    assert run(
        "enforce", namespace("shop", enforce="baseline"), enforce="restricted", exemptions=[exemption]
    ) == (
        "fail",
        [("shop", f"[{PREFIX}enforce]", "baseline", "restricted")],
    )


def test_namespaces_that_may_not_be_listed_are_an_error() -> None:
    assert run("enforce", denied=["namespaces"], enforce="baseline") == ("error", [])


def test_what_kubernetes_keeps_for_itself_is_found_but_a_person_decides() -> None:
    objects = [namespace("kube-system"), namespace("shop")]
    (result,) = evaluate(
        MODES["enforce"], objects=objects, spec={"podSecurity": {"enforce": "baseline"}}, denied=()
    )
    assert [(f.resource.name, f.fix is not None) for f in result.findings] == [
        ("kube-system", False),
        ("shop", True),
    ]
