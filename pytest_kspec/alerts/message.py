"""What every message says of its alerts: v0.3's document, a title, lines of text. Formats are made of these."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pytest_kspec.alerts.alert import Fact, Level
from pytest_kspec.alerts.ledger import Notification
from pytest_kspec.alerts.routing import MOST_IN_TEXT, labels_of, level_of
from pytest_kspec.shown import printable, well_formed

LONGEST_TITLE = 200
LONGEST_TEXT = 2000


def worst(made: Notification, default: Level) -> Level:
    """The most urgent level of what is active, or of what ended."""
    return max((level_of(fact, default) for fact in made.firing or made.resolved), key=lambda one: one.rank)


def line(text: str, longest: int = LONGEST_TITLE) -> str:
    """Text of a cluster or a file as one line, without what would be obeyed or is not seen."""
    shown = printable(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def block(text: str, longest: int = LONGEST_TEXT) -> str:
    """The same for text of several lines."""
    shown = "\n".join(map(printable, text.splitlines()))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def title_of(fact: Fact) -> str:
    """A line about one alert."""
    text = fact.alert.title or fact.alert.event
    return line(f"Resolved: {text}" if fact.resolved_at else text)


def title(made: Notification) -> str:
    """A line about all."""
    if len(made.facts) == 1 and not made.left:
        return title_of(made.facts[0])
    clusters = {fact.alert.cluster_id for fact in made.facts}
    events = Counter(fact.event for fact in made.facts).most_common(3)
    counts = []
    if made.firing:
        counts.append(f"{len(made.firing) + made.left} active")
    if made.resolved:
        counts.append(f"{len(made.resolved)} resolved")
    where = next(iter(made.facts)).alert.cluster if len(clusters) == 1 else f"{len(clusters)} clusters"
    return line(f"{', '.join(counts)} on {where}: {', '.join(name for name, _ in events)}")


def listed(made: Notification) -> tuple[tuple[Fact, ...], int]:
    """Those that a message for people lists, and how many it leaves out."""
    facts = made.facts
    return facts[:MOST_IN_TEXT], max(0, len(facts) - MOST_IN_TEXT) + made.left


def source(fact: Fact) -> str:
    """The source of the alert, as v0.3 names it."""
    spec = fact.alert.spec or fact.alert.labels.get("spec", "")
    return f"ClusterSpec/{well_formed(spec)}" if spec else f"Cluster/{well_formed(fact.alert.cluster)}"


def document(fact: Fact, default: Level) -> dict[str, Any]:
    """v0.3's JSON of one alert; what it did not know is under metadata."""
    alert = fact.alert
    return {
        "level": (Level.INFO if fact.resolved_at else level_of(fact, default)).value,
        "title": well_formed(title_of(fact)),
        "description": well_formed(alert.description[:LONGEST_TEXT]),
        "source": source(fact),
        "timestamp": fact.resolved_at or fact.started_at,
        "event_type": fact.event,
        "labels": {name: well_formed(value) for name, value in alert.labels.items()},
        "metadata": {
            **alert.metadata,
            "alert_id": alert.id,
            "status": fact.state,
            "starts_at": fact.started_at,
            **({"ends_at": fact.resolved_at} if fact.resolved_at else {}),
            **({"reason": fact.reason} if fact.reason else {}),
        },
    }


def whole(made: Notification, default: Level) -> dict[str, Any]:
    """v0.3's JSON of a message. Of several alerts: the same keys about all of them, the first ten under metadata."""
    shown, left = listed(made)
    if len(shown) == 1 and not left:
        return document(shown[0], default)
    first = document(shown[0], default)
    level = worst(made, default) if made.firing else Level.INFO
    return {
        **first,
        "level": level.value,
        "title": title(made),
        "description": "\n".join(map(title_of, shown)) + (f"\nand {left} more" if left else ""),
        "timestamp": made.at,
        "labels": {name: well_formed(value) for name, value in _shared(made, default).items()},
        "metadata": {
            "alert_id": made.key,
            "status": made.state,
            "count": len(made.facts) + made.left,
            "active": len(made.firing) + made.left,
            "resolved": len(made.resolved),
            "alerts": [document(fact, default) for fact in shown],
        },
    }


def _shared(made: Notification, default: Level) -> dict[str, str]:
    """Labels that all have, and those of the group."""
    return {**common([labels_of(fact, default) for fact in made.facts]), **made.labels}


def common(many: list[dict[str, str]]) -> dict[str, str]:
    """What all of these have in common."""
    first, *rest = many
    return {name: value for name, value in first.items() if all(one.get(name) == value for one in rest)}


def values(made: Notification, default: Level) -> dict[str, Any]:
    """What templates read: the keys of the document, `status`, `count`, and `alerts`, a list of documents."""
    shown, left = listed(made)
    data = whole(made, default)
    return {
        **data,
        "status": made.state,
        "count": len(made.facts) + made.left,
        "more": left,
        "alerts": [document(fact, default) for fact in shown],
    }
