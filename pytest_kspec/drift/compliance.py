"""Compliance drift: what a scan finds now that the last run in the store did not, though it looked.

What one of the two could not evaluate is unknown, which is neither drift nor fixed. What is found because the
specification, kspec or an exemption changed is no change of the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.drift.authors import Authors
from pytest_kspec.drift.events import Action, DriftEvent, DriftKind, DriftType, Remediation, Status
from pytest_kspec.kube.objectdiff import FieldChange
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.result import CheckResult, ClusterResult

if TYPE_CHECKING:
    from pytest_kspec.storage.drift import LastRun

LOOKED_UP = 50
"""Objects that are read to say who changed them."""


class Compared(NamedTuple):
    """What is worse than in the last run, and what could not be compared.

    still: keys of all open findings: what was drift when it came is not gone while it is one of them
    """

    events: tuple[DriftEvent, ...]
    problems: tuple[str, ...]
    still: frozenset[tuple[str, ...]] = frozenset()


Key = tuple[str, ...]
"""As `DriftEvent.key`."""


def compare(
    last: LastRun | None,
    cluster: ClusterResult,
    tool_version: str,
    now: str,
    writer: Writer | None = None,
    known: Callable[[Key], bool] = lambda key: False,
) -> Compared:
    """writer: to look up who changed an object. now: RFC 3339.

    known: what was drift before; it is drift as long as it is there
    """
    name = f"{cluster.spec_name} on {cluster.name}"
    again = "Store a current run: kspec scan --store."
    if last is None:
        return Compared((), (f"the store has no run of {name} to compare with. {again}",))
    for what, was, after in (
        ("kspec", last.tool_version, tool_version),
        ("the specification", last.spec_version, cluster.spec_version),
    ):
        if was != after:
            text = f"the last run of {name} is of version {was or '(none)'} of {what}, this is {after or '(none)'}"
            return Compared((), (f"{text}: what differs need not have changed in the cluster. {again}",))
    events: list[DriftEvent] = []
    problems: list[str] = []
    authors = Authors(writer, LOOKED_UP)
    for check in sorted(cluster.checks, key=lambda one: one.id):
        before = last.checks.get(check.id)
        if not cluster.looked_at(check):
            problems.append(f"{check.id} could not be evaluated: {check.reason}")
        elif before is None:
            problems.append(f"{check.id} was not required in the last run. {again}")
        elif not before[0] and check.open_findings:
            problems.append(
                f"{check.id} was not evaluated in the last run ({before[1]}): its findings may be old."
            )
        else:
            events += _new(last, cluster, check, now, authors, known)
    if not cluster.checks:
        problems.append(f"{name}: it requires nothing now, so nothing was compared.")
    still = frozenset(
        _key(check, fingerprint(cluster.id, check.id, finding))
        for check in cluster.checks
        for finding in check.open_findings
    )
    return Compared(tuple(events), tuple(problems), still)


def _key(check: CheckResult, mark: str) -> Key:
    return DriftType.COMPLIANCE.value, DriftKind.VIOLATION.value, check.id, mark


def _new(
    last: LastRun,
    cluster: ClusterResult,
    check: CheckResult,
    now: str,
    authors: Authors,
    known: Callable[[Key], bool],
) -> Iterator[DriftEvent]:
    seen = set()
    for finding in check.open_findings:
        mark = fingerprint(cluster.id, check.id, finding)
        if mark in seen or (mark in last.findings and not known(_key(check, mark))):
            continue
        seen.add(mark)
        fields = [FieldChange(finding.path, None, None)] if finding.path else []
        who, tool = authors.of(finding.owner, fields)
        yield DriftEvent(
            DriftType.COMPLIANCE,
            DriftKind.VIOLATION,
            check.severity,
            finding.resource,
            f"{check.id}: {finding.owner}: {finding.message}",
            now,
            path=finding.path,
            check=check.id,
            expected=finding.expected,
            actual=finding.actual,
            author=who,
            holder=tool,
            id=mark,
            remediation=Remediation(
                Action.MANUAL,
                Status.MANUAL,
                now,
                details="Compliance drift is not corrected: see 'kspec fix'.",
            ),
        )
