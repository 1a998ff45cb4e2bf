"""One pytest session inside this process, kept apart from the project it happens to run in (`session.apart`).

No ini file, no conftest.py, no variables for pytest, no cache folder; what pytest prints is kept, and shown only
when it failed in a way that has no result.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TextIO

import pytest
from msgspec import Struct, field

from pytest_kspec.cli.output import is_interactive
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.errors import KspecError, SourceError, UsageError
from pytest_kspec.extend.registry import pytest_plugins
from pytest_kspec.results.result import ScanResult
from pytest_kspec.session import apart
from pytest_kspec.session import run as runs
from pytest_kspec.session.traces import put_back
from pytest_kspec.supervised import SUPERVISOR

# Plugins for other kinds of tests, which cost start-up time.
_UNUSED = (
    "anyio",
    "timeout",
    "hypothesispytest",
    "pytest_cov",
    "html",
    "html_fixtures",
    "metadata",
    "doctest",
    "unittest",
    "junitxml",
    "pastebin",
    "stepwise",
    "setuponly",
    "setupplan",
    "platformdirs",
    "debugging",
)
_OF_WORKERS = ("xdist", "xdist.looponfail")  # unused without -n
_KSPEC = ("kspec", "pytest_kspec.plugin")
_ISOLATED = (
    "--noconftest",
    *("-p", "no:cacheprovider"),
    *("-c", os.devnull),
    *("--rootdir", "."),
    *("-q", "--no-header", "--tb=no", "--disable-warnings"),
    "--assert=plain",  # the hook looks at every import: `apart` brings it when a check of the user's is imported
    "--capture=no",  # manifests may come from standard input; credential plugins may have something to say
    *(word for name in _UNUSED for word in ("-p", f"no:{name}")),
)
_OURS = "PYTEST_XDIST_AUTO_NUM_WORKERS"  # what `-n auto` means on this machine
_TAIL = 20

ExitCode = pytest.ExitCode


class Outcome(Struct):
    """What became of the session.

    errors: lines about what went wrong outside of checks; published: lines about reports that were written
    """

    status: int
    result: ScanResult | None
    errors: list[str] = field(default_factory=list)
    interrupted: bool = False
    published: list[str] = field(default_factory=list)


class Observer:
    """Takes the result from the session, and notes what fails outside of checks."""

    def __init__(self, *, workers: bool) -> None:
        self._workers = workers
        self.result: ScanResult | None = None
        self.errors: list[str] = []
        self.interrupted = False
        self.published: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A check module or a specification that cannot be collected."""
        if report.failed:
            self.errors.append(" ".join(str(report.longrepr).split()))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say what runs, to the process that waits for this one."""
        if not self._workers:
            SUPERVISOR.note(f"while it ran {nodeid}")

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C: what ran is reported all the same."""
        self.interrupted = isinstance(excinfo.value, KeyboardInterrupt)
        if not self.interrupted:
            self.errors.append(str(excinfo.value))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """The result of the whole run, and what was published."""
        run = session.config.stash.get(runs.KEY, None)
        if run is not None:
            self.result = run.result
            self.published += run.published
            self.errors += [line.replace("--kspec-", "--") for line in run.problems]


class Counter:
    """Counts on a terminal. Registered where there is one: a hook that nobody implements costs nothing."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._done = self._total = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """How many there will be (with xdist, the workers know)."""
        self._total = len(session.items)

    def pytest_kspec_check_finished(self) -> None:
        """One more."""
        self._done += 1
        of = f"/{self._total}" if self._total else ""
        self._terminal.write(f"\rchecking {self._done}{of}")
        self._terminal.flush()

    def pytest_sessionfinish(self) -> None:
        """Give the line back."""
        if self._done:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()


class _Kept(io.StringIO):
    """What was printed. A check that closes its standard output closes nothing of the session."""

    def close(self) -> None:
        """Memory is given back with the object."""


def run_pytest(arguments: list[str], *, workers: bool, opened: Mapping[str, Source] | None = None) -> Outcome:
    """Run it. opened: sources that are open already, by what names them; without workers only.

    Raises UsageError where pytest-xdist is needed and missing.
    """
    if workers and find_spec("xdist") is None:
        raise UsageError("-n needs pytest-xdist.", fix="pip install 'pytest-kspec[xdist]'")
    observer = Observer(workers=workers)
    plugins: list[object] = [observer, *([runs.Opened(opened)] if opened else [])]
    if is_interactive(sys.stderr):
        plugins.append(Counter(sys.stderr))
    out, err = _Kept(), _Kept()
    with (
        put_back(),
        _own_environment(),
        tempfile.TemporaryDirectory(prefix="kspec-") as folder,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        # pytest's own place for temporary files has a name that others can take first.
        words = [*_ISOLATED]
        if (
            workers
        ):  # they are given these words; for each that names a plugin pytest reads all packages' metadata
            words += ["-p", apart.NAME]
        else:
            plugins.append(apart)
            words += [word for name in _OF_WORKERS for word in ("-p", f"no:{name}")]
            if _others_are_unused():
                from pytest_kspec import plugin

                words.append("--disable-plugin-autoload")  # the metadata of all packages is not read twice
                plugins.append(plugin)
        words += [f"--basetemp={folder}/pytest", *arguments]
        status = int(pytest.main(words, plugins=plugins))
    outcome = Outcome(status, observer.result, observer.errors, observer.interrupted, observer.published)
    if status == pytest.ExitCode.USAGE_ERROR:
        outcome.errors = _usage(err.getvalue()) or outcome.errors
    elif (
        status != pytest.ExitCode.NO_TESTS_COLLECTED
        and not _has_results(observer.result)
        and not observer.errors
    ):
        outcome.errors += (out.getvalue() + err.getvalue()).splitlines()[-_TAIL:]
    return outcome


def scan_result(
    specs: Sequence[str],
    *,
    clusters: Sequence[str] = (),
    checks: Sequence[str] = (),
    exemptions: Sequence[str] = (),
    baseline: str = "",
    kubeconfig: str | None = None,
    run_checks: bool = True,
    check_timeout: str = "",
    run_by: str | None = None,
    opened: Mapping[str, Source] | None = None,
    rehearsal: bool = False,
) -> ScanResult:
    """The result of a scan, for a command that works on it. Raises UsageError, SourceError; KeyboardInterrupt.

    run_checks: whether checks beside the built-in ones may run; if not, one that is asked for is a UsageError
    opened: as for `run_pytest`
    rehearsal: it only loads what scans need, and is told to nobody
    """
    words = [apart.REHEARSAL] if rehearsal else []
    words += [f"--kspec-spec={spec}" for spec in specs]
    words += [f"--kspec-cluster={ref}" for ref in clusters]
    words += [f"--kspec-checks={path}" for path in checks]
    words += [f"--kspec-exemptions={path}" for path in exemptions]
    words += [f"--kspec-baseline={baseline}"] if baseline else []
    words += [f"--kspec-kubeconfig={kubeconfig}"] if kubeconfig else []
    words += [] if run_checks else ["--kspec-no-checks"]
    words += [f"--kspec-check-timeout={check_timeout}"] if check_timeout else []
    words += [f"--kspec-run-by={run_by}"] if run_by is not None else []
    outcome = run_pytest(words, workers=False, opened=opened)
    if outcome.interrupted:
        raise KeyboardInterrupt
    error: type[KspecError] = UsageError if outcome.status == ExitCode.USAGE_ERROR else SourceError
    if outcome.errors:
        raise error("\n".join(outcome.errors))
    if outcome.result is None or not _has_results(outcome.result):
        raise UsageError("the specification does not require any check.", where=", ".join(specs))
    return outcome.result


def _has_results(result: ScanResult | None) -> bool:
    return result is not None and any(cluster.checks for cluster in result.clusters)


def _usage(text: str) -> list[str]:
    """The `ERROR: …` lines of pytest, in the words of this command."""
    lines = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.strip()]
    return [line.replace("--kspec-", "--") for line in lines]


def _others_are_unused() -> bool:
    """Whether pytest would load no plugin but ours, of those that are installed."""
    found = pytest_plugins()
    return found is not None and {name for name, _ in found - {_KSPEC}} <= {*_UNUSED, *_OF_WORKERS}


@contextlib.contextmanager
def _own_environment() -> Iterator[None]:
    """Without what is meant for another pytest: options, plugins, and that it is a worker."""
    foreign = [name for name in os.environ if name.startswith("PYTEST_") and name != _OURS]
    kept = {name: os.environ.pop(name) for name in foreign}
    try:
        yield
    finally:
        os.environ.update(kept)
