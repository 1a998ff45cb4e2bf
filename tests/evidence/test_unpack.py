"""Bundles from anywhere: every byte counts, and nothing in one reaches beyond its folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.errors import EvidenceError, UsageError
from pytest_kspec.evidence.manifest import MAX_BYTES, File, Manifest, Replay
from pytest_kspec.evidence.pack import Content, describe, pack
from pytest_kspec.evidence.signature import load_private, load_public, sign, verify
from pytest_kspec.evidence.unpack import unpack
from tests.effort import with_fixtures

from .conftest import Keys

CONTENTS = {
    "result.json": Content("result", b'{"kind": "ScanResult"}'),
    "files/specs/strict.yaml": Content("spec", b"kind: ClusterSpecification\n" * 40),
    "files/checks/test_mine.py": Content("check", b"raise SystemExit\n"),
    "snapshots/0.tar.gz": Content("snapshot", bytes(range(256)) * 20),
}
REPLAYS = (Replay("prod", "specs/strict.yaml", "files/specs/strict.yaml", "snapshots/0.tar.gz"),)


def bundle(contents: dict[str, Content] | None = None, **more: Any) -> bytes:
    contents = CONTENTS if contents is None else contents
    out = io.BytesIO()
    manifest = Manifest("t", "2026-01-02T03:04:05Z", describe(contents), more.pop("replays", REPLAYS), **more)
    pack(out, manifest, contents)
    return out.getvalue()


def read(raw: bytes, target: Path, wanted: Callable[[File], bool] = lambda _: True) -> Manifest:
    return unpack(io.BytesIO(raw), target, "bundle", wanted)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    manifest = read(bundle(), tmp_path)
    assert manifest.replays == REPLAYS
    found = {
        str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert found == {name: content.source for name, content in CONTENTS.items()}


def test_code_is_not_even_written_unless_wanted(tmp_path: Path) -> None:
    read(bundle(), tmp_path, lambda file: file.role != "check")
    assert not list(tmp_path.rglob("*.py"))


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    backwards = dict(reversed(CONTENTS.items()))
    assert bundle() == bundle(backwards)
    with tarfile.open(fileobj=io.BytesIO(bundle())) as archive:
        assert {(m.mtime, m.uid, m.uname, m.mode) for m in archive} == {(1767323045, 0, "", 0o600)}


@with_fixtures(400)
@given(st.data())
def test_any_single_byte_that_changes_is_found(keys: Keys, data: st.DataObject) -> None:
    raw = bundle()
    signature = sign(io.BytesIO(raw), load_private(str(keys.private), None))
    public = load_public(str(keys.public))
    verify(io.BytesIO(raw), signature, public, "bundle")
    both = [bytearray(raw), bytearray(signature)]
    which = data.draw(st.sampled_from([0, 0, 0, 1]))
    place = data.draw(st.integers(0, 1 << 20)) % len(both[which])  # a signature's length varies
    both[which][place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EvidenceError):
        verify(io.BytesIO(both[0]), bytes(both[1]), public, "bundle")


@with_fixtures(300)
@given(st.data())
def test_any_single_byte_within_the_archive_is_found_without_the_signature_too(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Of who signs a bundle, nothing is believed either: all but the time in headers is proven by the digests."""
    plain = bytearray(gzip.decompress(bundle()))
    place = data.draw(st.integers(0, len(plain) - 1))
    plain[place] ^= data.draw(st.integers(1, 255))
    target = tmp_path_factory.mktemp("b")
    try:
        read(gzip.compress(bytes(plain)), target)
    except EvidenceError:
        return
    # A manifest that says something else, or another time, is another bundle; the files are what it says.
    header = place % tarfile.BLOCKSIZE
    assert place < 2048 or 136 <= header < 156


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def member(name: str, content: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def manifest_of(**files: Any) -> bytes:
    entries = {
        name: {"role": role, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, (role, content) in files.items()
    }
    body = {"tool": "t", "finishedAt": "x", "files": entries, "replays": []}
    return msgspec.json.encode({**body, "apiVersion": "kspec.io/v1alpha1", "kind": "EvidenceBundle"})


RESULT = {"result.json": ("result", b"{}")}
GOOD = [member("evidence/manifest.json", manifest_of(**RESULT)), member("evidence/result.json", b"{}")]


def test_a_bundle_by_tar_itself_is_one(tmp_path: Path) -> None:
    assert set(read(tar(*GOOD), tmp_path).files) == {"result.json"}


@pytest.mark.parametrize(
    "name",
    [
        "../outside.yaml",
        "files/../../outside.yaml",
        "/etc/outside.yaml",
        "files//x.yaml",
        "files/./x.yaml",
        "files/..",
        "files/a\\b.yaml",
        "files/a\nb.yaml",
        "C:/x.yaml",
        "specs/x.yaml",
        "files/conftest.py",
        "files/x.yaml/",
        "",
    ],
)
def test_names_that_no_bundle_has(tmp_path: Path, name: str) -> None:
    files = {**RESULT, name: ("spec", b"x")}
    raw = tar(
        member("evidence/manifest.json", manifest_of(**files)), member(f"evidence/{name}", b"x"), GOOD[1]
    )
    with pytest.raises(EvidenceError):
        read(raw, tmp_path / "inside")
    assert not (tmp_path / "outside.yaml").exists()


LINK: dict[str, Any] = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
MANIFEST = GOOD[0]


@pytest.mark.parametrize(
    "members",
    [
        [],
        [GOOD[1]],
        [GOOD[1], MANIFEST],
        [MANIFEST],
        [MANIFEST, GOOD[1], GOOD[1]],
        [MANIFEST, GOOD[1], member("evidence/more.yaml", b"x")],
        [MANIFEST, member("evidence/result.json", **LINK)],
        [MANIFEST, member("evidence/result.json", type=tarfile.LNKTYPE, linkname="evidence/manifest.json")],
        [MANIFEST, member("evidence/result.json", type=tarfile.CHRTYPE)],
        [MANIFEST, member("evidence/result.json", type=tarfile.DIRTYPE)],
        [MANIFEST, member("evidence/result.json", b"[]")],
        [MANIFEST, member("evidence/result.json", b"{} ")],
        [MANIFEST, member("evidence/result.json", b"{}", uname="mallory")],
        [MANIFEST, member("evidence/result.json", b"{}", mode=0o4755)],
        [MANIFEST, member("evidence/" + "x" * 300, b"x"), GOOD[1]],
        [member("manifest.json", manifest_of(**RESULT)), GOOD[1]],
        [member("evidence/manifest.json", b"{}"), GOOD[1]],
        [member("evidence/manifest.json", b"[" * 100_000), GOOD[1]],
        [member("evidence/manifest.json", manifest_of()), GOOD[1]],
    ],
    ids=lambda members: "+".join(member[0].name[-20:] for member in members) or "nothing",
)
def test_archives_that_are_no_bundles(tmp_path: Path, members: list[Any]) -> None:
    with pytest.raises(EvidenceError):
        read(tar(*members), tmp_path)
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_a_header_may_claim_anything(tmp_path: Path) -> None:
    for size in (MAX_BYTES * 2, 8**11 - 1):
        info = tarfile.TarInfo("evidence/manifest.json")
        info.size = size
        raw = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + b"x" * 1000)
        with pytest.raises(EvidenceError):
            read(raw, tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    zeros = zlib.compressobj(9, zlib.DEFLATED, 31)
    raw = zeros.compress(b"")
    for info, content in GOOD:
        info.size = len(content)
        block = info.tobuf(tarfile.USTAR_FORMAT) + content + b"\0" * (-len(content) % 512)
        raw += zeros.compress(block)
    raw += b"".join(zeros.compress(b"\0" * (1 << 20)) for _ in range(64)) + zeros.flush()
    with pytest.raises(EvidenceError, match="data after its files"):
        read(raw, tmp_path)
    big = {"result.json": {"role": "result", "size": MAX_BYTES + 1, "sha256": "0" * 64}}
    body = {"tool": "t", "finishedAt": "x", "files": big, "replays": [], "apiVersion": "kspec.io/v1alpha1"}
    with pytest.raises(EvidenceError, match="larger than"):
        read(
            tar(member("evidence/manifest.json", msgspec.json.encode({**body, "kind": "EvidenceBundle"}))),
            tmp_path,
        )


@pytest.mark.parametrize("raw", [b"", b"x", b"\x1f\x8b", bundle()[:-20], bundle()[:200], bundle() + b"x"])
def test_what_is_damaged(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(EvidenceError):
        read(raw, tmp_path)


def test_what_cannot_be_bundled(tmp_path: Path) -> None:
    for name in ("files/spec.txt", "files/a:b.yaml"):
        with pytest.raises(UsageError, match="Rename the file"):
            describe({name: Content("spec", b"")})
    path = tmp_path / "x.yaml"
    path.write_bytes(b"1")
    contents = {"result.json": Content("result", b""), "files/x.yaml": Content("spec", path)}
    manifest = Manifest("t", "2026-01-02T03:04:05Z", describe(contents), ())
    path.write_bytes(b"2")
    with pytest.raises(Exception, match="changed while it was packed"):
        pack(io.BytesIO(), manifest, contents)
