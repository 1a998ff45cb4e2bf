"""The demonstration of operations: from its start to its end, and that it leaves nothing behind when it is stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.controlplane.process import GUARD
from tests.docs.pages import ROOT

DEMO = ROOT / "examples" / "05-operations" / "demo.py"
LIMIT_S = 800.0


@contextmanager
def demo(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """As a user starts it; its files and those of its servers are in `folder`."""
    temporary = folder / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, DEMO],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    GUARD.add(process.pid, temporary)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
        GUARD.remove(process.pid)


def left(folder: Path) -> list[str]:
    """What is left after a while: a scan ends a moment after its operator was killed."""
    deadline = time.monotonic() + 20
    while (found := _left(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _left(folder: Path) -> list[str]:
    """Files that are left, and command lines of processes that name the folder."""
    found = [path.name for path in (folder / "tmp").iterdir()]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(folder) in words:
            found.append(words)
    return found


@pytest.mark.long
@pytest.mark.timeout(LIMIT_S + 60)
def test_what_breaks_is_seen_everywhere_and_so_is_its_end(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, output
    lines = output.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    titles = [line for line in lines if line and not line.startswith(" ")]
    assert [title.partition(":")[0] for title in titles] == [
        "Starting",
        "The cluster is as specified",
        "Broken",
        "Put right",
        "Ended",
        "All servers are stopped.",
    ]
    for seen in (
        "Ready=False, DriftDetected=True",
        "ComplianceFailure (firing)",
        "DriftDetected (firing)",
        "KSpecCriticalComplianceScore is pending",
        "KSpecExemptionExpiring is firing",
        "KSpecExemptionExpiring is inactive",
        "DriftCleared (resolved)",
        "ComplianceRestored (resolved)",
    ):
        assert seen in output, seen
    assert left(tmp_path) == []


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_stops_all_that_it_started(tmp_path: Path, number: signal.Signals, status: int) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Prometheus" in line:  # all servers but the dashboard run
                process.send_signal(number)
        assert process.wait(60) == status
    assert left(tmp_path) == []
