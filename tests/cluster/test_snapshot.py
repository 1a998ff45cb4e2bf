import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.api.gunzip import gunzip as unpack
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources import snapshotstore
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.errors import (
    AccessDenied,
    NotServed,
    ReportError,
    SourceUnavailable,
    Unreachable,
    UsageError,
)
from pytest_kspec.kube.resources import ClusterInfo, ResourceType
from pytest_kspec.redaction.marker import REDACTED
from tests.cluster.objects import deployment, obj, pod


def cluster(**options: Any) -> MemorySource:
    objects = [pod("b"), pod("a"), deployment("web"), obj("Secret", "s", data={"a": "aHVudGVyMg=="})]
    return MemorySource(objects, name="prod-eu", uid="u-1", **options)


@pytest.fixture(params=["folder", "archive.tar.gz", "archive.tgz"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def test_a_replay_equals_the_cluster(path: Path) -> None:
    live = cluster(denied=["configmaps"], missing=["NetworkPolicy"])
    info = record(live, path)
    source = open_source(str(path))
    assert source.name == "prod-eu"
    replay, original = Inventory(source), Inventory(live)
    assert replay.info == ClusterInfo("prod-eu", "snapshot", "v1.34.0", "u-1")
    assert replay.types() == original.types()
    for resource_type in replay.types():
        kind, group = resource_type.kind, resource_type.group
        if f"{resource_type.resource}.json" in info.files:
            assert [r.raw for r in replay.list(kind, group)] == [r.raw for r in original.list(kind, group)]
    with pytest.raises(AccessDenied, match="prod-eu: cannot list configmaps: forbidden"):
        replay.list("ConfigMap")
    with pytest.raises(NotServed, match="prod-eu: the kind NetworkPolicy is not served"):
        replay.list("NetworkPolicy")
    with pytest.raises(NotServed, match="prod-eu: events are never recorded"):
        replay.list("Event")
    assert [str(w.ref) for w in replay.workloads()] == ["Pod shop/a", "Pod shop/b", "Deployment shop/web"]


def test_the_same_cluster_gives_the_same_bytes(tmp_path: Path) -> None:
    record(cluster(), tmp_path / "one")
    record(cluster(), tmp_path / "two")
    for file in sorted((tmp_path / "one").iterdir()):
        other = (tmp_path / "two" / file.name).read_bytes()
        if file.name == "snapshot.json":
            one, two = json.loads(file.read_bytes()), json.loads(other)
            assert one.pop("recordedAt")
            assert two.pop("recordedAt")
            assert one == two
        else:
            assert file.read_bytes() == other


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    made = record(cluster(), tmp_path / "s", lambda *step: told.append(step))
    total = len(made.types) - sum(one.error == "NotServed" for one in made.errors)  # events are never read
    assert [step[1:] for step in told] == [(n, total) for n in range(total + 1)]
    assert ("pods", [t for t, _, _ in told].index("pods"), total) in told


def test_progress_counts_only_what_is_read(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    record(cluster(), tmp_path / "s", lambda *step: told.append(step), {("", "Pod"), ("", "Event")})
    assert told == [("pods", 0, 1), ("", 1, 1)]


def test_credentials_and_copies_are_not_recorded(tmp_path: Path) -> None:
    def env(*pairs: tuple[str, Any]) -> dict[str, Any]:
        return {"name": "app", "env": [{"name": name, "value": value} for name, value in pairs]}

    reference = {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}
    secret_env = env(("DB_PASSWORD", "hunter2"), ("apiKey", "hunter2"), ("MODE", "fast"), ("EMPTY_TOKEN", ""))
    secret_env["env"].append(reference)
    url_env = env(("URL", "postgres://me:hunter2@db/x"), ("PLAIN", "https://db/x"))
    applied = {"kubectl.kubernetes.io/last-applied-configuration": "hunter2", "kept": "1"}
    web = deployment("web")
    web["spec"]["template"]["spec"] = {"initContainers": [secret_env], "containers": [url_env]}
    web["spec"]["template"]["metadata"]["annotations"] = applied
    web["metadata"] |= {"annotations": dict(applied), "managedFields": [{"manager": "hunter2"}]}
    custom = obj(
        "Rollout",
        "r",
        api_version="argoproj.io/v1alpha1",
        spec={"template": {"spec": {"containers": [secret_env]}}},
    )
    secret = obj("Secret", "s", data={"a": "hunter2"})
    secret["metadata"]["annotations"] = dict(applied)
    record(MemorySource([web, custom, secret]), tmp_path / "s")
    for file in (tmp_path / "s").iterdir():
        assert b"hunter2" not in file.read_bytes(), file.name
    recorded = Inventory(open_source(str(tmp_path / "s")))
    (found,) = recorded.list("Deployment")
    assert found.annotations == {"kept": "1"}
    init, app = found.spec["template"]["spec"]["initContainers"], found.spec["template"]["spec"]["containers"]
    assert init[0]["env"] == [
        {"name": "DB_PASSWORD", "value": REDACTED},
        {"name": "apiKey", "value": REDACTED},
        {"name": "MODE", "value": "fast"},
        {"name": "EMPTY_TOKEN", "value": ""},
        reference,
    ]
    assert app[0]["env"] == [
        {"name": "URL", "value": "postgres://me:(redacted)@db/x"},
        {"name": "PLAIN", "value": "https://db/x"},
    ]
    assert recorded.list("Secret")[0].raw.keys() == {"apiVersion", "kind", "metadata"}


def change(name: str, content: bytes | None) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)

    return do


def link(folder: Path) -> None:
    (folder / "pods.json").rename(folder / "elsewhere")
    (folder / "pods.json").symlink_to(folder / "elsewhere")


def index(**changes: Any) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        data = json.loads((folder / "snapshot.json").read_bytes())
        data |= changes
        (folder / "snapshot.json").write_text(json.dumps(data))

    return do


FILE = {"group": "", "kind": "X", "items": 1, "sha256": "0"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            change("pods.json", b'{"items":[]}'),
            "pods.json was changed after it was recorded: its SHA-256 differs",
        ),
        (change("pods.json", b""), "pods.json was changed after it was recorded"),
        (change("pods.json", None), "pods.json is missing"),
        (change("roles.json", b"{}"), "roles.json is not part of this snapshot"),
        (change("snapshot.json", b""), "snapshot.json could not be read"),
        (change("snapshot.json", b"\x00\xff"), "snapshot.json could not be read"),
        (change("snapshot.json", b"[" * 100_000), "snapshot.json could not be read: nested too deeply"),
        (change("snapshot.json", b"[]"), "snapshot.json is not the index of a kspec snapshot"),
        (index(apiVersion="kspec.io/v9"), "format 'kspec.io/v9'; this version reads kspec.io/v1alpha1"),
        (
            index(files={"../../etc/passwd.json": FILE}),
            "names a file that is not valid in a snapshot: '../../etc/passwd.json'",
        ),
        (index(files={"/etc/passwd.json": FILE}), "names a file that is not valid in a snapshot"),
        (index(files={"snapshot.json": FILE}), "names a file that is not valid in a snapshot"),
        (index(files={"a.json": FILE, "b.json": FILE}), "names two files for one kind"),
        (index(files={"a.json": 5}), "snapshot.json could not be read: Expected `object`"),
        (index(types="none"), "snapshot.json could not be read: Expected `array`"),
        (link, "pods.json is a symbolic link, not a file"),
    ],
)
def test_a_damaged_folder_is_named(damage: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    path = tmp_path / "snap"
    record(cluster(), path)
    source = open_source(str(path))
    damage(path)
    with pytest.raises(SourceUnavailable, match="snap") as raised:
        Inventory(source).workloads()
    assert message in str(raised.value)
    assert raised.value.fix
    assert source.name  # broken or not, items have a name
    with pytest.raises(SourceUnavailable) as told:
        _ = Inventory(open_source(str(path))).info  # nor does a check pass that reads the version alone
    assert message in str(told.value)


def archive(path: Path, *members: tuple[str | tarfile.TarInfo, bytes]) -> None:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members:
            member = tarfile.TarInfo(name) if isinstance(name, str) else name
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../evil.json", b"{}")], "contains '../evil.json', which is not valid in a snapshot"),
        ([("/etc/evil.json", b"{}")], "which is not valid in a snapshot"),
        ([("a/b/evil.json", b"{}")], "which is not valid in a snapshot"),
        ([("a/..", b"{}")], "which is not valid in a snapshot"),
        ([(special("a/pods.json", tarfile.SYMTYPE, "/etc/passwd"), b"")], "which is not valid in a snapshot"),
        ([(special("a/pods.json", tarfile.LNKTYPE, "x"), b"")], "which is not valid in a snapshot"),
        ([(special("a/pods.json", tarfile.FIFOTYPE), b"")], "which is not valid in a snapshot"),
        ([("a/x.json", b"{}"), ("b/y.json", b"{}")], "several folders"),
        ([("a/x.json", b"{}")], "does not contain snapshot.json"),
    ],
)
def test_an_archive_with_foreign_members_is_refused(members: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.tar.gz"
    archive(path, *members)
    with pytest.raises(SourceUnavailable, match=r"s\.tar\.gz") as raised:
        Inventory(open_source(str(path))).pods()
    assert message in str(raised.value)


def test_an_archive_with_a_member_twice_is_refused(tmp_path: Path) -> None:
    record(cluster(), tmp_path / "s")
    content = (tmp_path / "s" / "snapshot.json").read_bytes()
    archive(tmp_path / "s.tgz", ("s/snapshot.json", content), ("s/snapshot.json", content))
    with pytest.raises(SourceUnavailable, match=r"contains snapshot\.json twice"):
        Inventory(open_source(str(tmp_path / "s.tgz"))).pods()


def test_a_broken_archive_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every requirement asks for it again."""
    archive(tmp_path / "s.tgz", ("s/pods.json", b"{}"))
    opened: list[Any] = []

    def gunzip(*given: Any) -> Any:
        opened.append(given)
        return unpack(*given)

    monkeypatch.setattr(snapshotstore, "gunzip", gunzip)
    source = open_source(str(tmp_path / "s.tgz"))
    said = set()
    for ask in (source.info, source.types, source.info):
        with pytest.raises(SourceUnavailable) as raised:
            ask()
        said.add(str(raised.value))
    assert (len(said), len(opened)) == (1, 1)


@pytest.mark.parametrize("cut", [0, 5, 200, -20])
def test_a_cut_archive_is_damaged(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "s.tar.gz"
    record(cluster(), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(
        SourceUnavailable, match=r"s\.tar\.gz: the archive (is damaged|could not be read|does not contain)"
    ):
        Inventory(open_source(str(path))).pods()


def test_an_archive_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSPEC_CLUSTER_MIB", "2")
    path = tmp_path / "s.tar.gz"
    archive(path, ("s/zeros.json", bytes(8 << 20)), ("s/snapshot.json", b"{}"))
    assert path.stat().st_size < 50_000
    with pytest.raises(
        SourceUnavailable, match=r"zeros\.json is larger than 1 MiB\. KSPEC_CLUSTER_MIB raises this bound"
    ):
        Inventory(open_source(str(path))).pods()


@pytest.mark.parametrize(
    ("kinds", "size"),
    [
        ([tarfile.XHDTYPE], 1 << 20),
        ([tarfile.XGLTYPE], 1 << 20),
        ([tarfile.GNUTYPE_LONGNAME], 1 << 20),
        ([tarfile.XHDTYPE] * 5000, 0),
        ([tarfile.GNUTYPE_SPARSE], 0),
    ],
)
def test_headers_of_an_archive_are_bounded(kinds: list[bytes], size: int, tmp_path: Path) -> None:
    path = tmp_path / "s.tar.gz"
    with gzip.open(path, "wb") as file:
        for kind in kinds:
            header = special("s/pods.json", kind)
            header.size = size
            file.write(header.tobuf(tarfile.GNU_FORMAT) + bytes(size))
    with pytest.raises(SourceUnavailable, match=r"s\.tar\.gz: the archive is damaged: it h"):
        Inventory(open_source(str(path))).pods()


def test_an_archive_that_was_packed_again_with_long_names_is_read(tmp_path: Path) -> None:
    record(cluster(), tmp_path / "s")
    path, top = tmp_path / "again.tgz", "n" * 150
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": "by hand"}) as file:
        file.add(tmp_path / "s", top)
    assert [pod.name for pod in Inventory(open_source(str(path))).pods()] == ["a", "b"]


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "s.tgz").write_bytes(b"hello")
    with pytest.raises(SourceUnavailable, match="the archive is damaged"):
        Inventory(open_source(str(tmp_path / "s.tgz"))).pods()
    (tmp_path / "t.tgz").write_bytes(gzip.compress(b"hello"))
    with pytest.raises(SourceUnavailable, match="the archive"):
        Inventory(open_source(str(tmp_path / "t.tgz"))).pods()


class Failing(MemorySource):
    """Fails while it is recorded."""

    def __init__(self, kind: str, error: BaseException) -> None:
        super().__init__([pod("a"), obj("Rollout", "r", api_version="argoproj.io/v1alpha1")])
        self.failing, self.error = kind, error

    def pages(self, resource_type: ResourceType) -> Iterator[bytes]:
        if resource_type.kind == self.failing:
            raise self.error
        return super().pages(resource_type)


@pytest.mark.parametrize(
    "error", [Unreachable("gone."), KeyboardInterrupt(), OSError(28, "No space left on device")]
)
def test_nothing_is_left_of_a_recording_that_fails(path: Path, error: BaseException) -> None:
    expected = ReportError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        record(Failing("StorageClass", error), path)
    assert list(path.parent.iterdir()) == []
    record(cluster(), path)
    before = {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    with pytest.raises(expected):
        record(Failing("StorageClass", error), path)
    assert {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()} == before


def test_a_service_behind_the_server_that_is_down_is_recorded_as_such(tmp_path: Path) -> None:
    record(Failing("Rollout", SourceUnavailable("HTTP 503.")), tmp_path / "s")
    inventory = Inventory(open_source(str(tmp_path / "s")))
    assert len(inventory.pods()) == 1
    with pytest.raises(SourceUnavailable, match="test: HTTP 503"):
        inventory.list("Rollout")


def test_an_existing_snapshot_is_replaced_and_nothing_else_is(path: Path, tmp_path: Path) -> None:
    record(MemorySource([]), path)
    record(cluster(), path)
    assert len(Inventory(open_source(str(path))).pods()) == 2
    assert list(tmp_path.iterdir()) == [path]
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="this folder is not a snapshot and is not empty"):
        record(cluster(), other)
    with pytest.raises(UsageError, match="exists and is not a snapshot"):
        record(cluster(), other / "thesis.txt")
    assert os.listdir(other) == ["thesis.txt"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="the snapshot could not be written: Not a directory"):
        record(cluster(), tmp_path / "file" / "s")
