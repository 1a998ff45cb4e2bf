"""Versions as vendors write them, and what a bound in a specification admits."""

import contextlib
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.kube.versions import Bound, Version, empty_range

VENDORS = [
    "",
    "-eks-113cf36",
    "-gke.1162000",
    "+k3s1",
    "+rke2r1",
    "+aba1e8d",
    "+vmware.2-fips.1-tkg.1",
    "-hotfix.20200720",
    "-aliyun.1",
    "-mirantis-1",
    "-dirty",
    "-rcfoo",
    "-alphabet",
]
numbers = st.integers(0, 60)
vendors = st.sampled_from(VENDORS)
stages = st.sampled_from(["", "-alpha.1", "-alpha.2", "-beta.0", "-rc.0", "-rc.1"])


@pytest.mark.parametrize(
    ("text", "numbers", "pre", "suffix"),
    [
        ("v1.34.1-eks-113cf36", (1, 34, 1), None, "-eks-113cf36"),
        ("v1.33.5-gke.1162000", (1, 33, 5), None, "-gke.1162000"),
        ("v1.32.6+k3s1", (1, 32, 6), None, "+k3s1"),
        ("v1.31.4+rke2r1", (1, 31, 4), None, "+rke2r1"),
        ("v1.30.3", (1, 30, 3), None, ""),
        ("v1.29.6+aba1e8d", (1, 29, 6), None, "+aba1e8d"),
        ("1.34.0", (1, 34, 0), None, ""),
        (
            "v1.35.0-alpha.2.123+0123456789abcd",
            (1, 35, 0),
            ("alpha", (2, 123)),
            "-alpha.2.123+0123456789abcd",
        ),
        ("v1.35.0-rc.1", (1, 35, 0), ("rc", (1,)), "-rc.1"),
        ("v1.32.0-rc1+k3s1", (1, 32, 0), ("rc", (1,)), "-rc1+k3s1"),
        ("v1.34.0-alphabet", (1, 34, 0), None, "-alphabet"),
    ],
)
def test_git_versions_of_vendors(
    text: str, numbers: tuple[Any, ...], pre: tuple[Any, ...] | None, suffix: str
) -> None:
    version = Version.parse(text)
    assert (version.major, version.minor, version.patch) == numbers
    assert (version.pre, version.suffix) == (pre, suffix)
    assert str(version) == "v" + text.removeprefix("v")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1",
        "1.34",
        "1.34.x",
        "v1.34.1 beta",
        "v01.2.3",
        "1.2.3.4",
        "latest",
        "1.34.1-",
        "v1.٣.0",
        None,
    ],
)
def test_what_is_no_git_version(text: str | None) -> None:
    with pytest.raises(ValueError, match="is not a Kubernetes version"):
        Version.parse(cast(str, text))


@pytest.mark.parametrize("text", ["1", "1.30-gke", "x", "", "1.30.", "v1.30+k3s1"])
def test_what_is_no_bound(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Kubernetes version"):
        Bound.parse(text)


def test_a_vendor_build_is_not_older_than_its_version() -> None:
    assert Bound.parse("1.29.0").is_minimum_of(Version.parse("v1.29.0-eks-5e0fdde"))
    assert Bound.parse("1.29").is_minimum_of(Version.parse("v1.29.0-gke.1"))


def test_an_excluded_version_is_excluded_in_every_build() -> None:
    assert Bound.parse("1.29.0").names(Version.parse("v1.29.0-gke.1"))
    assert not Bound.parse("1.29.0").names(Version.parse("v1.29.1-gke.1"))
    assert Bound.parse("1.29").names(Version.parse("v1.29.7+k3s1"))


def test_a_minor_as_maximum_admits_its_patches() -> None:
    assert Bound.parse("1.30").is_maximum_of(Version.parse("v1.30.1"))
    assert Bound.parse("v1.30").is_maximum_of(Version.parse("v1.30.14-eks-1"))
    assert not Bound.parse("1.30").is_maximum_of(Version.parse("v1.31.0"))


def test_a_patch_as_maximum_admits_all_builds_of_it() -> None:
    bound = Bound.parse("1.30.2")
    assert bound.is_maximum_of(Version.parse("v1.30.2-gke.9"))
    assert not bound.is_maximum_of(Version.parse("v1.30.3-gke.1"))


def test_one_vendor_build_can_be_excluded_alone() -> None:
    bound = Bound.parse("1.29.0-gke.1")
    assert bound.names(Version.parse("v1.29.0-gke.1"))
    assert not bound.names(Version.parse("v1.29.0-gke.2"))


def test_pre_releases_are_older_than_their_release() -> None:
    rc = Version.parse("v1.30.0-rc.1")
    assert (
        Version.parse("v1.30.0-alpha.3")
        < Version.parse("v1.30.0-beta.0")
        < rc
        < Version.parse("v1.30.0-eks-1")
    )
    assert not Bound.parse("1.30").is_minimum_of(rc)
    assert not Bound.parse("1.29").is_maximum_of(rc)
    assert not Bound.parse("1.30.0").names(rc)
    assert Bound.parse("1.30").names(rc)
    assert Bound.parse("1.30.0-rc.1").is_minimum_of(rc)


@pytest.mark.parametrize(
    ("low", "high", "empty"),
    [("1.30", "1.30", False), ("1.30.5", "1.30", False), ("1.31", "1.30", True), ("1.30.2", "1.30.1", True)],
)
def test_ranges_that_hold_nothing(low: str, high: str, empty: bool) -> None:
    assert empty_range(Bound.parse(low), Bound.parse(high)) is empty


@given(numbers, numbers, vendors, vendors)
def test_every_build_of_a_patch_lies_within_its_own_bounds(
    minor: Any, patch: Any, vendor: Any, other: Any
) -> None:
    version = Version.parse(f"v1.{minor}.{patch}{vendor}")
    for text in (f"1.{minor}", f"1.{minor}.{patch}", f"v1.{minor}.{patch}"):
        bound = Bound.parse(text)
        assert bound.names(version)
        assert bound.is_maximum_of(version)
        assert bound.is_minimum_of(version)
    assert version == Version.parse(f"v1.{minor}.{patch}{other}")


@given(st.lists(st.tuples(numbers, numbers, stages, vendors), min_size=2, max_size=8))
def test_versions_sort_by_number_then_stage_and_never_by_vendor(parts: Any) -> None:
    versions = sorted(Version.parse(f"v1.{a}.{b}{stage or vendor}") for a, b, stage, vendor in parts)
    keys = [(v.minor, v.patch, v.pre or ("z", ())) for v in versions]
    assert keys == sorted(keys)


@given(numbers, numbers, numbers, numbers, vendors)
def test_a_maximum_and_the_next_minor_as_minimum_share_nothing(
    minor: Any, patch: Any, other: Any, other_patch: Any, vendor: Any
) -> None:
    version = Version.parse(f"v1.{other}.{other_patch}{vendor}")
    below, above = Bound.parse(f"1.{minor}"), Bound.parse(f"1.{minor + 1}")
    assert below.is_maximum_of(version) != above.is_minimum_of(version)


@given(st.text(max_size=20))
def test_no_text_does_more_than_raise_value_error(text: str) -> None:
    for parse in (Version.parse, Bound.parse):
        with contextlib.suppress(ValueError):
            parse(text)
