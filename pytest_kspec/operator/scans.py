"""Scans, each in a process of its own: `kspec scan cr:NAME`, the same run as everywhere.

What a scan takes of memory is given back with its process, and what hangs is killed at its deadline with all that it
started; so is what runs when the operator is killed. A scan that did not come to its end has no result: an error that
says why.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pytest_kspec.audit import trail
from pytest_kspec.audit.loglines import fields
from pytest_kspec.cluster.limits import MIB, size
from pytest_kspec.errors import KspecError, SourceError, StoreError, UsageError
from pytest_kspec.guard import Guard
from pytest_kspec.observe import tracing
from pytest_kspec.results.result import ScanResult

log = logging.getLogger("kspec.operator")

STORED = "stored as run "
"""How the line of a scan begins whose result is in the store."""

LARGEST_RESULT = 256 * MIB
WAITS_S = 300.0
"""How long a Job may wait for its node and image, beside the time of the scan."""
_TAIL = 4096  # bytes of what a scan says, for a message
_LINES = 8
_ENDS_S = 1.0  # what was killed is gone


class ScanFailed(SourceError):
    """A scan has no result: it was killed, ended without one, or could not be started.

    reason: in a word, for metrics. run: of a fleet that is over without a result; "": there is none, or it goes on
    """

    def __init__(self, what: str, *, where: str = "", reason: str = "no_result", run: str = "") -> None:
        super().__init__(what, where=where)
        self.reason = reason
        self.run = run


class Stopped(KspecError):
    """The operator ends: nothing is known of this scan, and nothing is to be said of it."""


class Scanned(NamedTuple):
    """What came of a scan.

    notes:    what went wrong beside it
    unstored: why the result is not in the store; "" where it is, or where none is configured
    """

    result: ScanResult
    notes: tuple[str, ...]
    seconds: float
    unstored: str = ""


class Scans(Protocol):
    """What scans: `Scanner`."""

    def scan(self, name: str, run: str) -> Scanned:
        """Scan the specification of this name. run: the id of the run. Raises ScanFailed, Stopped."""
        ...


class Ended(NamedTuple):
    """A run over clusters that is over. code: None: it was killed at its deadline. said: its last lines."""

    code: int | None
    said: tuple[str, ...]


class Jobs(NamedTuple):
    """How scans become Jobs. words: of `kspec fleet scan`; store: where their results are, by its address."""

    words: tuple[str, ...]
    store: str


def logged(scan: Callable[[], Scanned], name: str) -> Scanned:
    """Scan, and say in the log how it ends; that it begins, the scanner says. Raises what the scan raises."""
    try:
        made = scan()
    except ScanFailed as error:
        log.info("scan failed", extra=fields(spec=name, reason=error.reason))  # the caller says why
        raise
    summary = made.result.summary
    log.info(
        "scan ended",
        extra=fields(
            spec=name,
            score=int(summary.score) if summary.score is not None else "unknown",
            passed=summary.passed,
            failed=summary.failed,
            errors=summary.errors,
            seconds=round(made.seconds, 1),
        ),
    )
    return made


class Scanner:
    """Starts scans of one cluster; callers wait for one of the places.

    words: of the command line, beside the specification: cluster, kubeconfig, checks, exemptions, store
    deadline_s: after which a scan is killed. jobs: scans are Jobs, which `kspec fleet scan` waits for
    places: scans at the same time, whoever asks for them
    """

    def __init__(
        self, words: Sequence[str], deadline_s: float, jobs: Jobs | None = None, places: int = 2
    ) -> None:
        self._words = list(words)
        self._jobs = jobs
        self._stores = jobs is None and any(word.startswith("--store=") for word in words)
        self._deadline_s = deadline_s
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._free = places
        self._freed = threading.Condition(self._lock)
        self._guard = Guard()
        self._stopped = False

    def scan(self, name: str, run: str) -> Scanned:
        """The result for the ClusterSpecification of this name. Raises ScanFailed, Stopped.

        run: id of the run, where scans are Jobs
        """
        with self._place(name), tempfile.TemporaryDirectory(prefix="kspec-scan-") as folder:
            report = Path(folder, "result.json")
            output, told = Path(folder, "output"), Path(folder, "told")
            started = time.monotonic()
            words = ["scan", f"cr:{name}", f"--report=json:{report}", "--quiet", *self._words]
            deadline_s, variables = self._deadline_s, {}
            if (jobs := self._jobs) is not None:
                words = [
                    "fleet",
                    "scan",
                    f"cr:{name}",
                    "--source=hub",
                    f"--run={run}",
                    f"--report=json:{report}",
                ]
                words += ["--output=json", *jobs.words]
                from pytest_kspec.fleet.local import STORE

                deadline_s, variables = deadline_s + WAITS_S, {STORE: jobs.store}
            code = self._run(name, words, output, told, deadline_s, variables, says=True)
            seconds = time.monotonic() - started
            if self._stopped:
                raise Stopped("the operator ends.", where=name)
            said = _said(output)
            trail.heard(said)
            stored = not self._stores or any(line.startswith(STORED) for line in _said(told))
            what = " ".join(said) or "no output"
            if code is None:
                raise ScanFailed(f"the scan was killed after {deadline_s:g} s.", where=name, reason="timeout")
            if not report.exists():
                text = f"the scan ended with exit code {code} and no result: {what}"
                raise ScanFailed(text, where=name, run=run if self._is_over(run) else "")
            if report.stat().st_size > LARGEST_RESULT:
                raise ScanFailed(
                    f"the result is larger than {size(LARGEST_RESULT)}.", where=name, reason="too_large"
                )
            from pytest_kspec.reports import json

            try:
                result = json.read(report)
            except UsageError as error:
                raise ScanFailed(
                    f"the result cannot be read: {error.what}", where=name, reason="unreadable"
                ) from error
        if len(result.clusters) != 1 or result.clusters[0].spec_name != name:
            raise ScanFailed("the result is not that of one cluster and this specification.", where=name)
        notes = said if code == 2 and not result.summary.errors else ()
        unstored = "" if stored else " ".join(said) or "the scan did not report a reason"
        return Scanned(result, tuple(notes), seconds, unstored)

    def fleet(self, name: str, words: Sequence[str], store: str, folder: Path, deadline_s: float) -> Ended:
        """`kspec fleet scan` with these words, working in this folder. Raises ScanFailed, Stopped."""
        from pytest_kspec.fleet.local import STORE

        output, told = folder / "output", folder / "told"
        # The store by a variable: others see command lines. What killed workers leave goes with the folder.
        variables = {STORE: store, "TMPDIR": str(folder)}
        code = self._run(name, ["fleet", "scan", *words], output, told, deadline_s, variables)
        if self._stopped:
            raise Stopped("the operator ends.", where=name)
        return Ended(code, tuple(_said(output)))

    def refuse(self) -> None:
        """Start nothing any more: once this returns, the log says of no scan that it started."""
        with self._lock:
            self._stopped = True
            self._freed.notify_all()

    def stop(self) -> None:
        """Kill what runs, and see it end; nothing is started any more."""
        self.refuse()
        with self._lock:
            running = list(self._running)
        for process in running:
            _kill(process)
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ENDS_S)

    @contextlib.contextmanager
    def _place(self, name: str) -> Iterator[None]:
        """One of the places, when it is free. Raises Stopped."""
        with self._freed:
            self._freed.wait_for(lambda: self._stopped or self._free > 0)
            if self._stopped:
                raise Stopped("the operator ends.", where=name)
            self._free -= 1
        try:
            yield
        finally:
            with self._freed:
                self._free += 1
                self._freed.notify()

    def _is_over(self, run: str) -> bool:
        """Whether the run of a Job has come to its end: nothing more comes of it, and another has to be begun."""
        if self._jobs is None:
            return False
        from pytest_kspec.storage import fleet as stored
        from pytest_kspec.storage.engine import open_store

        try:
            with contextlib.closing(open_store(self._jobs.store, option="--store")) as store:
                return bool(stored.find_run(store, run).ended_at)
        except (StoreError, UsageError):
            return False

    def _run(
        self,
        name: str,
        words: Sequence[str],
        output: Path,
        told: Path,
        deadline_s: float,
        variables: Mapping[str, str] = {},
        *,
        says: bool = False,
    ) -> int | None:
        """A command of kspec, in the folder of what it writes. Its exit code; None: it was killed at its deadline.

        says: in the log that it started
        """
        command = [sys.executable, "-P", "-m", "pytest_kspec.cli.main", *words]
        with output.open("wb") as file, told.open("wb") as written, self._lock:
            if self._stopped:
                raise Stopped("the operator ends.", where=name)
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=file,
                    start_new_session=True,  # one group, which is killed as a whole
                    env={**os.environ, **tracing.carrier(), **variables},
                    cwd=output.parent,
                )
            except OSError as error:
                raise ScanFailed(
                    f"the scan cannot be started: {error.strerror or error}.",
                    where=name,
                    reason="not_started",
                ) from error
            self._running.add(process)
            if says:
                log.info("scan started", extra=fields(spec=name))
        try:
            self._guard.add(process.pid, output.parent)
        except OSError as error:
            log.warning("a scan would continue if this process were killed: %s", error)
        try:
            return process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _kill(process)
            process.wait()
            with contextlib.suppress(OSError):
                self._guard.remove(process.pid)
            with self._lock:
                self._running.discard(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """All of its group: also what it left behind when it ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _said(output: Path) -> list[str]:
    """The last lines of what it wrote, on which credentials never stand."""
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - _TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return [line.strip() for line in lines if line.strip()][-_LINES:]
