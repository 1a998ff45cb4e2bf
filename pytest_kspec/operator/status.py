"""What the status of a ClusterSpecification says. Pure: from what was found to the object, and to Events of a change.

`Ready` is True where everything that was asked for was evaluated and met; what could not be looked at is Unknown, never
a verdict of yesterday. Times of transition stay while a condition stays.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest_kspec
from pytest_kspec.errors import KspecError, SourceUnavailable
from pytest_kspec.results.result import ClusterResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.spec.loading import LoadedSpec

Object = dict[str, Any]

READY, ENFORCED, DRIFT = "Ready", "PolicyEnforced", "DriftDetected"
CONDITIONS = (READY, ENFORCED, DRIFT)

PASSED, FAILED = "ComplianceChecksPassed", "ComplianceChecksFailed"
NOT_EVALUATED = "ComplianceChecksNotEvaluated"
RECONCILIATION_FAILED = "ReconciliationFailed"
INVALID = "InvalidSpecification"
OTHER_CLUSTER = "OtherCluster"
DEPLOYED, NOT_IN_FORCE = "PoliciesDeployed", "PoliciesNotInForce"
PENDING, ENFORCEMENT_FAILED = "PoliciesPending", "EnforcementFailed"
UNSETTLED = (PENDING, ENFORCEMENT_FAILED)
"""Reasons of PolicyEnforced after which policies are looked at again before the next scan."""
NOT_ENFORCED, NOT_ACTIVE = "EnforcementDisabled", "NotActive"
NOTHING_TO_ENFORCE = "NothingToEnforce"
LEAVING = "BeingDeleted"
DRIFT_FOUND, NO_DRIFT, NOT_COMPARED = "DriftFound", "NoDrift", "NotCompared"

DIGEST = "specificationDigest"
"""Beside policies that were applied: for what."""

NO_RESULT: Object = {"complianceScore": None, "summary": None, "nextScanTime": None}
"""Fields of what is not known where a scan has no result."""
LONGEST_MESSAGE = 1024
_SOON_S, _LATER_S = 5.0, 30.0  # how soon policies that others have to put in force are looked at again
_SOON_FOR_S = 60.0
_LISTED = 5  # of what differs
_WORST = 5  # requirements that a message names


def digest_of(spec: LoadedSpec) -> str:
    """Another one where the specification, one that it is based on, or kspec changed; a generation is its own only."""
    facts = [pytest_kspec.__version__, spec.version, spec.tree.plain()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def digest_before(found: Mapping[str, Any]) -> str:
    """The digest for which its policies were last looked after on the operator's own cluster; "": not known."""
    was = status_of(found).get("enforcement")
    return str(was.get(DIGEST) or "") if isinstance(was, dict) else ""


def status_of(found: Mapping[str, Any]) -> Object:
    """The status of an object of a cluster; {} where there is none, or something else."""
    value = found.get("status")
    return value if isinstance(value, dict) else {}


def moment_of(text: object) -> datetime | None:
    """What a status holds as a time; None for anything else, and for a time without a zone."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


class Said(NamedTuple):
    """One condition as it is now. status: "True", "False" or "Unknown"."""

    type: str
    status: str
    reason: str
    message: str


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def scanned(cluster: ClusterResult) -> tuple[Said, Object]:
    """`Ready`, and the other fields that a scan gives."""
    summary = cluster.summary
    fields: Object = {
        "phase": "Active",
        "summary": {
            "totalChecks": len(cluster.checks),
            "passedChecks": summary.passed,
            "failedChecks": summary.failed,
            "errorChecks": summary.errors,
            "skippedChecks": summary.skipped,
        },
    }
    if summary.score is not None:
        fields["complianceScore"] = int(summary.score)
    counts = f"{summary.passed} of {summary.applicable} checks passed"
    if summary.failed:
        text = f"{counts}, {summary.failed} failed: {_named(cluster, Verdict.FAIL)}."
        if summary.errors:
            named = _named(cluster, Verdict.ERROR)
            text = f"{text[:-1]}; {summary.errors} could not be evaluated: {named}.{_why(cluster)}"
        return Said(READY, "False", FAILED, _short(text)), fields
    if summary.errors:
        named = _named(cluster, Verdict.ERROR)
        text = f"{counts}, {summary.errors} could not be evaluated: {named}.{_why(cluster)}"
        return Said(READY, "Unknown", NOT_EVALUATED, _short(text)), fields
    if not summary.evaluated:
        text = "There was nothing to evaluate."
        if cluster.is_inactive:
            text = "The specification is not active now (timeBasedActivation), so nothing was evaluated."
        return Said(READY, "Unknown", NOT_EVALUATED, text), fields
    if summary.tolerated:
        text = f"{counts}, {summary.tolerated} of them only because a baseline contains the findings."
        return Said(READY, "False", FAILED, text), fields
    return Said(READY, "True", PASSED, f"{counts}."), fields


def invalid(error: KspecError) -> Said:
    """`Ready` of a specification that cannot be read: the lines of `kspec validate`."""
    return Said(READY, "False", INVALID, _short(str(error)))


def not_scanned(error: KspecError) -> Said:
    """`Ready` where the scan has no result."""
    return Said(READY, "Unknown", RECONCILIATION_FAILED, _short(str(error)))


def nothing_required() -> Said:
    """`Ready` of a specification from which no check follows: no scan would have a result."""
    text = "The specification does not require any check, so nothing was evaluated."
    return Said(READY, "Unknown", NOT_EVALUATED, text)


def not_enforced(error: KspecError) -> list[Said]:
    """Where policies were not made as they should be, or it is not known."""
    enforced = "Unknown" if isinstance(error, SourceUnavailable) else "False"
    text = _short(str(error))
    return [
        Said(ENFORCED, enforced, ENFORCEMENT_FAILED, text),
        Said(DRIFT, "Unknown", ENFORCEMENT_FAILED, "Policies could not be compared."),
    ]


def not_looked(reason: str) -> list[Said]:
    """What was applied for it before may be in force."""
    return [Said(kind, "Unknown", reason, "Not evaluated: see Ready.") for kind in (ENFORCED, DRIFT)]


def leaving(text: str, *, is_clear: bool) -> tuple[list[Said], Object]:
    """Of a specification that is being deleted and is still there. is_clear: nothing is applied for it any more."""
    drift = "No policies are applied that could drift." if is_clear else "Not compared: it is being deleted."
    said = [
        Said(READY, "Unknown", LEAVING, "It is being deleted, and not scanned any more."),
        Said(ENFORCED, "False", LEAVING, text),
        Said(DRIFT, "False" if is_clear else "Unknown", LEAVING, drift),
    ]
    nothing: Object = {"enforcement": {"active": False, "policiesGenerated": 0}, "webhooks": None}
    return said, {**NO_RESULT, **(nothing if is_clear else {})}


def merged(
    before: Mapping[str, Any], generation: int, now: datetime, said: Iterable[Said], fields: Mapping[str, Any]
) -> Object:
    """The whole status. fields: None removes a key; what is not named stays. Conditions of others stay, too."""
    known = {kind: one for one in _conditions(before) if isinstance(kind := one.get("type"), str)}
    for one in said:
        old = known.get(one.type) or {}
        moved = old.get("status") != one.status
        since = stamp(now) if moved else old.get("lastTransitionTime") or stamp(now)
        known[one.type] = {
            "type": one.type,
            "status": one.status,
            "observedGeneration": generation,
            "lastTransitionTime": since,
            "reason": one.reason,
            "message": _short(one.message),
        }
    ordered = sorted(known, key=lambda name: (CONDITIONS.index(name) if name in CONDITIONS else 9, name))
    made = {
        **before,
        **fields,
        "observedGeneration": generation,
        "conditions": [known[name] for name in ordered],
    }
    return {key: value for key, value in made.items() if value is not None}


def condition(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The condition of this type; {} if there is none."""
    return next((one for one in _conditions(status) if one.get("type") == name), {})


def soon(after: Mapping[str, Any], now: datetime) -> float:
    """Seconds until policies that wait for others are looked at again; infinite where none does."""
    enforced = condition(after, ENFORCED)
    if enforced.get("reason") != PENDING:
        return math.inf
    since = moment_of(enforced.get("lastTransitionTime"))
    is_new = since is not None and (now - since).total_seconds() < _SOON_FOR_S
    return _SOON_S if is_new else _LATER_S


class Note(NamedTuple):
    """An Event that is to be written. type: Normal or Warning."""

    type: str
    reason: str
    message: str


def notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Note]:
    """The Events of a change: of what a condition says, never of its repetition."""
    found = []
    ready, was = condition(after, READY), condition(before, READY)
    if (ready.get("status"), ready.get("reason")) != (was.get("status"), was.get("reason")):
        reason = ready.get("reason")
        text = str(ready.get("message", ""))
        if reason == LEAVING:
            pass  # who deleted it knows
        elif reason == PASSED:
            first = was.get("status") is None
            found.append(Note("Normal", "ScanCompleted" if first else "ComplianceRestored", text))
        elif reason == FAILED:
            found.append(Note("Warning", "ComplianceFailed", text))
        else:
            found.append(Note("Warning", INVALID if reason == INVALID else "ScanFailed", text))
    elif ready.get("message") != was.get("message") and ready.get("reason") in (PASSED, FAILED):
        found.append(Note("Normal", "ScanCompleted", str(ready.get("message", ""))))
    drift, before_drift = condition(after, DRIFT), condition(before, DRIFT)
    if drift.get("status") != before_drift.get("status"):
        text = str(drift.get("message", ""))
        if drift.get("status") == "True":
            found.append(Note("Warning", "DriftDetected", text))
        elif before_drift.get("status") == "True" and drift.get("status") == "False":
            found.append(Note("Normal", "DriftCleared", text))
    return found


def _conditions(status: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = status.get("conditions")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _named(cluster: ClusterResult, verdict: Verdict) -> str:
    ids = sorted(
        (check for check in cluster.checks if check.verdict is verdict),
        key=lambda check: (-check.severity.weight, check.id),
    )
    shown = ", ".join(check.id for check in ids[:_WORST])
    return f"{shown} and {len(ids) - _WORST} more" if len(ids) > _WORST else shown


def _why(cluster: ClusterResult) -> str:
    """The reason, where there is one for all of them: most often the API server could not be reached."""
    reasons = {check.reason for check in cluster.checks if check.verdict is Verdict.ERROR}
    return f" {reason}" if len(reasons) == 1 and (reason := reasons.pop()) else ""


def listed(texts: Sequence[str]) -> str:
    """The first texts, as many as a message has room for, and how many there are beside them."""
    shown = list(texts[:_LISTED])
    while True:
        left = len(texts) - len(shown)
        more = f"; and {left} more" if left else ""
        made = "; ".join(shown)
        if len(made) + len(more) < LONGEST_MESSAGE:
            return made + more
        if len(shown) == 1:
            return _short(made, LONGEST_MESSAGE - 1 - len(more)) + more
        shown.pop()


def _short(text: str, longest: int = LONGEST_MESSAGE) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
