"""Exemptions: what one covers, until when, what became of it; files of exemptions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.errors import SpecError
from pytest_kspec.kube.globs import Globs, matches_check
from pytest_kspec.kube.reference import CLUSTER, ResourceRef
from pytest_kspec.results.evidence import ExemptionUse
from pytest_kspec.results.exemptions import Exemption, Exemptions, ResourceSelector, load_exemptions
from pytest_kspec.results.finding import AppliedExemption
from pytest_kspec.spec.loading import spec_from_part

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
POD = ResourceRef("v1", "Pod", "pay", "api-7d9f-x2x")
DEPLOYMENT = ResourceRef("apps/v1", "Deployment", "pay", "api")
SERVICE = ResourceRef("v1", "Service", "pay", "api")
NODE = ResourceRef("v1", "Node", "", "n1")
NAMESPACE = ResourceRef("v1", "Namespace", "", "pay")
EXAMPLE = Path(__file__).parents[2] / "examples" / "specs" / "exemptions.yaml"


def exemption(**keys: Any) -> Exemption:
    return Exemption.model_validate({"name": "e", "reason": "because", **keys})


def covers(
    keys: Mapping[str, Any],
    resource: ResourceRef = POD,
    owner: ResourceRef | None = DEPLOYMENT,
    labels: Mapping[str, str] | None = None,
    container: str = "app",
    check: str = "podSecurity.standard[privileged]",
    cluster: str = "prod-eu",
) -> bool:
    matcher = Exemptions([exemption(**keys)], NOW).for_check(check, cluster)
    return matcher.match(resource, owner or resource, labels or {}, container) is not None


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        # checks
        ({"checks": ["podSecurity.standard[privileged]"]}, True),
        ({"checks": ["podSecurity.standard"]}, True),
        ({"checks": ["podSecurity.*"]}, True),
        ({"checks": ["*[privileged]"]}, True),
        ({"checks": ["podSecurity"]}, False),
        ({"checks": ["podSecurity.standard[p]"]}, False),
        ({"checks": ["podSecurity.standard[hostPorts]", "network.defaultDeny"]}, False),
        # clusters
        ({"checks": ["podSecurity.*"], "clusters": ["prod-*"]}, True),
        ({"checks": ["podSecurity.*"], "clusters": ["prod"]}, False),
        # namespaces
        ({"namespaces": ["pay"]}, True),
        ({"namespaces": ["p?y"]}, True),
        ({"namespaces": ["pa"]}, False),
        ({"namespaces": ["other", "pay*"]}, True),
        # resources: the object or its owner
        ({"resources": [{"kind": "Pod"}]}, True),
        ({"resources": [{"kind": "Deployment"}]}, True),
        ({"resources": [{"kind": "Deployment", "name": "api"}]}, True),
        ({"resources": [{"kind": "Deployment", "name": "api-*"}]}, False),
        ({"resources": [{"kind": "Pod", "name": "api-*"}]}, True),
        ({"resources": [{"kind": "Pod", "name": "api"}]}, False),
        ({"resources": [{"name": "api"}]}, True),
        ({"resources": [{"kind": "StatefulSet"}]}, False),
        ({"resources": [{"namespace": "pay"}]}, True),
        ({"resources": [{"namespace": "play"}]}, False),
        ({"resources": [{"kind": "StatefulSet"}, {"name": "api"}]}, True),
        # labels
        ({"resources": [{"labelSelector": {"app": "api"}}]}, True),
        ({"resources": [{"labelSelector": {"app": "api", "tier": "web"}}]}, False),
        ({"resources": [{"kind": "Deployment", "labelSelector": {"app": "api"}}]}, True),
        # containers
        ({"containers": ["app"]}, True),
        ({"containers": ["a*"]}, True),
        ({"containers": ["ap"]}, False),
        # all that is given must match
        ({"namespaces": ["pay"], "containers": ["side"]}, False),
        ({"namespaces": ["pay"], "checks": ["network.*"]}, False),
        ({"namespaces": ["pay"], "resources": [{"kind": "Pod"}], "containers": ["app"]}, True),
    ],
)  # fmt: skip
def test_what_an_exemption_covers(keys: dict[str, Any], expected: bool) -> None:
    assert covers(keys, labels={"app": "api"}) is expected


def test_a_namespace_alone_is_enough() -> None:
    """The predecessor asked for resources too: an exemption of a namespace never exempted anything."""
    assert covers({"namespaces": ["pay"]})
    assert covers({"namespaces": ["pay"]}, resource=SERVICE, owner=None, container="")


def test_a_namespace_object_is_in_its_namespace() -> None:
    assert covers({"namespaces": ["pay"]}, resource=NAMESPACE, owner=None, container="")
    assert covers(
        {"namespaces": ["pay"], "resources": [{"kind": "Namespace", "name": "pay"}]}, NAMESPACE, None
    )
    other = NAMESPACE._replace(api_version="example.com/v1")
    assert not covers({"namespaces": ["pay"]}, resource=other, owner=None)


def test_cluster_scoped_objects_and_the_cluster() -> None:
    for resource in (NODE, CLUSTER):
        assert not covers({"namespaces": ["*"], "checks": ["podSecurity.*"]}, resource=resource, owner=None)
        assert covers({"checks": ["podSecurity.*"]}, resource=resource, owner=None, container="")
    assert covers({"resources": [{"kind": "Node", "name": "n*"}]}, resource=NODE, owner=None)
    podsec = ["podSecurity.*"]
    assert not covers({"checks": podsec, "resources": [{"name": "*"}]}, resource=CLUSTER, owner=None)
    assert not covers({"checks": podsec, "resources": [{"namespace": "*"}]}, resource=NODE, owner=None)


def test_a_finding_without_a_container_is_not_covered_by_container() -> None:
    assert not covers({"containers": ["app"]}, container="")
    assert not covers({"containers": ["*"], "namespaces": ["pay"]}, container="")


def test_only_candidates_are_asked() -> None:
    exemptions = Exemptions([exemption(checks=["rbac.*"]), exemption(name="f", namespaces=["a"])], NOW)
    assert not Exemptions([exemption(checks=["rbac.*"])], NOW).for_check("network.defaultDeny", "c")
    assert exemptions.for_check("network.defaultDeny", "c")
    assert not Exemptions([], NOW).for_check("a.b", "c")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"kind": "Deployment", "name": "api"}, False),
        ({"namespace": "a"}, False),
        ({"kind": "Pod"}, True),
        ({"name": "api-*"}, True),
        ({"kind": "Deployment", "labelSelector": {"a": "b"}}, True),
    ],
)
def test_whether_pods_of_one_owner_may_differ(selector: dict[str, Any], expected: bool) -> None:
    assert Exemptions([exemption(resources=[selector])], NOW).for_check("a.b", "c").per_object is expected
    by_owner = exemption(name="f", resources=[{"kind": "Deployment", "name": "other"}])
    both = Exemptions([by_owner, exemption(resources=[selector])], NOW).for_check("a.b", "c")
    assert both.per_object is expected, "one that looks at pods is enough"


def test_the_first_valid_one_applies_and_all_that_match_are_used() -> None:
    exemptions = Exemptions(
        [
            exemption(name="old", namespaces=["pay"], expiresAt="2027-01-14"),
            exemption(name="first", namespaces=["pay"], approver="me", expiresAt="2027-01-15"),
            exemption(name="second", containers=["app"]),
            exemption(name="unused", containers=["other"]),
            exemption(name="old-unused", containers=["other"], expiresAt="2020-01-01"),
        ],
        NOW,
    )
    matcher = exemptions.for_check("a.b", "c")
    applied = matcher.match(POD, DEPLOYMENT, {}, "app")
    assert applied == AppliedExemption("first", "because", "me", "2027-01-15T23:59:59+00:00")
    assert matcher.match(POD, DEPLOYMENT, {}, "sidecar") == applied
    assert matcher.match(NODE, NODE, {}, "") is None
    assert matcher.uses == {0: 2, 1: 2, 2: 1}
    assert [(use.name, use.state, use.matched) for use in exemptions.report(matcher.uses)] == [
        ("old", "expired", 2),
        ("first", "used", 2),
        ("second", "used", 1),
        ("unused", "unused", 0),
        ("old-unused", "expired", 0),
    ]


def test_a_finding_counts_once_and_a_fresh_matcher_counts_anew() -> None:
    matcher = Exemptions([exemption(namespaces=["pay"])], NOW).for_check("c", "prod")
    for finding in ("one", "one", "other"):
        assert matcher.match(POD, DEPLOYMENT, {}, "app", finding) is not None
    assert matcher.uses == {0: 2}
    fresh = matcher.fresh()
    assert fresh.uses == {}
    assert fresh.match(POD, DEPLOYMENT, {}, "app", "one") is not None
    assert (fresh.uses, matcher.uses) == ({0: 1}, {0: 2})


def test_a_finding_that_several_containers_have_counts_for_each_exemption_that_covers_one() -> None:
    """And for no other one: an exemption that is not needed any more is reported."""
    wanted = [exemption(name=name, containers=[name]) for name in ("none", "app", "side")]
    matcher = Exemptions(wanted, NOW).for_check("a.b", "c")
    for container in ("app", "side"):
        assert matcher.match(POD, DEPLOYMENT, {}, container, "one") is not None
    assert matcher.uses == {1: 1, 2: 1}


def test_of_a_run_that_is_not_complete_nothing_is_unused() -> None:
    all_of_them = Exemptions([exemption(name=name, checks=["c"]) for name in ("a", "b")], NOW)
    for complete, state in ((True, "unused"), (False, "unknown")):
        assert [use.state for use in all_of_them.report({0: 1}, complete=complete)] == ["used", state]


def test_a_resource_may_be_the_object_or_its_owner() -> None:
    for selector in ({"kind": "Deployment", "namespace": "pay"}, {"kind": "Pod", "name": "api-*"}):
        assert covers({"resources": [{"kind": "Node", "name": "n1"}, selector]})
    # Labels that do not match end neither the list of selectors nor another one.
    assert covers({"resources": [{"kind": "Pod", "labelSelector": {"a": "b"}}, {"kind": "Pod"}]})
    assert not covers({"resources": [{"kind": "Pod", "labelSelector": {"a": "b"}}]}, labels={"a": "c"})


def test_a_part_of_a_requirement_may_have_brackets_of_its_own() -> None:
    assert covers({"checks": ["user.images"]}, check="user.images[registry[0]]")
    assert not covers({"checks": ["user"]}, check="user.images[registry[0]]")


def test_expired_and_unused_exemptions_are_reported() -> None:
    """The predecessor dropped an expired exemption in silence; nobody learned why findings were back."""
    loaded = spec_from_part(
        "policyExemptions:\n- {name: a, reason: r, approver: me, expiresAt: 2027-01-14, namespaces: [pay]}\n",
        path="s.yaml",
    )
    exemptions = Exemptions(loaded.exemptions, NOW)
    matcher = exemptions.for_check("a.b", "c")
    assert matcher
    assert matcher.match(POD, POD, {}, "app") is None
    assert exemptions.report(matcher.uses) == (
        ExemptionUse("a", "r", "me", "2027-01-14T23:59:59+00:00", "s.yaml:2:3", "expired", 1),
    )
    assert exemptions.report({})[0].state == "expired"


def utc(day: int, hour: int) -> datetime:
    return datetime(2027, 3, day, hour, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("keys", "last_valid"),
    [
        ({"expiresAt": "2027-03-31"}, utc(31, 23)),
        (
            {"expiresAt": "2027-03-31", "timezone": "America/New_York"},
            datetime(2027, 4, 1, 3, 59, 59, tzinfo=UTC),
        ),
        # the day on which clocks go forward has 23 hours
        ({"expiresAt": "2027-03-28", "timezone": "Europe/Berlin"}, utc(28, 21)),
        ({"expiresAt": "2027-03-27", "timezone": "Europe/Berlin"}, utc(27, 22)),
        ({"expiresAt": "2027-03-31T18:00:00Z"}, utc(31, 17)),
        ({"expiresAt": "2027-03-31t18:00:00+02:00"}, utc(31, 15)),
        ({"expiresAt": "2027-03-31 18:00", "timezone": "Asia/Tokyo"}, utc(31, 8)),
        ({"expiresAt": "2027-03-31T18:00:00.5Z"}, datetime(2027, 3, 31, 18, 0, 0, tzinfo=UTC)),
        ({"expiresAt": date(2027, 3, 31)}, utc(31, 23)),
    ],
)  # fmt: skip
def test_when_it_ends(keys: dict[str, Any], last_valid: datetime) -> None:
    found = exemption(checks=["a.b"], **keys)
    assert not found.is_expired(last_valid)
    assert found.is_expired(last_valid + timedelta(seconds=1))
    # the same moment in any zone
    assert not found.is_expired(last_valid.astimezone(timezone(timedelta(hours=-11))))


def test_without_an_end_it_never_ends() -> None:
    assert not exemption(checks=["a.b"]).is_expired(datetime.max.replace(tzinfo=UTC))
    assert exemption(checks=["a.b"]).expires_text == ""


def test_pod_security_exemptions_end_too() -> None:
    loaded = spec_from_part(
        "podSecurity:\n  enforce: baseline\n"
        "  exemptions: [{namespace: a, level: privileged, expiresAt: 2027-01-14}]"
    )
    assert loaded.spec.pod_security
    assert loaded.spec.pod_security.exemptions[0].is_expired(NOW)


@pytest.mark.parametrize(
    "text",
    [
        "20270331",
        "2027-W12-1",
        "2027-3-31",
        "tomorrow",
        "2027-13-01",
        "2027-03-31T25:00:00Z",
        "2027-03-31T10",
        "31.03.2027",
        "2027-03-31T10:00:00+25:00",
    ],
)
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date"):
        exemption(checks=["a.b"], expiresAt=text)


@pytest.mark.parametrize(
    "name", ["America", "../UTC", "/etc/passwd", "Europe/Berlin\0", "", "MEZ+1", "x" * 5000]
)
def test_what_is_no_time_zone(name: str) -> None:
    with pytest.raises(ValueError, match="is not an IANA time zone"):
        exemption(checks=["a.b"], expiresAt="2027-01-01", timezone=name)


def test_load_a_file() -> None:
    first, second = load_exemptions(EXAMPLE)
    assert (first.name, first.timezone, first.expires_text) == (
        "legacy-importer",
        "Europe/Berlin",
        "2099-03-31T23:59:59+02:00",
    )
    assert (first.location, second.location) == (f"{EXAMPLE}:8:5", f"{EXAMPLE}:23:5")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exemptions: []", ["1:1: kind: required key is missing; allowed: Exemptions."]),
        (
            "apiVersion: kspec.dev/v1\nkind: Exemption\nexemptions: []",
            ["2:7: kind: 'Exemption' is not allowed; allowed: Exemptions. Did you mean 'Exemptions'?"],
        ),
        (
            "apiVersion: kspec.io/v1\nkind: Exemptions\nexemptions: []",
            [
                "1:13: apiVersion: 'kspec.io/v1' is not allowed; allowed: kspec.dev/v1. Did you mean"
                " 'kspec.dev/v1'?"
            ],
        ),
        ("apiVersion: kspec.dev/v1\nkind: Exemptions", ["1:1: exemptions: required key is missing."]),
        (
            "apiVersion: kspec.dev/v1\nkind: Exemptions\nexemptions:\n"
            "- {name: a, reason: r, check: [x.y]}\n- {name: a, reason: r}\n",
            [
                "4:24: exemptions[0].check: unknown key. Did you mean 'checks'?",
                "5:3: exemptions[1]: this would exempt everything: name checks, namespaces, resources or"
                " containers.",
                "5:10: exemptions[1].name: 'a' is already the name of exemptions[0].",
            ],
        ),
    ],
)
def test_a_wrong_file(tmp_path: Path, text: str, expected: list[str]) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_exemptions(file)
    assert str(caught.value).splitlines() == [f"{file}:{line}" for line in expected]


def test_names_are_unique_over_all_files() -> None:
    one = exemption(checks=["a.b"]).located("a.yaml:1:1")
    two = exemption(checks=["c.d"]).located("b.yaml:2:3")
    with pytest.raises(SpecError) as caught:
        Exemptions([one, two], NOW)
    assert str(caught.value) == "b.yaml:2:3: an exemption named 'e' already exists at a.yaml:1:1."
    assert len(Exemptions([one, one], NOW).all) == 1  # one file for two specifications


def test_a_name_that_is_there_twice_is_told_with_its_place_where_it_has_one() -> None:
    with pytest.raises(SpecError) as raised:
        Exemptions([exemption(checks=["c"]), exemption(checks=["d"])], NOW)
    assert "an exemption named 'e' already exists." in str(raised.value)


def test_wildcards_do_not_backtrack() -> None:
    started = time.process_time()
    assert not Globs(["*a" * 100 + "b"]).match("a" * 1000)
    assert time.process_time() - started < 1


@given(st.text(alphabet="ab*?[].\\", max_size=8), st.text(alphabet="ab[].\\\n", max_size=8))
def test_wildcards_mean_what_they_say(pattern: str, text: str) -> None:
    def slow(p: str, t: str) -> bool:
        if not p:
            return not t
        if p[0] == "*":
            return any(slow(p[1:], t[i:]) for i in range(len(t) + 1))
        return bool(t) and p[0] in ("?", t[0]) and slow(p[1:], t[1:])

    assert Globs([pattern]).match(text) is slow(pattern, text)


@pytest.mark.parametrize(
    "selector",
    [
        {"name": "system:node-proxier", "kind": "ClusterRole"},
        {"name": "My Role", "kind": "Role"},
        {"name": "*"},
        {"namespace": "kube-*"},
        {"namespace": "?"},
        {"namespace": "n" * 63},
        {"labelSelector": {"app.kubernetes.io/name": "Web_1.2", "empty": "", "A": "b"}},
    ],
)
def test_what_can_be_a_name_is_accepted(selector: dict[str, Any]) -> None:
    assert ResourceSelector(**selector)


def test_check_ids() -> None:
    assert matches_check(Globs(["a.b"]), "a.b[c]")
    assert not matches_check(Globs(["a.b"]), "a.bc")
    assert not matches_check(Globs(["a.b[c]"]), "a.b")
