"""kubernetes.version and kubernetes.excludedVersions."""

from typing import Any

import pytest

from builtin_checks.kubernetes.test_version import test_excluded_versions as check_excluded
from builtin_checks.kubernetes.test_version import test_version as check_version
from pytest_kspec.testing import evaluate
from tests.checks.objects import told, verdict


def spec(
    low: str | None = "1.29", high: str | None = "1.30", excluded: tuple[str, ...] = ()
) -> dict[str, Any]:
    section = {"minVersion": low, "maxVersion": high, "excludedVersions": list(excluded)}
    return {"kubernetes": {key: value for key, value in section.items() if value}}


@pytest.mark.parametrize(
    "version",
    ["v1.29.0", "v1.29.0-eks-5e0fdde", "v1.30.1", "v1.30.14-gke.1162000", "v1.30.6+k3s1", "v1.29.6+aba1e8d"],
)
def test_versions_within_the_range(version: str) -> None:
    assert verdict(evaluate(check_version, spec=spec(), version=version)) == "pass"


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.28.9-eks-1", "at least 1.29"),
        ("v1.29.0-rc.1", "at least 1.29"),
        ("v1.31.0", "at most 1.30"),
        ("v1.31.0-alpha.1", "at most 1.30"),
    ],
)
def test_versions_outside_the_range(version: str, expected: str) -> None:
    results = evaluate(check_version, spec=spec(), version=version)
    message = f"the API server's version is {version}, must be {expected}"
    assert told(results) == [("cluster", "version", version, message)]
    assert [f.expected for f in results[0].findings] == [expected]
    assert verdict(results) == "fail"


def test_one_end_of_the_range_is_enough() -> None:
    assert verdict(evaluate(check_version, spec=spec(high=None), version="v1.99.0")) == "pass"
    assert (
        verdict(evaluate(check_version, spec=spec(low=None, high="1.30.2"), version="v1.30.2-gke.7"))
        == "pass"
    )
    assert verdict(evaluate(check_version, spec=spec(low=None, high="1.30.2"), version="v1.30.3")) == "fail"


def test_without_a_range_there_is_no_requirement() -> None:
    assert evaluate(check_version, spec=spec(None, None, ("1.29.0",)), version="v1.29.1") == []
    assert evaluate(check_excluded, spec=spec(), version="v1.29.1") == []


def test_an_excluded_version_is_found_in_every_build() -> None:
    asked = spec(excluded=("1.28", "1.29.0", "1.30.1-gke.5"))
    for version, named in (
        ("v1.29.0-gke.1", "1.29.0"),
        ("v1.28.7", "1.28"),
        ("v1.30.1-gke.5", "1.30.1-gke.5"),
    ):
        message = f"the API server's version is {version}, must be not {named}"
        assert told(evaluate(check_excluded, spec=asked, version=version)) == [
            ("cluster", "version", version, message)
        ]
    for version in ("v1.29.1-gke.1", "v1.30.1-gke.6", "v1.30.1", "v1.29.0-rc.1"):
        assert verdict(evaluate(check_excluded, spec=asked, version=version)) == "pass"


def test_a_version_that_cannot_be_read_is_an_error() -> None:
    for check in (check_version, check_excluded):
        (result,) = evaluate(check, spec=spec(excluded=("1.29.0",)), version="latest")
        assert result.verdict.value == "error"
        assert "'latest' is not a Kubernetes version" in result.reason


def test_manifests_have_no_version() -> None:
    assert verdict(evaluate(check_version, spec=spec(), version="", kind="manifests")) == "skip"
