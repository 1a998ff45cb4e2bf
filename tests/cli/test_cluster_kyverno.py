"""`kspec cluster enable | sync | remove` with Kyverno's engine, on a cluster that has its kinds and one that has not.

Kinds and objects are real; what its controller does is played.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Kspec
from tests.cli.test_cluster_change import POLICIES, Fleet, fleet, hub, hub_cluster
from tests.controlplane.server import ControlPlane
from tests.fleet.conftest import SPEC as SHOP
from tests.operator.conftest import until
from tests.operator.test_engines import KINDS
from tests.operator.test_remote import DEFINITIONS, KYVERNO, OURS, heard

__all__ = ["fleet", "hub", "hub_cluster"]

SPEC = SHOP.replace("name: shop", "name: remote")  # as `OURS` selects


@pytest.fixture
def kyverno(second_control_plane: ControlPlane) -> Iterator[ControlPlane]:
    plane = second_control_plane
    for one in KINDS:
        assert plane.request("POST", DEFINITIONS, one).status == 201
    until(lambda: plane.request("GET", KYVERNO).status == 200, lambda: "")
    yield plane
    for one in KINDS:
        plane.request("DELETE", f"{DEFINITIONS}/{one['metadata']['name']}")


def test_policies_of_kyverno_from_permission_to_removal(
    fleet: Fleet, kyverno: ControlPlane, control_plane: ControlPlane, tmp_path: Path, kspec: Kspec
) -> None:
    fleet.put("a", kyverno)
    fleet.put("without", control_plane)
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    said = fleet.run("enable", "without", "--engine", "kyverno", "--yes")
    assert (said.code, "validatingpolicies.policies.kyverno.io is not served" in said.err) == (1, True)
    assert fleet.run("enable", "a", "--engine", "kyverno", "--yes").code == 0
    sync: tuple[str, ...] = ("sync", "a", "without", "-s", str(spec), "--engine", "kyverno", "--yes")
    # Nobody denies anything here, which the command sees; warnings it cannot see.
    said = fleet.run(*sync, "--mode", "enforce")
    assert (said.code, "Pod: violations are still admitted" in said.err) == (1, True)
    sync = (*sync, "--mode", "audit")
    with heard(kyverno):
        said = fleet.run(*sync)
        assert said.code == 0, said.out + said.err
        assert "1 skipped: not allowed there" in said.out
        made = policies(kyverno)
        assert made
        assert kyverno.request("GET", POLICIES + OURS).body["items"] == [], "another engine's"
        assert fleet.run(*sync).code == 0
        assert policies(kyverno) == made, "nothing is changed that is so already"
        # What is in force is read back, as anybody can.
        where = ("--kubeconfig", str(fleet.hub.plane.kubeconfig()), "--hub", fleet.hub.plane.name)
        status = ("fleet", "enforce", spec, "--status", "--source", "target", "--cluster", "a")
        read = kspec(*status, "--engine", "kyverno", *where)
        assert (read.code, "1 of 1 cluster as required" in read.out) == (0, True), (read.out, read.err)
        # What a specification asks for no more goes.
        spec.write_text(
            SPEC.replace("network: {allowedServiceTypes: [ClusterIP]}", "podSecurity: {enforce: baseline}")
        )
        assert fleet.run(*sync).code == 0
        assert made.keys() - policies(kyverno).keys() == {"kspec-remote-services"}
    said = fleet.run("remove", "a", "--yes")
    assert (said.code, "objects of kspec are in the cluster, among them ValidatingPolicy" in said.err) == (
        1,
        True,
    )
    assert fleet.run("remove", "a", "--prune", "--yes").code == 0
    assert policies(kyverno) == {}
    assert set(fleet.allowed()) == {"without"}


def policies(plane: ControlPlane) -> dict[str, str]:
    """Name → generation and UID."""
    items = plane.request("GET", KYVERNO + OURS).body["items"]
    return {
        one["metadata"]["name"]: f"{one['metadata']['generation']} {one['metadata']['uid']}" for one in items
    }


@pytest.mark.parametrize("engines", [("webhook",), ("vap", "kyverno"), ("job",)])
def test_sync_applies_policies_of_one_engine(
    fleet: Fleet, write_spec: Callable[..., Path], engines: tuple[str, ...]
) -> None:
    words = [word for engine in engines for word in ("--engine", engine)]
    said = fleet.run("sync", "a", "-s", str(write_spec("podSecurity: {enforce: baseline}")), "--yes", *words)
    assert (said.code, "sync applies the policies of one engine: vap or kyverno." in said.err) == (4, True)
    assert ("kspec fleet enforce --engine webhook" in said.err) == (engines == ("webhook",))
