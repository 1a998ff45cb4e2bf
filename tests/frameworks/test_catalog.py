"""Catalogs: complete, fresh, about checks that are there, and the only place that maps checks to controls."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pytest_kspec.checks.authoring import ATTRIBUTE
from pytest_kspec.frameworks import catalog
from pytest_kspec.frameworks.catalog import asks_for, catalogs, find_catalog, flow, names_of
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.plan.frameworks import key_of
from pytest_kspec.reference.asked import asked_by

CHECKS = load_checks().checks
CIS = "cis-kubernetes-1.10"
# Recommendations of each section of the benchmark, counted in the document.
CIS_SECTIONS = {
    "1.1": 21, "1.2": 29, "1.3": 7, "1.4": 2, "2": 7, "3.1": 3, "3.2": 2, "4.1": 10, "4.2": 13, "4.3": 1,
    "5.1": 13, "5.2": 13, "5.3": 2, "5.4": 2, "5.5": 1, "5.7": 4,
}  # fmt: skip


def test_the_compiled_catalogs_are_fresh() -> None:
    assert catalog.COMPILED.read_bytes() == catalog.compile_catalogs(), "run: make docs"


def test_cis_has_every_recommendation() -> None:
    found = Counter(control.id.rpartition(".")[0] for control in catalogs()[CIS].controls)
    assert found == CIS_SECTIONS
    for section, count in CIS_SECTIONS.items():
        assert catalogs()[CIS].control(f"{section}.{count}") is not None


def test_every_pod_security_check_is_a_control_of_the_standards() -> None:
    standards = catalogs()["pod-security-standards"]
    named = {ref.check for control in standards.controls for ref in control.refs}
    assert named == {check.id for check in CHECKS if check.id.startswith("podSecurity.standard")}
    assert {control.coverage for control in standards.controls} == {"full"}


def test_every_named_check_is_there() -> None:
    known = {name for check in CHECKS for name in names_of(check.id)}
    named = {ref.check for c in catalogs().values() for control in c.controls for ref in control.refs}
    assert named <= known


def test_what_must_be_asked_is_said_of_checks_that_are_named_in_full() -> None:
    ids = {check.id for check in CHECKS}
    asking = {r.check for c in catalogs().values() for k in c.controls for r in k.refs if r.asks is not None}
    assert asking <= ids


def test_built_in_checks_name_no_controls_but_carry_those_of_the_catalogs() -> None:
    assert not any(getattr(check.func, ATTRIBUTE).controls for check in CHECKS)
    for check in CHECKS:
        assert check.controls, check.id
        for name, ids in check.controls.items():
            assert all(catalogs()[name].control(id) for id in ids)
    (privileged,) = [check for check in CHECKS if check.id == "podSecurity.standard[privileged]"]
    assert privileged.controls[CIS] == ("5.2.2",)
    assert privileged.controls["pod-security-standards"] == ("baseline/privileged",)


def test_controls_with_checks_that_only_do_what_they_are_told_are_answered_in_part() -> None:
    """A list of the specification's making is no proof by itself; only one that must hold certain entries is."""
    loose = {
        "network.allowedServiceTypes", "network.disallowedPorts", "network.requiredPolicies", "rbac.forbiddenRules",
        "rbac.minimumRules", "workloads.containers.required", "workloads.containers.forbidden", "kubernetes.version",
        "workloads.images.allowedRegistries", "workloads.images.blockedRegistries", "admission.required",
    }  # fmt: skip
    for framework in catalogs().values():
        for control in framework.controls:
            told = [
                ref for entry in control.checks for ref in entry if ref.check in loose and ref.asks is None
            ]
            assert not told or control.coverage == "partial", (framework.id, control.id)


def test_titles_and_reasons_are_lines_of_their_own() -> None:
    for framework in catalogs().values():
        assert framework.document
        assert framework.date
        for control in framework.controls:
            assert control.title.strip() == control.title != ""
            assert "\n" not in control.title + control.manual
            assert len(control.title) <= 80, control.id


@pytest.mark.parametrize(
    ("value", "least", "enough"),
    [
        (None, None, True),
        (365, 30, True),
        (29, 30, False),
        (None, 30, False),
        (True, 1, False),
        ("true", True, True),
        (False, True, False),
        (["get", "list", "watch"], ["get", "list"], True),
        (["*"], ["get"], False),
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"b": 2}, {"a": 1}, False),
        ({"a": False, "orUnset": True}, {"a": False}, False),
        ({"a": False, "orUnset": False}, {"a": False}, True),
        (None, {"a": 1}, False),
        ("restricted", "baseline", True),
        ("baseline", "restricted", False),
        ("privileged", "baseline", False),
        ("pods", "secrets", False),
        ("*", "secrets", True),
        ("secrets", "*", False),
        ("", "", True),
    ],
)
def test_what_asks_for_enough(value: object, least: object, enough: bool) -> None:
    assert asks_for(value, least) is enough


@pytest.mark.parametrize(
    ("name", "revision", "found"),
    [
        ("NIST SP 800-53", "rev 5", "nist-800-53"),
        ("NIST-800-53", "Rev5", "nist-800-53"),
        ("NIST SP 800-53", "Rev. 4", None),
        ("CIS Kubernetes Benchmark", "", CIS),
        ("CIS-Kubernetes", "v1.10", CIS),
        ("CIS-Kubernetes", "v1.8", None),
        ("cis-kubernetes-1.10", "", CIS),
        ("PCI DSS", "4.0", "pci-dss-4.0"),
        ("SOC 2", "", "soc2"),
        ("HIPAA", "", None),
    ],
)
def test_a_framework_is_found_by_its_usual_names(name: str, revision: str, found: str | None) -> None:
    made = find_catalog(name, revision)
    assert (made.id if made else None) == found


def test_names_of_an_id() -> None:
    assert list(names_of("rbac.forbiddenRules[apps.x/y]")) == [
        "rbac.forbiddenRules[apps.x/y]",
        "rbac.forbiddenRules",
        "rbac",
    ]


def test_data_as_a_line_of_yaml() -> None:
    assert flow({"apiGroup": "", "resource": "*", "verbs": ["get"], "value": False, "days": 3}) == (
        '{apiGroup: "", resource: "*", verbs: [get], value: false, days: 3}'
    )


def test_the_key_that_asks_for_a_check() -> None:
    for check in CHECKS:
        asked = {key.removesuffix("[]") for key in asked_by(check)}
        key = key_of(check)
        assert any(name == key or name.startswith(f"{key}.") for name in asked), (check.id, key, asked)


HEAD = """\
id: x
name: X
version: "1"
publisher: P
document: D
date: "2026"
complete: true
aliases: []
controls:
"""


@pytest.mark.parametrize(
    ("controls", "what"),
    [
        ("- {id: a, title: A}", "a: unknown keys"),
        ("- {id: a, title: A, manual: m, check: [b]}", "check"),
        ("- {id: 2.1, title: A, manual: m}", "Expected `str`, got `float`"),
        ("- {id: a, title: A, manual: m}\n- {id: a, title: B, manual: m}", "two controls have one id"),
    ],
)
def test_a_catalog_that_is_wrong_is_refused(tmp_path: Path, controls: str, what: str) -> None:
    (tmp_path / "x.yaml").write_text(f"{HEAD}{controls}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=what) as error:
        catalog.compile_catalogs(tmp_path)
    assert "x.yaml" in str(error.value)
