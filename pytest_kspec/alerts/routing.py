"""Who hears of an alert: receivers of a configuration with their routes, severities, events, groups and inhibitions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pytest_kspec.alerts.alert import ENDS, EVENTS, Fact, Level
from pytest_kspec.crds.models.alertconfig import (
    ALERTMANAGER,
    NAMED,
    WEBHOOK,
    AlertConfigSpec,
    AlertRoute,
    CustomNotifier,
    Inhibition,
    Receiver,
    WebhookNotifier,
)
from pytest_kspec.crds.models.base import seconds
from pytest_kspec.errors import SpecError, UsageError
from pytest_kspec.extend.places import NOTIFIERS
from pytest_kspec.kube.globs import Globs

MOST_IN_TEXT = 10
"""Alerts that a message for people lists; the others are counted."""

MOST_IN_DATA = 5_000
"""Alerts in one message for programs; those that did not fit are sent in the next one. Alertmanager is sent all each
time: it ends what it does not hear of.
"""
_ALL = 1_000_000

_DEFAULT_INHIBITIONS = (
    Inhibition(source={"event_type": "ClusterUnreachable"}, target={}, equal=["cluster"]),
    Inhibition(
        source={"severity": "critical", "check": "*"},
        target={"severity": "info"},
        equal=["cluster_uid", "spec", "check"],
    ),
)


class Matcher:
    """Labels with patterns; all must match. No pattern matches everything."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = {name: Globs([pattern]) for name, pattern in patterns.items()}

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels do."""
        return all(name in labels and globs.match(labels[name]) for name, globs in self._patterns.items())


@dataclass(frozen=True)
class Route:
    """One receiver, and all that decides what it is sent."""

    name: str
    receiver: Receiver
    default: Level
    group_by: tuple[str, ...]
    routes: tuple[tuple[Matcher, AlertRoute], ...]
    most: int

    @property
    def kind(self) -> str:
        """The type of the notifier, by which `extend.places.NOTIFIERS` finds what sends to it."""
        if isinstance(self.receiver, CustomNotifier):
            return self.receiver.type
        return WEBHOOK if isinstance(self.receiver, WebhookNotifier) else self.name

    @property
    def sends_resolved(self) -> bool:
        """Whether it is told that an alert ended."""
        return self.receiver.send_resolved

    @property
    def expires(self) -> bool:
        """Whether what it was sent ends by itself there, unless it is sent again."""
        return self.kind == ALERTMANAGER

    def wants(self, fact: Fact) -> bool:
        """Whether this alert, or its end, is for this receiver."""
        events = self.receiver.events
        if events and fact.alert.event not in events and ENDS.get(fact.alert.event) not in events:
            return False
        level = level_of(fact, self.default)
        if level.rank < Level(self.receiver.min_severity).rank:
            return False
        if not self.routes:
            return True
        labels = labels_of(fact, self.default)
        for matcher, route in self.routes:
            if route.severities and level not in route.severities:
                continue
            if not matcher.matches(labels):
                continue
            if self.name in route.notifiers:
                return True
            if not route.continue_:
                return False
        return False

    def group(self, fact: Fact) -> tuple[tuple[str, str], ...]:
        """The labels by which its message is found."""
        labels = labels_of(fact, self.default)
        return tuple((name, labels.get(name, "")) for name in self.group_by)


@dataclass(frozen=True)
class Plan:
    """A configuration that was found valid. name: of the configuration, unique in its store or cluster."""

    name: str
    spec: AlertConfigSpec
    receivers: tuple[Route, ...]
    group_wait: timedelta
    group_interval: timedelta
    repeat_interval: timedelta
    inhibitions: tuple[tuple[Matcher, Matcher, tuple[str, ...]], ...]

    @property
    def default(self) -> Level:
        """The severity of alerts that have none."""
        return Level(self.spec.default_severity)

    def silenced(self, active: list[Fact]) -> frozenset[str]:
        """Ids of active alerts that others silence."""
        labels = {fact.alert.id: labels_of(fact, self.default) for fact in active}
        silent: set[str] = set()
        for source, target, equal in self.inhibitions:
            # As in Alertmanager: what matches both sides is not silenced by what matches both.
            sources: dict[tuple[str, ...], bool] = {}
            """Values of the labels that must be equal → whether a source with them is not a target itself."""
            for mine in labels.values():
                if source.matches(mine):
                    place = tuple(mine.get(name, "") for name in equal)
                    sources[place] = sources.get(place, False) or not target.matches(mine)
            if not sources:
                continue
            for key, mine in labels.items():
                one_sided = sources.get(tuple(mine.get(name, "") for name in equal))
                if one_sided is not None and target.matches(mine) and (one_sided or not source.matches(mine)):
                    silent.add(key)
        return frozenset(silent)


def level_of(fact: Fact, default: Level) -> Level:
    """Its own severity, or the default one."""
    return fact.alert.level or default


def labels_of(fact: Fact, default: Level) -> dict[str, str]:
    """What routes, groups and inhibitions see."""
    return {
        **fact.alert.labels,
        "event_type": fact.alert.event,
        "severity": level_of(fact, default).value,
    }


def group_key(config: str, labels: Iterable[tuple[str, str]]) -> str:
    """32 hexadecimal digits: the same for the same group in every run and on every replica."""
    text = "\0".join([config, *(f"{name}\0{value}" for name, value in labels)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def make_plan(name: str, spec: AlertConfigSpec, where: str = "") -> Plan:
    """What a configuration asks for. Raises SpecError with every problem that its model cannot know."""
    notifiers: dict[str, Receiver] = {
        known: getattr(spec, known)
        for known in NAMED
        if getattr(spec, known) is not None and getattr(spec, known).enabled
    }
    disabled = {known for known in NAMED if getattr(spec, known) is not None} - set(notifiers)
    notifiers |= {one.name: one for one in _named(spec)}
    problems = list(_problems(spec, notifiers, disabled))
    if problems:
        raise SpecError(
            "the configuration is not valid.",
            where=where,
            problems=tuple(f"{where}: {problem}" if where else problem for problem in problems),
        )
    routes = tuple((Matcher(route.match), route) for route in spec.routes)
    default = Level(spec.default_severity)
    return Plan(
        name,
        spec,
        tuple(
            Route(
                known,
                receiver,
                default,
                tuple(spec.group_by if receiver.group_by is None else receiver.group_by),
                routes,
                MOST_IN_DATA if getattr(receiver, "format", "") in ("cloudevents", "alertmanager") else _ALL,
            )
            for known, receiver in notifiers.items()
        )
        if spec.enabled
        else (),
        timedelta(seconds=seconds(spec.group_wait)),
        timedelta(seconds=seconds(spec.group_interval)),
        timedelta(seconds=seconds(spec.repeat_interval)),
        tuple(
            (Matcher(one.source), Matcher(one.target), tuple(one.equal))
            for one in (*_DEFAULT_INHIBITIONS, *spec.inhibit)
        ),
    )


def _problems(spec: AlertConfigSpec, notifiers: Mapping[str, Any], disabled: set[str]) -> Iterable[str]:
    from pytest_kspec.alerts.templates import problem

    names = [one.name for one in _named(spec)]
    for twice in sorted({one for one in names if names.count(one) > 1}):
        yield f"spec.{'custom' if spec.custom else 'webhooks'}: two notifiers have the name '{twice}'."
    for taken in sorted(set(names) & {known for known in NAMED if getattr(spec, known) is not None}):
        yield f"spec: a notifier has the name '{taken}', which is that of spec.{taken}. Give it another name."
    yield from _types(spec)
    until = spec.alertmanager.resolve_after if spec.alertmanager is not None else ""
    if until and ALERTMANAGER in notifiers and seconds(until) <= seconds(spec.repeat_interval):
        yield (
            f"spec.alertmanager.resolveAfter ({until}) must be longer than spec.repeatInterval "
            f"({spec.repeat_interval}): otherwise Alertmanager resolves alerts that are still active."
        )
    if not notifiers and not disabled:
        yield "spec: there is no notifier. Add slack, webhooks, pagerduty, email, alertmanager or custom."
    have = ", ".join(sorted(notifiers)) or "none"
    for number, route in enumerate(spec.routes):
        for unknown in sorted(set(route.notifiers) - set(notifiers) - disabled):
            yield f"spec.routes[{number}].notifiers: '{unknown}' is not a notifier; the notifiers are: {have}."
    for name, receiver in notifiers.items():
        for event in sorted(set(receiver.events) - set(EVENTS)):
            yield f"the notifier {name}: '{event}' is not an event; allowed: {', '.join(sorted(EVENTS))}."
        template = getattr(receiver, "template", "")
        if template and (what := problem(template)):
            yield f"the template of {name}: {what}"
        for header, text in getattr(receiver, "headers", {}).items():
            if not header.isascii() or not _HEADER.fullmatch(header) or not text.isprintable():
                yield f"the notifier {name}: '{header[:40]}' is not a header that can be sent."


def _named(spec: AlertConfigSpec) -> list[WebhookNotifier | CustomNotifier]:
    return [*spec.webhooks, *spec.custom]


def _types(spec: AlertConfigSpec) -> Iterable[str]:
    """Of packages: imported here, in the thread of the caller, not when something has happened."""
    for number, custom in enumerate(spec.custom):
        where = f"spec.custom[{number}].type"
        if custom.type in NOTIFIERS.builtin:
            yield f"{where}: '{custom.type}' is built in: use the key of spec that has its name."
            continue
        try:
            NOTIFIERS.load(custom.type)
        except UsageError as error:
            yield f"{where}: {error}"


_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
