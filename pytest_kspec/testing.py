"""For authors of checks: run a check on given objects, without a pytest session and without a cluster.

result, = evaluate(test_team_label, objects=[{"apiVersion": "apps/v1", "kind": "Deployment", …}])
assert [f.path for f in result.findings] == ["metadata.labels.team"]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from types import ModuleType
from typing import Any

from pytest_kspec import clock
from pytest_kspec.checks.authoring import ATTRIBUTE
from pytest_kspec.checks.check import Check
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.evaluate.fixtures import fixtures_of
from pytest_kspec.evaluate.run import evaluate as evaluate_check
from pytest_kspec.evaluate.scan import ClusterScan, Examined
from pytest_kspec.evaluate.timelimit import CHECK_TIMEOUT_S
from pytest_kspec.plan.checkset import CheckSet, Entry
from pytest_kspec.plan.plan import make_plan
from pytest_kspec.results.exemptions import Exemptions
from pytest_kspec.results.result import CheckResult
from pytest_kspec.session.parameters import cases_of
from pytest_kspec.spec.loading import spec_from_part


def evaluate(
    func: Callable[..., Any],
    *,
    objects: Sequence[Mapping[str, Any]] = (),
    spec: str | Mapping[str, Any] | None = None,
    version: str = "v1.34.0",
    exemptions: Sequence[Any] = (),
    denied: Collection[str] = (),
    missing: Collection[str] = (),
    kind: str = "live",
    source: Any = None,
    timeout_s: float = CHECK_TIMEOUT_S,
) -> list[CheckResult]:
    """Evaluate a check; one result for each of its requirements in `spec` and each set of parameters, sorted by id.

    Fixtures in the module of the check work as in pytest; a fixture that only pytest can provide is an error.

    func:       a function decorated with `@check`
    objects:    raw Kubernetes objects; all other kinds are served, and their lists are empty
    spec:       the `spec:` part of a specification, as YAML or plain data
    version:    gitVersion of the API server
    exemptions: `pytest_kspec.results.exemptions.Exemption`s in addition to those in `spec`
    denied:     plural names of kinds that may not be listed; missing: kinds that are not served
    kind:       "live", "snapshot" or "manifests"
    source:     a `Source` instead of objects, version, denied, missing and kind
    timeout_s:  time limit of the check in seconds, 0 for none; a check that takes longer is an error
    """
    made: Check = getattr(func, ATTRIBUTE)
    loaded = spec_from_part(spec or {"kubernetes": {"minVersion": "1.0", "maxVersion": "1.999"}})
    if source is None:
        source = MemorySource(
            [dict(o) for o in objects], version=version, denied=denied, missing=missing, kind=kind
        )
    moment = clock.now()
    module = sys.modules.get(made.func.__module__) or ModuleType("check")
    plan = make_plan(loaded, CheckSet([Entry(made, module, builtin=False)]))
    known = Exemptions([*loaded.exemptions, *exemptions], moment)
    scan = ClusterScan(plan, known, Examined(source), moment)
    fixtures = fixtures_of(module)
    return [
        evaluate_check(
            made,
            scan.context(planned, f"{planned.requirement.id}[{case.id}]" if case.id else ""),
            inactive=scan.inactive,
            case=case,
            fixtures=fixtures,
            timeout_s=timeout_s,
        )
        for planned in plan.planned
        for case in cases_of(made)
    ]
