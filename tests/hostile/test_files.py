"""Snapshots and bundles that mean harm: refused by what their headers say, before the memory or the disk is full."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kspec.cluster.api.gunzip import gunzip
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.errors import EvidenceError, SourceUnavailable
from pytest_kspec.evidence.unpack import unpack
from tests.cluster.objects import pod

GIB = 1 << 30


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def zeros(size: int) -> Iterator[bytes]:
    """A gzip stream's middle: `size` bytes of nothing, made once and repeated."""
    block = bytes(1 << 20)
    for _ in range(size // len(block)):
        yield block


def packed(path: Path, *parts: bytes, nothing: int = 0) -> None:
    """A gzip stream of the parts and of so many bytes of nothing."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        for part in (*parts, *zeros(nothing)):
            file.write(packer.compress(part))
        file.write(packer.flush())


def why(path: Path) -> str:
    with pytest.raises(SourceUnavailable) as raised:
        Inventory(open_source(str(path))).pods()
    return str(raised.value).removeprefix(f"{path}: ")


def test_a_member_that_is_too_large_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "s.tar.gz"
    packed(path, header("s/pods.json", 5 * GIB), nothing=4 << 20)
    assert why(path) == "pods.json is larger than 1,024 MiB. KSPEC_CLUSTER_MIB raises this bound."
    packed(path, header("s/snapshot.json", 17 << 20), nothing=4 << 20)
    assert why(path) == "snapshot.json is larger than 16 MiB."


def test_many_members_are_too_large_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSPEC_CLUSTER_MIB", "8")
    path = tmp_path / "s.tar.gz"
    parts = [header(f"s/{number}.json", 1 << 20) + bytes(1 << 20) for number in range(12)]
    packed(path, header("s/snapshot.json", 0), *parts)
    assert why(path) == "snapshot.json could not be read: Input data was truncated. " + (
        "Record the cluster again with kspec snapshot."
    )
    packed(path, *parts, header("s/snapshot.json", 0))
    assert why(path) == "the snapshot has more than 8 MiB. KSPEC_CLUSTER_MIB raises this bound."


def test_what_no_header_counts_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members of no size, a folder that claims to be large, and a stream behind the end of the archive."""
    path = tmp_path / "s.tar.gz"
    packed(path, *(header(f"s/{number}.json", 0) for number in range(20_001)))
    assert why(path) == "the archive contains more than 20000 files."
    packed(path, header("s/", 5 * GIB, tarfile.DIRTYPE), nothing=4 << 20)
    assert "the archive" in why(path)


@pytest.mark.parametrize(
    "more",
    [gzip.compress(b""), gzip.compress(b"") * 100_000, b"\0", b"x", bytes(1 << 20)],
    ids=["a stream", "many streams", "nothing", "text", "a megabyte of nothing"],  # a stream holds the time
)
def test_an_archive_is_one_gzip_stream(more: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.tar.gz"
    record(MemorySource([pod("a")]), path)
    path.write_bytes(path.read_bytes() + more)
    assert why(path).startswith("the archive is damaged: data follows its gzip stream.")
    path.write_bytes(gzip.compress(b"") * 100_000 + more)
    assert why(path).startswith("the archive is damaged: ")


def test_a_sparse_file_of_a_terabyte_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    record(MemorySource([pod("a")]), folder)
    os.truncate(folder / "pods.json", 1 << 40)
    assert why(folder).startswith("pods.json is larger than 1,024 MiB.")
    os.truncate(folder / "snapshot.json", 1 << 40)
    assert why(folder) == "snapshot.json is larger than 16 MiB."


@pytest.mark.parametrize("name", ["pods.json", "snapshot.json"])
def test_a_pipe_does_not_hold_up(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    record(MemorySource([pod("a")]), folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert why(folder).startswith(f"{name} is not a file.")
    archive = tmp_path / "t.tar.gz"
    os.mkfifo(archive)
    assert why(archive).startswith("the archive is damaged: it ends too early")


def test_a_device_is_no_snapshot(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    record(MemorySource([pod("a")]), folder)
    (folder / "pods.json").unlink()
    (folder / "pods.json").symlink_to("/dev/zero")
    assert why(folder).startswith("pods.json is a symbolic link, not a file.")


def test_a_bundle_of_evidence_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    packed(path, header("evidence/manifest.json", 5 * GIB), nothing=4 << 20)
    with (
        path.open("rb") as file,
        pytest.raises(EvidenceError, match="is not valid in a bundle"),
    ):
        unpack(file, tmp_path / "out", "bundle", lambda _: True)
    with (
        io.BytesIO(gzip.compress(b"") * 100_000) as empty,
        pytest.raises(EvidenceError, match="data follows its gzip stream"),
    ):
        unpack(empty, tmp_path / "out", "bundle", lambda _: True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_gunzip_gives_what_went_in(size: int) -> None:
    content = os.urandom(size // 2) + bytes(size - size // 2)
    assert gunzip(io.BytesIO(gzip.compress(content)), size).read() == content
    with pytest.raises(ValueError, match="unpacks to more than"):
        gunzip(io.BytesIO(gzip.compress(content + b"x")), size).read()
    for damaged in (gzip.compress(content)[:-1], gzip.compress(content)[:5], b""):
        with pytest.raises(EOFError):
            gunzip(io.BytesIO(damaged), size).read()
