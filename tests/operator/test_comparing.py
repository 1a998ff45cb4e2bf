"""What DriftConfigs compare beside policies, and what an operator keeps of drift in its store."""

from __future__ import annotations

import base64
import io
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec import clock
from pytest_kspec.cli.main import main
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.drift.ledger import InCluster
from pytest_kspec.storage import drift as stored
from pytest_kspec.storage.drift import StoredDrift
from pytest_kspec.storage.engine import open_store
from tests.cli.test_drift_compared import service
from tests.controlplane import namespaces

from .conftest import Specs, as_deployed
from .hubs import CONFIG, SPEC, Hub, conditions

SHOP = "drift-shop"
ASKED = {
    "namespaceScope": {"includeNamespaces": [SHOP]},
    "network": {"allowedServiceTypes": ["ClusterIP"]},
}
BINDING = ("rbac.authorization.k8s.io/v1", "RoleBinding", "kspec-remediator")
RBAC = ("rbac.authorization.k8s.io/v1", "ClusterRole")


class Kept(Hub):
    """With a store."""

    def __init__(self, specs: Specs, folder: Path, kubeconfig: str = "") -> None:
        self.store = folder / "store.db"
        super().__init__(specs, str(self.store), kubeconfig)
        self._turn = 0

    def now_run(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """The status after a run at this moment: its DriftConfig is another one each time."""
        self._turn += 1
        time.sleep(1.05)  # runs and changes are told apart by whole seconds
        self.config(name, {**spec, "retention": {"maxReports": 100 + self._turn}})
        with clock.at(datetime.now(UTC).replace(microsecond=0)):
            self.controller.reconcile((NAMESPACE, name))
        return dict(self.writer.get(*CONFIG, name, namespace=NAMESPACE).get("status", {}))

    def history(self) -> tuple[StoredDrift, ...]:
        with closing(open_store(str(self.store))) as store:
            return stored.history(store)

    def ready(self, name: str) -> str:
        found = self.writer.get(*CONFIG, name, namespace=NAMESPACE)["status"]["conditions"]
        return str(next(one["message"] for one in found if one["type"] == "Ready"))


@pytest.fixture
def kept(specs: Specs, tmp_path: Path) -> Iterator[Kept]:
    made = Kept(specs, tmp_path)
    made.clear()
    yield made
    made.clear()


class Zeros(io.RawIOBase):
    def __init__(self, left: int) -> None:
        self.left = left

    def read(self, size: int = -1) -> bytes:
        size = min(self.left, size)
        self.left -= size
        return bytes(size)


def events(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (one["type"], one["driftType"], one["resource"]["name"]) for one in report["spec"].get("events", [])
    ]


def test_requirements_are_compared_with_the_scan_before_the_last_look(kept: Kept) -> None:
    config: dict[str, Any] = {"types": ["Compliance"], "clusterSpecs": ["shop"]}
    namespaces.create(kept.specs.plane, SHOP)
    try:
        kept.writer.apply(service("old", "NodePort"), field_manager="kubectl-edit")
        kept.writer.apply(service("web", "ClusterIP"), field_manager="kubectl-edit")
        kept.specs.put("shop", ASKED)
        status = kept.now_run("watch", config)
        assert conditions(status)["DriftDetected"] == ("Unknown", "NotCompared")
        assert "the store has no run of shop" in kept.ready("watch")
        status = kept.now_run("watch", config)
        assert conditions(status) == {"Ready": ("True", "Compared"), "DriftDetected": ("False", "NoDrift")}
        assert (status["totalEvents"], kept.reports(), kept.history()) == (0, [], ())

        kept.writer.apply(service("web", "NodePort"), field_manager="kubectl-patch")
        kept.scanner.scan("shop", "between")  # the scan of its interval: the newest run has the finding, too
        status = kept.now_run("watch", config)
        assert conditions(status)["DriftDetected"] == ("True", "DriftFound"), kept.ready("watch")
        (report,) = kept.reports()
        assert events(report) == [("Compliance", "violation", "web")]
        (event,) = report["spec"]["events"]
        assert event["check"] == "network.allowedServiceTypes"
        assert "Changed by kubectl-patch at " in event["message"]
        assert event["remediation"]["status"] == "manual-required"
        status = kept.now_run("watch", config)
        assert (status["totalEvents"], len(kept.reports())) == (1, 1), "it is drift as long as it is there"

        # Other requirements are no change of the cluster.
        kept.specs.put("shop", {**ASKED, "network": {"allowedServiceTypes": ["LoadBalancer"]}})
        status = kept.now_run("watch", config)
        assert conditions(status)["DriftDetected"][0] == "Unknown"
        assert [event for one in kept.reports() for event in events(one)] == [
            ("Compliance", "violation", "web")
        ]
        kept.specs.put("shop", ASKED)
        kept.now_run("watch", config)

        kept.writer.apply(service("web", "ClusterIP"), field_manager="kubectl-patch")
        status = kept.now_run("watch", config)
        assert conditions(status) == {"Ready": ("True", "Compared"), "DriftDetected": ("False", "NoDrift")}
        assert [one["spec"]["driftDetected"] for one in kept.reports()] == [True, False]
        (found,) = kept.history()
        assert (found.event["type"], found.spec, bool(found.cleared_at)) == ("compliance", "shop", True)
        assert {"DriftDetected", "DriftCleared"} <= set(kept.events("watch"))
    finally:
        namespaces.delete(kept.specs.plane, SHOP)


def test_objects_are_compared_with_a_snapshot_in_a_configmap(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plane = kept.specs.plane
    config: dict[str, Any] = {"types": ["Configuration"], "clusterSpecs": ["shop"]}
    good = tmp_path / "good.tar.gz"
    place = (f"--cluster={plane.name}", f"--kubeconfig={plane.kubeconfig()}")

    def put(content: bytes) -> None:
        head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "good", "namespace": NAMESPACE}}
        kept.writer.apply({**head, "binaryData": {"snapshot.tar.gz": base64.b64encode(content).decode()}})

    namespaces.create(plane, SHOP)
    try:
        kept.specs.put("shop", ASKED)
        kept.writer.apply(service("web", "ClusterIP"), field_manager="kubectl-edit")
        assert main(["snapshot", *place, "--kinds", "Service,configmaps", "-o", str(good)]) == 0
        assert "objects of 2 kinds" in capsys.readouterr().out
        assert main(["snapshot", *place, "--kinds", "Sevice", "-o", str(tmp_path / "bad.tar.gz")]) == 4
        assert "does not have the kind 'Sevice'" in capsys.readouterr().err
        assert conditions(kept.now_run("watch", config))["DriftDetected"][0] == "Unknown"
        assert "spec.configuration is missing" in kept.ready("watch")
        config["configuration"] = {"kinds": ["Service"], "snapshotRef": {"name": "good"}}
        kept.now_run("watch", config)
        assert f"ConfigMap {NAMESPACE}/good: it does not exist." in kept.ready("watch")
        put(good.read_bytes())
        assert conditions(kept.now_run("watch", config))["DriftDetected"] == ("False", "NoDrift")

        kept.writer.apply(service("web", "NodePort"), field_manager="kubectl-patch")
        assert kept.now_run("watch", config)["totalEvents"] == 1
        (report,) = kept.reports()
        assert events(report) == [("Configuration", "modified", "web")]
        assert "Changed by kubectl-patch at " in report["spec"]["events"][0]["message"]

        # What was not recorded, or cannot be read, is neither the same nor gone.
        for content, said in ((b"nothing", "ConfigMap kspec-system/good"), (good.read_bytes()[:300], "good")):
            put(content)
            status = kept.now_run("watch", config)
            assert "driftDetected" not in status
            assert conditions(status)["DriftDetected"] == ("Unknown", "NotCompared")
            assert said in kept.ready("watch")
            assert "/tmp" not in kept.ready("watch")
        bomb = io.BytesIO()
        with tarfile.open(fileobj=bomb, mode="w:gz", compresslevel=9) as archive:
            member = tarfile.TarInfo("services.json")
            member.size = 300 << 20
            archive.addfile(member, Zeros(member.size))
        assert len(bomb.getvalue()) < 1 << 20
        put(bomb.getvalue())
        kept.now_run("watch", config)
        assert "services.json is larger than 256 MiB" in kept.ready("watch")
        put(good.read_bytes())
        config["configuration"] = {"kinds": ["Pod"], "snapshotRef": {"name": "good"}}
        kept.now_run("watch", config)
        assert "other kinds were chosen" in kept.ready("watch")
        assert [one["spec"]["driftDetected"] for one in kept.reports()] == [True]
    finally:
        kept.writer.delete("v1", "ConfigMap", "good", namespace=NAMESPACE)
        namespaces.delete(plane, SHOP)


def test_objects_are_compared_with_the_last_good_run(kept: Kept, tmp_path: Path) -> None:
    plane = kept.specs.plane
    asked = {"kinds": ["Service"], "baseline": "LastGoodRun"}
    config: dict[str, Any] = {"types": ["Configuration"], "clusterSpecs": ["shop"], "configuration": asked}
    namespaces.create(plane, SHOP)

    def drifted() -> list[tuple[str, str, str]]:
        return events(kept.reports()[-1])

    try:
        kept.specs.put("shop", ASKED)
        kept.writer.apply(service("web", "NodePort"), field_manager="kubectl-edit")
        status = kept.now_run("watch", config)
        assert conditions(status)["DriftDetected"] == ("Unknown", "NotCompared")
        assert ("goodRunTime" in status, "no good run is recorded" in kept.ready("watch")) == (False, True)
        kept.writer.apply(service("web", "ClusterIP"), field_manager="kubectl-edit")
        first = kept.now_run("watch", config)["goodRunTime"]
        status = kept.now_run("watch", config)
        assert conditions(status) == {"Ready": ("True", "Compared"), "DriftDetected": ("False", "NoDrift")}
        assert (status["goodRunTime"], kept.reports()) == (first, []), (
            "what did not change is not recorded again"
        )

        # A run that is not good, and one of which nothing is known, never become what others are compared with.
        kept.writer.apply(service("web", "NodePort"), field_manager="kubectl-patch")
        kept.writer.apply(service("new", "ClusterIP"), field_manager="kubectl-patch")
        both = [("Configuration", "modified", "web"), ("Configuration", "added", "new")]
        for _ in range(2):
            status = kept.now_run("watch", config)
            assert (status["totalEvents"], status["goodRunTime"], drifted()) == (2, first, both)
        assert "Changed by kubectl-patch at " in kept.reports()[-1]["spec"]["events"][0]["message"]
        kept.writer.apply(service("web", "ClusterIP"), field_manager="kubectl-patch")
        broken = Kept(kept.specs, tmp_path)
        broken.scanner._words.append("--cluster=nowhere")
        status = broken.now_run("watch", config)
        assert (status["totalEvents"], status["goodRunTime"]) == (1, first)

        # What could not be listed is not gone.
        unseen = Kept(kept.specs, tmp_path, str(as_deployed(plane, tmp_path / "deployed")))
        unseen._turn = 50
        role = kept.writer.get(*RBAC, "kspec-scanner")
        rest = [one for one in role["rules"] if "services" not in one["resources"]]
        try:
            kept.writer.patch(*RBAC, "kspec-scanner", {"rules": rest})
            status = unseen.now_run("watch", config)
        finally:
            kept.writer.patch(*RBAC, "kspec-scanner", {"rules": role["rules"]})
        assert conditions(status)["DriftDetected"] == ("Unknown", "NotCompared")
        assert "services could not be compared" in unseen.ready("watch")
        assert drifted() == [("Configuration", "added", "new")], "as it was"

        # It is drift once more, and the next run is compared with this one.
        second = kept.now_run("watch", config)
        assert (second["totalEvents"], second["goodRunTime"] > first) == (1, True)
        status = kept.now_run("watch", config)
        assert conditions(status)["DriftDetected"] == ("False", "NoDrift")
        assert (status["goodRunTime"], kept.reports()[-1]["spec"]["driftDetected"]) == (
            second["goodRunTime"],
            False,
        )

        # A store that is away: when the last good run was is not known to be another time.
        aside = kept.store.with_name("aside.db")
        kept.store.rename(aside)
        kept.store.mkdir()
        status = kept.now_run("watch", config)
        kept.store.rmdir()
        aside.rename(kept.store)
        assert conditions(status)["DriftDetected"] == ("Unknown", "NotCompared")
        assert status["goodRunTime"] == second["goodRunTime"]

        # Another DriftConfig of the same name begins anew.
        kept.writer.delete(*CONFIG, "watch", namespace=NAMESPACE)
        assert conditions(kept.now_run("watch", config))["DriftDetected"][0] == "Unknown"

        without = Hub(kept.specs)
        without.config("bare", config)
        assert conditions(without.run("bare"))["Ready"] == ("Unknown", "StoreNeeded")
    finally:
        namespaces.delete(plane, SHOP)


def test_what_the_operator_sees_of_policies_is_in_its_store(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.specs.put("sturdy", SPEC)
    kept.enforce("sturdy")
    kept.soften()
    kept.now += timedelta(seconds=600)
    kept.enforce("sturdy")
    (found,) = kept.history()
    assert (found.cluster, found.spec, found.cleared_at) == (kept.access.name, "sturdy", "")
    assert found.event["changed_by"]["manager"] == "kubectl-edit"

    kept.specs.put("sturdy", {**SPEC, "enforcement": {**SPEC["enforcement"], "autoRemediate": True}})
    for _ in range(2):
        kept.now += timedelta(seconds=600)
        kept.enforce("sturdy")
    assert kept.policy() == "Fail"
    kept.soften(manager="rival")
    kept.now += timedelta(seconds=600)
    kept.enforce("sturdy")
    assert main(["drift", "history", "--store", str(kept.store), "-o", "json"]) == 0
    history = json.loads(capsys.readouterr().out)
    last = history["events"][-1]
    assert (last["changed_by"]["manager"], last["remediation"]["status"]) == ("rival", "remediated")
    kept.now += timedelta(seconds=600)
    kept.enforce("sturdy")
    assert all(one.cleared_at for one in kept.history())


def test_a_store_that_is_away_holds_up_nothing_and_what_is_missing_is_said(kept: Kept) -> None:
    kept.specs.put("sturdy", SPEC)
    kept.enforce("sturdy")
    kept.config("watch", {"interval": "5m"})
    kept.run("watch")
    aside = kept.store.with_name("aside.db")
    kept.store.rename(aside)
    kept.store.mkdir()
    kept.soften()
    kept.enforce("sturdy")
    assert conditions(kept.run("watch"))["DriftDetected"] == ("True", "DriftFound")
    assert "HistoryIncomplete" in kept.events("watch")
    assert "HistoryIncomplete" in kept.specs.events("sturdy")
    kept.store.rmdir()
    aside.rename(kept.store)
    kept.run("watch")
    assert kept.events("watch").count("HistoryRestored") == 1
    kept.enforce("sturdy")
    assert "HistoryRestored" in kept.specs.events("sturdy")
    (found,) = kept.history()
    assert found.event["changed_by"]["manager"] == "kubectl-edit"


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_store_that_vanished_is_made_anew_and_that_is_said(kept: Kept, how: str) -> None:
    kept.specs.put("sturdy", SPEC)
    kept.enforce("sturdy")
    kept.config("watch", {"interval": "5m"})
    kept.soften()
    kept.run("watch")
    assert len(kept.history()) == 1
    assert "HistoryLost" not in [*kept.events("watch"), *kept.specs.events("sturdy")], "made, not lost"
    for one in kept.store.parent.glob(f"{kept.store.name}*"):
        one.unlink()
    if how == "empty":
        kept.store.touch()
    for _ in range(2):
        kept.run("watch")
        kept.now += timedelta(seconds=600)
        kept.enforce("sturdy")
    assert kept.events("watch").count("HistoryLost") == 1
    assert kept.specs.events("sturdy").count("HistoryLost") == 1, "each that has results there, once"
    (event,) = [
        one
        for one in kept.writer.list("v1", "Event", namespace=NAMESPACE)
        if one["reason"] == "HistoryLost" and one["involvedObject"]["name"] == "watch"
    ]
    assert str(kept.store) in event["message"]
    assert "a new, empty store was created; the earlier results are lost" in event["message"]
    assert len(kept.history()) == 1, "what is there now is stored again"


def test_without_the_role_for_it_nothing_is_corrected_and_that_is_said(specs: Specs, tmp_path: Path) -> None:
    hub = Kept(specs, tmp_path, str(as_deployed(specs.plane, tmp_path / "kubeconfig")))
    (binding,) = [
        one
        for one in hub.writer.list(*BINDING[:2], namespace=NAMESPACE)
        if one["metadata"]["name"] == BINDING[2]
    ]
    hub.writer.delete(*BINDING, namespace=NAMESPACE)
    try:
        specs.put("sturdy", SPEC)
        hub.enforce("sturdy")
        hub.soften()
        hub.config("fix", {"interval": "5m", "remediation": {"strategy": "Apply"}})
        status = hub.run("fix")
        (drift,) = [one for one in status["conditions"] if one["type"] == "DriftDetected"]
        assert (drift["status"], hub.policy()) == ("True", "Ignore")
        assert "not corrected: remediation is not permitted" in drift["message"]
        specs.put("sturdy", {**SPEC, "enforcement": {**SPEC["enforcement"], "autoRemediate": True}})
        for _ in range(2):
            hub.now += timedelta(seconds=600)
            hub.enforce("sturdy")
        # The specification changed, so that its policies were applied: this is enforcing.
        assert hub.policy() == "Fail"
        hub.soften()
        hub.enforce("sturdy")
        said = specs.condition("sturdy", "DriftDetected")
        assert (said["status"], hub.policy()) == ("True", "Ignore")
        assert "not corrected: remediation is not permitted" in said["message"]
        assert "RemediationForbidden" in specs.events("sturdy")
    finally:
        kept = {key: binding["metadata"][key] for key in ("name", "namespace")}
        fields = {key: binding[key] for key in ("roleRef", "subjects")}
        hub.writer.apply(
            {"apiVersion": BINDING[0], "kind": BINDING[1], "metadata": kept, **fields}, field_manager="test"
        )
        hub.clear()


def test_corrections_that_are_noted_at_the_same_time_are_all_remembered(hub_writers: list[InCluster]) -> None:
    moment = datetime.now(UTC)
    both = threading.Barrier(len(hub_writers))

    def note(ledger: InCluster, name: str) -> None:
        both.wait(60)
        for number in range(3):
            ledger.note(f"{name}-{number}", moment)

    threads = [
        threading.Thread(target=note, args=(ledger, f"n{number}"))
        for number, ledger in enumerate(hub_writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    noted = hub_writers[0].since(moment - timedelta(hours=1))
    assert noted == {f"n{one}-{number}": 1 for one in range(len(threads)) for number in range(3)}


@pytest.fixture
def hub_writers(specs: Specs) -> Iterator[list[InCluster]]:
    """Of three processes, as it were."""
    hubs = [Hub(specs) for _ in range(3)]
    yield [one.access.do(lambda writer: InCluster(writer, "noted")) for one in hubs]
    hubs[0].clear()
