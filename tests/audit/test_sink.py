"""What is lost is counted and said, and what is in the log is whole: full disks, torn lines, short writes."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_kspec.audit.sink import AuditLog, Lost, Queue
from pytest_kspec.errors import AccessDenied
from pytest_kspec.webhook.events import EventSink
from tests.webhook.test_audit import DENIED

LINE = 320


def numbered(entry: Any) -> Iterator[bytes]:
    """A form of lines whose numbers show which of them are there."""
    yield b'{"n":%d,"filler":"%s"}' % (entry, b"x" * 300)


def numbers(path: Path) -> tuple[Any, Any]:
    """Those of the whole lines, and how many lines are cut off; every line is one or the other."""
    whole, torn = [], 0
    for line in Path(path).read_bytes().split(b"\n")[:-1]:
        try:
            whole.append(json.loads(line)["n"])
        except ValueError:
            torn += 1
            assert line.startswith(b'{"n":'), line
            assert line.count(b'"n"') == 1, "nothing is appended to the rest of another"
    return whole, torn


SCRIPT = """
import json, resource, sys
from pytest_kspec.audit.sink import AuditLog, Queue
from tests.audit.test_sink import numbered
path, limit = sys.argv[1], int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
lost = []
queue = Queue(AuditLog(path, numbered), 100_000, lambda name, count: lost.append(count))
for number in range(1000):
    queue.put(number)
queue.close()
sys.stderr.write(f"lost {sum(lost)}\\n")
"""


def lost_in(said: Any) -> int:
    """What the script says that it lost."""
    return int(said.splitlines()[-1].removeprefix("lost "))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """(folder, RLIMIT_FSIZE) of a disk for 64 KiB; where nothing may be mounted, a limit of the process instead."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
        if mounted:
            stack.callback(subprocess.run, ["umount", str(folder)], check=True)
        yield folder, 0 if mounted else 64 << 10


def test_a_full_disk_loses_records_that_are_counted_and_said(full_disk: tuple[Any, Any]) -> None:
    folder, limit = full_disk
    command = [sys.executable, "-c", SCRIPT, str(folder / "audit.log"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lost = lost_in(done.stderr)
    content = (folder / "audit.log").read_bytes()
    whole = [json.loads(line)["n"] for line in content[: content.rindex(b"\n") + 1].splitlines()]
    assert whole == list(range(len(whole)))
    assert 100 < len(whole) < 250
    assert lost == 1000 - len(whole)
    assert done.stderr.count("audit: records are lost: ") == 1
    assert any(why in done.stderr for why in ("No space left on device", "File too large"))


def test_a_limit_of_the_file_size_is_as_a_full_disk(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "audit.log"), str(10_000)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    size = (tmp_path / "audit.log").stat().st_size
    assert size == 10_000, "what fitted was written"
    assert lost_in(done.stderr) == 1000 - 10_000 // (LINE + 2)
    # The process before was cut off within a line: the next begins a new one.
    log = AuditLog(str(tmp_path / "audit.log"), numbered)
    log.write([5000])
    log.close()
    whole, torn = numbers(tmp_path / "audit.log")
    assert (whole[-1], torn) == (5000, 1)


def test_a_device_that_is_always_full_loses_all() -> None:
    log = AuditLog("/dev/full", numbered)
    with pytest.raises(Lost, match="No space left on device") as raised:
        log.write([1, 2, 3])
    assert raised.value.count == 3
    log.close()


class Short:
    """os.write as a disk does it that is nearly full: `plan` says how much each call takes, or fails with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *plan: Any) -> None:
        self.plan, self.real = list(plan), os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, descriptor: Any, content: bytes) -> Any:
        step = self.plan.pop(0) if self.plan else len(content)
        if isinstance(step, int):
            return self.real(descriptor, bytes(content[:step]))
        raise step


def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(str(tmp_path / "audit.log"), numbered)
    Short(monkeypatch, 1, 400, 0, 7)
    log.write([1, 2, 3])
    assert numbers(tmp_path / "audit.log") == ([1, 2, 3], 0)
    log.close()


@pytest.mark.parametrize("number", ["ENOSPC", "EIO", "EDQUOT", "EFBIG"])
@pytest.mark.parametrize(
    ("before", "whole", "torn"), [(0, [], 0), (50, [], 1), (LINE, [1], 0), (700, [1, 2], 1)]
)
def test_what_was_cut_off_is_lost_and_never_continued(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: str,
    before: int,
    whole: list[Any] | list[int],
    torn: int,
) -> None:
    assert len(next(iter(numbered(1)))) + 1 == LINE
    log = AuditLog(str(tmp_path / "audit.log"), numbered)
    error = OSError(getattr(errno, number), os.strerror(getattr(errno, number)))
    Short(monkeypatch, *([before] if before else []), error, error)
    with pytest.raises(Lost, match=os.strerror(getattr(errno, number))) as raised:
        log.write([1, 2, 3])
    assert raised.value.count == 3 - len(whole)
    with pytest.raises(Lost) as raised:
        log.write([4])
    assert raised.value.count == 1
    log.write([5, 6])
    assert numbers(tmp_path / "audit.log") == ([*whole, 5, 6], torn)
    log.close()


def test_a_log_that_cannot_be_made_anew_after_rotation_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AuditLog(str(folder / "audit.log"), numbered)
    log.write([1])
    folder.rename(tmp_path / "moved")
    for number in (2, 3):
        with pytest.raises(Lost) as raised:
            log.write([number])
        assert raised.value.count == 1
    folder.mkdir()
    log.write([4])
    log.close()
    assert numbers(folder / "audit.log") == ([4], 0)
    assert numbers(tmp_path / "moved" / "audit.log") == ([1], 0)


def test_a_log_that_is_cut_to_nothing_in_its_place_goes_on(tmp_path: Path) -> None:
    """`copytruncate` of logrotate."""
    path = tmp_path / "audit.log"
    log = AuditLog(str(path), numbered)
    log.write([1])
    os.truncate(path, 0)
    log.write([2])
    log.close()
    assert numbers(path) == ([2], 0)


def test_a_pipe_that_nobody_reads_any_more_loses_what_comes() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as stdout:
        command = [sys.executable, "-c", SCRIPT, "-", "0"]
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60)
    assert lost_in(done.stderr) == 1000
    assert "records are lost: Broken pipe" in done.stderr


class Refusing:
    def do(self, action: Any) -> None:
        raise AccessDenied("create events: forbidden")


def test_events_that_are_refused_are_counted_each_and_not_those_that_are_none() -> None:
    equal = [DENIED] * 5
    other = DENIED | {"resource": DENIED["resource"] | {"name": "other"}}
    with pytest.raises(Lost, match="forbidden") as raised:
        EventSink(cast(Any, Refusing())).write([*equal, other, DENIED | {"action": "monitored"}])
    assert raised.value.count == 2


class Breaking:
    name = "audit"

    def __init__(self) -> None:
        self.written: list[Any] = []

    def write(self, records: Any) -> None:
        if records[0] == "broken":
            raise ZeroDivisionError
        self.written += records

    def close(self) -> None:
        self.written.append("closed")


def test_a_record_that_breaks_a_sink_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    lost = []
    sink = Breaking()
    queue = Queue(sink, 10, lambda name, count: lost.append(count))
    queue.put("broken")
    while not lost:
        pass
    with caplog.at_level(logging.WARNING):
        queue.put("good")
        queue.close()
    assert (lost, sink.written) == ([1], ["good", "closed"])
    assert "1 were lost" in caplog.text


class Stuck(Breaking):
    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def write(self, records: Any) -> None:
        self.gate.wait(20)


@pytest.mark.parametrize("length", [3, 50])
def test_what_is_not_written_when_the_server_ends_is_lost(length: int) -> None:
    lost = []
    sink = Stuck()
    queue = Queue(sink, length, lambda name, count: lost.append(count))
    for number in range(20):
        queue.put(number)
    queue.close(0.2)
    sink.gate.set()
    assert sum(lost) == 20
