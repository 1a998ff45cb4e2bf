"""What the status of a specification says of clusters that are not the operator's own. Pure.

Every cluster that was selected is counted once, by what became of it. One that does not answer has the time since when,
and no score: in that of the fleet, its requirements are not met.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_kspec.operator import status
from pytest_kspec.operator.status import READY, Said
from pytest_kspec.results.outcome import Outcome

if TYPE_CHECKING:
    from pytest_kspec.storage.fleetpages import (
        FleetRow,
    )  # with the library of stores, which few operators need

Object = dict[str, Any]

UNREACHABLE = "ClustersUnreachable"
NONE_SELECTED = "NoClusterSelected"
SUSPENDED = "ClusterSuspended"
WORST = 10
"""Clusters that a status names; all others are in its counts, in ComplianceReports and in the store."""
_NAMED = 5
_LONGEST = 300  # characters of a reason
NOTHING: Object = {"clusters": None, "worstClusters": None, "unreachableSince": None, "run": None}
"""Fields of a specification for the operator's own cluster."""
KINDS = ("duplicates", "compliant", "failing", "notEvaluated", "unreachable", "notScanned")
"""Of clusters, by outcome: each has a count."""
NO_CLUSTER: Object = {"selected": 0, "scanned": 0, **dict.fromkeys(KINDS, 0)}
"""All of it, as the API server would add what is left out."""


class Silence(NamedTuple):
    """Of a cluster that does not answer: since when (RFC 3339), and how often it was tried, None: not known."""

    since: str
    failures: int | None = None


def _kind(row: FleetRow) -> str:
    """The count that a row belongs to."""
    match row.outcome:
        case Outcome.DUPLICATE:
            return "duplicates"
        case Outcome.UNREACHABLE | Outcome.REFUSED:
            return "unreachable"
        case Outcome.SCANNED:
            if row.failed:
                return "failing"
            return "notEvaluated" if row.errors or not row.passed else "compliant"
        case _:
            return "notScanned"


def concluded(
    rows: Sequence[FleetRow], silent: Mapping[str, Silence], before: Mapping[str, Any], run: str
) -> tuple[Said, Object]:
    """`Ready`, and the fields of the status, of a run that is over.

    rows: of one specification. silent: clusters that the ClusterTargets call unreachable, by name. before: the status
    """
    from pytest_kspec.fleet.report import Sums

    kinds = {row.name: _kind(row) for row in rows}
    counted = [row for row in rows if kinds[row.name] != "duplicates"]
    count = {name: sum(kind == name for kind in kinds.values()) for name in KINDS}
    scanned = count["compliant"] + count["failing"] + count["notEvaluated"]
    known = _known(before)
    lost = {row.name: _silence(row, silent, known) for row in counted if kinds[row.name] == "unreachable"}
    bad = sorted(
        (row for row in counted if kinds[row.name] != "compliant"), key=lambda row: _rank(row, kinds)
    )
    sums = Sums.of(counted)
    fields: Object = {
        "phase": "Active" if scanned else "Failed",
        "clusters": {"selected": len(rows), "scanned": scanned, **count},
        "worstClusters": [_entry(row, lost.get(row.name)) for row in bad[:WORST]],
        "unreachableSince": min((one.since for one in lost.values()), default=None),
        "run": run,
        "complianceScore": int(sums.score) if sums.score is not None else None,
        "summary": {
            "totalChecks": sum(row.passed + row.failed + row.errors + row.skipped for row in counted),
            "passedChecks": sum(row.passed for row in counted),
            "failedChecks": sum(row.failed for row in counted),
            "errorChecks": sum(row.errors for row in counted),
            "skippedChecks": sum(row.skipped for row in counted),
        },
    }
    return _ready(count, len(counted), bad, kinds, lost), fields


def none_selected(why: str) -> tuple[Said, Object]:
    """Where a selector selects no ClusterTarget."""
    fields: Object = {"phase": "Pending", **NOTHING, "clusters": NO_CLUSTER}
    return Said(READY, "Unknown", NONE_SELECTED, why), fields


def _ready(
    count: Mapping[str, int],
    clusters: int,
    bad: Sequence[FleetRow],
    kinds: Mapping[str, str],
    lost: Mapping[str, Silence],
) -> Said:
    message = _message(count, clusters, bad, kinds, lost)[: status.LONGEST_MESSAGE]
    if count["failing"]:
        return Said(READY, "False", status.FAILED, message)
    if count["unreachable"]:
        return Said(READY, "Unknown", UNREACHABLE, message)
    if count["notEvaluated"] or count["notScanned"] or not clusters:
        return Said(READY, "Unknown", status.NOT_EVALUATED, message)
    return Said(READY, "True", status.PASSED, message)


def _message(
    count: Mapping[str, int],
    clusters: int,
    bad: Sequence[FleetRow],
    kinds: Mapping[str, str],
    lost: Mapping[str, Silence],
) -> str:
    if clusters == 1:
        if not bad:
            return "The cluster complies."
        (row,) = bad
        what = {"failing": "does not comply"}.get(kinds[row.name]) or _SAID[kinds[row.name]][0]
        since = f" since {lost[row.name].since}" if row.name in lost else ""
        return f"The cluster {row.name} {what}{since}."
    words = [
        f"{count['compliant']} of {clusters} clusters {'complies' if count['compliant'] == 1 else 'comply'}"
    ]
    for kind, (one, several) in _SAID.items():
        if count[kind]:
            names = _names([row for row in bad if kinds[row.name] == kind], lost)
            words.append(f"{count[kind]} {one if count[kind] == 1 else several}: {names}")
    return f"{'; '.join(words)}."


_SAID = {
    "failing": ("does not", "do not"),
    "notEvaluated": ("could not be evaluated in full", "could not be evaluated in full"),
    "unreachable": ("does not answer", "do not answer"),
    "notScanned": ("was not scanned", "were not scanned"),
}
"""What is said of one cluster, and of several."""


def _names(rows: Sequence[FleetRow], lost: Mapping[str, Silence]) -> str:
    shown = [f"{row.name} (since {lost[row.name].since})" if row.name in lost else row.name for row in rows]
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(shown[:_NAMED]) + more


def _rank(row: FleetRow, kinds: Mapping[str, str]) -> tuple[object, ...]:
    order = ("unreachable", "notScanned", "failing", "notEvaluated")
    return order.index(kinds[row.name]), row.score or 0.0, -row.failed, -row.errors, row.name


def _entry(row: FleetRow, silence: Silence | None) -> Object:
    made: Object = {"name": row.name, "outcome": row.outcome or Outcome.NOT_SCANNED.value}
    if row.outcome == Outcome.SCANNED:
        if row.score is not None:
            made["complianceScore"] = int(row.score)
        return {**made, "failedChecks": row.failed, "errorChecks": row.errors}
    if silence is not None:
        made["unreachableSince"] = silence.since
        if silence.failures is not None:
            made["consecutiveFailures"] = silence.failures
    return {**made, "message": row.reason[:_LONGEST]}


def _silence(row: FleetRow, silent: Mapping[str, Silence], known: Mapping[str, str]) -> Silence:
    """The ClusterTarget is asked more often than a scan is made, and so knows best."""
    told = silent.get(row.name)
    return told if told is not None else Silence(row.since or known.get(row.name) or row.at)


def _known(before: Mapping[str, Any]) -> dict[str, str]:
    """Since when the last status said of a cluster that it does not answer."""
    found = before.get("worstClusters")
    entries: Iterable[Any] = found if isinstance(found, list) else ()
    return {
        one["name"]: one["unreachableSince"]
        for one in entries
        if isinstance(one, dict)
        and isinstance(one.get("unreachableSince"), str)
        and isinstance(one.get("name"), str)
    }
