"""The one runner of checks: calls a check, and whatever it does becomes its verdict. Knows no pytest.

Shells differ in who makes the arguments. pytest's items leave that to pytest and take the steps one by one (`attempt`,
`call`); everything else (`testing.evaluate`, `kspec init`) has `evaluate` take them all.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pytest_kspec.checks.check import Check
from pytest_kspec.evaluate import interrupts
from pytest_kspec.evaluate.context import CheckContext
from pytest_kspec.evaluate.findings import Findings
from pytest_kspec.evaluate.fixtures import Fixture, Fixtures
from pytest_kspec.evaluate.timelimit import CHECK_TIMEOUT_S, TimeLimit
from pytest_kspec.evaluate.unheard import all_heard
from pytest_kspec.evaluate.verdict import ends_the_run, make_result, record_exception, record_return
from pytest_kspec.results.result import CheckResult
from pytest_kspec.supervised import memory_given_back, one_process


class Case(NamedTuple):
    """One set of parameters of a check. id: as pytest writes it in brackets; skip: why it is not to be run.

    uses: fixtures without an argument
    """

    id: str = ""
    arguments: Mapping[str, Any] = {}  # never changed
    skip: str = ""
    uses: tuple[str, ...] = ()


def attempt(step: Callable[[], object], findings: Findings) -> BaseException | None:
    """Take a step of a check; what it raises is recorded, and returned. Raises what is meant for the whole run."""
    with interrupts.heard() as interrupt:
        try:
            with one_process(), memory_given_back():
                step()
        except BaseException as error:
            if ends_the_run(error) and (interrupt.came or not isinstance(error, KeyboardInterrupt)):
                raise
            record_exception(error, findings)
            return error
    return None


def call(func: Callable[..., Any], arguments: Mapping[str, Any], findings: Findings) -> None:
    """Call a check; what it returns is recorded, and so is a thread of it that died. Raises what it raises.

    Raises CheckError for a thread that it did not wait for, and for a copy of the process that reported something.
    """
    with _threads_heard(findings), all_heard(findings):
        record_return(func(**arguments), findings)


@contextlib.contextmanager
def _threads_heard(findings: Findings) -> Iterator[None]:
    """What a thread raises until the check returns is an error: nobody knows what it would have found."""
    raised: list[BaseException] = []
    before = threading.excepthook

    def hear(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            raised.append(args.exc_value)
        before(args)

    threading.excepthook = hear
    try:
        yield
    finally:
        threading.excepthook = before
        for error in raised:
            findings.error(f"a thread raised {_said(error)}")


def record_teardown(error: BaseException, findings: Findings) -> None:
    """A fixture that does not end well: whether the check saw what it should have seen is not known."""
    findings.error(f"teardown raised {_said(error)}")


def _said(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip().removeprefix("AssertionError: ")


def evaluate(
    check: Check,
    context: CheckContext,
    *,
    inactive: str = "",
    case: Case | None = None,
    fixtures: Mapping[str, Fixture] | None = None,
    timeout_s: float = CHECK_TIMEOUT_S,
) -> CheckResult:
    """The result of one requirement on one cluster.

    inactive:  why the specification has no requirements now, or ""
    fixtures:  those of the check's author
    timeout_s: of making the arguments, the call and each end of a fixture; 0 for no limit
    """
    case = case or Case()
    findings = context.findings
    if reason := inactive or case.skip:
        findings.skip(reason)
    else:
        _run(check, Fixtures(context, fixtures or {}, case.arguments), findings, case.uses, timeout_s)
    return make_result(
        check,
        context.requirement,
        findings,
        id=f"{context.requirement.id}[{case.id}]" if case.id else "",
        title=f"{check.title} [{case.id}]" if case.id else "",
    )


def _run(check: Check, fixtures: Fixtures, findings: Findings, uses: Iterable[str], timeout_s: float) -> None:
    arguments: dict[str, Any] = {}

    def limited(step: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            with TimeLimit(timeout_s).holds():
                step()

        return run

    try:
        made = attempt(limited(lambda: arguments.update(fixtures.make(check.func, uses))), findings)
        if made is None:
            attempt(limited(lambda: call(check.func, arguments, findings)), findings)
    finally:
        for end in fixtures.end():
            try:
                limited(end)()
            except BaseException as error:
                if ends_the_run(error):
                    raise
                record_teardown(error, findings)
