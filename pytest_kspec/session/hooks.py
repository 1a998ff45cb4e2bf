"""Hooks of a compliance session: collect, note results, report. The controller alone writes files."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec import starting
from pytest_kspec.errors import KspecError, without_credentials
from pytest_kspec.evaluate.run import call as call_check
from pytest_kspec.evaluate.run import record_teardown
from pytest_kspec.evaluate.verdict import TEXT_LIMIT, finding_text, record_exception, summary_text
from pytest_kspec.publish import audited
from pytest_kspec.reports.shared import words
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.session import apart, warned
from pytest_kspec.session import run as runs
from pytest_kspec.session.collect import (
    ClusterNode,
    ComplianceItem,
    CouldNotEvaluate,
    NotCompliant,
    SpecFile,
)

PROPERTY_FINDINGS = 20
PROPERTY_LENGTH = 1_000
"""Characters of a name or path in a property; Kubernetes allows 253 in a name."""
LARGE = 5_000  # examined objects


class SessionHooks:
    """Registered when a specification is given, on the controller and on each worker."""

    def __init__(self, config: pytest.Config, run: runs.Run) -> None:
        self._config = config
        self._run = run
        self._is_worker = hasattr(config, "workerinput")
        self._problems = run.problems
        self._empty: list[str] = []
        self._forgiven = False
        self._held: dict[str, list[Any]] = {}
        self._said: list[tuple[Any, Any]] = []
        self._left: Counter[str] = Counter()  # items of each cluster that have not run

    def pytest_plugin_registered(self, plugin: object, plugin_name: str) -> None:
        """All that pytest writes goes through one place: what a cluster holds is never obeyed."""
        if plugin_name == "terminalreporter":
            from pytest_kspec.session.screen import guard

            guard(plugin, unread=self._is_worker)

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Where only specifications are asked for, what lies beside them and their folders is not looked at."""
        wanted = self._wanted
        return True if wanted and collection_path not in wanted else None

    @cached_property
    def _wanted(self) -> frozenset[Path]:
        """The specifications and all folders above them; empty if anything else is asked for."""
        folder = self._config.invocation_params.dir
        asked = [Path(os.path.abspath(folder / arg.partition("::")[0])) for arg in self._config.args]
        if any(path.resolve() not in self._run.specs for path in asked):
            return frozenset()
        return frozenset(one for path in asked for one in (path, *path.parents))

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Take the specifications that were asked for, and no other YAML."""
        if file_path.suffix != ".py" and file_path.resolve() in self._run.specs:
            return SpecFile.from_parent(parent, path=file_path, nodeid=self._run.name_of(file_path))
        return None

    @pytest.hookimpl(tryfirst=True)  # whoever has an order of their own has the last word
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Cluster after cluster, also for several specifications: one of them is in memory at a time."""
        ours = [item for item in items if isinstance(item, ComplianceItem)]
        place = {ref: index for index, ref in enumerate(dict.fromkeys(i.target.source.ref for i in ours))}
        by_cluster = iter(sorted(ours, key=lambda item: place[item.target.source.ref]))
        items[:] = [next(by_cluster) if isinstance(item, ComplianceItem) else item for item in items]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember what must have a result in the end."""
        starting.end()
        self._run.collected = True
        chosen = set()
        for item in session.items:
            if isinstance(item, ComplianceItem):
                self._run.expected[item.nodeid] = None
                self._left[item.target.source.ref] += 1
                chosen.add(item.made_as)
        self._run.left_out = self._run.made - chosen

    @pytest.hookimpl(wrapper=True)  # inside of pytest's own, which sets the filters of project and marks
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """A warning of whatever a check uses is no verdict. What the item held of its cluster is given back."""
        if not isinstance(item, ComplianceItem):
            return (yield)
        with warned.only_shown(sum(len(mark.args) for mark in item.iter_markers("filterwarnings"))):
            done = yield
        self._give_back(item, nextitem)
        return done

    def _give_back(self, item: ComplianceItem, following: pytest.Item | None) -> None:
        """Behind the last item of a cluster, its memory. A worker may run some items only: there the next one tells."""
        item.context = None
        source = item.target.source
        self._left[source.ref] -= 1
        if self._is_worker:
            over = not isinstance(following, ComplianceItem) or following.target.source is not source
        else:
            over = not self._left[source.ref]
        if over:
            self._run.forget(item.target)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, object, object]:
        """Nor does one keep checks from being collected."""
        if not isinstance(collector, SpecFile | ClusterNode):
            return (yield)
        with warned.only_shown():
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Call a check. pytest itself only warns of a value that is returned, and passes."""
        if not isinstance(pyfuncitem, ComplianceItem) or pyfuncitem.context is None:
            return None
        names = pyfuncitem._fixtureinfo.argnames
        arguments = {name: pyfuncitem.funcargs[name] for name in names}
        call_check(pyfuncitem.obj, arguments, pyfuncitem.context.findings)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the result, as plain data, on the report that crosses processes. None of it holds credentials."""
        report = yield
        if isinstance(item, ComplianceItem):
            self._conclude(item, call, report)
            _take_credentials(report)
        return report

    def _conclude(self, item: ComplianceItem, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        if call.when == "setup" and call.excinfo is not None:
            self._conclude_setup(item, call, report)
        elif call.when == "teardown" and call.excinfo is not None and item.context is not None:
            record_teardown(call.excinfo.value, item.context.findings)
            item.conclude(call.duration)
        elif call.when != "call":
            return
        elif call.excinfo is not None and not call.excinfo.errisinstance(
            (NotCompliant, CouldNotEvaluate, pytest.skip.Exception)
        ):
            self._conclude_call(item, call, report)
        if item.wire is not None:
            item.wire["result"]["durationSeconds"] = round(call.duration, 6)
            report.__dict__["kspec"] = item.wire  # what is in __dict__ crosses xdist
            if call.when != "teardown":
                _add_properties(item, item.wire["result"])
            if item.wire["result"]["examined"] > LARGE:
                # What was found in so much lives until the run ends: the garbage collector need not walk it again.
                gc.freeze()

    def _conclude_setup(
        self, item: ComplianceItem, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        """A fixture could not be made: an error, or a skip where the source cannot have such a thing."""
        assert call.excinfo is not None
        # A mark may have skipped it before its own setup.
        context = item.context or item.open()
        record_exception(call.excinfo.value, context.findings)
        result = item.conclude(call.duration)["result"]
        if result["verdict"] == Verdict.SKIP and report.outcome == "failed":
            path, line, _ = item.reportinfo()
            report.outcome = "skipped"
            report.longrepr = (str(path), (line or 0) + 1, f"Skipped: {result['reason']}")
        elif result["verdict"] == Verdict.ERROR and isinstance(call.excinfo.value, KspecError):
            report.longrepr = f"not evaluated: {result['reason']}"

    def _conclude_call(
        self, item: ComplianceItem, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        """Something beside the check raised: another plugin, or pytest for a thread. What the check said is not all."""
        assert call.excinfo is not None
        context = item.context or item.open()
        raised = call.excinfo.value
        text = str(raised) if isinstance(raised, KspecError) else call.excinfo.exconly(tryshort=True)
        context.findings.error(text[:TEXT_LIMIT])
        result = item.conclude(call.duration)["result"]
        report.longrepr = f"not evaluated: {result['reason']}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a result; the last report of an item has the one that counts."""
        wire = getattr(report, "kspec", None)
        if wire is not None:
            self._run.results[report.nodeid] = wire
        known = self._run.results.get(report.nodeid)
        if report.when == "teardown" and known is not None and not self._is_worker:
            hook = self._config.hook.pytest_kspec_check_finished
            if hook.get_hookimpls():  # making it of plain data is not for nothing
                result = CheckResult.from_wire(dict(known["result"]))
                self._tell(hook.name, cluster=known["cluster"]["name"], result=result)

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        """`E` for what could not be evaluated, as for pytest's own errors."""
        wire = getattr(report, "kspec", None)
        if wire is not None and report.failed and wire["result"]["verdict"] == Verdict.ERROR:
            return "error", "E", "ERROR"
        return None

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C, `pytest.exit`, and how pytest-xdist ends a run."""
        self._run.ended = str(excinfo.value) or "interrupted"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Finish the result, write reports, forgive failures below the threshold if all else went well."""
        if self._is_worker or session.config.option.collectonly:
            return
        self._run.ended = self._run.ended or str(session.shouldfail or session.shouldstop or "")
        result = self._run.finish()
        with warned.only_shown():  # libraries that write reports
            for cluster in result.clusters:
                self._tell("pytest_kspec_cluster_finished", cluster=cluster)
            self._tell("pytest_kspec_scan_finished", result=result)
        if self._problems or (
            session.exitstatus == pytest.ExitCode.OK and (result.summary.errors or self._empty)
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif session.exitstatus == pytest.ExitCode.TESTS_FAILED and self._only_minor(session):
            session.exitstatus = pytest.ExitCode.OK
            self._forgiven = True

    def _only_minor(self, session: pytest.Session) -> bool:
        """Every failed test is a requirement, and none of them reaches --kspec-fail-on."""
        failed = sum(w["result"]["verdict"] == Verdict.FAIL for w in self._run.results.values())
        return session.testsfailed == failed and self._run.under_threshold() and not self._empty

    def _tell(self, name: str, **what: object) -> None:
        """Call a hook. What one implementation raises is a problem of this run; ours come first."""
        if apart.is_rehearsal(self._config):
            return
        try:
            getattr(self._config.hook, name)(config=self._config, **what)
        except KspecError as error:
            self._problems.append(str(error))
        except Exception as error:  # noqa: BLE001 - code of others
            self._problems.append(f"{name} of a plugin raised {type(error).__name__}: {error}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_kspec_cluster_finished(self, cluster: ClusterResult) -> None:
        """Note a cluster of which nothing was evaluated: a wrong path looks like this."""
        if cluster.is_empty and not cluster.is_inactive and not self._run.options.allow_empty:
            self._empty.append(words.nothing_evaluated(cluster))

    @pytest.hookimpl(tryfirst=True)
    def pytest_kspec_scan_finished(self, result: ScanResult) -> None:
        """Publish what the options name: files, reports in clusters, the store, sinks of packages."""
        audited.scanned(result)
        published = self._run.options.publication.publish(result)
        self._run.published += published.done
        self._problems += published.problems

    @pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_terminal_summary")
    def pytest_around_terminal_summary(self, terminalreporter: Any) -> Generator[None, None, None]:
        """Our summary in place of pytest's failure sections, which take quadratic time and say less."""
        stats = terminalreporter.stats
        for category in ("failed", "error"):
            reports = stats.get(category, [])
            self._held[category] = reports
            stats[category] = [r for r in reports if not hasattr(r, "kspec")]
        yield
        for report, said in self._said:
            report.longrepr = said
        if self._run.result is not None:
            self._write_summary(terminalreporter)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """After these sections and before pytest's short summary: a line for each of ours too."""
        for category, reports in self._held.items():
            if not reports:
                terminalreporter.stats.pop(category, None)
                continue
            terminalreporter.stats[category] = reports
            for report in reports:
                if hasattr(report, "kspec"):
                    self._said.append((report, report.longrepr))
                    report.longrepr = summary_text(report.kspec["result"])

    def _write_summary(self, terminalreporter: Any) -> None:
        from pytest_kspec.reports import terminal

        tw = terminalreporter._tw
        assert self._run.result is not None

        def style(text: str, *names: str) -> str:
            return str(tw.markup(text, **dict.fromkeys(names, True)))

        terminalreporter.section("compliance")
        encoding = getattr(getattr(tw, "_file", None), "encoding", None) or "utf-8"
        tw.write(terminal.render(self._run.result, tw.fullwidth, style, encoding=encoding))
        if self._forgiven:
            level = self._run.options.fail_on.value
            tw.line(f"All failures are below --kspec-fail-on {level}: the run does not fail.")
        for text in self._empty:
            tw.line(f"{text} (if this is intended, add --kspec-allow-empty)", red=True)
        for problem in self._problems:
            tw.line(f"not written: {problem}", red=True)
        for line in self._run.published:
            tw.line(line)

    def pytest_unconfigure(self) -> None:
        """Give back connections, and leave nothing behind."""
        self._run.close()
        if self._run.shared is not None and not self._is_worker:
            runs.remove_shared_folder(self._run.shared)
        if self._run.resources is not None and not self._is_worker:
            runs.remove_shared_folder(self._run.resources)


def _take_credentials(report: pytest.TestReport) -> None:
    """What pytest adds: what was printed, properties, tracebacks with the values of variables (-l)."""
    report.sections = [(title, without_credentials(text)) for title, text in report.sections]
    report.user_properties = [
        (name, without_credentials(value))
        if isinstance(value, str) and not name.startswith("kspec_")  # ours hold none
        else (name, value)
        for name, value in report.user_properties
    ]
    said = report.longrepr
    if isinstance(said, tuple):
        path, line, reason = said
        report.longrepr = (path, line, without_credentials(reason))
    elif said is not None:
        text = str(said)
        made = without_credentials(text)
        if made != text:
            report.longrepr = made


def _add_properties(item: pytest.Item, result: dict[str, Any]) -> None:
    """What other reports of pytest carry of a result, such as those of `--junitxml` and pytest-json-report.

    They read them from the teardown's report. `kspec_finding` is there once for each open finding, for people; a name
    with a number is there once, for programs.
    """
    uncovered = [f for f in result["findings"] if f["exemption"] is None]
    found = [f for f in uncovered if not f["known"]]
    exempt = len(result["findings"]) - len(uncovered)
    facts: list[tuple[str, object]] = [
        ("kspec_verdict", result["verdict"]),
        ("kspec_examined", result["examined"]),
        ("kspec_findings", len(found)),
    ]
    if result["reason"]:
        facts.append(("kspec_reason", result["reason"]))
    if exempt:
        facts.append(("kspec_exempted", exempt))
    if len(uncovered) > len(found):
        facts.append(("kspec_known", len(uncovered) - len(found)))
    for number, finding in enumerate(found[:PROPERTY_FINDINGS], 1):
        facts.append(("kspec_finding", finding_text(finding)))
        ref = finding["resource"]
        for name, value in (
            ("kind", ref["kind"]),
            ("namespace", ref["namespace"]),
            ("name", ref["name"]),
            ("path", finding["path"]),
        ):
            if value:
                facts.append((f"kspec_finding_{number}_{name}", value[:PROPERTY_LENGTH]))
    item.user_properties += facts
