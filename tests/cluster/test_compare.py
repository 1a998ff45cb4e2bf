"""Two recordings: objects that came, went and changed; kinds that only one of them has are unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_kspec.cluster.recording.compare import compare_snapshots
from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.cluster.sources.snapshot import SnapshotSource
from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.kube.objectdiff import KindDiff


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "web"},
        "spec": spec,
    }


def recorded(path: Path, *objects: dict[str, Any], **options: Any) -> SnapshotSource:
    record(MemorySource(list(objects), **options), path)
    return SnapshotSource(str(path))


def differences(old: SnapshotSource, new: SnapshotSource) -> dict[str, KindDiff]:
    return {diff.type.resource: diff for diff in compare_snapshots(old, new)}


def test_objects_by_kind_with_field_paths(tmp_path: Path) -> None:
    before = recorded(tmp_path / "a", service("gone"), service("same"), service("web", type="NodePort"))
    after = recorded(tmp_path / "b.tar.gz", service("new"), service("same"), service("web", type="ClusterIP"))
    (found,) = compare_snapshots(before, after)
    assert found.type.resource == "services"
    assert (found.added, found.removed) == ((("web", "new"),), (("web", "gone"),))
    (changed,) = found.changed
    assert (changed.namespace, changed.name) == ("web", "web")
    assert [tuple(field) for field in changed.fields] == [("spec.type", "NodePort", "ClusterIP")]


def test_the_same_cluster_does_not_differ(tmp_path: Path) -> None:
    before = recorded(tmp_path / "a", service("web"))
    assert compare_snapshots(before, recorded(tmp_path / "b", service("web"))) == ()


def test_a_kind_that_could_not_be_recorded_is_unknown(tmp_path: Path) -> None:
    full = recorded(tmp_path / "a", service("web"))
    lacking = recorded(tmp_path / "b", service("web"), denied=["services"])
    for sources, where in (((full, lacking), "in the second"), ((lacking, full), "in the first")):
        found = differences(*sources)["services"]
        assert found.unknown.startswith(f"{where}: ")
        assert not found.added
        assert not found.removed
    assert "services" in differences(lacking, lacking)


def test_a_kind_that_was_not_served_had_no_objects(tmp_path: Path) -> None:
    before = recorded(tmp_path / "a", missing=["services"])
    found = differences(before, recorded(tmp_path / "b", service("web")))["services"]
    assert (found.added, found.unknown) == ((("web", "web"),), "")


def test_a_damaged_recording_is_an_error(tmp_path: Path) -> None:
    before = recorded(tmp_path / "a", service("web"))
    after = recorded(tmp_path / "b", service("web"))
    path = tmp_path / "b" / "services.json"
    path.write_bytes(path.read_bytes().replace(b"web", b"xxx"))
    with pytest.raises(SourceUnavailable, match="SHA-256"):
        compare_snapshots(before, after)


def test_the_wire_tells_absent_from_null(tmp_path: Path) -> None:
    before = recorded(tmp_path / "a", service("web", x=None))
    after = recorded(tmp_path / "b", service("web", y=None))
    wire = msgspec.json.decode(msgspec.json.encode(compare_snapshots(before, after)[0].to_wire()))
    assert wire["changed"][0]["fields"] == [
        {"path": "spec.x", "before": None},
        {"path": "spec.y", "after": None},
    ]
