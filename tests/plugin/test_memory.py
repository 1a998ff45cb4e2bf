"""The memory of a cluster is given back behind its last requirement."""

import gc
import weakref
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.evaluate import scan

SPEC = """
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: s, version: 1.0.0}
spec:
  workloads:
    containers:
      forbidden:
        - {key: hostNetwork, value: true}
        - {key: hostPID, value: true}
"""


def _pods(path: Path, name: str) -> None:
    pod = {
        "metadata": {"name": name, "namespace": "a"},
        "spec": {"containers": [{"name": "app", "image": "i"}]},
    }
    path.write_bytes(msgspec.json.encode({"apiVersion": "v1", "kind": "PodList", "items": [pod]}))


@pytest.mark.parametrize("specs", [1, 2])
def test_no_inventory_outlives_the_last_requirement_of_its_cluster(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, specs: int
) -> None:
    for number in range(specs):
        pytester.path.joinpath(f"s{number}.yaml").write_text(SPEC.replace("name: s,", f"name: s{number},"))
    for name in "abc":
        _pods(pytester.path / f"{name}.json", name)
    made: list[weakref.ref[Inventory]] = []
    most = 0

    class Watched(Inventory):
        def __init__(self, *args: Any) -> None:
            nonlocal most
            super().__init__(*args)
            made.append(weakref.ref(self))
            most = max(most, sum(ref() is not None for ref in made))

    monkeypatch.setattr(scan, "Inventory", Watched)
    gc.disable()  # nothing may wait for it
    try:
        words = [f"--kspec-spec=s{number}.yaml" for number in range(specs)]
        words += [f"--kspec-cluster={name}.json" for name in "abc"]
        result = pytester.inline_run("-p", "no:cacheprovider", *words)
    finally:
        gc.enable()
    result.assertoutcome(passed=6 * specs)
    assert len(made) == 3  # each cluster is listed once
    assert most == 1  # also where several specifications are about them
    assert not any(ref() for ref in made)


def test_a_source_that_was_closed_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "pods.json"
    _pods(path, "one")
    source = open_source(str(path))
    for _ in range(2):
        inventory = Inventory(source)
        assert [pod.name for pod in inventory.pods()] == ["one"]
        inventory.close()
