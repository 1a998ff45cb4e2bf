"""Specification file → cluster → requirement, as pytest nodes. No cluster is touched while collecting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from _pytest import python as pytest_python
from _pytest._code.code import ExceptionInfo

from pytest_kspec.evaluate.context import CheckContext
from pytest_kspec.evaluate.run import attempt
from pytest_kspec.evaluate.scan import NamedSource, SpecRun
from pytest_kspec.evaluate.verdict import failure_text, make_result
from pytest_kspec.plan.plan import Planned
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.session import run as runs


class NotCompliant(AssertionError):
    """The verdict is fail; the text is what pytest shows. An assertion: Allure and others tell by it what failed."""


class CouldNotEvaluate(Exception):
    """The verdict is error; the text is what pytest shows. No assertion: Allure and others say that it is broken."""


class SpecFile(pytest.File):
    """A specification file."""

    def collect(self) -> Iterable[ClusterNode]:
        """One node for each cluster."""
        spec = self.config.stash[runs.KEY].specs[self.path.resolve()]
        for target in spec.targets:
            yield ClusterNode.from_parent(self, name=target.name, spec=spec, target=target)


class ClusterNode(pytest.Collector):
    """A cluster below its specification; `--dist loadscope` keeps it on one worker."""

    def __init__(self, *, spec: SpecRun, target: NamedSource, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.target = target

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each requirement (and parameter set), in the order of the plan."""
        run = self.config.stash[runs.KEY]
        scopes: dict[str, CheckModule] = {}
        for planned in self.spec.plan.planned:
            module = planned.entry.module
            scope = scopes.get(module.__name__)
            if scope is None:
                scope = scopes[module.__name__] = CheckModule.from_parent(
                    self,
                    path=Path(module.__file__ or "."),
                    name="",
                    nodeid=self.id,
                    module=module,
                    builtin=planned.entry.builtin,
                )
                if not planned.entry.builtin:
                    self._add_fixtures(scope)
            for item in _items(scope, planned):
                run.made.add(item.made_as)
                yield item

    def _add_fixtures(self, scope: CheckModule) -> None:
        manager = self.session._fixturemanager
        for conftest in self.config.pluginmanager._getconftestmodules(scope.path):
            manager.parsefactories(holder=conftest, node=scope)
        manager.parsefactories(holder=scope.obj, node=scope)


class CheckModule(pytest.Module):
    """A module of checks below a cluster, with the cluster's node id: modules do not show in ids of items."""

    def __init__(self, *, module: ModuleType, builtin: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._module = module
        self.builtin = builtin

    @property
    def ihook(self) -> Any:
        """Whose conftest.py hears of it: of the user's checks, those of its folders.

        A built-in check is in no folder of the project's. It runs for a specification, so those of the specification's
        folders hear of it, as of any test there; of one outside of the root folder, those of the root folder.
        """
        return self._of_builtin if self.builtin else super().ihook

    @cached_property
    def _of_builtin(self) -> Any:
        cluster = self.getparent(ClusterNode)
        assert cluster is not None
        root = self.config.rootpath
        return self.session.gethookproxy(cluster.path if cluster.path.is_relative_to(root) else root)

    def _getobj(self) -> ModuleType:
        return self._module


class ComplianceItem(pytest.Function):
    """One requirement on one cluster."""

    planned: Planned
    context: CheckContext | None = None
    wire: dict[str, Any] | None = None

    @property
    def ihook(self) -> Any:
        """As of its module."""
        module = self.getparent(CheckModule)
        assert module is not None
        return module.ihook

    @property
    def target(self) -> NamedSource:
        """The cluster that it is about."""
        cluster = self.getparent(ClusterNode)
        assert cluster is not None
        return cluster.target

    @property
    def made_as(self) -> str:
        """Its node id as it was collected: xdist adds groups to those of items."""
        cluster = self.getparent(ClusterNode)
        assert cluster is not None
        return f"{cluster.nodeid}::{self.name}"

    def setup(self) -> None:
        """Give the check its context, then its fixtures."""
        self.wire = None
        self.open()
        if not self._inactive:
            super().setup()

    def open(self) -> CheckContext:
        """The context of this item. Touches no cluster."""
        cluster = self.getparent(ClusterNode)
        assert cluster is not None
        scan = self.config.stash[runs.KEY].scan(cluster.spec, cluster.target)
        self.context = scan.context(self.planned, self.name)
        return self.context

    @property
    def _inactive(self) -> str:
        """Why the specification has no requirements now, or ""."""
        cluster = self.getparent(ClusterNode)
        assert cluster is not None
        return self.config.stash[runs.KEY].inactive(cluster.spec)

    def runtest(self) -> None:
        """Run the check, make its verdict, and raise what tells pytest of it."""
        assert self.context is not None
        cause: BaseException | None = None
        if reason := self._inactive:
            self.context.findings.skip(reason)
        else:
            cause = attempt(super().runtest, self.context.findings)
        self.conclude()
        assert self.wire is not None
        result = self.wire["result"]
        if result["verdict"] == Verdict.FAIL:
            raise NotCompliant(failure_text(result)) from cause
        if result["verdict"] == Verdict.ERROR:
            raise CouldNotEvaluate(failure_text(result)) from cause
        if result["verdict"] == Verdict.SKIP:
            raise pytest.skip.Exception(result["reason"], _use_item_location=True)

    def conclude(self, duration_s: float = 0.0) -> dict[str, Any]:
        """Make the result, as plain data that crosses processes."""
        cluster = self.getparent(ClusterNode)
        assert cluster is not None
        planned = self.planned
        findings = self.context.findings if self.context else None
        result = make_result(
            planned.entry.check,
            planned.requirement,
            findings,
            id=self.name,
            nodeid=self.nodeid,
            title=self._title(),
            duration_s=duration_s,
        ).to_wire()
        self.wire = {
            "result": result,
            "uses": [list(pair) for pair in sorted(findings.uses.items())] if findings else [],
            "cluster": self.config.stash[runs.KEY].cluster_facts(cluster.spec, cluster.target),
        }
        return self.wire

    def _title(self) -> str:
        title = self.planned.entry.check.title
        callspec = getattr(self, "callspec", None)
        return f"{title} [{callspec.id}]" if callspec is not None and callspec.id else title

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Plain text: pytest's own representation of a failure costs 88 ms an item."""
        if isinstance(excinfo.value, NotCompliant | CouldNotEvaluate):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path | str, int | None, str]:
        """Where the requirement stands in the specification; its first line, if a base or a template asks for it."""
        cluster = self.getparent(ClusterNode)
        assert cluster is not None
        path, *line = self.planned.requirement.location.rsplit(":", 2)
        own = path == cluster.spec.spec.path and line and line[0].isdigit()
        return cluster.spec.spec.path, int(line[0]) - 1 if own else 0, f"{cluster.name} {self.name}"


def _items(scope: CheckModule, planned: Planned) -> Iterator[ComplianceItem]:
    """As pytest's own collector makes items of a function: one, or one for each set of parameters."""
    check = planned.entry.check
    name = planned.requirement.id
    definition = pytest_python.FunctionDefinition.from_parent(scope, name=name, callobj=check.func)
    info = definition._fixtureinfo
    calls: list[Any] = []
    if getattr(check.func, "pytestmark", None) or not planned.entry.builtin:
        metafunc = pytest_python.Metafunc(
            definition=definition,
            fixtureinfo=info,
            config=scope.config,
            cls=None,
            module=scope.obj,
            _ispytest=True,
        )
        own = getattr(scope.obj, "pytest_generate_tests", None)
        scope.ihook.pytest_generate_tests.call_extra([own] if own else [], {"metafunc": metafunc})
        calls = metafunc._calls
        if calls:
            metafunc._recompute_direct_params_indices()
            info.prune_dependency_tree()
    for callspec in calls or [None]:
        params = callspec.id if callspec is not None and callspec._idlist else ""
        item: ComplianceItem = ComplianceItem.from_parent(
            scope,
            name=f"{name}[{params}]" if params else name,
            callspec=callspec,
            callobj=check.func,
            keywords={callspec.id: True} if callspec is not None else None,
            fixtureinfo=info,
            originalname=name,
        )
        item.planned = planned
        if hasattr(item, "_id"):
            # pytest 9.2 compares ids by structure, and reads brackets back as parameters (--lf).
            item._id = type(item._id).parse(item.nodeid)
        item.add_marker(
            pytest.mark.kspec(id=name, severity=check.severity.value, area=name.partition(".")[0])
        )
        item.user_properties = [
            ("kspec_id", name),
            ("kspec_severity", check.severity.value),
            *(
                (f"kspec_control_{catalog}", ", ".join(ids))
                for catalog, ids in sorted(planned.requirement.controls.items())
            ),
        ]
        yield item
