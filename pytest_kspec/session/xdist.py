"""Hooks of pytest-xdist; registered only where it is installed and active."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable, Generator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_kspec.session import run as runs
from pytest_kspec.session.clusterspecs import RESOURCES
from pytest_kspec.session.watch import Watch, process_of
from pytest_kspec.shown import well_formed
from pytest_kspec.supervised import ending

WIRE = "kspec"
"""Attribute of a report: the result of its item, as plain data."""
SHARED = "kspec_shared"
STARTED = "kspec_started"
ASKED = "kspec_asked"
CHANGED = "kspec_changed"
_CHANGED = "a specification, a file of exemptions or the baseline changed while the run started"
LEFT_OUT = "kspec_left_out"
FRUITLESS = 4
"""Deaths for each worker that cost no item; more of them, and the run ends. xdist's own limit is as many in all."""
_NO_LIMIT = 1_000_000
_REAP_S = 5.0
_ENDS = frozenset(
    (
        pytest.ExitCode.OK,
        pytest.ExitCode.TESTS_FAILED,
        pytest.ExitCode.NO_TESTS_COLLECTED,
        pytest.ExitCode.INTERRUPTED,  # which xdist looks at itself
    )
)


class XdistHooks:
    """The controller names a folder where workers share lists, and notes what workers collect and how they end."""

    def __init__(self, config: pytest.Config, run: runs.Run) -> None:
        self._run = run
        self._config = config
        self._fruitless = 0
        self._end = ""
        self._scheduler: Any = None
        workerinput = getattr(config, "workerinput", None)
        if workerinput is not None and workerinput.get(SHARED):
            run.shared = Path(workerinput[SHARED])
        if workerinput is not None and workerinput.get(STARTED):
            run.started = datetime.fromisoformat(workerinput[STARTED])  # so that all agree on what is active
        self._changed = workerinput is not None and workerinput.get(ASKED, run.asked) != run.asked
        self._watch = Watch(run.options.check_timeout_s)
        self._limited = config.getoption("maxworkerrestart", None) is not None
        if workerinput is None and not self._limited and config.getoption("numprocesses", None):
            # xdist would end the run after a few deaths, whatever is left to do. Here each costs the item that ran, so
            # there are no more than items; deaths that cost none are counted below.
            config.option.maxworkerrestart = str(_NO_LIMIT)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """A scheduler that survives its workers."""
        from pytest_kspec.session.scheduling import make_scheduler

        self._scheduler = make_scheduler(config, log)
        return self._scheduler

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """A worker that read other files than the controller evaluates nothing."""
        if self._changed:
            self._config.workeroutput[CHANGED] = True  # type: ignore[attr-defined]  # of xdist
            raise pytest.exit.Exception(_CHANGED, returncode=pytest.ExitCode.USAGE_ERROR)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where to share, and when the run started."""
        if self._run.shared is None:
            self._run.shared = runs.make_shared_folder()
        node.workerinput[SHARED] = str(self._run.shared)
        node.workerinput[STARTED] = self._run.started.isoformat()
        node.workerinput[ASKED] = self._run.asked
        if self._run.resources is not None:
            node.workerinput[RESOURCES] = str(self._run.resources)
        node.sendcommand = _to_the_living(node.sendcommand)
        node.process_from_remote = self._watch.heard(node)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self) -> Generator[None, Any, Any]:
        """A result crosses as JSON: execnet ends the worker at a number below -2**31."""
        data = yield
        if isinstance(data, dict) and isinstance(data.get(WIRE), dict):
            data[WIRE] = msgspec.json.encode(data[WIRE])
        if isinstance(data, dict) and "user_properties" in data:
            data["user_properties"] = [(str(name), _sendable(v)) for name, v in data["user_properties"]]
        return data

    @pytest.hookimpl(wrapper=True)
    def pytest_report_from_serializable(self, data: dict[str, Any]) -> Generator[None, Any, Any]:
        """The way back."""
        if isinstance(data.get(WIRE), bytes):
            data[WIRE] = msgspec.json.decode(data[WIRE])
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """A warning's text crosses too, and half of a surrogate pair in it would end the worker."""
        text = str(warning_message.message)
        if (sent := well_formed(text)) != text:
            warning_message.message = UserWarning(sent)

    def pytest_sessionfinish(self) -> None:
        """Tell the controller what was collected and not selected: it collects nothing itself."""
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[LEFT_OUT] = sorted(well_formed(name) for name in self._run.left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Remember what must have a result in the end."""
        self._run.collected = True
        for nodeid in ids:
            if self._run.resolve(nodeid) is not None:
                self._run.expected[nodeid] = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Note how a worker ended, and what it left out. Ends the run where workers die of nothing that they ran."""
        self._run.left_out |= set(getattr(node, "workeroutput", {}).get(LEFT_OUT, ()))
        if not error:
            self._stop_if_unfinished(node)
            return
        self._end = f"worker {node.gateway.id} {_end_of(node.gateway)}"
        limit = "; --max-worker-restart limits how many follow" if self._limited else ""
        self._run.ended = f"{self._end}{limit}"
        self._fruitless += 1
        if not self._limited and self._fruitless > FRUITLESS * self._config.option.numprocesses:
            raise pytest.exit.Exception(
                f"{self._fruitless} workers died without finishing a requirement; the last: {self._end}",
                returncode=pytest.ExitCode.INTERRUPTED,
            )

    def _stop_if_unfinished(self, node: Any) -> None:
        """A worker ends in order and has not run all: a check called `pytest.exit`, which is meant for the run."""
        output = node.workeroutput
        if CHANGED in output:
            self._run.ended = _CHANGED
            raise pytest.exit.Exception(_CHANGED, returncode=pytest.ExitCode.INTERRUPTED)
        if output["exitstatus"] not in _ENDS or (self._scheduler and self._scheduler.unfinished(node)):
            self._run.ended = f"worker {node.gateway.id} ended the run with exit code {output['exitstatus']}"
            output["shouldstop"] = output["shouldstop"] or self._run.ended

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """What a worker ran when it died has no verdict but an error, whatever it reported before."""
        self._fruitless -= 1
        wire = self._run.missing(crashitem, f"{self._end} while it ran this check")
        if wire is not None:
            report.longrepr = f"not evaluated: {wire['result']['reason']}"
            report.__dict__[WIRE] = wire


def _sendable(value: object) -> object:
    """What a test recorded as a property, as execnet can send it; what it cannot send becomes text."""
    if value is None or isinstance(value, bool | float | bytes):
        return value
    if isinstance(value, int):
        return value if value >= -(2**31) else str(value)
    if isinstance(value, list | tuple):
        return [_sendable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _sendable(item) for key, item in value.items()}
    return well_formed(str(value))


def _to_the_living(send: Callable[..., None]) -> Callable[..., None]:
    """A command to a worker that just died is lost: xdist hears of the death next, and takes its work back."""

    def sendcommand(name: str, **kwargs: object) -> None:
        with suppress(OSError):
            send(name, **kwargs)

    return sendcommand


def _end_of(gateway: Any) -> str:
    """How the process behind a gateway ended: `was killed by SIGSEGV`, `exited with code 3`, else `died`."""
    process = process_of(gateway)
    if process is None:
        return "died"
    try:
        code = process.wait(_REAP_S)
    except subprocess.TimeoutExpired:
        process.kill()  # nobody hears what it finds any more
        return "lost its connection"
    return ending(code)
