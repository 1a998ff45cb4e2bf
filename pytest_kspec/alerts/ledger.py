"""What is active, and what each receiver was told: from an observation to what is to be sent. No I/O and no clock.

As in Alertmanager, a receiver is told of a group again only where something was added or ended, or where the last
message is older than the interval of repetition. What a receiver was told is noted when it was sent, never before:
where a process ends between the two, the next one sends the same once more, under the same key.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pytest_kspec.alerts.alert import FIRING, Fact
from pytest_kspec.alerts.observe import Observation
from pytest_kspec.alerts.routing import Plan, Route, group_key
from pytest_kspec.results.identity import LIVE, LONGEST, is_of_live

MOST_FACTS = 50_000
"""Alerts that are kept, or up to a twentieth more; beyond, the least urgent are left out and counted."""

KEPT = timedelta(days=7)
"""How long an alert that ended is kept for receivers that were not told yet."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a receiver was told of a group. alerts: id → `Fact.token` of those that were active then."""

    at: str
    alerts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notification:
    """One message. key: of the group, the same in every message about it; labels: those that the group shares.

    firing, resolved: the most urgent first; left: active alerts that did not fit and are told next time
    knows: what the receiver knows of the group once it has this, as `Told.alerts`
    """

    receiver: str
    key: str
    labels: dict[str, str]
    firing: tuple[Fact, ...]
    resolved: tuple[Fact, ...]
    at: str
    left: int = 0
    knows: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """Firing while anything of it is."""
        return FIRING if self.firing else "resolved"

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All, active ones first."""
        return (*self.firing, *self.resolved)


class Ledger:
    """Facts by id, and what was told by (receiver, key of the group). dropped: how many did not fit."""

    def __init__(self, facts: Iterable[Fact] = (), told: dict[tuple[str, str], Told] | None = None) -> None:
        self.facts = {fact.alert.id: fact for fact in facts}
        self.told = dict(told or {})
        self.dropped = 0
        # Ids by specification and cluster: each observation is about one of thousands.
        self._about: dict[tuple[str, str], set[str]] = {}
        for fact in self.facts.values():
            self._note(fact)

    def take(self, seen: Observation) -> None:
        """What was observed becomes what is known."""
        mine = {fact.alert.id: fact for fact in self._known(seen) if not fact.resolved_at}
        for alert in seen.active:
            before = self.facts.get(alert.id)
            if before is None or before.resolved_at:
                self._add(Fact(alert, seen.at))
                continue
            # Members may have been left out, where they were too many to be kept.
            whole = len(before.alert.members) >= before.alert.count
            more = bool(alert.members - before.alert.members) if whole else before.alert.count < alert.count
            self.facts[alert.id] = replace(before, alert=alert, revision=before.revision + more)
        active = {alert.id for alert in seen.active}
        for key, fact in mine.items():
            if key in active or seen.leaves(fact.alert):
                continue
            self.facts[key] = replace(fact, resolved_at=seen.at)

    def _note(self, fact: Fact) -> None:
        alert = fact.alert
        self._about.setdefault((alert.spec, alert.cluster_id), set()).add(alert.id)

    def _known(self, seen: Observation) -> Iterator[Fact]:
        """Facts that an observation is about, in one order."""
        places = {(seen.spec, seen.cluster_id), (seen.spec, f"{LIVE}{seen.cluster}"[:LONGEST])}
        for key in sorted(key for place in places for key in self._about.get(place, ())):
            if _concerns(self.facts[key], seen):
                yield self.facts[key]

    def _drop(self, key: str) -> None:
        alert = self.facts.pop(key).alert
        place = alert.spec, alert.cluster_id
        self._about[place].discard(key)
        if not self._about[place]:
            del self._about[place]

    def end(self, cluster_id: str, spec: str, at: str, reason: str) -> None:
        """Everything of a specification on a cluster ("": on all) ended."""
        for key, fact in list(self.facts.items()):
            if fact.resolved_at or fact.alert.spec != spec:
                continue
            if not cluster_id or fact.alert.cluster_id == cluster_id:
                self.facts[key] = replace(fact, resolved_at=at, reason=reason)

    def _add(self, fact: Fact) -> None:
        self.facts[fact.alert.id] = fact
        self._note(fact)
        self._trim()

    def _trim(self) -> None:
        """Leave out the least urgent of what is too many; many at once, as all have to be looked at."""
        if (more := len(self.facts) - MOST_FACTS) <= MOST_FACTS // 20:
            return

        def least(one: Fact) -> tuple[bool, int, str]:
            return not one.resolved_at, _rank(one), one.alert.id

        for fact in heapq.nsmallest(more, self.facts.values(), key=least):
            self._drop(fact.alert.id)
            self.dropped += 1

    def due(self, plan: Plan, now: datetime, *, at_once: bool = False) -> list[Notification]:
        """What is to be sent now. at_once: without waiting for more alerts, as at the end of a run."""
        made = []
        silent = plan.silenced([fact for fact in self.facts.values() if not fact.resolved_at])
        for route in plan.receivers:
            groups: dict[tuple[tuple[str, str], ...], list[Fact]] = {}
            for fact in self.facts.values():
                if route.wants(fact):
                    groups.setdefault(route.group(fact), []).append(fact)
            for labels, facts in sorted(groups.items()):
                found = self._of_group(plan, route, labels, facts, silent, now, at_once)
                if found is not None:
                    made.append(found)
        return made

    def _of_group(
        self,
        plan: Plan,
        route: Route,
        labels: tuple[tuple[str, str], ...],
        facts: list[Fact],
        silent: frozenset[str],
        now: datetime,
        at_once: bool,
    ) -> Notification | None:
        key = group_key(plan.name, labels)
        before = self.told.get((route.name, key))
        known = before.alerts if before else {}
        firing = [
            fact
            for fact in facts
            if not fact.resolved_at and (fact.alert.id not in silent or fact.alert.id in known)
        ]
        ended = [fact for fact in facts if fact.resolved_at and fact.alert.id in known]
        news = [fact for fact in firing if known.get(fact.alert.id) != fact.token]
        if route.sends_resolved:
            news += ended
        elif not firing and not ended:
            return None
        since = _moment(before.at) if before else None
        if not news:
            heard = firing if route.expires else [fact for fact in firing if fact.alert.id not in silent]
            if not heard or since is None or now - since < plan.repeat_interval:
                if not route.sends_resolved and ended:  # nothing to send: it is only forgotten
                    self.told[route.name, key] = Told(before.at if before else stamp(now), _tokens(firing))
                return None
        elif not at_once:
            if since is not None and now - since < plan.group_interval:
                return None
            oldest = min(_moment(fact.resolved_at or fact.started_at) or now for fact in news)
            if since is None and now - oldest < plan.group_wait:
                return None
        fresh = {fact.alert.id for fact in news}
        chosen = sorted(firing, key=lambda fact: (fact.alert.id not in fresh, urgent(fact)))
        fits = sorted(chosen[: route.most], key=urgent)
        ended.sort(key=urgent)
        beyond = chosen[route.most :]
        knows = {name: known[name] for name in _tokens(beyond) if name in known}
        return Notification(
            route.name,
            key,
            dict(labels),
            tuple(fits),
            tuple(ended if route.sends_resolved else ()),
            stamp(now),
            sum(fact.alert.id in fresh for fact in beyond),
            knows | _tokens(fits),
        )

    def sent(self, made: Notification) -> None:
        """It was delivered."""
        self.told[made.receiver, made.key] = Told(made.at, made.knows)

    def forget(self, now: datetime, waiting: Iterable[str] = (), *, keep: timedelta = timedelta(0)) -> None:
        """Leave out alerts that ended and of which no receiver has to be told, or not for too long; and empty groups.

        waiting: ids that receivers of other configurations know as active
        keep: how long one that ended stays though no receiver has to be told, at most KEPT
        """
        waits = {key for told in self.told.values() for key in told.alerts}.union(waiting)
        for key, fact in list(self.facts.items()):
            ended = _moment(fact.resolved_at)
            if ended is not None and (now - ended > KEPT or (key not in waits and now - ended >= keep)):
                self._drop(key)
        for name, told in list(self.told.items()):
            last = _moment(told.at)
            if not told.alerts and (last is None or now - last > KEPT):
                del self.told[name]


def _concerns(fact: Fact, seen: Observation) -> bool:
    """Whether a fact is about the same specification and cluster; one whose UID was not known goes by its name."""
    alert = fact.alert
    if alert.spec != seen.spec or alert.event not in seen.judges:
        return False
    if alert.cluster_id == seen.cluster_id:
        return True
    return is_of_live(alert.cluster_id) and alert.cluster == seen.cluster


def _tokens(facts: Iterable[Fact]) -> dict[str, str]:
    return {fact.alert.id: fact.token for fact in facts}


def _rank(fact: Fact) -> int:
    return fact.alert.level.rank if fact.alert.level else 1


def urgent(fact: Fact) -> tuple[Any, ...]:
    """Sorts the most urgent first."""
    alert = fact.alert
    return -_rank(fact), alert.cluster, alert.spec, alert.event, alert.about, alert.id


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def stamp(moment: datetime) -> str:
    """RFC 3339 of a moment in UTC, to the second."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
