"""From the results of all checks to what reports say of a cluster: exemptions, controls, what was not evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from pytest_kspec import typed
from pytest_kspec.clock import now
from pytest_kspec.evaluate.scan import SpecRun
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.plan.assess import assess
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.plan.frameworks import PlannedFramework, plan_frameworks
from pytest_kspec.plan.plan import STANDARDS
from pytest_kspec.results import annotated
from pytest_kspec.results.evidence import Evidence, ExemptionUse
from pytest_kspec.results.finding import AppliedExemption
from pytest_kspec.results.order import check_key
from pytest_kspec.results.result import CheckResult, ClusterResult, is_of_any, names_of
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.rules.pods.podsecurity import newer_standards
from pytest_kspec.spec.activation import inactive_reason
from pytest_kspec.spec.loading import LoadedSpec
from pytest_kspec.spec.notes import SELECTION, NotEvaluated

if TYPE_CHECKING:
    from pytest_kspec.results.baseline import Baseline
    from pytest_kspec.spec.sections import PodSecurity


def cluster_result(
    spec: SpecRun,
    name: str,
    wires: Iterable[Mapping[str, Any]],
    *,
    checkset: CheckSet,
    moment: datetime,
    baseline: Baseline | None = None,
    left_out: Iterable[str] = (),
) -> ClusterResult:
    """All results of one specification on one cluster.

    left_out: ids that were collected and not selected, with their parameters; of a planned one without a result all are
    wires: for each requirement its `result`, the exemptions that it `uses`, the facts of its `cluster`; plain data
    """
    facts: Mapping[str, str] = {}
    uses: dict[int, int] = {}
    checks = []
    for wire in wires:
        if not facts or sum(map(bool, wire["cluster"].values())) > sum(map(bool, facts.values())):
            facts = wire["cluster"]  # of a check that did not run, less is known
        for index, count in wire["uses"]:
            uses[index] = uses.get(index, 0) + count
        checks.append(CheckResult.from_wire(dict(wire["result"])))
    checks.sort(key=check_key)
    names = [c.id for c in checks if c.verdict != Verdict.ERROR]
    evaluated = {of for name in names for of in names_of(name)}
    complete = len(names) == len(checks) and all(p.requirement.id in evaluated for p in spec.plan.planned)
    not_selected = _not_selected(spec, [check.id for check in checks], left_out)
    limits = tuple(_left_out(spec, facts, moment))
    made = ClusterResult(
        name=name,
        source=facts["source"],
        version=facts["version"],
        uid=facts["uid"],
        spec_name=spec.spec.name,
        spec_version=spec.spec.version,
        spec_path=spec.spec.path,
        checks=tuple(checks),
        exemptions=(
            *spec.exemptions.report(uses, complete=complete),
            *_namespace_levels(spec.spec),
            *_annotated(checks),
        ),
        not_evaluated=(*spec.plan.not_evaluated, *limits, *_selection(spec, not_selected)),
        evidence=Evidence(
            next((t.source.ref for t in spec.targets if t.name == name), ""),
            facts["sha256"],
            facts["recordedAt"],
            spec.spec.sha256,
            next((str(getattr(t.source, "origin", "")) for t in spec.targets if t.name == name), ""),
        ),
        frameworks=assess(
            _frameworks(spec, checkset), spec.plan.planned, checks, (*spec.plan.left_out, *limits)
        ),
        not_selected=not_selected,
    )
    return made if baseline is None else replace(made, baseline=baseline.use(made))


def _not_selected(spec: SpecRun, ids: Iterable[str], left_out: Iterable[str]) -> tuple[str, ...]:
    """Requirements without a result: `id` where none of its parameter sets has one, else `id[…]`."""
    there = set(ids)
    of_them = {of for name in there for of in names_of(name)}
    whole = {p.requirement.id for p in spec.plan.planned} - of_them
    sets = {name for name in left_out if name not in there and not is_of_any(name, whole)}
    return tuple(sorted(whole | sets))


def _selection(spec: SpecRun, not_selected: tuple[str, ...]) -> Iterator[NotEvaluated]:
    """One line for all reports, however many were left out."""
    if not_selected:
        count = len(not_selected)
        what = (
            "requirement of the specification was" if count == 1 else "requirements of the specification were"
        )
        yield NotEvaluated(SELECTION, f"{count} {what} not selected for this run", spec.spec.path)


def _frameworks(spec: SpecRun, checkset: CheckSet) -> tuple[PlannedFramework, ...]:
    """The same on every cluster."""
    if spec.frameworks is None:
        spec.frameworks = plan_frameworks(spec.spec, checkset, spec.plan.planned)
    return spec.frameworks


def _left_out(spec: SpecRun, facts: Mapping[str, str], moment: datetime) -> Iterator[NotEvaluated]:
    """What a scope, a time, a version that is too new or a foreign kind leaves out of this run."""
    asked = spec.spec.spec.pod_security
    names = typed.from_json(facts["names"], dict[str, list[str]]) if facts["names"] else {}
    unpinned = asked is not None and asked.enforce is not None and asked.version is None
    for key, why in (
        (STANDARDS, newer_standards(facts["version"]) if unpinned else ""),
        *((f"podSecurity.{mode}", facts["labels"]) for mode in _label_modes(asked)),
        ("namespaceScope", facts["scope"]),
        ("timeBasedActivation", inactive_reason(spec.spec.spec.time_based_activation, moment)),
        ("workloads", facts["templates"]),
        *(("manifests", note) for note in facts["manifests"].splitlines()),
        *(("files", note) for note in facts["files"].splitlines()),
        *((annotated.KEY, note) for note in facts["annotations"].splitlines()),
    ):
        if why:
            reason = why.removesuffix(" (timeBasedActivation)")
            yield NotEvaluated(key, reason, spec.spec.locate(key), tuple(names.get(why, ())))


def _annotated(checks: Iterable[CheckResult]) -> list[ExemptionUse]:
    """Exemptions that objects carry themselves, as far as they cover findings."""
    found: dict[AppliedExemption, tuple[ResourceRef, int]] = {}
    for check in checks:
        for finding in check.findings:
            applied = finding.exemption
            if applied is not None and applied.name.startswith(annotated.NAME):
                found[applied] = (finding.resource, found.get(applied, (finding.resource, 0))[1] + 1)
    return [
        ExemptionUse(
            applied.name,
            applied.reason,
            "",
            applied.expires_at,
            annotated.location(applied, ref),
            "used",
            count,
        )
        for applied, (ref, count) in sorted(
            found.items(), key=lambda item: (item[0].name, item[0].expires_at)
        )
    ]


def _label_modes(section: PodSecurity | None) -> Iterator[str]:
    """The keys of the Pod Security labels that a specification asks for."""
    if section is not None:
        yield from (mode for mode in ("enforce", "audit", "warn") if getattr(section, mode) is not None)


def _namespace_levels(spec: LoadedSpec) -> Iterator[ExemptionUse]:
    """Namespaces held to another Pod Security level: exemptions too, so that every report shows them."""
    section = spec.spec.pod_security
    for index, entry in enumerate(section.exemptions if section is not None else ()):
        yield ExemptionUse(
            name=f"podSecurity.exemptions: namespace {entry.namespace} at level {entry.level}",
            reason=entry.reason,
            approver="",
            expires_at=entry.expires_text,
            location=spec.locate(f"podSecurity.exemptions[{index}]"),
            state="expired" if entry.is_expired(now()) else "used",
            matched=0,
        )
