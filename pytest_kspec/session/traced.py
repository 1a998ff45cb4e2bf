"""Spans of a session: the run, each cluster of a specification, each requirement. Registered where traces are on."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest

from pytest_kspec.errors import without_credentials
from pytest_kspec.observe import tracing
from pytest_kspec.observe.spans import TRACEPARENT, Span
from pytest_kspec.session.collect import ClusterNode, ComplianceItem
from pytest_kspec.session.run import Run

PARENT = "kspec_traceparent"
_PROBLEM, _WAITED = "kspec_traces", "kspec_traces_waited_s"
_STATUS = {"pass": "pass", "fail": "fail"}
_LONGEST = 500


def begin(config: pytest.Config, run: Run) -> None:
    """Register what traces this session, if the environment asks for that."""
    workerinput = getattr(config, "workerinput", None)
    problem = tracing.begin("kspec", parent=(workerinput or {}).get(PARENT, ""))
    if problem and workerinput is None:
        run.published.append(problem)
    if tracing.is_on():
        handed = Handed()
        config.pluginmanager.register(Traced(config, run, handed), "kspec-traced")
        if config.pluginmanager.hasplugin("xdist") and workerinput is None:
            config.pluginmanager.register(handed, "kspec-traced-xdist")


class Handed:
    """Workers continue the trace of the controller.

    problems: what they could not send; waited_s: how long the one that took longest held up the end of the run by it
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.waited_s = 0.0

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Their spans are children of the run."""
        node.workerinput[PARENT] = tracing.carrier().get(TRACEPARENT, "")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Nobody else hears a worker; one that was killed says nothing."""
        said = getattr(node, "workeroutput", {})
        self.waited_s = max(self.waited_s, said.get(_WAITED, 0.0))
        if problem := said.get(_PROBLEM):
            self.problems.append(problem)


class Traced:
    """One session of one process; of a worker the clusters and requirements, of the others also the run."""

    def __init__(self, config: pytest.Config, run: Run, handed: Handed) -> None:
        self._run, self._handed = run, handed
        self._is_worker = hasattr(config, "workerinput")
        self._root = ExitStack()
        self._cluster = ExitStack()
        self._node: ClusterNode | None = None
        self._span: Span | None = None
        self._of_cluster: Span | None = None
        if not self._is_worker:
            attributes = {
                "cicd.pipeline.name": "kspec",
                "cicd.pipeline.run.id": run.started.isoformat(),
                "cicd.pipeline.action.name": "RUN",
            }
            self._span = self._root.enter_context(tracing.span("RUN kspec", attributes, server=True))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """A span a requirement, in one of its cluster."""
        if not isinstance(item, ComplianceItem):
            return (yield)
        self._enter(item)
        name = item.name
        attributes = {
            "cicd.pipeline.task.name": name,
            "cicd.pipeline.task.type": "test",
            "test.case.name": name,
            "kspec.severity": item.planned.entry.check.severity.value,
        }
        with tracing.span(f"requirement {name}", attributes) as span:
            done = yield
            self._conclude(item, span)
        following = nextitem.getparent(ClusterNode) if isinstance(nextitem, ComplianceItem) else None
        if following is not self._node:
            self._leave()
        return done

    def _enter(self, item: ComplianceItem) -> None:
        node = item.getparent(ClusterNode)
        if node is None or node is self._node:
            return
        self._leave()
        self._node = node
        attributes = {
            "k8s.cluster.name": node.target.name,
            "test.suite.name": node.spec.plan.spec.name,
            "kspec.source": node.target.source.kind,
        }
        self._of_cluster = self._cluster.enter_context(
            tracing.span(f"cluster {node.target.name}", attributes)
        )

    def _leave(self) -> None:
        self._cluster.close()
        self._node = None

    def _conclude(self, item: ComplianceItem, span: Span) -> None:
        if item.wire is None:
            return
        result, cluster = item.wire["result"], item.wire["cluster"]
        if cluster.get("uid") and self._of_cluster is not None:
            self._of_cluster.set({"k8s.cluster.uid": cluster["uid"]})
        verdict = result["verdict"]
        outcome = {"pass": "success", "fail": "failure", "error": "error", "skip": "skip"}[verdict]
        span.set(
            {
                "cicd.pipeline.task.run.result": outcome,
                "kspec.examined": result["examined"],
                "kspec.findings": len(result["findings"]),
            }
        )
        if verdict in _STATUS:
            span.set({"test.case.result.status": _STATUS[verdict]})
        if verdict == "error":
            span.fail("NotEvaluated", without_credentials(result["reason"])[:_LONGEST])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """The run ends with its result, and what is left is sent.

        After the result is made, which is tried first, and before who started the session reads what was published.
        """
        self._leave()
        if self._span is not None:
            result = self._run.result
            summary = result.summary if result is not None else None
            outcome = "success"
            if self._run.ended or summary is None or summary.errors:
                outcome = "error"
            elif summary.failed:
                outcome = "failure"
            self._span.set({"cicd.pipeline.result": outcome, "cicd.pipeline.run.state": "finalizing"})
            if outcome == "error":
                self._span.fail("NotEvaluated", "not everything was evaluated")
        self._root.close()
        began = time.monotonic()
        problem = tracing.end(self._handed.waited_s)
        if self._is_worker:
            output = session.config.workeroutput  # type: ignore[attr-defined]
            output[_PROBLEM], output[_WAITED] = problem, time.monotonic() - began
            return
        said = [problem, *(f"of a worker: {text}" for text in sorted(self._handed.problems))]
        self._run.published += [text for text in said if text]
