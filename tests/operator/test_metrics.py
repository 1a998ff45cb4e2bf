"""What scans and reconciliations give to metrics, and what is no longer there."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from pytest_kspec.fleet.targets.credentials import Life
from pytest_kspec.operator.metrics import Metrics, State
from pytest_kspec.operator.scans import Scanned
from pytest_kspec.results.evidence import ExemptionUse
from pytest_kspec.results.result import ScanResult
from pytest_kspec.results.verdict import Verdict
from tests.observe.test_registry import of, samples
from tests.operator.test_status import cluster

P, F, E, S = Verdict.PASS, Verdict.FAIL, Verdict.ERROR, Verdict.SKIP


@pytest.fixture
def made() -> Metrics:
    return Metrics(State(lambda: True, lambda: 3, lambda: 1.5, lambda: 7))


def scanned(
    *verdicts: Verdict, exemptions: Iterable[ExemptionUse] = (), name: str = "prod", uid: str = "u"
) -> Scanned:
    result = replace(cluster(*verdicts), name=name, uid=uid, exemptions=tuple(exemptions))
    return Scanned(ScanResult("1", "", "", (result,)), (), 2.0)


def test_a_result(made: Metrics) -> None:
    made.scanned("s", scanned(P, F, E, S))
    seen = samples(made.registry)
    for name, expected in {
        "kspec_compliance_checks_total": 4,
        "kspec_compliance_checks_passed": 1,
        "kspec_compliance_checks_failed": 1,
    }.items():
        assert seen[name, (("cluster_name", "prod"), ("cluster_spec", "s"), ("cluster_uid", "u"))] == expected
    by_status = of("kspec_compliance_checks", made.registry)
    assert by_status == {("prod", "s", status): 1 for status in ("passed", "failed", "error", "skipped")}
    ((score,), (ratio,)) = (
        of(name, made.registry).values()
        for name in ("kspec_compliance_score", "kspec_compliance_score_ratio")
    )
    assert 0 < score < 50
    assert ratio == pytest.approx(score / 100)
    assert of("kspec_last_scan_success", made.registry) == {("prod", "s"): 1}
    assert of("kspec_scan_duration_seconds_count", made.registry) == {("prod", "s"): 1}
    severities = of("kspec_findings", made.registry)
    assert {severity for *_, severity in severities} == {"critical", "high", "medium", "low"}


def test_a_result_that_is_not_known_is_not_the_last_one(made: Metrics) -> None:
    made.scanned("s", scanned(P))
    made.scan_failed("prod", "s", "timeout")
    names = {name for name, labels in samples(made.registry) if ("cluster_spec", "s") in labels}
    assert not [name for name in names if "compliance" in name or "findings" in name]
    assert of("kspec_last_scan_success", made.registry) == {("prod", "s"): 0}
    assert of("kspec_scan_errors_total", made.registry) == {("s", "timeout"): 1}
    assert of("kspec_last_scan_timestamp_seconds", made.registry), "when it was known last"
    made.scanned("s", scanned(E))
    assert of("kspec_compliance_score", made.registry) == {}, "nothing was evaluated"
    assert of("kspec_compliance_checks", made.registry)[("prod", "s", "error")] == 1


def test_series_end_with_their_specification(made: Metrics) -> None:
    made.scanned("s", scanned(P))
    made.drifted("prod", "s", {"missing": 1})
    made.enforced("s", "enforce")
    made.reconciled("clusterspec", "s", 1, "Conflict")
    made.changed("prod", "s", "vap", [("create", False)])
    made.gone("s")
    made.done("clusterspec", "s")
    made.gone("s")
    assert [labels for _, labels in samples(made.registry) if ("cluster_spec", "s") in labels] == []
    assert of("kspec_active_cluster_specs", made.registry) == dict.fromkeys(
        [("monitor",), ("audit",), ("enforce",)], 0
    )
    assert of("kspec_fleet_clusters", made.registry)[("all",)] == 0


def test_a_cluster_under_another_name_leaves_no_series(made: Metrics) -> None:
    made.scanned("s", scanned(P))
    made.scanned("s", scanned(P, name="renamed"))
    names = {dict(labels).get("cluster_name") for _, labels in samples(made.registry)}
    assert names == {None, "renamed"}


def test_a_specification_on_several_clusters(made: Metrics) -> None:
    for name in ("a", "b"):
        made.scanned("s", scanned(P, name=name, uid=name))
    made.scan_failed("b", "s", "timeout")
    assert of("kspec_compliance_score_ratio", made.registry) == {("a", "s"): 1}
    assert of("kspec_last_scan_success", made.registry) == {("a", "s"): 1, ("b", "s"): 0}
    made.gone("s")
    assert of("kspec_last_scan_success", made.registry) == {}


def test_drift_by_kind(made: Metrics) -> None:
    made.drifted("prod", "s", {"missing": 1})
    assert of("kspec_drift_detected", made.registry) == {}, "the cluster is not known before the first scan"
    made.scanned("s", scanned(P))
    made.drifted("prod", "s", {"missing": 1, "modified": 2})
    assert of("kspec_drift_events", made.registry) == {("prod", "s"): 3}
    kinds = {key[-1]: count for key, count in of("kspec_drift_events_by_type", made.registry).items()}
    assert kinds == {"missing": 1, "modified": 2, "extra": 0, "violation": 0}
    assert of("kspec_fleet_clusters", made.registry)[("drifted",)] == 1
    made.drifted("prod", "s", {})
    assert set(of("kspec_drift_events_by_type", made.registry).values()) == {0}
    assert of("kspec_drift_detected", made.registry) == {("prod", "s", "u"): 0}


def test_corrections_are_counted_as_changes(made: Metrics) -> None:
    made.scanned("s", scanned(P))
    made.changed("prod", "s", "vap", [("create", False), ("update", True)])
    assert of("kspec_policy_changes_total", made.registry) == {
        ("s", "vap", "create"): 1,
        ("s", "vap", "update"): 1,
    }
    actions = {key[0]: count for key, count in of("kspec_remediation_actions_total", made.registry).items()}
    assert actions == {"create": 0, "update": 1, "delete": 0}


def test_a_fight_is_counted_when_it_begins(made: Metrics) -> None:
    made.corrections("prod", "s", {"a": 3})
    assert of("kspec_drift_fights", made.registry) == {}, "the cluster is not known before the first scan"
    made.scanned("s", scanned(P))
    for recent, now, total in (
        ({"a": 2}, 0, 0),
        ({"a": 3, "b": 1}, 1, 1),
        ({"a": 4, "b": 3}, 2, 2),
        ({"b": 3}, 1, 2),
        ({}, 0, 2),
        ({"a": 3}, 1, 3),
    ):
        made.corrections("prod", "s", recent)
        assert of("kspec_drift_fights", made.registry) == {("prod", "s"): now}
        assert of("kspec_drift_fights_total", made.registry) == {("prod", "s"): total}


def test_policies_of_kyverno_have_the_name_of_v03_too(made: Metrics) -> None:
    made.changed("prod", "s", "kyverno", [("create", False), ("update", False)])
    assert of("kspec_kyverno_policy_created_total", made.registry) == {("s", "ValidatingPolicy"): 1}


def test_exemptions(made: Metrics) -> None:
    def use(state: str, end: str) -> ExemptionUse:
        return ExemptionUse("x", "r", "", end, "", state, 0)

    ends = [use("used", "2030-01-02T00:00:00Z"), use("unused", "2030-01-01T00:00:00+00:00")]
    made.scanned("s", scanned(P, exemptions=[*ends, use("expired", "2020-01-01T00:00:00Z"), use("used", "")]))
    states = {state: count for (*_, state), count in of("kspec_exemptions", made.registry).items()}
    assert states == {"used": 2, "unused": 1, "expired": 1, "unknown": 0}
    assert list(of("kspec_exemption_expiry_timestamp_seconds", made.registry).values()) == [1893456000]
    made.scanned("s", scanned(P))
    assert of("kspec_exemption_expiry_timestamp_seconds", made.registry) == {}


def test_the_fleet_and_the_process(made: Metrics) -> None:
    made.scanned("a", scanned(P, P))
    made.scanned("b", scanned(P, F, name="test"))
    made.scan_failed("dead", "c", "timeout")
    made.enforced("a", "enforce")
    made.enforced("b", "monitor")
    made.enforced("b", "")
    registry = made.registry
    assert of("kspec_fleet_summary_total", registry) == {
        ("clusters_total",): 3,
        ("clusters_healthy",): 2,
        ("checks_total",): 4,
        ("checks_passed",): 3,
        ("checks_failed",): 1,
        ("clusters_with_drift",): 0,
    }
    assert of("kspec_fleet_clusters", registry) == {
        ("all",): 3,
        ("healthy",): 2,
        ("compliant",): 1,
        ("drifted",): 0,
    }
    assert of("kspec_active_cluster_specs", registry) == {("monitor",): 0, ("audit",): 0, ("enforce",): 1}
    for name, value in (
        ("kspec_leader_election_status", 1),
        ("kspec_leader_election_transitions_total", 7),
        ("kspec_workqueue_depth", 3),
        ("kspec_workqueue_oldest_seconds", 1.5),
        ("kspec_active_manager_instances", 1),
    ):
        assert of(name, registry) == {(): value}
    made.reconciled("clusterspec", "a", 40)
    made.reconciled("clusterspec", "a", 0.1, "Conflict")
    assert of("kspec_reconcile_total", registry) == {("a", "clusterspec"): 2}
    assert of("kspec_reconcile_errors_total", registry) == {
        ("a", "clusterspec", "ScanFailed"): 0,
        ("a", "clusterspec", "Conflict"): 1,
    }
    buckets = of("kspec_reconcile_duration_seconds_bucket", registry)
    assert (buckets["a", "clusterspec", "30"], buckets["a", "clusterspec", "60"]) == (1, 2)


def test_targets(made: Metrics) -> None:
    def target(
        name: str, *, is_healthy: bool = True, version: str = "1.33", expires: float | None = None
    ) -> None:
        made.targeted(
            "ns",
            name,
            is_healthy=is_healthy,
            nodes=3 if is_healthy else None,
            facts=("eks", version, "https://a"),
            life=Life(None if expires is None else expires - 100.0, expires),
            group="eu" if name == "a" else "",
        )

    registry = made.registry
    target("a", expires=1e9)
    target("a", version="1.34")
    target("b", is_healthy=False)
    assert of("kspec_cluster_target_healthy", registry) == {("a", "ns"): 1, ("b", "ns"): 0}
    assert of("kspec_cluster_target_nodes", registry) == {("a", "ns"): 3}
    versions = [key[-1] for key in of("kspec_cluster_target_info", registry)]
    assert versions == ["1.34", "1.33"], "an upgrade leaves no series"
    assert of("kspec_credential_expiry_timestamp_seconds", registry) == {}
    assert of("kspec_credential_lifetime_seconds", registry) == {}
    target("b", is_healthy=False, expires=1e9)
    assert of("kspec_credential_lifetime_seconds", registry) == {("b", "ns"): 100}
    assert of("kspec_cluster_group", registry) == {("a", "eu"): 1, ("b", "none"): 1}
    states = of("kspec_fleet_clusters", registry)
    assert (states[("all",)], states[("healthy",)], states[("compliant",)]) == (2, 1, 0)
    made.target_gone("ns", "a")
    assert of("kspec_cluster_target_info", registry).keys() == {("https://a", "b", "ns", "eks", "1.33")}
    assert of("kspec_cluster_group", registry) == {("b", "none"): 1}


def test_notifications_and_failed_corrections(made: Metrics) -> None:
    made.notified("team", "chat", 3, failed=True)
    assert of("kspec_notifications_total", made.registry) == {
        ("team", "chat", "failed"): 3,
        ("team", "chat", "sent"): 0,
    }
    made.enforcement_failed("prod", "s", "AccessDenied")
    assert of("kspec_remediation_errors_total", made.registry) == {}, "the cluster is not known"
    made.scanned("s", scanned(P))
    made.enforcement_failed("prod", "s", "AccessDenied")
    assert of("kspec_remediation_errors_total", made.registry) == {("prod", "s", "u", "AccessDenied"): 1}


def test_who_leads_no_more_says_nothing_of_the_fleet() -> None:
    """Two replicas that say it would double every sum."""
    leads = [True]
    made = Metrics(State(lambda: leads[0], lambda: 0, lambda: 0.0, lambda: 0))
    made.scanned("a", scanned(P))
    shared = ("kspec_fleet_summary_total{", "kspec_compliance_score{", "kspec_fleet_clusters{")
    text = made.page().body.decode()
    assert all(f"\n{name}" in text for name in shared)
    assert "\nkspec_leader_election_status 1" in text
    leads[0] = False
    text = made.page().body.decode()
    assert not any(name in text for name in shared)
    assert "\nkspec_leader_election_status 0" in text
