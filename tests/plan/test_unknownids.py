"""Exemptions that leave nothing of what there is to check."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from pytest_kspec.checks.authoring import ATTRIBUTE, check
from pytest_kspec.errors import SpecError
from pytest_kspec.plan.checkset import CheckSet, Entry, load_checks
from pytest_kspec.plan.plan import make_plan
from pytest_kspec.spec.loading import spec_from_part

BUILT_IN = load_checks()
AREAS = sorted({id.partition(".")[0] for id in BUILT_IN.entries})
ALL = "network: {defaultDeny: true}, podSecurity: {enforce: baseline}, kubernetes: {minVersion: '1.30'}"


def exemption(*checks: str, name: str = "all", **more: str) -> str:
    fields = "".join(f", {key}: {value}" for key, value in more.items())
    return f"{{name: {name}, reason: r, checks: [{', '.join(f'{id!r}' for id in checks)}]{fields}}}"


def refused(*exemptions: str, part: str = ALL, checkset: CheckSet = BUILT_IN) -> str:
    loaded = spec_from_part(f"{{{part}, policyExemptions: [{', '.join(exemptions)}]}}")
    try:
        make_plan(loaded, checkset)
    except SpecError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "checks",
    [
        [f"{area}.*" for area in AREAS],
        [f"{area}.?*" for area in AREAS],
        [f"{area[:2]}*" for area in AREAS],
        sorted(BUILT_IN.entries),
        sorted({id.partition("[")[0] for id in BUILT_IN.entries}),
        ["network.*", "pod*", "kubernetes.*"],  # all that is asked for
    ],
)  # fmt: skip
def test_a_list_that_matches_every_check_there_is_exempts_everything(checks: list[str]) -> None:
    said = refused(exemption(*checks))
    assert "exemption all: its checks match every check, so this would exempt everything." in said
    assert refused(exemption(*checks, clusters="[dev]")) == said, "clusters are no limit, as everywhere"
    for limit in ({"namespaces": "[shop]"}, {"resources": "[{kind: Job}]"}, {"containers": "[a]"}):
        assert refused(exemption(*checks, **limit)) == ""
    assert refused(exemption(*checks, namespaces="['?*']")) == said


def test_lists_that_do_so_together() -> None:
    halves = [[f"{area}.*" for area in AREAS[:3]], [f"{area}.*" for area in AREAS[3:]]]
    parts = [exemption(*half, name=f"e{index}") for index, half in enumerate(halves)]
    assert "exemptions e0, e1: their checks together match every check" in refused(*parts)
    apart = [exemption(*half, name=f"e{i}", clusters=f"[c{i}]") for i, half in enumerate(halves)]
    assert refused(*apart) == ""


def test_what_leaves_something() -> None:
    assert (
        refused(exemption(*(f"{area}.*" for area in AREAS[1:])), part="admission: {policies: {minCount: 1}}")
        == ""
    )
    assert refused(exemption("network.*"), part="network: {defaultDeny: true}") == "", (
        "one area is named openly"
    )
    assert refused(exemption("network.defaultDeny", "podSecurity.*", "kubernetes.?*")) != ""

    @check(id="acme.own", title="T", severity="low", remediation="R.")
    def test_own(pods: Any) -> None:
        """Why."""
        assert pods

    own = Entry(getattr(test_own, ATTRIBUTE), ModuleType("own"), builtin=False)
    more = CheckSet([*BUILT_IN.entries.values(), own])
    assert refused(exemption(*(f"{area}.*" for area in AREAS)), checkset=more) == ""
    assert refused(exemption("acme.*", *(f"{area}.*" for area in AREAS)), checkset=more) != ""


def test_annotations_may_not_exempt_from_every_check_there_is() -> None:
    areas = ", ".join(f"'{area}.*'" for area in AREAS)
    said = refused(part=f"{ALL}, annotationExemptions: {{checks: [{areas}]}}")
    assert "annotationExemptions.checks: its patterns match every check" in said
