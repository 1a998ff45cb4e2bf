"""A result and its replay: the same verdicts with the same findings, or what differs."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_kspec.model.check import Verdict
from pytest_kspec.model.finding import Finding
from pytest_kspec.model.fingerprint import fingerprint
from pytest_kspec.model.result import CheckResult, ClusterResult


def differences(recorded: ClusterResult, replayed: ClusterResult) -> Iterator[str]:
    """One line each; none if the replay says the same. Known findings of a baseline count as open in both."""
    was = {check.id: check for check in recorded.checks}
    now = {check.id: check for check in replayed.checks}
    for check_id in sorted(was.keys() | now.keys()):
        if check_id not in now:
            yield f"{check_id}: is in the result, but nothing in the bundle asks for it or answers it"
        elif check_id not in was:
            yield f"{check_id}: is asked for, but the result does not have it ({_verdict(now[check_id])} in the replay)"
        else:
            yield from _check(recorded.name, was[check_id], now[check_id])


def _check(cluster: str, was: CheckResult, now: CheckResult) -> Iterator[str]:
    if _verdict(was) != _verdict(now):
        reason = f" ({now.reason})" if now.reason else ""
        yield f"{was.id}: was {_verdict(was)}, is {_verdict(now)}{reason}"
    if was.examined != now.examined:
        yield f"{was.id}: {was.examined} objects were examined, now {now.examined}"
    before, after = (
        {fingerprint(cluster, was.id, finding): finding for finding in check.findings} for check in (was, now)
    )
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            yield f"{was.id}: not found again: {_told(before[key])}"
        elif key not in before:
            yield f"{was.id}: not in the result: {_told(after[key])}"
        elif changes := _changes(before[key], after[key]):
            yield f"{was.id}: {_told(after[key])}: {changes}"


def _changes(was: Finding, now: Finding) -> str:
    pairs = {
        "count": (was.count, now.count),
        "value": (was.actual, now.actual),
        "exemption": (was.exemption and was.exemption.name, now.exemption and now.exemption.name),
    }
    return "; ".join(f"{name} was {old!r}, is {new!r}" for name, (old, new) in pairs.items() if old != new)


def _told(finding: Finding) -> str:
    return f"{finding.owner} {finding.path or finding.message}"


def _verdict(check: CheckResult) -> str:
    """Without a baseline, which is not evidence of the cluster."""
    if check.verdict is Verdict.PASS and any(finding.exemption is None for finding in check.findings):
        return Verdict.FAIL.value
    return check.verdict.value
