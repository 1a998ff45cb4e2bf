"""What changed between two results: new, fixed, unchanged; and what nobody can know.

Findings are compared by fingerprint: a new name of a pod, or a new value, is no change. A finding is fixed only if
its requirement was evaluated afterwards and does not find it. After an error, or where a check could not look, what
is not seen is unknown; where the requirement is no longer required, it is dropped. Neither is ever fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from pytest_kspec.results.baseline import subject
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.result import API_VERSION, CheckResult, ClusterResult, ScanResult, is_of_any
from pytest_kspec.results.verdict import Severity, Verdict


class State(StrEnum):
    """What became of a finding, the worst first.

    new:       open now, and was not open before, though its requirement was evaluated or not asked for
    unknown:   one of the two could not be evaluated, so nobody knows
    unchanged: open in both
    fixed:     was open, and is not there any more
    exempted:  was open, and an exemption covers it now
    dropped:   was open, and its requirement is no longer required
    """

    NEW = "new"
    UNKNOWN = "unknown"
    UNCHANGED = "unchanged"
    FIXED = "fixed"
    EXEMPTED = "exempted"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class FindingChange:
    """One finding and what became of it. finding: as it is now, or as it was where it is gone; reason: or ""."""

    state: State
    check: str
    title: str
    severity: Severity
    finding: Finding
    id: str
    reason: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "state": self.state.value,
            "check": self.check,
            "severity": self.severity.value,
            "id": self.id,
            "reason": self.reason,
            "finding": self.finding.to_wire(),
        }


@dataclass(frozen=True, slots=True)
class CheckChange:
    """A requirement whose verdict is another one. None: it was, or is, not asked for. reason: of an error or skip."""

    check: str
    title: str
    severity: Severity
    before: Verdict | None
    after: Verdict | None
    reason: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "check": self.check,
            "severity": self.severity.value,
            "before": self.before.value if self.before else None,
            "after": self.after.value if self.after else None,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class ClusterDiff:
    """One specification on one cluster, before and after.

    name_before, name: they differ where two clusters were named to be compared
    came: only the second result has it; everything it finds is new. went: only the first has it
    errors: requirements that cannot be evaluated now
    """

    name_before: str
    name: str
    spec: str
    spec_version_before: str
    spec_version: str
    findings: tuple[FindingChange, ...]
    checks: tuple[CheckChange, ...]
    errors: int = 0
    came: bool = False
    went: bool = False
    cluster_id: str = ""

    def of(self, state: State) -> tuple[FindingChange, ...]:
        """The findings of one state."""
        return tuple(change for change in self.findings if change.state is state)

    @property
    def counts(self) -> dict[State, int]:
        """How many of each state; zeros are there."""
        return {state: len(self.of(state)) for state in State}

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in `kspec diff -o json`."""
        return {
            "nameBefore": self.name_before,
            "name": self.name,
            "clusterId": self.cluster_id,
            "spec": self.spec,
            "specVersionBefore": self.spec_version_before,
            "specVersion": self.spec_version,
            "came": self.came,
            "went": self.went,
            "errors": self.errors,
            "counts": {state.value: count for state, count in self.counts.items()},
            "checks": [change.to_wire() for change in self.checks],
            "findings": [change.to_wire() for change in self.findings],
        }


@dataclass(frozen=True, slots=True)
class ResultDiff:
    """Two results compared. before_at, after_at: when they finished, RFC 3339."""

    before_at: str
    after_at: str
    clusters: tuple[ClusterDiff, ...]

    @property
    def counts(self) -> dict[State, int]:
        """Findings of each state over all clusters; those of clusters that went are not compared."""
        return {state: sum(c.counts[state] for c in self.clusters) for state in State}

    @property
    def has_new(self) -> bool:
        """Something is open that was not."""
        return bool(self.counts[State.NEW])

    @property
    def is_complete(self) -> bool:
        """Everything that is asked for now was evaluated, every finding has a fate, and something was compared."""
        compared = any(not cluster.went for cluster in self.clusters)
        return compared and not self.counts[State.UNKNOWN] and not any(c.errors for c in self.clusters)

    def to_wire(self) -> dict[str, Any]:
        """Plain data, the document of `kspec diff -o json`."""
        return {
            "apiVersion": API_VERSION,
            "kind": "ResultDiff",
            "before": self.before_at,
            "after": self.after_at,
            "complete": self.is_complete,
            "counts": {state.value: count for state, count in self.counts.items()},
            "clusters": [cluster.to_wire() for cluster in self.clusters],
        }


def compare(
    before: ScanResult, after: ScanResult, *, pair: bool = False, allow_empty: bool = False
) -> ResultDiff:
    """The difference of two results.

    Clusters are matched by identity and specification; by name only where the UID of one of them is not known. pair: a
    cluster that is left alone on each side with the same specification is the same one, whatever its name (the user
    named both). allow_empty: where nothing is there to examine, nothing is wrong, also in a result that is empty.
    """
    left, right = list(before.clusters), list(after.clusters)
    pairs = _match(left, right, lambda c: (c.id, c.spec_name, c.spec_path))
    pairs += _match(left, right, lambda c: (c.id, c.spec_name))
    pairs += _match(left, right, lambda c: (c.name, c.spec_name), lambda old, new: not (old.uid and new.uid))
    if pair:
        pairs += _match(left, right, lambda c: (c.spec_name,))
    diffs = [_compare_clusters(old, new, allow_empty) for old, new in pairs]
    diffs += [_compare_clusters(None, new, allow_empty) for new in right]
    diffs += [_compare_clusters(old, None, allow_empty) for old in left]
    diffs.sort(key=lambda c: (c.name, c.spec, c.name_before, c.went))
    return ResultDiff(before.finished_at, after.finished_at, tuple(diffs))


def _match(
    left: list[ClusterResult],
    right: list[ClusterResult],
    key: Callable[[ClusterResult], tuple[str, ...]],
    fits: Callable[[ClusterResult, ClusterResult], bool] = lambda _old, _new: True,
) -> list[tuple[ClusterResult, ClusterResult]]:
    """Take from both lists what one key holds on each side exactly once, where the two fit."""
    pairs = []
    for old in list(left):
        wanted = key(old)
        mine = [c for c in left if key(c) == wanted]
        theirs = [c for c in right if key(c) == wanted]
        if len(mine) == len(theirs) == 1 and fits(old, theirs[0]):
            left.remove(old)
            right.remove(theirs[0])
            pairs.append((old, theirs[0]))
    return pairs


def _compare_clusters(
    before: ClusterResult | None, after: ClusterResult | None, allow_empty: bool
) -> ClusterDiff:
    shown = after or before
    assert shown is not None
    old = {check.id: check for check in before.checks} if before else {}
    new = {check.id: check for check in after.checks} if after else {}
    findings: list[FindingChange] = []
    checks: list[CheckChange] = []
    left_out = [frozenset(side.not_selected if side else ()) for side in (before, after)]
    for check_id in sorted({*old, *new}) if after else ():
        was, now = old.get(check_id), new.get(check_id)
        sides = (
            _side(before, was, is_of_any(check_id, left_out[0]), allow_empty),
            _side(after, now, is_of_any(check_id, left_out[1]), allow_empty),
        )
        findings += _compare_findings(*sides, shown.id)
        if before and _verdict(was) is not _verdict(now) and not any(side.is_left_out for side in sides):
            about = now or was
            assert about is not None
            reason = now.reason if now and now.verdict in (Verdict.ERROR, Verdict.SKIP) else ""
            checks.append(
                CheckChange(check_id, about.title, about.severity, _verdict(was), _verdict(now), reason)
            )
    order = list(State)
    findings.sort(key=lambda c: (order.index(c.state), -c.severity.rank, c.check, subject(c.finding), c.id))
    return ClusterDiff(
        name_before=(before or shown).name,
        name=shown.name,
        spec=shown.spec_name,
        spec_version_before=(before or shown).spec_version,
        spec_version=shown.spec_version,
        findings=tuple(findings),
        checks=tuple(checks),
        errors=sum(check.verdict is Verdict.ERROR for check in new.values()),
        came=before is None,
        went=after is None,
        cluster_id=shown.id,
    )


class _Side(NamedTuple):
    """A requirement in a result. why: it was not looked at, or "". is_left_out: the run did not select it."""

    check: CheckResult | None
    why: str = ""
    is_left_out: bool = False


def _side(
    cluster: ClusterResult | None, check: CheckResult | None, left_out: bool, allow_empty: bool
) -> _Side:
    if cluster is None:
        return _Side(check)
    if check is None:
        return _Side(None, "the run did not select it" if left_out else "", left_out)
    return _Side(check, "" if cluster.looked_at(check, allow_empty=allow_empty) else check.reason)


def _verdict(check: CheckResult | None) -> Verdict | None:
    return check.verdict if check is not None else None


def _by_fingerprint(check: CheckResult | None, cluster: str) -> Mapping[str, Sequence[Finding]]:
    found: dict[str, list[Finding]] = {}
    if check is not None:
        for finding in check.findings:
            found.setdefault(fingerprint(cluster, check.id, finding), []).append(finding)
    return found


def _open(findings: Iterable[Finding]) -> Finding | None:
    """The first that no exemption covers. One that a baseline has is there all the same."""
    return next((finding for finding in findings if finding.exemption is None), None)


def _compare_findings(was: _Side, now: _Side, cluster: str) -> list[FindingChange]:
    about = now.check or was.check
    assert about is not None
    before, after = _by_fingerprint(was.check, cluster), _by_fingerprint(now.check, cluster)
    changes = []
    for key in {**before, **after}:
        old, new = _open(before.get(key, ())), _open(after.get(key, ()))
        if new is not None:
            state, reason = _of_open(was, key in before, old)
        elif old is not None:
            state, reason = _of_gone(now, key in after)
        else:
            continue  # an exemption covers it, then and now
        shown = new or old
        assert shown is not None
        changes.append(FindingChange(state, about.id, about.title, about.severity, shown, key, reason))
    return changes


def _of_open(was: _Side, was_there: bool, old: Finding | None) -> tuple[State, str]:
    """The fate of a finding that is open now."""
    if old is not None:
        return State.UNCHANGED, ""
    if was_there:
        return State.NEW, "was exempted"
    if was.why:
        return State.UNKNOWN, f"was not evaluated before: {was.why}"
    if was.check is None:
        return State.NEW, "was not required"
    return State.NEW, ""


def _of_gone(now: _Side, is_there: bool) -> tuple[State, str]:
    """The fate of a finding that was open and is not."""
    if is_there:
        return State.EXEMPTED, ""
    if now.why:
        return State.UNKNOWN, f"cannot be evaluated now: {now.why}"
    if now.check is None:
        return State.DROPPED, "is no longer required"
    return State.FIXED, ""
