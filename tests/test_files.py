"""Whole files in folders that others can write to: nothing is written through what somebody laid there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kspec.files import open_to_append, whole_file, write_whole


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "made" / "report"
    write_whole(path, b"one")
    with pytest.raises(TypeError), whole_file(path) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert path.read_bytes() == b"one"
    with whole_file(path) as file:
        file.write(b"two")
        file.seek(0)
        assert file.read() == b"two"
        assert path.read_bytes() == b"one"
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["report"]


def test_no_name_can_be_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link under the name that a file has while it is written is not followed, if it could be guessed."""
    names = set()
    for _ in range(3):
        with whole_file(tmp_path / "report") as file:
            names |= set(os.listdir(tmp_path)) - {"report"}
            file.write(b"x")
    assert len(names) == 3
    victim = tmp_path / "victim"
    victim.write_bytes(b"kept")
    monkeypatch.setattr(os, "urandom", bytes)
    (tmp_path / f".kspec-{'00' * 8}.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "report", b"y")
    assert victim.read_bytes() == b"kept"
    assert (tmp_path / "report").read_bytes() == b"x"


def test_a_name_of_any_length_that_the_system_takes(tmp_path: Path) -> None:
    name = "ä" * 127
    write_whole(tmp_path / name, b"")
    assert os.listdir(tmp_path) == [name]


def test_permissions(tmp_path: Path) -> None:
    path = tmp_path / "report"
    write_whole(path, b"")
    assert mode(path) == 0o644
    path.chmod(0o600)
    with whole_file(path) as file:
        (made,) = tmp_path.glob(".kspec-*")
        assert mode(made) == 0o600
        file.write(b"x")
    assert mode(path) == 0o600
    path.chmod(0o644)
    write_whole(path, b"", private=True)
    assert mode(path) == 0o600


def test_a_file_that_another_user_laid_there_gives_no_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report"
    path.touch()
    path.chmod(0o666)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    write_whole(path, b"x")
    assert mode(path) == 0o644


@pytest.mark.parametrize("to", ["victim", "absent", "/dev/null", "."])
def test_links_are_not_followed(tmp_path: Path, to: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"kept")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / to)
    for replace in (True, False):
        with pytest.raises(OSError, match="it is a symbolic link"):
            write_whole(link, b"x", replace=replace)
    with pytest.raises(OSError, match="it is a symbolic link"):
        open_to_append(str(link))
    assert victim.read_bytes() == b"kept"
    assert sorted(os.listdir(tmp_path)) == ["link", "victim"]


def test_a_hard_link_is_replaced_and_its_other_name_keeps_the_content(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"kept")
    os.link(victim, tmp_path / "report")
    write_whole(tmp_path / "report", b"x")
    assert victim.read_bytes() == b"kept"


def test_what_is_there_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    write_whole(path, b"one", replace=False)
    with pytest.raises(FileExistsError):
        write_whole(path, b"two", replace=False)
    other = tmp_path / "other.yaml"
    with pytest.raises(FileExistsError), whole_file(other, replace=False):
        other.write_bytes(b"came meanwhile")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        "spec.yaml": b"one",
        "other.yaml": b"came meanwhile",
    }


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, b"x")
    with pytest.raises(IsADirectoryError):
        open_to_append(str(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("device", ["/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_devices_are_written_to_and_stay(device: str) -> None:
    before = os.lstat(device)
    write_whole(Path(device), b"")
    os.close(open_to_append(device))
    assert os.lstat(device).st_mode == before.st_mode
    with pytest.raises(OSError, match="No space left"):
        write_whole(Path("/dev/full"), b"x")


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device"):
        open_to_append(str(pipe))  # nobody reads
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, b"report")
    assert os.read(reader, 100) == b"report"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_pipe_that_another_user_laid_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(os, "geteuid", lambda: pipe.stat().st_uid + 1)
    for write in (lambda: write_whole(pipe, b"report"), lambda: open_to_append(str(pipe))):
        with pytest.raises(PermissionError, match="belongs to another user"):
            write()


def test_appending(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for content in (b"one\n", b"two\n"):
        descriptor = open_to_append(str(path))
        os.write(descriptor, content)
        assert os.get_blocking(descriptor)
        os.close(descriptor)
    assert path.read_bytes() == b"one\ntwo\n"
    assert mode(path) == 0o600
