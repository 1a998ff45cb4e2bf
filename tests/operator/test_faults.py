"""API servers that go away, leaders that freeze or die in the middle of their work, stores that are down."""

from __future__ import annotations

import copy
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.schema.definitions import DEFINITIONS
from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane, Etcd
from tests.crds.conftest import Cluster
from tests.operator.conftest import LEASE, OperatorProcess, Specs, until

Object = dict[str, Any]
ALONE = "--leader-elect=false"
QUICK = ("lease-duration=6s", "renew-deadline=4.5s", "retry-period=1200ms")
TERMS = [f"--leader-election-{term}" for term in QUICK]
MET, UNMET = {"kubernetes": {"minVersion": "1.29"}}, {"kubernetes": {"minVersion": "1.99"}}
POLICY = ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
BINDING = ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding")
REPORT = ("kspec.io/v1alpha1", "ComplianceReport")
NOWHERE = {"namespaceSelector": {"matchLabels": {"kspec-test": "nowhere"}}}


def enforced(mode: str) -> Object:
    asked = {"enabled": True, "mode": mode}
    return {
        "network": {"allowedServiceTypes": ["ClusterIP"]},
        "namespaceScope": NOWHERE,
        "enforcement": asked,
    }


@pytest.fixture(scope="module")
def away(etcd: Etcd) -> Iterator[Cluster]:
    """An API server of this module's own, which its tests stop and start."""
    with ControlPlane(etcd) as plane:
        made = Cluster(plane)
        made.install(*DEFINITIONS)
        namespaces.create(plane, NAMESPACE)
        yield made
        made.writer.source.close()


@pytest.fixture
def begin(away: Cluster, tmp_path: Path) -> Iterator[Callable[..., OperatorProcess]]:
    started: list[OperatorProcess] = []

    def start(*words: str, **options: Any) -> OperatorProcess:
        folder = tmp_path / f"operator-{len(started)}"
        folder.mkdir()
        started.append(OperatorProcess(away.plane, folder, *words, **{"user": "admin", **options}))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def specs_there(away: Cluster) -> Iterator[Callable[[], Specs]]:
    """Specifications, with a new connection each time: the old one remembers that the server was away."""
    made: list[Specs] = []

    def there() -> Specs:
        made.append(Specs(Cluster(away.plane)))
        return made[-1]

    yield there
    for name in set().union(*(one._made for one in made)):
        made[-1]._made.add(name)
    made[-1].clear()
    for one in made:
        one.writer.source.close()


Begin = Callable[..., OperatorProcess]
There = Callable[[], Specs]


@pytest.mark.parametrize("seconds", [20, pytest.param(300, marks=pytest.mark.long)])
def test_an_api_server_that_was_away_is_followed_again(
    away: Cluster, begin: Begin, specs_there: There, seconds: int
) -> None:
    specs = specs_there()
    specs.put("met", MET)
    operator = begin(ALONE)
    specs.wait("met", "True", said=operator.said)
    before = operator.said().count("\n")
    away.plane.stop()
    time.sleep(seconds)
    assert operator.process.poll() is None, operator.said()
    away.plane.start()
    specs = specs_there()
    specs.put("met", UNMET)
    specs.put("later", MET)
    specs.wait("met", "False", said=operator.said)
    specs.wait("later", "True", said=operator.said)
    assert operator.said().count("\n") - before < 40, "a problem is said once, and not at each attempt"


@pytest.mark.long
def test_a_leader_that_cannot_reach_the_api_server_ends_and_the_next_waits_for_it(
    away: Cluster, begin: Begin, specs_there: There
) -> None:
    specs = specs_there()
    specs.put("met", MET)
    first = begin(*TERMS)
    specs.wait("met", "True", said=first.said)
    away.plane.stop()
    assert first.ended() == 1, first.said()
    second = begin(*TERMS)
    time.sleep(5)
    assert second.process.poll() is None, second.said()
    away.plane.start()
    specs = specs_there()
    specs.put("met", UNMET)
    specs.wait("met", "False", said=second.said)


@pytest.mark.long
def test_a_leader_that_froze_in_the_middle_of_its_work_writes_no_policy_and_no_report(
    away: Cluster, begin: Begin, specs_there: There
) -> None:
    specs = specs_there()
    specs.writer.delete(*LEASE, namespace=NAMESPACE)
    first = begin(*TERMS, user="controllers")
    until(lambda: "leads" in first.said(), first.said)
    for number in range(6):
        specs.put(f"frozen-{number}", enforced("audit"))
    until(lambda: specs.writer.list(*POLICY), first.said)  # it works, and much is left to do
    first.send(signal.SIGSTOP)
    second = begin(*TERMS)
    for number in range(6):
        specs.wait(f"frozen-{number}", "True", "PolicyEnforced", second.said)
    for number in range(6):
        specs.put(f"frozen-{number}", enforced("enforce"))
    for number in range(6):
        until(lambda n=number: specs.condition(f"frozen-{n}", "PolicyEnforced").get("status"), second.said)
    state = objects(specs, *(f"frozen-{number}" for number in range(6)))
    since = specs.plane.audit_position()
    first.send(signal.SIGCONT)
    assert first.ended() == 1, first.said()
    seen = specs.plane.requests_seen(since=since, user="controllers")
    assert [one for one in seen if one.verb not in ("get", "list", "watch") and one.status < 400] == []
    assert objects(specs, *(f"frozen-{number}" for number in range(6))) == state


def test_a_scan_that_takes_too_long_is_killed_and_is_an_error(begin: Begin, specs_there: There) -> None:
    specs = specs_there()
    specs.put("slow", MET)
    operator = begin(ALONE, "--scan-timeout=100ms")
    found = specs.wait("slow", "Unknown", said=operator.said)
    assert (found["reason"], found["message"]) == (
        "ReconciliationFailed",
        "slow: the scan was killed after 0.1 s.",
    )


def test_a_store_that_is_down_costs_its_rows_and_they_are_named(
    begin: Begin, specs_there: There, tmp_path: Path
) -> None:
    specs = specs_there()
    specs.put("kept", MET)
    store = tmp_path / "store" / "results.db"
    store.parent.mkdir()
    operator = begin(ALONE, f"--store={store}")
    specs.wait("kept", "True", said=operator.said)

    def rows() -> int:
        with sqlite3.connect(store) as opened:
            return int(opened.execute("select count(*) from kspec_results").fetchone()[0])

    assert rows() == 1
    shutil.move(store, tmp_path / "aside")
    store.mkdir()  # nothing can be opened there
    specs.put("kept", UNMET)
    specs.wait("kept", "False", said=operator.said)
    until(lambda: "HistoryIncomplete" in specs.events("kept"), operator.said)
    store.rmdir()
    shutil.move(tmp_path / "aside", store)
    specs.put("kept", MET)
    specs.wait("kept", "True", said=operator.said)
    until(lambda: "HistoryRestored" in specs.events("kept"), operator.said)
    (text,) = [
        one["message"]
        for one in specs.writer.list("v1", "Event", namespace="default")
        if one["reason"] == "HistoryRestored"
    ]
    assert text.startswith("Results are stored again; 1 is missing, of scans from ")
    assert rows() == 2


def objects(specs: Specs, *names: str) -> dict[str, Any]:
    """What there is for these specifications, but for times, versions and names that hold times."""
    found: dict[str, Any] = {}
    for name in names:
        spec = specs.get(name)
        status = copy.deepcopy(spec["status"])
        for key in ("lastScanTime", "nextScanTime"):
            status.pop(key, None)
        status.get("enforcement", {}).pop("lastEnforcementTime", None)
        for one in status["conditions"]:
            one.pop("lastTransitionTime")
            one["message"] = one["message"].replace(name, "NAME")
        label = f"kspec.io/cluster-spec={name}"
        made = [
            one["spec"]
            for kind in (POLICY, BINDING)
            for one in specs.writer.list(*kind, label_selector=label)
        ]
        reports = specs.writer.list(*REPORT, namespace=NAMESPACE, label_selector=label)
        phases = [(one["spec"]["summary"], one["status"]["phase"]) for one in reports]
        found[name] = {
            "finalizers": spec["metadata"].get("finalizers"),
            "status": status,
            "policies": str(made).replace(name, "NAME"),
            "reports": phases,
        }
    return found


KILLS = [(number, where) for number in range(1, 11) for where in ("before", "after")]


@pytest.mark.long
@pytest.mark.timeout(2400)  # twenty operators; 12 minutes beside other work
def test_whoever_goes_on_after_a_kill_at_any_write_ends_in_the_same_state(
    begin: Begin, specs_there: There
) -> None:
    specs = specs_there()
    names = []
    dying = Path(__file__).with_name("dying.py")
    for number, where in KILLS:
        names.append(f"killed-{number:02}-{where}")
        specs.put(names[-1], enforced("audit"))
        program = [sys.executable, str(dying), names[-1], str(number), where]
        operator = begin(ALONE, program=program)
        assert operator.ended() == -signal.SIGKILL, f"{names[-1]}: {operator.said()}"
    specs.put("whole", enforced("audit"))
    operator = begin(ALONE)
    for name in [*names, "whole"]:
        specs.wait(name, "True", "PolicyEnforced", operator.said)
        until(lambda n=name: specs.condition(n, "Ready"), operator.said)
    found = objects(specs, "whole", *names)
    for name in names:
        assert found[name] == found["whole"], name
