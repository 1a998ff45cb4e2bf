"""What a run of a DriftConfig says in its status: conditions, fields and Events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pytest_kspec.crds.models.base import seconds as seconds_of
from pytest_kspec.crds.models.driftconfig import DriftConfigSpec
from pytest_kspec.drift import correcting
from pytest_kspec.drift.events import DriftEvent, DriftType, Status
from pytest_kspec.drift.words import TYPES
from pytest_kspec.operator import status
from pytest_kspec.operator.status import NOT_COMPARED, READY, Note, Said
from pytest_kspec.reports.shared.text import plural
from pytest_kspec.spec.times import cron, zone

DEFAULT_S = 300.0
SHORTEST_S = 5.0
"""An interval below this is this."""
COMPARED, STORE_NEEDED = "Compared", "StoreNeeded"
NO_STORE = "Drift of type Compliance is compared with runs in a store: start the operator with --store."
NO_RECORDING = "The last good run is recorded in a store: start the operator with --store."


NOT_YET = "are not applied yet."


class Outcome(NamedTuple):
    """One specification. problems: why something is not known; notes: Events.

    whole: later scans can be compared with that of this run; cleared: a report says so, of drift that one reported
    good: a scan of this run evaluated everything, and all is met
    away: the cluster did not answer
    """

    spec: str
    events: tuple[DriftEvent, ...]
    problems: tuple[str, ...]
    notes: tuple[Note, ...] = ()
    whole: bool = True
    cleared: bool = False
    good: bool = False
    away: bool = False

    @property
    def remediated(self) -> int:
        """How many were corrected."""
        return sum(
            one.remediation is not None and one.remediation.status is Status.REMEDIATED for one in self.events
        )


class Run(NamedTuple):
    """What came of a run.

    others:  problems that are of no specification
    good_at: time of the last good run, RFC 3339; "": there is none
    """

    now: datetime
    outcomes: Sequence[Outcome]
    others: Sequence[str]
    good_at: str


def of(
    run: Run, config: DriftConfigSpec, cluster: str, before: Mapping[str, Any]
) -> tuple[list[Said], dict[str, Any], list[Note]]:
    """Conditions, fields and Events of a run. before: the status; cluster: its name, as users know it."""
    events = [event for one in run.outcomes for event in one.events]
    problems = [*run.others, *(text for one in run.outcomes for text in one.problems)]
    remaining = [
        event
        for event in events
        if event.remediation is None or event.remediation.status is not Status.REMEDIATED
    ]
    if not run.outcomes and not problems:
        problems.append(f"no specification of {cluster} matches, so nothing was compared.")
    if problems:
        reason = STORE_NEEDED if {NO_STORE, NO_RECORDING}.intersection(run.others) else NOT_COMPARED
        ready = Said(READY, "Unknown", reason, _listed(problems))
    else:
        ready = Said(READY, "True", COMPARED, f"{plural(len(run.outcomes), 'specification')} compared.")
    if remaining:
        texts = [
            *dict.fromkeys(_told(event) for event in remaining)
        ]  # of several findings, or specifications
        drift = Said(status.DRIFT, "True", status.DRIFT_FOUND, _listed(texts))
    elif problems:
        drift = Said(status.DRIFT, "Unknown", NOT_COMPARED, "Not everything was compared: see Ready.")
    else:
        named = ", ".join(TYPES[type] for type in DriftType if type in types_of(config))
        drift = Said(status.DRIFT, "False", status.NO_DRIFT, f"Nothing differs ({named}).")
    fields: dict[str, Any] = {
        "lastRunTime": status.stamp(run.now),
        "nextRunTime": status.stamp(again(config, run)),
        "driftDetected": bool(remaining) if remaining or not problems else None,
        "totalEvents": len(events) if events or not problems else None,
        "remediatedEvents": sum(one.remediated for one in run.outcomes) if events or not problems else None,
        "goodRunTime": run.good_at or None,
    }
    if run.outcomes and all(one.whole for one in run.outcomes):
        fields["baselineTime"] = status.stamp(run.now)
    notes = [note for one in run.outcomes for note in one.notes]
    was = status.condition(before, status.DRIFT).get("status")
    if drift.status == "False" and was == "Unknown" and any(one.cleared for one in run.outcomes):
        notes.append(Note("Normal", "DriftCleared", drift.message))
    return [ready, drift], fields, notes


def again(config: DriftConfigSpec, run: Run) -> datetime:
    """When to look again after a run. Where nothing could be compared yet, that is not a matter of a day or a week."""
    usual = next_run(config, run.now)
    waits = not run.outcomes and not run.others
    waits |= any(one.away or any(text.endswith(NOT_YET) for text in one.problems) for one in run.outcomes)
    return min(usual, run.now + timedelta(seconds=DEFAULT_S)) if waits else usual


def next_run(config: DriftConfigSpec, last: datetime) -> datetime:
    """When to look again after a look at `last`."""
    if config.schedule is None:
        interval = DEFAULT_S if config.interval is None else seconds_of(config.interval)
        return last + timedelta(seconds=max(SHORTEST_S, interval))
    from cronsim import CronSim

    here = zone(config.timezone)
    return next(CronSim(cron(config.schedule), last.astimezone(here))).astimezone(UTC)


def types_of(config: DriftConfigSpec) -> frozenset[DriftType]:
    """The types that are compared."""
    named = frozenset(type for type, word in TYPES.items() if word in config.types)
    return named or frozenset((DriftType.POLICY,))


def notes_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Note]:
    """Events of what changed."""
    drift, was = status.condition(after, status.DRIFT), status.condition(before, status.DRIFT)
    ready, was_ready = status.condition(after, READY), status.condition(before, READY)
    made = []
    text = str(drift.get("message", ""))
    if drift.get("status") == "True" and (was.get("status") != "True" or was.get("message") != text):
        made.append(Note("Warning", "DriftDetected", text))
    if drift.get("status") == "False" and was.get("status") == "True":
        made.append(Note("Normal", "DriftCleared", text))
    if ready.get("status") != "True" and ready.get("reason") != was_ready.get("reason"):
        made.append(Note("Warning", str(ready.get("reason")), str(ready.get("message", ""))))
    return made


def _told(event: DriftEvent) -> str:
    what = f"{event.kind.value} of {event.check}" if event.check else event.kind.value
    text = ", ".join(filter(None, (f"{event.resource}: {what}", who(event))))
    done = event.remediation
    return f"{text} ({done.details})" if done is not None and correcting.is_forbidden(event) else text


def who(event: DriftEvent) -> str:
    """Who changed it, and when; "": not known."""
    if event.author is None:
        return ""
    manager, time = event.author
    return f"changed by {manager or '?'}{f' at {time}' if time else ''}"


def _listed(texts: Sequence[str]) -> str:
    """One sentence of the first texts, each of which may be a sentence."""
    return status.listed([text.removesuffix(".") for text in texts]) + "."
