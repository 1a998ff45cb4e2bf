"""What is recorded of policies on other clusters, and what is said of all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.fleet.enforcing import Synced
from pytest_kspec.operator import remotestatus
from pytest_kspec.operator.remotestatus import Member
from pytest_kspec.operator.status import stamp
from pytest_kspec.spec.loading import spec_from_part

NOW = datetime(2026, 11, 30, 1, tzinfo=UTC)
FOUND = {"metadata": {"name": "s", "uid": "u-1", "generation": 3}}
SPEC = spec_from_part(
    {"clusterSelector": {"matchLabels": {"env": "prod"}}, "enforcement": {"enabled": True, "mode": "audit"}},
    name="s",
)


def target(name: str, env: str = "prod", namespace: str = NAMESPACE, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"env": env}},
        "spec": {},
        "status": status,
    }


def test_only_targets_of_our_namespace_are_selected() -> None:
    known = {
        (NAMESPACE, "a"): target("a"),
        (NAMESPACE, "b"): target("b", "test"),
        ("team", "c"): target("c", namespace="team"),
        (NAMESPACE, "d"): {**target("d"), "spec": {"suspend": True}},
    }
    known[NAMESPACE, "e"] = target("e")
    known[NAMESPACE, "e"]["metadata"]["deletionTimestamp"] = stamp(NOW)
    assert remotestatus.selected(SPEC, known) == [(NAMESPACE, "a")]
    named = spec_from_part({"clusterRef": {"name": "c", "namespace": "team"}}, name="s")
    assert remotestatus.selected(named, known) == [("team", "c")]
    assert remotestatus.selected(spec_from_part({"clusterRef": "a"}, name="s"), known) == []  # a context


def test_the_shortest_interval_of_the_clusters_holds() -> None:
    def of(*intervals: str) -> float:
        known = {}
        for number, text in enumerate(intervals):
            one = target(f"c-{number}")
            known[NAMESPACE, f"c-{number}"] = {**one, "spec": {"scanInterval": text} if text else {}}
        return remotestatus.interval(SPEC, known, 300.0)

    assert of() == of("") == 300
    assert (of("1h"), of("1h30m", "24h"), of("1h", ""), of("10m", "2m")) == (3600, 5400, 300, 120)
    assert (of("1ms"), of("999999d")) == (30, 366 * 86400)


def test_what_is_recorded_of_a_cluster() -> None:
    done = Synced("a", "s", {"create": 2}, 1, mode="audit")
    entry = remotestatus.recorded(done, {}, FOUND, SPEC, "d", "k-1", NOW)
    assert entry == {
        "specification": "s",
        "specificationUID": "u-1",
        "generation": 3,
        "specificationDigest": "d",
        "clusterUID": "k-1",
        "engines": ["vap"],
        "mode": "audit",
        "policies": 1,
        "state": "ok",
        "since": stamp(NOW),
    }
    assert remotestatus.is_current(entry, FOUND, SPEC, "d", target("a", uid="k-1"))
    assert not remotestatus.is_current(entry, FOUND, SPEC, "d", target("a", uid="k-2")), "it was built anew"
    assert not remotestatus.is_current(entry, FOUND, SPEC, "e", target("a", uid="k-1")), "its base changed"
    for metadata in ({"uid": "u-2", "generation": 3}, {"uid": "u-1", "generation": 4}):
        assert not remotestatus.is_current(entry, {"metadata": metadata}, SPEC, "d", target("a", uid="k-1"))
    # Nothing happened: not even the time is another one.
    later = NOW + timedelta(minutes=5)
    assert (
        remotestatus.recorded(
            Synced("a", "s", {"keep": 2}, 1, mode="audit"), entry, FOUND, SPEC, "d", "k-1", later
        )
        == entry
    )
    # It does not answer: what was applied stays known.
    away = remotestatus.recorded(
        Synced("a", "s", {}, error="no route", away=True), entry, FOUND, SPEC, "d", "k-1", later
    )
    assert away == {**entry, "state": "away", "message": "no route", "since": stamp(later)}
    changed = remotestatus.recorded(
        Synced("a", "s", {}, 1, ("mode: deny",)), entry, FOUND, SPEC, "d", "k-1", later
    )
    assert (changed["state"], changed["message"]) == ("differs", "mode: deny")
    failed = remotestatus.recorded(
        Synced("a", "s", {"create": 1}, 0, ("not in force",)), {}, FOUND, SPEC, "d", "", NOW
    )
    assert failed["state"] == "failed"


def test_records_of_others_stay() -> None:
    found = target("a", policies=[{"specification": "t"}, "odd", {"specification": 3}], reachable=True)
    assert remotestatus.entry_of(found, "t") == {"specification": "t"}
    assert remotestatus.entry_of({"metadata": {}, "status": {"policies": "odd"}}, "t") == {}
    after = remotestatus.with_entry(found, "s", {"specification": "s"})
    assert after == {"policies": [{"specification": "s"}, {"specification": "t"}], "reachable": True}
    assert remotestatus.with_entry({"metadata": {}, "status": after}, "t", None)["policies"] == [
        {"specification": "s"}
    ]
    assert "policies" not in remotestatus.with_entry(
        target("a", policies=[{"specification": "s"}]), "s", None
    )


def test_corrections_of_the_last_hour() -> None:
    times = [stamp(NOW - timedelta(minutes=minutes)) for minutes in (90, 50, 40, 30, 20)]
    assert remotestatus.corrections({"corrected": times}, NOW) == times[2:]
    assert remotestatus.corrections({"corrected": times}, NOW + timedelta(hours=2)) == []
    assert remotestatus.corrections({"corrected": "odd"}, NOW) == []


def said(*members: Member) -> tuple[tuple[str, str], str, tuple[str, str]]:
    (enforced, drift), _ = remotestatus.concluded(SPEC, members, {}, None)
    return (enforced.status, enforced.reason), enforced.message, (drift.status, drift.reason)


def test_what_is_said_of_all() -> None:
    ok, away = Member("a", "ok", policies=2), Member("b", "away", "since 01:00")
    assert said(ok) == (
        ("True", "PoliciesDeployed"),
        "In force on 1 of 1 cluster, mode audit.",
        ("False", "NoDrift"),
    )
    assert said(ok, away) == (
        ("Unknown", "ClustersUnreachable"),
        "In force on 1 of 2 clusters, mode audit; 1 does not answer: b (since 01:00).",
        ("Unknown", "PoliciesPending"),
    )
    assert said(ok, away, Member("c", "failed", "forbidden"))[0] == ("False", "PoliciesNotInForce")
    assert said(ok, Member("c", "waiting"))[0] == ("False", "PoliciesPending")
    assert said(ok, Member("c", "differs", "x"))[2] == ("True", "DriftFound")
    assert said(Member("c", "not allowed"))[0] == ("False", "EnforcementNotAllowed")
    assert said()[:2] == (("False", "NoClusterSelected"), "No cluster is selected.")
    many = [Member(f"c-{number}", "away") for number in range(1000)]
    assert said(*many)[1].endswith("c-4 and 995 more.")
    _, fields = remotestatus.concluded(
        SPEC, [ok, away, Member("d", "not allowed")], {}, "2026-11-30T01:00:00Z"
    )
    assert fields["enforcement"] == {
        "active": True,
        "mode": "audit",
        "engines": ["vap"],
        "policiesGenerated": 2,
        "lastEnforcementTime": "2026-11-30T01:00:00Z",
        "clusters": {
            "selected": 3, "allowed": 2, "inForce": 1, "differ": 0, "away": 1, "failed": 0, "waiting": 0,
        },
    }  # fmt: skip


def test_of_several_engines_the_worst_counts() -> None:
    one = remotestatus.merged(
        [Synced("a", "s", {"create": 1}, 1, mode="audit"), Synced("a", "s", {}, error="no rights")]
    )
    assert (one.state, one.error, one.changes, one.in_force) == ("failed", "no rights", {"create": 1}, 1)


def test_which_specifications_a_change_of_a_target_concerns() -> None:
    own: dict[str, Any] = {"spec": {}}
    specs = {("", "own"): own, ("", "other"): {"spec": {"clusterSelector": {}}}, ("", "odd"): {"spec": "x"}}
    recorded = [{"specification": "deleted"}]
    before = target("a", uid="k-1", reachable=True, policies=recorded)

    def changed(**fields: Any) -> dict[str, Any]:
        metadata = {**before["metadata"], **fields.pop("metadata", {})}
        return {**before, "metadata": metadata, "status": {**before["status"], **fields}}

    def concerned(one: dict[str, Any] | None, other: dict[str, Any] | None) -> set[str]:
        return {name for _, name in remotestatus.concerned(one, other, specs)}

    assert concerned(before, changed(lastChecked="now", nodeCount=3)) == set()
    assert concerned(before, changed(policies=[])) == set(), "what is recorded of it is our own doing"
    assert concerned(before, changed(reachable=False)) == set()
    both = {"other", "deleted"}
    assert concerned(changed(reachable=False), before) == both
    assert concerned(before, changed(uid="k-2")) == both
    for metadata in ({"labels": {"a": "b"}}, {"generation": 9}, {"uid": "x"}, {"deletionTimestamp": "now"}):
        assert concerned(before, changed(metadata=metadata)) == both, metadata
    assert concerned(None, before) == concerned(before, None) == both
