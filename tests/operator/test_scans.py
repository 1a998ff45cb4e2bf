"""Scans in processes of their own: what hangs is killed, and what has no result is an error that says why."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.operator.scans import ScanFailed, Scanner, Stopped
from pytest_kspec.operator.service import Operator, Options
from tests.cluster.api import Api, Reply, kubeconfig
from tests.operator.conftest import LIMIT_S, until

PYTHON = sys.executable


def test_a_scan_that_hangs_is_killed_at_its_deadline(tmp_path: Path) -> None:
    with Api({"/apis/kspec.io/v1alpha1": Reply(wait_s=60), "/apis": Reply(wait_s=60)}) as api:
        words = ["--cluster=prod", f"--kubeconfig={kubeconfig(tmp_path, api.url)}"]
        with pytest.raises(ScanFailed, match=r"^met: the scan was killed after 1.5 s\.$"):
            Scanner(words, 1.5).scan("met", "")


def test_what_a_scan_says_is_the_reason(tmp_path: Path) -> None:
    with Api() as api:
        words = ["--cluster=prod", f"--kubeconfig={kubeconfig(tmp_path, api.url)}"]
        with pytest.raises(ScanFailed, match=r"exit code 4 and no result: .*has no ClusterSpecification"):
            Scanner(words, 60).scan("met", "")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of Python, for what a real scan does not do."""
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(path))
    return path


def test_a_result_that_is_none(program: Path) -> None:
    with pytest.raises(ScanFailed, match="exit code 0 and no result: no output"):
        Scanner([], 10).scan("met", "")
    program.write_text(
        '#!/bin/sh\nfor w; do case $w in --report=json:*) echo "{}" >"${w#--report=json:}";; esac; done\n'
    )
    with pytest.raises(ScanFailed, match="the result cannot be read: is not a ScanResult"):
        Scanner([], 10).scan("met", "")
    program.unlink()
    with pytest.raises(ScanFailed, match="cannot be started"):
        Scanner([], 10).scan("met", "")


def test_what_a_scan_leaves_behind_ends_with_it(program: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    program.write_text(f"#!/bin/sh\n(sleep 2; touch {mark}) &\nexit 0\n")
    with pytest.raises(ScanFailed):
        Scanner([], 10).scan("met", "")
    time.sleep(2.5)
    assert not mark.exists()


def test_scans_end_with_a_process_that_is_killed(program: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    program.write_text(f"#!/bin/sh\npwd >{mark}.new; echo $$ >>{mark}.new; mv {mark}.new {mark}; sleep 600\n")
    code = "import sys; from pytest_kspec.operator.scans import Scanner; sys.executable = sys.argv[1]; "
    code += "Scanner([], 600).scan('met', '')"
    process = subprocess.Popen([PYTHON, "-c", code, str(program)], start_new_session=True)
    try:
        until(mark.exists)
    finally:
        process.kill()
        process.wait(LIMIT_S)
    folder, number = mark.read_text().split()
    until(lambda: not Path(folder).exists() and not Path("/proc", number).exists())


def test_stop_kills_what_runs_and_starts_nothing(program: Path) -> None:
    program.write_text("#!/bin/sh\nsleep 60\n")
    scanner = Scanner([], 60)
    failed: list[str] = []

    def scan() -> None:
        try:
            scanner.scan("met", "")
        except Stopped as error:
            failed.append(str(error))

    thread = threading.Thread(target=scan, daemon=True)
    thread.start()
    while not scanner._running:
        time.sleep(0.01)
    scanner.stop()
    thread.join(20)
    assert failed == ["met: the operator ends."], "and no failure that a status would name"
    with pytest.raises(Stopped, match="the operator ends"):
        scanner.scan("met", "")


def test_no_more_scans_at_a_time_than_there_are_places_whoever_asks(program: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    program.write_text(
        f"#!/bin/sh\nmkdir {seen}/run-$$\nls {seen} | wc -l >{tmp_path}/count-$$\nsleep 0.2\nrmdir {seen}/run-$$\n"
    )
    scanner = Scanner([], 60, places=2)

    def scan(name: str) -> None:
        with pytest.raises(ScanFailed):
            scanner.scan(name, "")

    threads = [threading.Thread(target=scan, args=(f"s{number}",), daemon=True) for number in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    counts = [int(one.read_text()) for one in tmp_path.glob("count-*")]
    assert len(counts) == 7
    assert max(counts) <= 2


def test_who_waits_for_a_place_ends_with_the_operator(
    program: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="kspec.operator")
    program.write_text("#!/bin/sh\nsleep 60\n")
    scanner = Scanner([], 60, places=1)
    ended: list[str] = []

    def scan() -> None:
        with pytest.raises(Stopped):
            scanner.scan("met", "")
        ended.append("ended")

    threads = [threading.Thread(target=scan, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    (running,) = until(lambda: list(scanner._running))
    scanner.stop()
    assert running.returncode == -signal.SIGKILL, "what was killed has ended"
    for thread in threads:
        thread.join(20)
    assert ended == ["ended"] * 3
    assert caplog.messages == ["scan started"], "of the one that had a place"


def test_no_scan_is_said_to_start_after_the_end_was(
    program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a leader that was frozen while it worked: its threads go on where they were."""
    scanner = Scanner([], 60)
    late: list[str] = []

    class GoesOn(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("ends:"):
                with pytest.raises(Stopped):
                    scanner.scan("late", "")
                late.append("refused")

    logger, goes_on = logging.getLogger("kspec.operator"), GoesOn()
    caplog.set_level("INFO", logger="kspec.operator")
    logger.addHandler(goes_on)
    try:
        access = Access("prod", str(kubeconfig(tmp_path, "http://127.0.0.1:9")))
        operator = Operator(Options(access, None, scanner, [], health="0", metrics="0"))
        operator.stop()
        operator.run()
    finally:
        logger.removeHandler(goes_on)
    assert late == ["refused"]
    assert "scan started" not in caplog.messages
