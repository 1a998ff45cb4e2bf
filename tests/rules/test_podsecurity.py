"""Which version of the Pod Security Standards holds is chosen in one place, and what could not be read is an error."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.errors import SourceError, SpecError
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.rules.pods.podsecurity import (
    NEWEST_MINOR,
    newer_standards,
    pod_security_strictness,
    standards_minor,
)
from pytest_kspec.spec.loading import LoadedSpec, spec_from_part
from pytest_kspec.testing import evaluate
from tests.rules.pod_security import CHECKS, CONTROLS


@pytest.mark.parametrize(
    ("asked", "version", "minor"),
    [
        ("v1.0", "v1.34.0", 0),
        ("v1.25", "v1.34.0", 25),
        ("latest", "v1.20.0", NEWEST_MINOR),
        (f"v1.{NEWEST_MINOR}", None, NEWEST_MINOR),
        (f"v1.{NEWEST_MINOR + 1}", None, NEWEST_MINOR),
        (None, None, NEWEST_MINOR),
        (None, "v1.22.17-eks-1", 22),
        (None, f"v1.{NEWEST_MINOR + 1}.0", NEWEST_MINOR),
    ],
)
def test_the_version_that_holds(asked: str | None, version: str | None, minor: int) -> None:
    assert standards_minor(asked, version) == minor


@pytest.mark.parametrize("asked", ["", "1.30", "v1", "v1.", "v1.030", "v1.30.1", "v2.5", "Latest", "v1.30 "])
def test_what_is_asked_and_no_version_is_an_error(asked: str) -> None:
    for version in (None, "v1.34.0"):
        with pytest.raises(
            SpecError, match=r"^podSecurity\.version: .* is not a version of the Pod Security Standards"
        ):
            standards_minor(asked, version)


UNREADABLE = ["", "1", "v1.34", "v1.x.0", "latest", "v2.0.0", "v0.34.1", "v2.34.1"]


@pytest.mark.parametrize("version", UNREADABLE)
def test_an_api_server_without_a_version_that_is_known_is_an_error(version: str) -> None:
    with pytest.raises(SourceError):
        standards_minor(None, version)


def test_only_a_version_that_can_be_read_is_called_newer() -> None:
    assert newer_standards(f"v1.{NEWEST_MINOR}.9") == newer_standards("v2.99.0") == newer_standards("") == ""
    assert newer_standards(f"v1.{NEWEST_MINOR + 1}.0") == (
        f"the standards of v1.{NEWEST_MINOR + 1} are not known to this version: those of v1.{NEWEST_MINOR} are applied"
    )


def restricted(version: str | None = None) -> LoadedSpec:
    return spec_from_part(
        {"podSecurity": {"enforce": "restricted"} | ({"version": version} if version else {})}
    )


def damaged() -> LoadedSpec:
    """As no file can say it: the model refuses it first."""
    loaded = restricted("v1.25")
    asked = loaded.spec.pod_security
    assert asked is not None
    broken = {"pod_security": asked.model_copy(update={"version": "v1,25"})}
    return replace(loaded, spec=loaded.spec.model_copy(update=broken))


CONTROL = CONTROLS["seccompProfileRestricted"]


@pytest.mark.parametrize(
    "door",
    [
        lambda spec: enforcement_plan(spec, load_checks()),
        lambda spec: list(CONTROL.select(cast(Any, []), spec.spec, SimpleNamespace(version="v1.34.0"))),
        lambda spec: list(CONTROL.requirements(spec.spec)),
    ],
    ids=["admission", "scan", "plan"],
)
def test_no_door_takes_an_unreadable_version_for_an_old_one(door: Callable[[LoadedSpec], object]) -> None:
    """v1.0 asks for less than any other: taking it would let in and pass what the real version refuses."""
    with pytest.raises(SpecError, match="'v1,25' is not a version"):
        door(damaged())


@pytest.mark.parametrize("version", [version for version in UNREADABLE if version])
def test_admission_and_scan_ask_for_a_version_that_can_be_read(version: str) -> None:
    with pytest.raises(SourceError):
        enforcement_plan(restricted(), load_checks(), version=version)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"containers": []},
    }
    results = evaluate(
        CHECKS["privileged"], objects=[pod], spec={"podSecurity": {"enforce": "restricted"}}, version=version
    )
    assert [result.verdict for result in results] == ["error"]


def test_levels_are_ordered_and_what_is_no_level_has_no_place() -> None:
    levels = ("privileged", "baseline", "restricted", "strict", "")
    assert [pod_security_strictness(level) for level in levels] == [0, 1, 2, None, None]


def test_a_control_is_required_by_the_key_that_asks_for_its_level() -> None:
    asked = spec_from_part({"podSecurity": {"enforce": "restricted"}}).spec
    made = [one for control in CONTROLS.values() for one in control.requirements(asked)]
    assert {requirement.key for requirement in made} == {"podSecurity.enforce"}
    assert {requirement.value for requirement in made} == {"restricted"}
