"""The chain: any line that is missing, added, moved or changed is found, by a verification that reads files only."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.audit import chained
from pytest_kspec.audit.chain import START, Verified, verify
from pytest_kspec.audit.chained import ChainedLog
from pytest_kspec.audit.record import FORMATS, Type, make
from pytest_kspec.audit.sink import Lost


def entries(count: int, begin: int = 0) -> list[dict[str, Any]]:
    return [
        make(Type.SCAN, "scan", "success", f"record {n}", details={"n": n} if n % 2 else None)
        for n in range(begin, begin + count)
    ]


def written(path: Path, count: int, form: str = "json") -> list[bytes]:
    log = ChainedLog(str(path), FORMATS[form])
    for entry in entries(count):
        log.write([entry])
    log.close()
    return path.read_bytes().splitlines()


BEGINNING = (
    "{0} missing: the first record in these files is {1}. Name the files that were rotated before, or pass --from {1} "
    "if it is known that they were removed"
)


def read(folder: Path, *names: str, head: str = "", first: int = 1) -> Verified:
    return verify([(name, io.BytesIO((folder / name).read_bytes())) for name in names], head, first)


def problems(lines: list[bytes], noted: str = "") -> list[str]:
    return verify([("f", io.BytesIO(b"".join(line + b"\n" for line in lines)))], noted).problems


@pytest.mark.parametrize("form", FORMATS)
def test_a_log_is_whole_in_every_format(tmp_path: Path, form: str) -> None:
    lines = written(tmp_path / "log", 5, form)
    made = verify([("f", io.BytesIO(b"\n".join(lines) + b"\n"))])
    assert (made.problems, made.lines, made.first, made.last) == ([], 5, 1, 5)
    if form != "cef":
        assert all(json.loads(line)["chain"]["seq"] == n for n, line in enumerate(lines, 1))
    else:
        assert all(f" cn1={n} cs6Label=prev cs6=" in line.decode() for n, line in enumerate(lines, 1))


@pytest.mark.parametrize("form", FORMATS)
@given(data=st.data())
def test_any_change_is_found(
    tmp_path_factory: pytest.TempPathFactory, form: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"log-{form}"
    lines = path.read_bytes().splitlines() if path.exists() else written(path, 6, form)
    head = verify([("f", io.BytesIO(path.read_bytes()))]).head
    at = data.draw(st.integers(0, 5))
    kind = data.draw(st.sampled_from(["drop", "double", "swap", "byte", "add", "cut"]))
    changed = list(lines)
    if kind == "drop":
        del changed[at]
    elif kind == "double":
        changed.insert(at, changed[at])
    elif kind == "swap":
        other = (at + 1) % 6
        changed[at], changed[other] = changed[other], changed[at]
    elif kind == "byte":
        place = data.draw(st.integers(0, len(lines[at]) - 1))
        changed[at] = lines[at][:place] + bytes([lines[at][place] ^ 1]) + lines[at][place + 1 :]
    elif kind == "add":
        changed.insert(
            at, data.draw(st.sampled_from([b"{}", b"CEF:0|x", lines[0].replace(b"record 0", b"forged")]))
        )
    else:
        changed = changed[:at]
    if not changed:
        return
    assert problems(changed, head), (kind, at)


def test_a_cut_end_is_found_by_the_noted_head_only(tmp_path: Path) -> None:
    lines = written(tmp_path / "log", 4)
    head = verify([("f", io.BytesIO(b"\n".join(lines) + b"\n"))]).head
    assert problems(lines[:3]) == []
    assert "no record has the digest" in problems(lines[:3], head)[0]
    assert problems(lines, head) == []


def test_a_log_that_goes_on_is_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "log"
    written(path, 3)
    written(path, 3)
    assert verify([("f", io.BytesIO(path.read_bytes()))]).last == 6


def test_rotated_files_are_one_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chained, "KEPT", 3)
    path = tmp_path / "log"
    log = ChainedLog(str(path), FORMATS["json"], largest=1)
    for entry in entries(3):
        log.write([entry])
    log.close()
    log = ChainedLog(str(path), FORMATS["json"], largest=1)  # another process
    for entry in entries(4, 3):
        log.write([entry])
    names = [f"log.{n}" for n in (3, 2, 1)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.1", "log.2", "log.3"]
    made = read(tmp_path, *names)
    assert (made.problems, made.first, made.last, made.kept) == ([], 5, 7, 5), "rotation says what it removed"
    assert "1 line is missing" in read(tmp_path, names[0], names[2]).problems[0]
    assert read(tmp_path, *names[1:]).problems == [BEGINNING.format("records 1 to 5 are", 6)]
    assert read(tmp_path, names[0], head=made.head).problems == [
        BEGINNING.format("records 1 to 4 are", 5),
        "no record has the digest that was given",
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_records_that_are_missing_at_the_beginning_are_a_problem(tmp_path: Path, form: str) -> None:
    lines = written(tmp_path / "log", 6, form)
    head = verify([("f", io.BytesIO((tmp_path / "log").read_bytes()))]).head
    for count in range(1, 6):
        (tmp_path / "cut").write_bytes(b"".join(line + b"\n" for line in lines[count:]))
        missing = "record 1 is" if count == 1 else f"records 1 to {count} are"
        for noted in ("", head):
            made = read(tmp_path, "cut", head=noted)
            assert made.problems == [BEGINNING.format(missing, count + 1)]
        assert read(tmp_path, "cut", head=head, first=count + 1).problems == []
        assert read(tmp_path, "cut", head=head, first=count).problems == made.problems
        before = hashlib.sha256(lines[count - 1]).hexdigest()
        assert read(tmp_path, "cut", head=before).problems == [], "it goes on from the record that was noted"


def rotating(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int, form: str = "json") -> list[str]:
    """One record a file, two files kept; the names, the oldest first."""
    monkeypatch.setattr(chained, "KEPT", 2)
    log = ChainedLog(str(folder / "log"), FORMATS[form], largest=1)
    for entry in entries(count):
        log.write([entry])
    log.close()
    return [name for name in ("log.2", "log.1", "log") if (folder / name).exists()]


@pytest.mark.parametrize("form", FORMATS)
def test_rotation_says_what_it_removes_in_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    names = rotating(tmp_path, monkeypatch, 5, form)
    made = read(tmp_path, *names)
    assert (made.problems, made.lines, made.first, made.last, made.kept) == ([], 2, 4, 5, 4)


def test_what_others_removed_is_not_what_rotation_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was removed, or put in its place, before the next rotation does not become one that it removed."""
    names = rotating(tmp_path, monkeypatch, 2)
    (tmp_path / "log.2").write_bytes((tmp_path / "log.2").read_bytes().replace(b'"seq":1', b'"seq":9'))
    rotating(tmp_path, monkeypatch, 1)
    assert read(tmp_path, *names).problems == [BEGINNING.format("record 1 is", 2)]
    (tmp_path / "log.2").unlink()
    rotating(tmp_path, monkeypatch, 1)
    assert read(tmp_path, "log.2", "log.1").problems == [BEGINNING.format("records 1 to 2 are", 3)]


def test_files_in_the_wrong_order_and_a_second_chain(tmp_path: Path) -> None:
    lines = written(tmp_path / "log", 6)
    (tmp_path / "a").write_bytes(b"".join(line + b"\n" for line in lines[:3]))
    (tmp_path / "b").write_bytes(b"".join(line + b"\n" for line in lines[3:]))
    assert read(tmp_path, "a", "b").problems == []
    assert read(tmp_path, "b", "a").problems == [
        "the first record in these files is 4, and record 1 comes later: name the oldest file first",
        "a:1: record 1 follows record 6: another chain begins here",
    ]
    assert read(tmp_path, "a", "a").problems == ["a:1: record 1 follows record 3: another chain begins here"]
    written(tmp_path / "new", 2)
    assert read(tmp_path, "log", "new").problems == [
        "new:1: record 1 follows record 6: another chain begins here"
    ]
    head = read(tmp_path, "log").head
    assert read(tmp_path, "new", head=head).problems == ["no record has the digest that was given"]
    (tmp_path / "empty").write_bytes(b"")
    assert read(tmp_path, "empty", head=head).problems == ["no record has the digest that was given"]


def test_a_file_that_others_moved_away_goes_on_in_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = ChainedLog(str(path), FORMATS["json"])
    log.write(entries(1))
    path.rename(tmp_path / "log-2026")
    log.write(entries(1))
    made = verify(
        [("a", io.BytesIO((tmp_path / "log-2026").read_bytes())), ("b", io.BytesIO(path.read_bytes()))]
    )
    assert (made.problems, made.last) == ([], 2)


def _write_many(path: str, count: int) -> None:
    log = ChainedLog(path, FORMATS["json"])
    for entry in entries(count):
        log.write([entry])
    log.close()


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(str(path), 20)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    made = verify([("f", io.BytesIO(path.read_bytes()))])
    assert (made.problems, made.lines, made.last) == ([], 60, 60)


@pytest.mark.parametrize(("fits", "kept"), [(20, 0), (400, 1), (700, 2)])
def test_a_full_disk_loses_whole_records_and_the_chain_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: int, kept: int
) -> None:
    path = tmp_path / "log"
    log = ChainedLog(str(path), FORMATS["json"])
    log.write(entries(1))
    really = os.write
    full = True

    def write(descriptor: int, content: Any) -> int:
        if full:
            really(descriptor, bytes(content[:fits]))
            raise OSError(28, "No space left on device")
        return really(descriptor, content)

    monkeypatch.setattr("pytest_kspec.audit.sink.os.write", write)
    with pytest.raises(Lost, match="No space left") as caught:
        log.write(entries(3))
    assert caught.value.count == 3 - kept
    full = False
    log.write(entries(1))
    made = verify([("f", io.BytesIO(path.read_bytes()))])
    assert (made.problems, made.lines) == ([], 2 + kept)


def test_a_full_disk_under_a_file_that_may_only_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`chattr +a`: what is whole counts as written, and what was cut off cannot be taken back."""
    path = tmp_path / "log"
    log = ChainedLog(str(path), FORMATS["json"])
    really, plan = os.write, [700]

    def write(descriptor: int, content: Any) -> int:
        if plan:
            really(descriptor, bytes(content[: plan.pop()]))
            raise OSError(28, "No space left on device")
        return really(descriptor, content)

    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pytest_kspec.audit.sink.os.write", write)
    monkeypatch.setattr("pytest_kspec.audit.chained.os.ftruncate", refuse)
    with pytest.raises(Lost, match="No space left") as caught:
        log.write(entries(3))
    log.write(entries(1))
    made = verify([("f", io.BytesIO(path.read_bytes()))])
    assert made.problems == ["f:3: this line is not a record: it was cut off, added or changed"]
    assert (made.last, caught.value.count) == (3, 1)


def test_after_a_line_that_was_cut_off_comes_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    written(path, 2)
    with path.open("ab") as stream:
        stream.write(b'{"time":"2026')  # a machine that lost its power
    written(path, 1)
    assert problems(path.read_bytes().splitlines()) == [
        "f:3: this line is not a record: it was cut off, added or changed"
    ]


def test_a_link_in_the_place_of_the_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic link"):
        ChainedLog(str(tmp_path / "log"), FORMATS["json"])


def test_a_file_of_garbage_is_bounded() -> None:
    made = verify([("f", io.BytesIO(b"x\n" * 10_000))])
    assert len(made.problems) == 101
    assert made.head == START
