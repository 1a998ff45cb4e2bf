"""`kspec drift detect` against the last run in a store, and against a snapshot, on a real API server."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from pytest_kspec.cli.main import main
from tests.controlplane import namespaces

from .drifting import Drift

NAMESPACE = "drift-shop"
SPEC = {
    "namespaceScope": {"includeNamespaces": [NAMESPACE]},
    "network": {"allowedServiceTypes": ["ClusterIP"]},
    "workloads": {"containers": {"forbidden": [{"key": "hostNetwork"}]}},
}


def service(name: str, kind: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"type": kind, "ports": [{"name": "web", "port": 80}]},
    }


def put(drift: Drift, obj: dict[str, Any], manager: str = "kubectl-edit") -> None:
    drift.writer.apply(obj, field_manager=manager)


def clear(drift: Drift) -> None:
    namespaces.delete(drift.plane, NAMESPACE)


def test_worse_than_the_last_run_is_drift_and_unknown_is_not(drift: Drift, tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    words = ("--types", "compliance", "--store", str(store), "--allow-empty")
    put(drift, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    try:
        put(drift, service("old", "NodePort"))
        put(drift, service("web", "ClusterIP"))
        drift.spec(SPEC)
        code, document = drift.detect(*words)
        assert (code, document["events"]) == (2, [])
        assert "the store has no run of drifty" in document["errors"][0]
        assert main(["scan", str(drift.path), "--store", str(store)]) == 1
        drift.capsys.readouterr()

        code, document = drift.detect(*words)
        assert (code, document["events"], document["errors"]) == (0, [], [])

        put(drift, service("web", "NodePort"), manager="kubectl-patch")
        code, document = drift.detect(*words)
        (event,) = document["events"]
        assert (code, event["type"], event["drift_kind"], event["check"]) == (
            1,
            "compliance",
            "violation",
            "network.allowedServiceTypes",
        )
        assert event["resource"] == {
            "kind": "Service",
            "name": "web",
            "namespace": NAMESPACE,
            "path": "spec.type",
        }
        assert event["changed_by"]["manager"] == "kubectl-patch"
        assert event["remediation"]["status"] == "manual-required"
        assert document["drift"]["counts"] == {"total": 1, "policies": 0, "compliance": 1, "configuration": 0}

        with sqlite3.connect(store) as connection:
            connection.execute("UPDATE kspec_checks SET evaluated = 0, reason = 'forbidden'")
        code, document = drift.detect(*words)
        assert (code, document["events"]) == (2, [])
        assert "was not evaluated in the last run (forbidden)" in document["errors"][0]

        drift.spec(SPEC, version="2.0.0")
        code, document = drift.detect(*words)
        assert (code, document["events"]) == (2, [])
        assert "is of version 1.0.0 of the specification, this is 2.0.0" in document["errors"][0]
    finally:
        clear(drift)


def test_objects_of_chosen_kinds_are_compared_with_a_snapshot(drift: Drift, tmp_path: Path) -> None:
    good = tmp_path / "good.tar.gz"
    words = ("--snapshot", str(good), "--kinds", "Service,namespaces", "--types", "configuration")
    put(drift, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    try:
        put(drift, service("gone", "ClusterIP"))
        put(drift, service("web", "ClusterIP"))
        assert main(["snapshot", "-o", str(good)]) in (0, 2)
        drift.capsys.readouterr()
        code, document = drift.detect(*words)
        assert (code, document["events"], document["checked"]) == (0, [], ["configuration"])

        drift.writer.delete("v1", "Service", "gone", namespace=NAMESPACE)
        put(drift, service("new", "ClusterIP"), manager="argocd-controller")
        drift.writer.patch(
            "v1",
            "Service",
            "web",
            [{"op": "replace", "path": "/spec/ports/0/port", "value": 8080}],
            namespace=NAMESPACE,
            patch_type="json",
            field_manager="kubectl-edit",
        )
        code, document = drift.detect(*words)
        assert code == 1
        assert [(one["drift_kind"], one["resource"]["name"]) for one in document["events"]] == [
            ("missing", "gone"),
            ("modified", "web"),
            ("extra", "new"),
        ]
        changed, added = document["events"][1:]
        assert changed["diff"]["modified"]["spec.ports[web].port"] == {"old_value": 80, "new_value": 8080}
        assert (changed["changed_by"]["manager"], added["managed_by"]) == ("kubectl-edit", "Argo CD")
        code, _, err = drift.run("detect", "--snapshot", str(good), "--kinds", "Sevice")
        assert (code, "do not have the kind 'Sevice'" in err) == (2, True)
        code, _, err = drift.run("detect", "--snapshot", str(good), "--kinds", "Service,Lease")
        assert (code, "leases.coordination.k8s.io are never recorded" in err) == (2, True)
        (tmp_path / "bad.tar.gz").write_bytes(good.read_bytes()[:2000])
        code, out, _ = drift.run("detect", "--snapshot", str(tmp_path / "bad.tar.gz"), "--kinds", "Service")
        assert (code, "no drift" in out) in ((2, False), (4, False))
    finally:
        clear(drift)


def test_objects_are_compared_with_the_last_good_run(drift: Drift, tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    words = ("--last-good", "--kinds", "Service", "--store", str(store), "--types", "configuration")
    put(drift, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    def found(*more: str) -> tuple[int, list[tuple[str, str]]]:
        code, document = drift.detect(*words, *more)
        return code, [(one["drift_kind"], one["resource"]["name"]) for one in document["events"]]

    try:
        drift.spec(SPEC)
        put(drift, service("web", "NodePort"))
        for _ in range(2):
            code, document = drift.detect(*words)
            assert (code, document["events"]) == (2, []), "a run that is not good is nothing to compare with"
            assert "no good run is recorded" in document["errors"][0]
        put(drift, service("web", "ClusterIP"))
        assert found() == (2, []), "the first good run"
        assert found() == (0, [])

        # Worse, and more: all that changed since, until all is met again.
        put(drift, service("web", "NodePort"), manager="kubectl-edit")
        put(drift, service("new", "ClusterIP"))
        for _ in range(2):
            assert found() == (1, [("modified", "web"), ("extra", "new")])
        put(drift, service("web", "ClusterIP"))
        assert found() == (1, [("extra", "new")]), "good, and so the next one is compared with it"
        assert found() == (0, [])
        drift.writer.delete("v1", "Service", "new", namespace=NAMESPACE)
        assert found() == (1, [("missing", "new")])
        assert found() == (0, [])

        # Other kinds, and another version of kspec, begin anew.
        assert drift.detect(*words[:2], "Service,Namespace", *words[3:])[0] == 2
        with sqlite3.connect(store) as connection:
            connection.execute("UPDATE kspec_drift_recordings SET tool_version = '0.1'")
        code, document = drift.detect(*words[:2], "Service,Namespace", *words[3:])
        assert (code, "recorded by version 0.1 of kspec" in document["errors"][0]) == (2, True)
        assert drift.detect(*words[:2], "Service,Namespace", *words[3:])[0] == 0
        with sqlite3.connect(store) as connection:
            connection.execute("UPDATE kspec_drift_recordings SET content = x'00'")
        code, document = drift.detect(*words[:2], "Service,Namespace", *words[3:])
        assert (code, document["events"]) == (2, [])
        assert "the recorded objects of the last good run cannot be read" in document["errors"][0]
    finally:
        clear(drift)


def test_a_cluster_that_is_built_anew_under_its_name_is_compared_with_nothing(
    drift: Drift, tmp_path: Path
) -> None:
    """With no run, no good run and no snapshot of the one before: its UID is another one."""
    store = tmp_path / "s.db"
    put(drift, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    good = ("--last-good", "--kinds", "Service", "--store", str(store), "--types", "configuration")
    last = ("--types", "compliance", "--store", str(store))
    try:
        put(drift, service("web", "ClusterIP"))
        drift.spec(SPEC)
        assert main(["scan", str(drift.path), "--store", str(store)]) == 0
        drift.capsys.readouterr()
        assert drift.detect(*good)[0] == 2, "the first good run"
        assert [drift.detect(*words)[0] for words in (last, good)] == [0, 0]
        with sqlite3.connect(store) as connection:
            for table, column in (
                ("kspec_clusters", "id"),
                ("kspec_subjects", "cluster_id"),
                ("kspec_drift_recordings", "cluster_id"),
            ):
                connection.execute(f"UPDATE {table} SET {column} = '00000000-0000-4000-8000-000000000000'")
        for words, why in ((last, "the store has no run of drifty"), (good, "no good run is recorded")):
            code, document = drift.detect(*words)
            assert (code, document["events"]) == (2, [])
            assert why in document["errors"][0]
        other = Path(__file__).parents[2] / "examples" / "01-quickstart" / "prod-eu.tar.gz"
        code, out, err = drift.run("detect", "--snapshot", str(other), "--kinds", "Service")
        assert (code, "no drift" in out) == (2, False)
        assert "the snapshot is of another cluster than" in err
    finally:
        clear(drift)
