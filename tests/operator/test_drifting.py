"""DriftConfigs on a real API server: compared when it is time, reported on a change, corrected where they say so."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec import clock
from pytest_kspec.cli.main import main
from pytest_kspec.crds.models.driftconfig import DriftConfigSpec
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import Refused
from pytest_kspec.operator.driftsaid import next_run

from .conftest import DEPLOYED, Specs, as_deployed, until
from .hubs import BINDING, CONFIG, POLICY, SPEC, V1, Hub, conditions


def test_from_a_change_to_a_report_to_its_correction_and_a_report_that_it_is_gone(hub: Hub) -> None:
    hub.config("watch", {"interval": "5m"})
    status = hub.run("watch")
    assert conditions(status) == {"Ready": ("True", "Compared"), "DriftDetected": ("False", "NoDrift")}
    assert (status["driftDetected"], status["totalEvents"], hub.reports()) == (False, 0, [])

    hub.soften()
    status = hub.run("watch")
    assert conditions(status)["DriftDetected"] == ("True", "DriftFound")
    assert (status["driftDetected"], status["totalEvents"], status["remediatedEvents"]) == (True, 1, 0)
    said = next(one["message"] for one in status["conditions"] if one["type"] == "DriftDetected")
    who, when = f"{POLICY} kspec-sturdy-pods: modified, changed by kubectl-edit at ", said[-21:]
    assert said == who + when
    assert when.endswith("Z."), "one sentence, which ends once"
    (report,) = hub.reports()
    (event,) = report["spec"]["events"]
    assert (event["type"], event["driftType"], event["severity"]) == ("Policy", "modified", "medium")
    assert event["resource"] | {"apiVersion": V1} == {
        "apiVersion": V1,
        "kind": POLICY,
        "name": "kspec-sturdy-pods",
        "path": "spec.failurePolicy",
    }
    assert (event["expected"], event["actual"]) == (
        {"spec.failurePolicy": "Fail"},
        {"spec.failurePolicy": "Ignore"},
    )
    assert "Changed by kubectl-edit at " in event["message"]
    assert (report["status"]["totalEvents"], report["status"]["pendingEvents"]) == (1, 1)

    hub.run("watch")
    assert (len(hub.reports()), hub.policy()) == (1, "Ignore"), (
        "the same is not reported again, and Report corrects nothing"
    )

    hub.config("watch", {"interval": "5m", "remediation": {"strategy": "DryRun"}})
    hub.run("watch")
    assert hub.policy() == "Ignore"
    (*_, report) = hub.reports()
    assert report["spec"]["events"][0]["remediation"] == {
        "action": "update",
        "status": "pending",
        "details": "to be restored: spec.failurePolicy.",
    }

    hub.config("watch", {"interval": "5m", "remediation": {"strategy": "Apply"}})
    status = hub.run("watch")
    assert (hub.policy(), status["totalEvents"], status["remediatedEvents"]) == ("Fail", 1, 1)
    assert conditions(status)["DriftDetected"] == ("False", "NoDrift")
    (*_, report) = hub.reports()
    assert (report["status"]["remediatedEvents"], report["status"]["phase"]) == (1, "Completed")
    hub.run("watch")
    (*_, last) = hub.reports()
    assert (last["spec"]["driftDetected"], last["spec"].get("events", [])) == (False, [])
    count = len(hub.reports())
    hub.run("watch")
    assert len(hub.reports()) == count
    assert {"DriftDetected", "DriftRemediated", "DriftCleared"} <= set(hub.events("watch"))


def test_a_run_without_a_change_asks_nothing_twice_and_writes_its_status_only(hub: Hub) -> None:
    hub.config("watch", {"interval": "5m"})
    hub.run("watch")
    since = hub.specs.plane.audit_position()
    hub.run("watch")
    seen = hub.specs.plane.requests_seen(since=since, user="admin")
    assert [one.resource for one in seen if one.verb not in ("get", "list")] == ["driftconfigs"]
    asked = Counter((one.verb, one.resource or one.uri.partition("?")[0]) for one in seen)
    # Its cluster is asked for twice: with its version, and before what is found is stored as of this one.
    often = {("get", "namespaces"): 2, ("get", "driftconfigs"): 3}
    assert {what: count for what, count in asked.items() if count > often.get(what, 1)} == {}, asked


def test_specifications_that_are_followed_are_not_listed(hub: Hub) -> None:
    hub.config("watch", {"interval": "5m", "clusterSpecs": ["stur*"], "remediation": {"strategy": "Apply"}})
    hub.follow()
    hub.soften()
    since = hub.specs.plane.audit_position()
    assert hub.run("watch")["remediatedEvents"] == 1
    assert hub.policy() == "Fail"

    def listed() -> int:
        seen = hub.specs.plane.requests_seen(since=since, user="admin")
        return sum((one.verb, one.resource) == ("list", "clusterspecifications") for one in seen)

    assert listed() == 0
    count = len(hub.reports())
    hub.shown = {}  # as where it was created a moment ago
    assert hub.run("watch")["totalEvents"] == 0
    assert (listed(), len(hub.reports())) == (1, count + 1), "drift that is over, of what is there still"


def test_a_policy_that_a_specification_does_not_ask_for_any_more_is_not_missing(hub: Hub) -> None:
    """A watch may be late: what was removed meanwhile is not made again because of what it shows."""
    hub.config("watch", {"interval": "5m", "remediation": {"strategy": "Apply"}})
    hub.follow()
    services = {key: value for key, value in SPEC.items() if key != "podSecurity"}
    hub.specs.put("sturdy", {**services, "network": {"allowedServiceTypes": ["ClusterIP"]}})
    hub.enforce("sturdy")
    found = hub.run("watch")
    assert hub.writer.find(V1, POLICY, "kspec-sturdy-pods") is None
    assert conditions(found)["DriftDetected"][0] == "Unknown"
    assert "are not applied yet" in str(found["conditions"])
    hub.follow()
    assert conditions(hub.run("watch"))["DriftDetected"][0] == "False"


def test_a_fight_is_given_up_and_remembered_by_the_next_leader(hub: Hub) -> None:
    hub.config("fight", {"interval": "5m", "remediation": {"strategy": "Apply"}})
    for _ in range(3):
        hub.soften(manager="rival")
        assert hub.run("fight")["remediatedEvents"] == 1
    after = Hub(hub.specs)
    after.now = hub.now
    hub.soften(manager="rival")
    status = after.run("fight")
    assert (status["remediatedEvents"], hub.policy()) == (0, "Ignore")
    assert conditions(status)["DriftDetected"] == ("True", "DriftFound")
    (*_, report) = hub.reports()
    assert report["spec"]["events"][0]["remediation"]["action"] == "manual-required"
    assert "DriftFight" in hub.events("fight")
    assert after.run("fight", 3600.0)["remediatedEvents"] == 1, "an hour later it is tried again"


def test_two_configs_two_retentions_and_what_they_ignore(hub: Hub) -> None:
    hub.config("all", {"interval": "1m", "retention": {"maxReports": 2}})
    hub.config("some", {"interval": "1m", "ignore": [{"kind": POLICY, "fields": ["spec.failurePolicy"]}]})
    hub.config("other", {"interval": "1m", "clusterSpecs": ["nothing-*"]})
    hub.config("high", {"interval": "1m", "minSeverity": "high"})
    for turn in range(3):
        hub.soften(("kspec-sturdy-pods", "kspec-sturdy-workloads", "kspec-sturdy-cronjobs")[turn])
        counts = [hub.run(name).get("totalEvents") for name in ("all", "some", "other", "high")]
        assert counts == [turn + 1, 0, None, 0]
        found = hub.writer.get(*CONFIG, "other", namespace=NAMESPACE)["status"]
        assert conditions(found)["DriftDetected"] == ("Unknown", "NotCompared"), "nothing was compared"
    assert [len(one["spec"]["events"]) for one in hub.reports()] == [2, 3]


def test_no_more_than_max_changes_in_one_run(hub: Hub) -> None:
    for name in ("pods", "workloads", "cronjobs"):
        hub.soften(f"kspec-sturdy-{name}")
    hub.config("few", {"interval": "5m", "remediation": {"strategy": "Apply", "maxChanges": 2}})
    status = hub.run("few")
    assert (status["totalEvents"], status["remediatedEvents"]) == (3, 2)
    assert hub.run("few")["remediatedEvents"] == 1


def test_what_is_not_compared_is_unknown_and_never_gone(hub: Hub) -> None:
    hub.config("watch", {"interval": "5m"})
    hub.soften()
    hub.run("watch")
    hub.specs.put("sturdy", {**SPEC, "enforcement": {"enabled": True, "mode": "audit"}})
    status = hub.run("watch")
    assert conditions(status) == {
        "Ready": ("Unknown", "NotCompared"),
        "DriftDetected": ("Unknown", "NotCompared"),
    }
    assert "driftDetected" not in status
    assert [one["spec"]["driftDetected"] for one in hub.reports()] == [True], "not reported as gone"
    hub.specs.put(
        "broken",
        {"policyInheritance": {"basePolicies": ["nowhere"]}, "enforcement": SPEC["enforcement"]},
    )
    hub.enforce("sturdy")
    status = hub.run("watch")
    assert conditions(status)["Ready"] == ("Unknown", "NotCompared")
    assert [one["spec"]["driftDetected"] for one in hub.reports()] == [True, False], (
        "one bad specification harms no other"
    )


def test_what_cannot_be_compared_yet_does_not_wait_for_the_next_night(hub: Hub) -> None:
    """Such as where all is applied at once: specification and DriftConfig."""

    def run() -> tuple[str, timedelta]:
        status = hub.run("nightly", 300)
        last, again = (datetime.fromisoformat(status[key]) for key in ("lastRunTime", "nextRunTime"))
        assert last == hub.now
        return conditions(status)["Ready"][1], again - last

    hub.config("nightly", {"schedule": "0 0 31 1 *", "clusterSpecs": ["late"]})
    assert run() == ("NotCompared", timedelta(minutes=5)), "there is no such specification yet"
    hub.specs.put("late", {**SPEC, "enforcement": {"enabled": True, "mode": "audit"}})
    assert run() == ("NotCompared", timedelta(minutes=5)), "its policies are not applied yet"
    hub.enforce("late")
    reason, again = run()
    assert (reason, again > timedelta(minutes=5)) == ("Compared", True)


def test_what_is_not_due_suspended_or_elsewhere(hub: Hub) -> None:
    hub.config("watch", {"interval": "10m"})
    first = hub.run("watch")
    assert hub.run("watch", 300.0) == first, "nothing is written before it is time"
    hub.config("watch", {"enabled": False})
    assert conditions(hub.run("watch"))["Ready"] == ("False", "Suspended")
    hub.config("watch", {"types": ["Compliance"]})
    assert conditions(hub.run("watch"))["Ready"] == ("False", "StoreNeeded")
    hub.config("watch", {"types": ["Policy", "Compliance"]})
    status = hub.run("watch")
    assert conditions(status) == {
        "Ready": ("Unknown", "StoreNeeded"),
        "DriftDetected": ("Unknown", "NotCompared"),
    }, "policies are compared, and what is not is not said to be as it was"
    hub.config("away", {"interval": "5m"}, namespace="default")
    with clock.at(hub.now):
        hub.controller.reconcile(("default", "away"))
    status = hub.writer.get(*CONFIG, "away", namespace="default")["status"]
    assert conditions(status)["Ready"] == ("False", "OtherNamespace")


def test_a_specification_of_other_clusters_was_not_compared(hub: Hub) -> None:
    hub.specs.put("away", {**SPEC, "clusterRef": {"name": "another"}})
    hub.config("watch", {"clusterSpecs": ["away"]})
    status = hub.run("watch")
    assert conditions(status) == {
        "Ready": ("Unknown", "NotCompared"),
        "DriftDetected": ("Unknown", "NotCompared"),
    }
    assert not {"driftDetected", "baselineTime"} & status.keys()


def test_the_api_server_refuses_what_cannot_be_meant(hub: Hub) -> None:
    for spec in (
        {"interval": "5m", "schedule": "* * * * *"},
        {"interval": "often"},
        {"remediation": {"strategy": "apply"}},
        {"remediation": {"maxChanges": 0}},
        {"ignore": [{"reason": "all"}]},
        {"minSeverity": "bad"},
        {"configuration": {"kinds": ["Role"]}},
        {"configuration": {"kinds": ["Role"], "baseline": "Snapshot"}},
        {"configuration": {"kinds": ["Role"], "baseline": "LastRun"}},
        {"configuration": {"kinds": ["Role"], "baseline": "LastGoodRun", "snapshotRef": {"name": "good"}}},
        {"unknown": 1},
    ):
        with pytest.raises(Refused):
            hub.config("bad", spec)


@pytest.mark.parametrize(
    ("spec", "after"),
    [
        ({}, "2026-03-28T12:05:00"),
        ({"interval": "1h30m"}, "2026-03-28T13:30:00"),
        ({"interval": "100ms"}, "2026-03-28T12:00:05"),
        ({"schedule": "30 2 * * *"}, "2026-03-29T02:30:00"),
        # In Berlin the clock goes from 2:00 to 3:00 in that night.
        ({"schedule": "30 2 * * *", "timezone": "Europe/Berlin"}, "2026-03-29T01:00:00"),
        ({"schedule": "30 1 * * *", "timezone": "America/New_York"}, "2026-03-29T05:30:00"),
    ],
)
def test_when_it_is_time(spec: dict[str, Any], after: str) -> None:
    found = next_run(DriftConfigSpec.model_validate(spec), datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert found.astimezone(UTC).isoformat() == f"{after}+00:00"


def test_the_command_takes_the_specification_from_the_cluster(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    plane = hub.specs.plane
    cluster = (f"--cluster={plane.name}", f"--kubeconfig={plane.kubeconfig(path=tmp_path / 'kubeconfig')}")

    def kspec(action: str, spec: str, *words: str) -> tuple[int, str, str]:
        code = main(["drift", action, "-s", spec, *(cluster[:1] if action == "history" else cluster), *words])
        return code, *capsys.readouterr()

    code, out, err = kspec("detect", "cr:sturdy")
    assert (code, err) == (0, ""), out
    hub.soften()
    store = f"--store={tmp_path / 'store.db'}"
    code, out, err = kspec("detect", "cr:sturdy", "-o", "json", "--types=policy", store)
    assert (code, err) == (1, "")
    document = json.loads(out)
    assert document["spec"]["name"] == "sturdy"
    (event,) = document["events"]
    assert (event["resource"]["name"], event["changed_by"]["manager"]) == (
        "kspec-sturdy-pods",
        "kubectl-edit",
    )
    code, out, _ = kspec("remediate", "cr:sturdy", "--yes")
    assert (code, hub.policy()) == (0, "Fail"), out
    code, out, err = kspec("detect", "cr:stury")
    assert (code, "has no ClusterSpecification 'stury'" in err, "sturdy" in err) == (4, True, True), err
    hub.specs.clear()
    code, out, err = kspec("history", "cr:sturdy", store, "-o", "json")
    assert (code, json.loads(out)["stats"]["open_events"]) == (0, 1), "its history outlives it"


def test_corrections_of_a_deleted_specification_are_not_those_of_the_next_one(hub: Hub) -> None:
    hub.config("fix", {"interval": "5m", "remediation": {"strategy": "Apply"}})
    for _ in range(3):
        hub.soften()
        assert hub.run("fix", 310.0)["remediatedEvents"] == 1
    hub.soften()
    assert hub.run("fix", 310.0)["remediatedEvents"] == 0, "a fight"
    uid = hub.specs.get("sturdy")["metadata"]["uid"]
    kept = hub.writer.get("v1", "ConfigMap", "kspec-drift-sturdy", namespace=NAMESPACE)
    (owner,) = kept["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "kspec.io/v1alpha1",
        "kind": "ClusterSpecification",
        "name": "sturdy",
        "uid": uid,
    }, "Kubernetes deletes it with the specification"

    hub.specs.clear()
    hub.specs.put("sturdy", SPEC)
    hub.enforce("sturdy")
    hub.soften()
    assert hub.run("fix", 310.0)["remediatedEvents"] == 1
    kept = hub.writer.get("v1", "ConfigMap", "kspec-drift-sturdy", namespace=NAMESPACE)
    assert [one["uid"] for one in kept["metadata"]["ownerReferences"]] != [uid]
    assert len(json.loads(kept["data"]["corrections"])) == 1


@contextlib.contextmanager
def no_change_of_bindings(specs: Specs, tmp_path: Path) -> Iterator[str]:
    """A kubeconfig with the rights of config/, but for the change of bindings."""
    place = ("rbac.authorization.k8s.io/v1", "ClusterRole")
    role = specs.writer.get(*place, "kspec-enforcer")
    rules = []
    for rule in role["rules"]:
        kept = [one for one in rule["resources"] if one != "validatingadmissionpolicybindings"]
        rules += [{**rule, "resources": kept}] if kept else []
        if kept != rule["resources"]:
            verbs = [verb for verb in rule["verbs"] if verb not in ("patch", "update")]
            rules.append({**rule, "resources": ["validatingadmissionpolicybindings"], "verbs": verbs})
    specs.writer.patch(*place, "kspec-enforcer", {"rules": rules}, field_manager="test")
    path = f"/apis/{V1}/validatingadmissionpolicybindings/none?dryRun=All"
    groups = ("system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")

    def denied() -> bool:
        answer = specs.plane.request("PATCH", path, {}, impersonate=DEPLOYED, groups=groups)
        return answer.status == 403

    try:
        until(denied)
        yield str(as_deployed(specs.plane, tmp_path / "kubeconfig"))
    finally:
        patch = {"rules": role["rules"]}
        specs.writer.patch(*place, "kspec-enforcer", patch, field_manager="test")
        until(lambda: not denied())


def test_one_policy_that_cannot_be_corrected_keeps_no_other_from_it(hub: Hub, tmp_path: Path) -> None:
    wanted = {**SPEC, "enforcement": {"enabled": True, "mode": "enforce", "autoRemediate": True}}
    hub.specs.put("sturdy", wanted)
    hub.enforce("sturdy")
    binding = "kspec-sturdy-pods"
    for name in ("kspec-sturdy-pods", "kspec-sturdy-workloads"):
        hub.soften(name)
    warns = [{"op": "replace", "path": "/spec/validationActions", "value": ["Warn"]}]
    hub.writer.patch(V1, BINDING, binding, warns, patch_type="json", field_manager="kubectl-edit")

    def reconciled() -> dict[str, tuple[str, str]]:
        hub.now += timedelta(minutes=10)
        hub.enforce("sturdy")
        return conditions(hub.specs.get("sturdy")["status"])

    with no_change_of_bindings(hub.specs, tmp_path) as kubeconfig:
        limited = Hub(hub.specs, kubeconfig=kubeconfig)
        limited.now = hub.now
        hub.reconciler = limited.reconciler
        found = reconciled()
        assert (hub.policy("kspec-sturdy-pods"), hub.policy("kspec-sturdy-workloads")) == ("Fail", "Fail")
        assert found["DriftDetected"] == ("True", "DriftFound")
        assert found["PolicyEnforced"][1] != "EnforcementFailed", "what is in force was read back"
        said = hub.specs.condition("sturdy", "DriftDetected")["message"]
        assert said.startswith(f"{BINDING} {binding} was changed by kubectl-edit at ")
        assert "(not corrected: " in said
        assert "Grant the verbs" in said
        told = sorted(one for one in hub.specs.events("sturdy") if "Remediat" in one)
        assert told == ["DriftRemediated", "DriftRemediated", "RemediationFailed"]
        reconciled()
        assert sorted(one for one in hub.specs.events("sturdy") if "Remediat" in one) == told, "once"
    assert reconciled()["DriftDetected"] == ("False", "NoDrift")
    assert hub.writer.get(V1, BINDING, binding)["spec"]["validationActions"] == ["Deny", "Audit"]


def test_each_problem_of_a_config_is_said(hub: Hub) -> None:
    hub.config("odd", {"schedule": "0 0 30 2 *", "timezone": "Mars/X"})
    (ready,) = [one for one in hub.run("odd")["conditions"] if one["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "InvalidConfiguration")
    assert ready["message"] == (
        "spec.schedule: '0 0 30 2 *' is not a cron schedule: bad day-of-month; "
        "spec.timezone: 'Mars/X' is not an IANA time zone such as Europe/Berlin"
    )
