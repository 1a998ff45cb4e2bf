"""A plugin of pytest for `make mutants`: tries each change in a fork of a process that has collected the tests.

So a change costs a fork and its tests, and neither imports nor collection. First all tests run once with coverage, each
with a context of its own. Then the tests that reach the statement of a change run until one fails: first those that
noticed the changes before, then quick ones. `tools/mutants.py` writes the job, and reads the results.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import inspect
import json
import os
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import coverage
import pytest

_JOB = Path(os.environ["KSPEC_MUTANTS_JOB"])
_SECONDS = 20
"""Of the processor, for any change, besides ten times what its tests take: then it is an endless loop."""
_MEMORY = 6 << 30


class _Failure:
    """The first test that failed in this process."""

    nodeid = ""

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.nodeid:
            self.nodeid = report.nodeid


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Learn which test reaches what, then try the changes."""
    job = json.loads(_JOB.read_text(encoding="utf-8"))
    items = {item.nodeid: item for item in session.items if isinstance(item, pytest.Function)}
    if session.testsfailed or not items:
        raise session.Failed("the tests were not collected")
    gc.freeze()  # so that a fork does not copy what it only looks at
    known = _learned(job, items)
    reaching: dict[tuple[str, int], set[str]] = {}
    for name in items:
        for file, line in known[name]["places"]:
            reaching.setdefault((file, line), set()).add(name)
    noticing: list[str] = []
    for mutant in job["mutants"]:
        if job["until"] and time.time() > job["until"]:
            break
        tests = (
            set(items)
            if job["wide"]
            else set().union(*(reaching.get((mutant["file"], line), ()) for line in mutant["lines"]))
        )
        # What noticed the last changes may well notice the next.
        recent = {name: -place for place, name in enumerate(noticing)}
        chosen = sorted(tests, key=lambda name: (recent.get(name, 1), known[name]["seconds"], name))
        status, by = "no tests", ""
        if not job["wide"]:
            total = accumulate(known[name]["seconds"] for name in chosen)
            chosen = [
                name for name, spent in zip(chosen, total, strict=True) if spent < job["seconds"]
            ] or chosen[:1]
        if chosen:
            spent = sum(known[name]["seconds"] for name in chosen)
            status, by = _in_fork(
                lambda chosen=chosen: _run([items[name] for name in chosen]), mutant["name"], spent
            )
        if by in items:
            noticing = [*(name for name in noticing if name != by), by]
        with open(job["results"], "a", encoding="utf-8") as file:
            file.write(json.dumps({"key": mutant["key"], "status": status, "by": by}) + "\n")
    return True


def _learned(job: Any, items: dict[str, pytest.Function]) -> dict[str, Any]:
    """What each test reaches, and how long it takes; from the last time if neither it nor the code has changed."""
    path = Path(job["learned"])
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    stamps = {
        name: hashlib.sha256(f"{job['code']}{inspect.getsource(item.function)}".encode()).hexdigest()
        for name, item in items.items()
    }
    new = [item for name, item in items.items() if known.get(name, {}).get("stamp") != stamps[name]]
    if new:
        status, by = _in_fork(lambda: _learn(job, new, known, stamps), "", 600)
        if status != "survived":
            raise pytest.UsageError(f"the tests fail on the unchanged code ({status}): {by}")
        known = json.loads(path.read_text(encoding="utf-8"))
    return known


def _learn(job: Any, items: Sequence[pytest.Item], known: dict[str, Any], stamps: dict[str, str]) -> str:
    measured = coverage.Coverage(data_file=None, config_file=False, include=job["files"])
    measured.start()
    seconds = {}
    for item in items:
        measured.switch_context(item.nodeid)
        began = time.process_time()
        if failed := _run([item]):
            return failed
        seconds[item.nodeid] = time.process_time() - began
    measured.stop()
    data = measured.get_data()
    places: dict[str, list[tuple[str, int]]] = {name: [] for name in seconds}
    for file in data.measured_files():
        for line, contexts in data.contexts_by_lineno(file).items():
            for name in contexts:
                if name in places:
                    places[name].append((file, line))
    for name in seconds:
        known[name] = {"stamp": stamps[name], "seconds": round(seconds[name], 4), "places": places[name]}
    Path(job["learned"]).write_text(json.dumps(known), encoding="utf-8")
    return ""


def _run(items: Sequence[pytest.Item]) -> str:
    """The name of the first test that fails, "" if all pass."""
    failure = _Failure()
    plugins = items[0].config.pluginmanager
    plugins.register(failure)
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if failure.nodeid:
            break
    plugins.unregister(failure)
    return failure.nodeid


def _in_fork(work: Any, mutant: str, seconds: float) -> tuple[str, str]:
    """(status, the test that failed) of work in a process of its own, that has the change of this name."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setpgid(0, 0)
            os.environ["MUTANT_UNDER_TEST"] = mutant
            limit = int(_SECONDS + 10 * seconds)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            failed = work()
            os.write(writing, failed.encode()[:4000])
            code = int(bool(failed))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the change was noticed
            os.write(writing, repr(error).encode()[:4000])
        finally:
            os._exit(code)
    os.close(writing)
    ended = _ended(child, 60 * (_SECONDS + seconds))
    os.set_blocking(reading, False)
    try:
        said = os.read(reading, 4000).decode()
    except BlockingIOError:
        said = ""
    os.close(reading)
    return {0: "survived", 1: "killed"}.get(ended, "timeout"), said


def _ended(child: int, seconds: float) -> int:
    """Its exit status; it is killed, with what it has started, after so many seconds."""
    end = time.monotonic() + seconds
    for pause in _pauses():
        done, status = os.waitpid(child, os.WNOHANG)
        if done or time.monotonic() > end:
            break
        time.sleep(pause)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if not done:
        os.waitpid(child, 0)
        return -1
    return os.waitstatus_to_exitcode(status)


def _pauses() -> Iterator[float]:
    pause = 0.002
    while True:
        yield pause
        pause = min(pause * 1.5, 0.1)
