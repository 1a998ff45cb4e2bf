"""What is done about drift: decided for each difference, then carried out one by one; one that fails stops no other.

What another tool keeps is never corrected: it would be changed back. Nor is an object that was corrected three times
within an hour: somebody works against us, and has to be found by a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from pytest_kspec.audit import trail
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.drift.events import Action, DriftEvent, DriftKind, DriftType, Remediation, Status
from pytest_kspec.drift.policies import Drifted
from pytest_kspec.enforce import apply as applying
from pytest_kspec.errors import SourceError, SourceUnavailable, StoreError

FIGHT = 3
"""Corrections of one object within WINDOW after which it is no longer corrected."""

WINDOW = timedelta(hours=1)
_ACTIONS = {"create": Action.CREATE, "change": Action.UPDATE, "remove": Action.DELETE}
_SHOWN = 5
_FORBIDDEN = "not corrected: remediation is not permitted"


class Ledger(Protocol):
    """Remembers corrections of one specification on one cluster, also after a restart."""

    def since(self, moment: datetime) -> Mapping[str, int]:
        """Object → how often it was corrected from then on. Raises KspecError."""
        ...

    def note(self, name: str, moment: datetime) -> None:
        """It was corrected. Raises KspecError."""
        ...


class Rules(NamedTuple):
    """types: those that are corrected; delete_extra: also delete what is extra; most: corrections in one run."""

    types: frozenset[DriftType] = frozenset((DriftType.POLICY,))
    delete_extra: bool = False
    most: int = 20


class Decided(NamedTuple):
    """A difference with what is to be done about it. acts: whether that is a correction.

    spare: a correction beyond the limit, which is made where another one fails
    """

    drifted: Drifted
    remediation: Remediation
    acts: bool
    spare: Remediation | None = None

    @property
    def event(self) -> DriftEvent:
        """The event, with the remediation."""
        return self.drifted.event.remediated(self.remediation)


def decide(drifted: Sequence[Drifted], rules: Rules, recent: Mapping[str, int], now: str) -> list[Decided]:
    """In the order in which corrections are carried out. recent: corrections within WINDOW.

    Where there are more than a run may make, the worst differences are corrected.
    """
    found = [_decide(one, rules, recent.get(one.change.object, 0), now) for one in drifted]
    text = f"not corrected: this run has reached its limit of {rules.most} corrections."
    later = Remediation(Action.SKIP, Status.DETECTED, now, details=text)
    acting = [index for index, one in enumerate(found) if one.acts]
    acting.sort(key=lambda index: -found[index].event.severity.rank)  # equal ones stay in their order
    for index in acting[rules.most :]:
        one = found[index]
        found[index] = Decided(one.drifted, later, acts=False, spare=one.remediation)
    return found


def _decide(one: Drifted, rules: Rules, times: int, now: str) -> Decided:
    event, change = one
    if event.remediation is not None:
        return Decided(one, event.remediation, acts=False)
    why = ""
    if event.type not in rules.types:
        why = f"not corrected: correction of drift of type {event.type.value} is not enabled."
    elif event.holder:
        why = f"not corrected: {event.holder} manages it. Correct it there."
    elif event.kind is DriftKind.EXTRA and not rules.delete_extra:
        why = "not deleted: extra policies are deleted only with --force or deleteExtra."
    if why:
        return Decided(one, Remediation(Action.SKIP, Status.DETECTED, now, details=why), acts=False)
    if times >= FIGHT:
        by = f" by {event.author.manager}" if event.author else ""
        why = (
            f"not corrected: it was corrected {times} times within an hour, and changed again{by} each time. "
        )
        why += "Find out which client changes it, and stop this first."
        return Decided(one, Remediation(Action.MANUAL, Status.MANUAL, now, details=why), acts=False)
    if change.error is not None:
        why = str(change.error)
        return Decided(one, Remediation(_ACTIONS[change.what], Status.FAILED, now, error=why), acts=False)
    return Decided(
        one, Remediation(_ACTIONS[change.what], Status.DETECTED, now, details=_details(one)), acts=True
    )


def forbidden(drifted: Sequence[Drifted], why: str, now: str) -> list[Decided]:
    """As `decide`, where corrections are not permitted: none is tried."""
    left = Remediation(Action.SKIP, Status.DETECTED, now, details=f"{_FORBIDDEN}: {why}")
    return [
        Decided(one, one.event.remediation if one.event.remediation is not None else left, acts=False)
        for one in drifted
    ]


def is_forbidden(event: DriftEvent) -> bool:
    """Whether it is not corrected because that is not permitted."""
    return event.remediation is not None and event.remediation.details.startswith(_FORBIDDEN)


def done(remediation: Remediation, time: str) -> Remediation:
    """What was to be done, once it was done. time: RFC 3339."""
    details = remediation.details.replace("to be ", "")
    return remediation._replace(status=Status.REMEDIATED, time=time, details=details)


def failed(event: DriftEvent, error: SourceError, time: str) -> DriftEvent:
    """An event whose correction the cluster refused. time: RFC 3339."""
    before = event.remediation
    assert before is not None
    return event.remediated(Remediation(before.action, Status.FAILED, time, error=str(error)))


def is_failed(event: DriftEvent) -> bool:
    """Whether its correction failed."""
    return event.remediation is not None and event.remediation.status is Status.FAILED


def by_hand(event: DriftEvent) -> DriftEvent:
    """An event of which a part is ignored: a correction would set that part back, too."""
    text = "not corrected: some of its differences are ignored, and a correction would undo them. Correct it manually."
    return event.remediated(Remediation(Action.MANUAL, Status.MANUAL, event.first_seen, details=text))


def is_fight(event: DriftEvent) -> bool:
    """Whether it is not corrected because it was corrected too often."""
    done = event.remediation
    return done is not None and done.action is Action.MANUAL and "times within an hour" in done.details


def _details(one: Drifted) -> str:
    fields = one.event.fields
    if not fields:
        return {"create": "to be created.", "remove": "to be deleted."}.get(one.change.what, "to be changed.")
    more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
    return f"to be restored: {', '.join(field.path for field in fields[:_SHOWN])}{more}."


def _spares(decided: Sequence[Decided]) -> list[Decided]:
    return sorted((one for one in decided if one.spare is not None), key=lambda one: -one.event.severity.rank)


def carry_out(
    decided: Sequence[Decided], writer: Writer, ledger: Ledger, clock: Callable[[], datetime], *, spec: str
) -> Iterator[DriftEvent]:
    """Correct what is to be corrected; each event comes back when that is done, or failed. The audit log has each.

    spec: the name of the specification.

    Where a correction cannot be remembered, it was made, and nothing more is corrected: a fight would not be seen.
    Where one fails, the first one beyond the limit is made instead: those that fail each time keep no other from it.
    """
    forgotten = ""
    failures = 0
    for one in [*(one for one in decided if one.spare is None), *_spares(decided)]:
        if one.spare is not None and failures:
            one = one._replace(remediation=one.spare, acts=True)
            failures -= 1
        if not one.acts:
            yield one.event
            continue
        now = clock()
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        if forgotten:
            yield one.drifted.event.remediated(
                Remediation(Action.SKIP, Status.DETECTED, stamp, details=forgotten)
            )
            continue
        about = {**trail.about(writer.source), "spec": spec, "resource": one.drifted.change.object}
        try:
            list(applying.carry_out([one.drifted.change], writer))
        except SourceError as error:
            said = f"{one.event.message} Not corrected: {error}"
            trail.emit("remediation", "drift", "failure", said, severity="error", **about)
            failures += not isinstance(error, SourceUnavailable)
            yield failed(one.event, error, stamp)
            continue
        made = done(one.remediation, stamp)
        trail.emit(
            "remediation", "drift", "success", f"{one.event.message} Corrected: {made.details}", **about
        )
        yield one.drifted.event.remediated(made)
        try:
            ledger.note(one.drifted.change.object, now)
        except (SourceError, StoreError) as error:
            forgotten = f"not corrected: corrections cannot be recorded: {error}"
