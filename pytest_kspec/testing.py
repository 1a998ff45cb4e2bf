"""For authors of checks: run a check on given objects, without a pytest session and without a cluster.

result, = evaluate(test_team_label, objects=[{"apiVersion": "apps/v1", "kind": "Deployment", …}])
assert [f.path for f in result.findings] == ["metadata.labels.team"]
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from pytest_kspec import clock
from pytest_kspec.checks.authoring import ATTRIBUTE
from pytest_kspec.checks.check import Check
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.evaluate.context import CheckContext
from pytest_kspec.evaluate.findings import Grouping
from pytest_kspec.evaluate.scoped import ScopeView
from pytest_kspec.evaluate.verdict import make_result, record_exception, record_return
from pytest_kspec.plan.catalog import Catalog, Entry
from pytest_kspec.plan.plan import make_plan
from pytest_kspec.results import annotated
from pytest_kspec.results.exemptions import Exemptions
from pytest_kspec.results.result import CheckResult
from pytest_kspec.spec.loading import spec_from_part
from pytest_kspec.spec.requirement import Requirement


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
) -> list[CheckResult]:
    """Results of every requirement that `spec` asks of this check, sorted by id.

    func:       a function decorated with `@check`
    objects:    raw Kubernetes objects; kinds not given are served, and empty
    spec:       the `spec:` part of a specification, as YAML or plain data
    version:    gitVersion of the API server
    exemptions: `pytest_kspec.results.exemptions.Exemption`s beside those of the spec
    denied:     plural names that may not be listed; missing: kinds that are not served
    kind:       "live", "snapshot" or "manifests"
    """
    made: Check = getattr(func, ATTRIBUTE)
    loaded = spec_from_part(spec or {"kubernetes": {"minVersion": "1.0", "maxVersion": "1.999"}})
    if source is None:
        source = MemorySource(
            [dict(o) for o in objects], version=version, denied=denied, missing=missing, kind=kind
        )
    inventory = Inventory(source)
    known = Exemptions([*loaded.exemptions, *exemptions], clock.now())
    plan = make_plan(loaded, Catalog([Entry(made, ModuleType("check"), builtin=False)]))
    grouping = Grouping()
    asked = loaded.spec.namespace_scope
    scope = ScopeView(asked, inventory) if asked is not None and not made.cluster_wide else None

    def context(requirement: Requirement) -> CheckContext:
        allowed = loaded.spec.annotation_exemptions
        annotating = annotated.matcher(allowed, requirement.id, made.severity, clock.now())
        return CheckContext(
            inventory, grouping, loaded.spec, requirement, known, scope=scope, annotated=annotating
        )

    return [_run(made, context(planned.requirement)) for planned in plan.planned]


def _run(made: Check, context: CheckContext) -> CheckResult:
    try:
        returned = made.func(**dict(_arguments(made.func, context)))
        record_return(returned, context.findings)
    except Exception as error:  # noqa: BLE001 - whatever a check raises becomes its verdict
        record_exception(error, context.findings)
    return make_result(made, context.requirement, context.findings)


def _arguments(func: Callable[..., Any], context: CheckContext) -> Iterator[tuple[str, Any]]:
    for name in inspect.signature(func).parameters:
        yield name, getattr(context, name)
