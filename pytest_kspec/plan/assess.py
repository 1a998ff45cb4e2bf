"""What the results of one cluster say about each control: the rules that keep an unevaluated one from looking met.

A failure decides: the control is not met, whatever else could not be evaluated. Without one, every answer must have
been asked for and have passed; an error, a skip or a result that is not there leaves the control unevaluated, with the
reason. Findings that a baseline already has are not accepted, only known: they count as failures here. Exempted ones
do not, and are said. What was not evaluated (what `namespaceScope` leaves out, pods in kinds that nobody knows, charts
that are not rendered, labels that no file has) is left to a person, by every control that rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import signature

from msgspec.structs import replace

from pytest_kspec.checks.check import Check
from pytest_kspec.plan import plan
from pytest_kspec.plan.frameworks import Answer, PlannedControl, PlannedFramework
from pytest_kspec.plan.plan import Planned
from pytest_kspec.results.frameworks import ControlResult, ControlStatus, FrameworkResult
from pytest_kspec.results.result import CheckResult
from pytest_kspec.results.verdict import NOTHING_TO_EXAMINE, Verdict
from pytest_kspec.rules.pods.podsecurity import NO_SUCH_CONTROL
from pytest_kspec.spec.notes import NotEvaluated

REASONS_SHOWN = 3
NOT_RUN = "it was not part of this run"

_PODS = frozenset({"workloads", "pods", "containers"})
_OTHERS = frozenset(
    ("cluster", "exemptions", "findings", "kube", "namespaces", "network_policies", "nodes", "rbac", "requirement",
     "resources", "services", "signatures", "spec")
)  # fmt: skip
"""Fixtures that give pods of all kinds, and those that do not."""

Results = Mapping[str, Sequence[CheckResult]]


def assess(
    frameworks: Sequence[PlannedFramework],
    planned: Sequence[Planned],
    checks: Iterable[CheckResult],
    left_out: Sequence[NotEvaluated] = (),
) -> tuple[FrameworkResult, ...]:
    """The frameworks of one specification on one cluster.

    planned:  all requirements of the specification; checks: all results of it on this cluster
    left_out: what was not evaluated there
    """
    ids = frozenset(p.requirement.id for p in planned)
    limits = {p.requirement.id: [n.reason for n in left_out if _concerns(n.key, p)] for p in planned}
    results: dict[str, list[CheckResult]] = {}
    for check in checks:
        results.setdefault(_requirement(check.id, ids), []).append(check)
    return tuple(
        FrameworkResult(
            framework.id,
            framework.name,
            framework.version,
            framework.source,
            framework.date,
            tuple(assess_control(_within(control, limits), results) for control in framework.controls),
        )
        for framework in frameworks
    )


def _requirement(check_id: str, planned: frozenset[str]) -> str:
    """The requirement of a result; one of a parametrized check has the parameters in brackets behind it.

    Both may have brackets of their own: the longest beginning that is a requirement is the one.
    """
    name = check_id
    while name not in planned and "[" in name:
        name = name[: name.rindex("[")]
    return name if name in planned else check_id


def _concerns(key: str, planned: Planned) -> bool:
    """Whether a requirement rests on what was not evaluated. key: of the `NotEvaluated`."""
    requirement, check = planned.requirement, planned.entry.check
    match key:
        case "manifests":
            return True
        case "namespaceScope":
            return not check.cluster_wide
        case "workloads":
            return looks_at_pods(check)
        case plan.STANDARDS:
            return requirement.id.startswith("podSecurity.standard[")
        case _:
            return requirement.id == key


def looks_at_pods(check: Check) -> bool:
    """Whether it is given the cluster's pods, as far as its parameters tell: fixtures of a user's may do anything."""
    asked = signature(check.func).parameters.keys()
    return not _PODS.isdisjoint(asked) or not _OTHERS.issuperset(asked)


def _within(control: PlannedControl, limits: Mapping[str, Sequence[str]]) -> PlannedControl:
    """The control, answered in part where a check that answers it was not given all."""
    answering = (*control.also, *(id for answer in control.answers for id in answer.requirements))
    left = dict.fromkeys(why for id in answering for why in limits.get(id, ()))
    return replace(control, manual="; ".join(filter(None, (control.manual, *left)))) if left else control


def assess_control(control: PlannedControl, results: Results) -> ControlResult:
    """One control. results: by requirement id."""
    answered = [id for answer in control.answers for id in answer.requirements]
    ids = sorted({*answered, *control.also})
    if not ids and not control.answers:
        status = ControlStatus.MANUAL if control.manual else ControlStatus.NOT_EVALUATED
        return ControlResult(control.id, control.title, status, reason=control.manual)
    found = [result for id in ids for result in results.get(id, ())]
    checks = tuple(sorted({result.id for result in found}))
    if any(map(_failed, found)):
        status, reason = ControlStatus.NOT_MET, _known(found)
    else:
        reasons = list(dict.fromkeys(_open(control, results)))
        if reasons:
            more = len(reasons) - REASONS_SHOWN
            status = ControlStatus.NOT_EVALUATED
            reason = "; ".join(reasons[:REASONS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        else:
            status = ControlStatus.PARTLY_MET if control.manual else ControlStatus.MET
            reason = _limits(control, found)
    return ControlResult(control.id, control.title, status, checks, reason, control.manual)


def _failed(result: CheckResult) -> bool:
    return result.verdict is Verdict.FAIL or (
        result.verdict is not Verdict.ERROR and any(f.exemption is None for f in result.findings)
    )


def _open(control: PlannedControl, results: Results) -> Iterator[str]:
    """Why it cannot be said to be met."""
    for answer in control.answers:
        yield from _open_answer(answer, results)
    if control.also:
        # Beside an answer, what has nothing to look at takes nothing away; alone, it is no answer.
        yield from _open_answer(Answer(control.also), results, skip_counts=not control.answers)


def _open_answer(answer: Answer, results: Results, *, skip_counts: bool = True) -> Iterator[str]:
    if not answer.requirements:
        yield answer.missing
        return
    skipped: list[str] = []  # what had nothing to look at
    passed = False
    for id in answer.requirements:
        found = results.get(id, ())
        if not found:
            yield f"{id}: {NOT_RUN}"
        for result in found:
            if result.verdict is Verdict.ERROR:
                yield _said(id, "was not evaluated", result)
            elif result.verdict is Verdict.SKIP:
                said = _said(id, "was skipped", result)
                if _had_nothing(result):
                    skipped.append(said)
                else:
                    yield said
            else:
                passed = True
    if skip_counts and not passed:
        yield from skipped


def _had_nothing(result: CheckResult) -> bool:
    """Whether a skip takes nothing away from what passed beside it: there was nothing, not "could not look"."""
    return result.reason == NOTHING_TO_EXAMINE or NO_SUCH_CONTROL in result.reason


def _said(id: str, what: str, result: CheckResult) -> str:
    return f"{id} {what}: {result.reason}" if result.reason else f"{id} {what}"


def _known(found: Sequence[CheckResult]) -> str:
    """Why it is not met although no check failed."""
    if any(result.verdict is Verdict.FAIL for result in found):
        return ""
    known = sum(1 for result in found for f in result.findings if f.exemption is None)
    return f"{known} known finding{'' if known == 1 else 's'} in the baseline"


def _limits(control: PlannedControl, found: Sequence[CheckResult]) -> str:
    exempted = sum(len(result.exempted_findings) for result in found)
    parts = [f"met with {exempted} exempted finding{'' if exempted == 1 else 's'}"] if exempted else []
    return "; ".join([*parts, control.note] if control.note else parts)
