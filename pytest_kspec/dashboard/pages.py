"""The pages: what each reads, and the template that lays it out. Nothing here knows of HTTP.

A page reads everything with one `ask`, so that it is shown as a whole from one moment, or as it was at an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup

from pytest_kspec import __version__
from pytest_kspec.dashboard.asked import CHOICES, STATES_OF, Asked
from pytest_kspec.dashboard.lists import LISTS
from pytest_kspec.errors import UsageError
from pytest_kspec.reports.html import trend as drawing
from pytest_kspec.reports.html.environment import TEMPLATES, environment
from pytest_kspec.reports.shared.words import CONTROLS, STATES, STATUSES, VERDICTS
from pytest_kspec.results.identity import labels
from pytest_kspec.results.observation import State
from pytest_kspec.results.points import TrendPoint
from pytest_kspec.storage import lasting, listing, pages, read
from pytest_kspec.storage.cut import MOST_ROWS, Cut
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.rows import Day
from pytest_kspec.storage.visible import Visible

_HERE = Path(__file__).parent
SHEETS = {"report.css": TEMPLATES / "report.css", "dashboard.css": _HERE / "static" / "dashboard.css"}
_OF_A_CLUSTER = Cut(1, MOST_ROWS)
_SHORT = Cut(1, 20)
_RUNS = 400
"""Results of one specification on one cluster that its line is drawn from."""

FINDING_WORDS = {status.value: word for status, word in STATUSES.items()} | {
    State.FIXED.value: "fixed",
    State.UNKNOWN.value: "unknown",
}
EXEMPTION_WORDS = {"used": "In use", "expired": "Expired", "unused": "Unused"}
TONES = {"open": "fail", "known": "skip", "exempt": "exempt", "fixed": "pass", "unknown": "error"}
"""Colour and icon of a state of a finding; its word stands beside it."""


class NotThere(Exception):
    """There is no such thing, or the viewer may not see it: the answer is the same."""


class Page(NamedTuple):
    """names: its filters; states: a key of STATES_OF; ask: what the template is given; menu: its word, or ""."""

    template: str
    title: str
    names: tuple[str, ...]
    states: str
    ask: Callable[[Store, Visible, Asked, datetime], dict[str, Any]]
    menu: str = ""


def _fleet(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    found = LISTS["results"].of(store, visible, asked, now)
    return {
        "found": found,
        "specs": listing.specs(store, visible),
        "clusters": listing.visible_clusters(store, visible),
        "some": _of_namespaces(store, visible),
    }


def _of_namespaces(store: Store, visible: Visible) -> list[tuple[str, str, list[str]]]:
    """(identity, name, namespaces) of clusters of which only findings may be seen."""
    if not visible.namespaces:
        return []
    names = dict(listing.clusters(store))
    return [
        (identity, names[identity], sorted(some))
        for identity, some in sorted(visible.namespaces.items())
        if identity in names
    ]


def _cluster(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    named = dict(listing.clusters(store))
    whole = visible.sees(asked.cluster)
    if asked.cluster not in named or not (whole or visible.namespaces.get(asked.cluster)):
        raise NotThere
    found = LISTS["findings"].of(store, visible, asked._replace(q="", spec=asked.spec), now)
    view: dict[str, Any] = {"name": named[asked.cluster], "whole": whole, "findings": found}
    if not whole:
        return view | {"namespaces": sorted(visible.namespaces[asked.cluster])}
    standings = listing.standings(store, visible, cluster_id=asked.cluster, order="name", cut=_OF_A_CLUSTER)
    spec = asked.spec or (standings.rows[0].spec if len(standings.rows) == 1 else "")
    view["standings"] = [row for row in standings.rows if not asked.spec or row.spec == asked.spec]
    view["all"] = standings.rows
    view["checks"] = listing.requirement_results(
        store, visible, cluster_id=asked.cluster, spec=asked.spec, cut=_OF_A_CLUSTER
    )
    view["frameworks"] = listing.framework_results(
        store, visible, cluster_id=asked.cluster, cut=_OF_A_CLUSTER
    ).rows
    view["exemptions"] = listing.exemptions(store, visible, cluster_id=asked.cluster, cut=_OF_A_CLUSTER).rows
    points = read.trend(store, read.Query(asked.cluster, spec, asked.since(now))) if spec else ()
    view["trend"] = drawing.of(point for point in points[-_RUNS:] if point.cluster_id == asked.cluster)
    view["trend_spec"] = spec
    return view


def _requirements(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    found = LISTS["requirements"].of(store, visible, asked, now)
    return {"found": found, "specs": listing.specs(store, visible)}


def _requirement(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    found = LISTS["verdicts"].of(store, visible, asked, now)
    if not asked.check or not (found.total or found.counts or asked.q or asked.verdict or asked.spec):
        raise NotThere
    title, remediation = listing.remediation(store, asked.check)
    open_ones = lasting.findings(store, visible, check=asked.check, state="open", spec=asked.spec, cut=_SHORT)
    return {
        "found": found,
        "name": title,
        "remediation": remediation,
        "findings": open_ones,
        "specs": listing.specs(store, visible),
    }


def _findings(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    found = LISTS["findings"].of(store, visible, asked, now)
    return {"found": found, "specs": listing.specs(store, visible)}


def _finding(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    if not asked.id:
        raise NotThere
    found = lasting.findings(store, visible, fingerprint=asked.id, spec=asked.spec, cut=_SHORT)
    if not found.rows:
        raise NotThere
    first = found.rows[0]
    title, remediation = listing.remediation(store, first.check)
    view = {"rows": found.rows, "finding": first, "name": title, "remediation": remediation, "seen": ()}
    if len(found.rows) == 1:
        try:
            view["seen"] = tuple(reversed(pages.observations(store, asked.id, first.spec)))[:_RUNS]
        except UsageError as error:  # it went meanwhile
            raise NotThere from error
    return view


def _frameworks(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    return {"frameworks": listing.frameworks(store, visible)}


def _framework(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    totals = [one for one in listing.frameworks(store, visible) if one.framework == asked.framework]
    if not totals:
        raise NotThere
    return {"totals": totals, "found": LISTS["frameworks"].of(store, visible, asked, now)}


def _exemptions(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    return {"found": LISTS["exemptions"].of(store, visible, asked, now)}


def _drift(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    return {"found": LISTS["drift"].of(store, visible, asked, now), "specs": listing.specs(store, visible)}


def _trend(store: Store, visible: Visible, asked: Asked, now: datetime) -> dict[str, Any]:
    found = listing.days(store, visible, since=asked.since(now), cluster_id=asked.cluster, spec=asked.spec)
    named = dict(listing.clusters(store))
    if asked.cluster and not (asked.cluster in named and visible.sees(asked.cluster)):
        raise NotThere
    return {
        "found": found,
        "series": drawing.of(_point(day) for day in found),
        "specs": listing.specs(store, visible),
        "name": named.get(asked.cluster, ""),
    }


def _point(day: Day) -> TrendPoint:
    """A day as the drawing takes it: at its beginning."""
    counts = (day.passed, day.failed, day.errors, day.skipped, day.findings)
    return TrendPoint(f"{day.day}T00:00:00Z", "all", "", "", day.score, *counts, exempt=0, known=0)


PAGES = {
    "/": Page("fleet", "Fleet", LISTS["results"].names, "results", _fleet, "Fleet"),
    "/cluster": Page(
        "cluster", "Cluster", ("cluster", "spec", "days", "severity", "state"), "findings", _cluster
    ),
    "/requirements": Page(
        "requirements", "Requirements", LISTS["requirements"].names, "", _requirements, "Requirements"
    ),
    "/requirement": Page("requirement", "Requirement", ("check", "q", "spec", "verdict"), "", _requirement),
    "/findings": Page("findings", "Findings", LISTS["findings"].names, "findings", _findings, "Findings"),
    "/finding": Page("finding", "Finding", ("id", "spec"), "", _finding),
    "/frameworks": Page("frameworks", "Frameworks", (), "", _frameworks, "Frameworks"),
    "/framework": Page("framework", "Framework", ("framework", "q"), "", _framework),
    "/exemptions": Page(
        "exemptions", "Exemptions", LISTS["exemptions"].names, "exemptions", _exemptions, "Exemptions"
    ),
    "/drift": Page("drift", "Drift", LISTS["drift"].names, "drift", _drift, "Drift"),
    "/trend": Page("trend.page", "Score over time", LISTS["trend"].names, "", _trend, "Trend"),
}
_MENU = [(path, page.menu) for path, page in PAGES.items() if page.menu]


def templates() -> jinja2.Environment:
    """Of the dashboard, with those of the report, which have the same marks and words."""
    made = environment(_HERE / "templates")
    made.globals.update(
        menu=_MENU,
        version=__version__,
        words={verdict.value: word for verdict, word in VERDICTS.items()},
        states=STATES,
        finding_words=FINDING_WORDS,
        exemption_words=EXEMPTION_WORDS,
        control_words={status.value: word for status, word in CONTROLS.items()},
        tones=TONES,
        choices=CHOICES,
        states_of=STATES_OF,
        link=_link,
        labelled=_labelled,
        drawing=drawing,
        sheets=[f"/static/{name}?v={_version(path)}" for name, path in SHEETS.items()],
    )
    return made


def _version(path: Path) -> str:
    """What a browser may keep a sheet by."""
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _link(path: str, **query: str | int) -> Markup:
    """An address of the dashboard; what is "" is left out."""
    given = {name: value for name, value in query.items() if value != ""}
    return Markup("{}").format(f"{path}?{urlencode(given)}" if given else path)


def _labelled(rows: Any) -> dict[str, str]:
    """What to call the cluster of each row: two that share a name are told apart."""
    return labels((row.cluster_id, row.cluster) for row in rows)
