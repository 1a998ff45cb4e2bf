"""A cluster and its own snapshot give the same report; each kind is listed once, however many workers ask.

pytest runs as a user runs it, in a process of its own, against a real API server.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.open import open_source
from tests.controlplane import stand_in
from tests.controlplane.server import ControlPlane, Etcd
from tools import example_cluster, example_control, example_workloads

CLUSTER = "prod-eu"
ROOT = Path(__file__).parents[2]
SPEC = ROOT / "examples" / "01-quickstart" / "strict.yaml"
AUDITOR = "auditor"  # may not list NetworkPolicies
READER = "reader"
FINDINGS, COULD_NOT_LOOK = 1, 2


@pytest.fixture(scope="module")
def plane(etcd: Etcd) -> Iterator[ControlPlane]:
    """The example's objects, without controllers: templates, and the pods of the control plane."""
    with ControlPlane(etcd, name=CLUSTER, users={AUDITOR: [], READER: []}) as plane:
        for name, (labels, address, _) in example_control.NODES.items():
            stand_in.add_node(plane, name, labels=labels, address=address)
        example_cluster.create(
            plane,
            [
                *example_workloads.web(),
                *example_workloads.legacy(),
                *example_workloads.platform(),
                *example_control.system(),
                example_workloads.namespace("payments"),
                example_workloads.namespace("monitoring"),
                *example_control.rbac(),
            ],
        )
        example_cluster.create_static_pods(plane)
        everything = example_control.rule("*", "*", "get,list")
        groups = [group for group in _groups(plane) if group != "networking.k8s.io"]
        most = {"apiGroups": groups, "resources": ["*"], "verbs": ["get", "list"]}
        for user, rule in ((READER, everything), (AUDITOR, most)):
            subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}
            role = example_control.role(user, [rule])
            example_cluster.create(
                plane, [role, example_control.binding(user, "ClusterRole", user, [subject])]
            )
        example_cluster.create(plane, example_control.admission())
        yield plane


def test_a_snapshot_gives_the_same_report(plane: ControlPlane, tmp_path: Path) -> None:
    kubeconfig = plane.kubeconfig(READER, context=CLUSTER)
    source = open_source(CLUSTER, kubeconfig=str(kubeconfig))
    snapshot = tmp_path / f"{CLUSTER}.tar.gz"
    try:
        record(source, snapshot)
    finally:
        source.close()

    live = run(tmp_path / "live.json", CLUSTER, kubeconfig)
    recorded = run(tmp_path / "snapshot.json", str(snapshot), kubeconfig)

    assert comparable(live) == comparable(recorded)
    assert len(verdicts(live)) == 39
    assert {"pass", "fail"} <= set(verdicts(live).values()) <= {"pass", "fail", "skip"}


@pytest.mark.parametrize("workers", [0, 2])
def test_each_kind_is_listed_once(plane: ControlPlane, tmp_path: Path, workers: int) -> None:
    kubeconfig = plane.kubeconfig(READER, context=CLUSTER)
    since = plane.audit_position()

    result = run(tmp_path / "scan.json", CLUSTER, kubeconfig, *(["-n", str(workers)] if workers else []))

    first_pages = Counter(
        seen.uri.partition("?")[0]
        for seen in plane.requests_seen("list", user=READER, since=since)
        if "continue=" not in seen.uri
    )
    assert set(first_pages.values()) == {1}, first_pages
    assert {"/api/v1/pods", "/api/v1/namespaces", "/apis/apps/v1/deployments"} <= set(first_pages)
    assert not [path for path in first_pages if "/namespaces/" in path]
    assert len(verdicts(result)) == 39


def test_workers_give_the_same_report(plane: ControlPlane, tmp_path: Path) -> None:
    kubeconfig = plane.kubeconfig(READER, context=CLUSTER)

    alone = run(tmp_path / "alone.json", CLUSTER, kubeconfig)
    shared = run(tmp_path / "shared.json", CLUSTER, kubeconfig, "-n", "2")

    assert comparable(alone) == comparable(shared)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_may_not_be_listed_is_an_error_and_the_rest_runs(
    plane: ControlPlane, tmp_path: Path, workers: int
) -> None:
    more = ["-n", str(workers)] if workers else []
    everything = run(tmp_path / "all.json", CLUSTER, plane.kubeconfig(READER, context=CLUSTER))

    result = run(
        tmp_path / "some.json",
        CLUSTER,
        plane.kubeconfig(AUDITOR, context=CLUSTER),
        *more,
    )

    changed = {"network.defaultDeny", "network.requiredPolicies[allow-dns]"}
    assert verdicts(result) == verdicts(everything) | dict.fromkeys(changed, "error")
    for check in result["clusters"][0]["checks"]:
        if check["id"] in changed:
            assert "list networkpolicies" in json.dumps(check), check


def test_the_command_says_that_it_could_not_look(plane: ControlPlane, tmp_path: Path) -> None:
    spec = tmp_path / "network.yaml"
    spec.write_text(
        "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\n"
        "metadata: {name: network, version: 1.0.0}\nspec: {network: {defaultDeny: true}}\n",
        encoding="utf-8",
    )
    kubeconfig = plane.kubeconfig(AUDITOR, context=CLUSTER)
    command = [sys.executable, "-m", "pytest_kspec.cli.main", "scan", str(spec)]

    done = subprocess.run(
        [*command, "--cluster", CLUSTER, "--kubeconfig", str(kubeconfig)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == COULD_NOT_LOOK, done.stdout + done.stderr
    assert "network.defaultDeny" in done.stdout
    assert "list networkpolicies" in " ".join(done.stdout.split())


def run(report: Path, cluster: str, kubeconfig: Path, *more: str) -> dict[str, Any]:
    """Scan in a process of its own, from an empty folder; the JSON report."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--kspec-spec", str(SPEC)]
    command += ["--kspec-cluster", cluster, "--kspec-kubeconfig", str(kubeconfig)]
    done = subprocess.run(
        [*command, "--kspec-report", f"json:{report}", *more],
        cwd=report.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == FINDINGS, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return result


def verdicts(result: dict[str, Any]) -> dict[str, str]:
    """Requirement → verdict."""
    (cluster,) = result["clusters"]
    return {check["id"]: check["verdict"] for check in cluster["checks"]}


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """Without times, and without where the objects came from."""
    times = {"startedAt", "finishedAt", "durationSeconds", "source", "evidence"}

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(inner) for key, inner in value.items() if key not in times}
        return [strip(inner) for inner in value] if isinstance(value, list) else value

    stripped: dict[str, Any] = strip(result)
    return stripped


def _groups(plane: ControlPlane) -> list[str]:
    found = plane.request("GET", "/apis").body["groups"]
    return ["", *(group["name"] for group in found)]
