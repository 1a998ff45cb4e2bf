"""The HTML report: one file that loads nothing, for people who decide, who audit and who fix.

All numbers and orders are made here and in `html_*`; the templates only lay out. The page's own Content-Security-Policy
lets only its own style and script run, so hostile markup in a name would be harmless even if an escape were forgotten.
Without JavaScript totals, frameworks, requirements and the first findings are there; the script adds filters, sorting,
the matrix of frameworks, and all findings.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from pytest_kspec.model.check import Severity, Verdict
from pytest_kspec.model.result import CheckResult, ScanResult, Summary
from pytest_kspec.model.totals import WORST_FIRST, Totals
from pytest_kspec.reports import (
    html_data,
    html_frameworks,
    html_rows,
    html_summary,
    html_trend,
    order,
    text,
    words,
)
from pytest_kspec.reports.html_rows import Row

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("findings.js", "matrix.js", "report.js")
_FREQUENT = 6
_AT_ONCE = 600
"""Requirements that are markup at once. With more, those of a cluster wait in its `noscript`, until it is opened."""


class Frequent(NamedTuple):
    """One requirement that is not met on some of the clusters."""

    check: CheckResult
    failed: int
    errors: int
    clusters: int


@cache
def _environment() -> jinja2.Environment:
    """Kept, and with it the compiled templates: compiling takes longer than a page of a few findings."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        value=text.value,
        breakable=_breakable,
        printable=lambda name: text.printable(str(name)),
        owners=order.by_owner,
        owner_name=html_data.owner_name,
        shows_change=html_data.shows_change,
        patch=html_data.patch,
        terms=html_data.terms,
        plural=text.plural,
        moment=words.moment,
        fragment=lambda anchor: "#" + quote(anchor),
    )
    return environment


def render(result: ScanResult) -> bytes:
    """The page as UTF-8. `result` is in canonical order."""
    style = (_TEMPLATES / "report.css").read_text("utf-8")
    script = '"use strict";\n' + "".join((_TEMPLATES / name).read_text("utf-8") for name in _SCRIPTS)
    template = _environment().get_template("report.html.j2")
    page = template.render(
        **_view(result),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    return page.encode("utf-8", "replace")


def _hash(source: str) -> str:
    """The source as a Content-Security-Policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _view(result: ScanResult) -> dict[str, Any]:
    rows = html_rows.of(result)
    views = html_frameworks.of(rows)
    summary = result.summary
    totals = Totals.of_result(result)
    frequent = _frequent(rows)
    requirements = sum(len(row.cluster.checks) for row in rows)
    return {
        "result": result,
        "rows": rows,
        "one": len(rows) == 1,
        "lazy": requirements > _AT_ONCE,
        "summary": summary,
        "totals": totals,
        "static": sum(entry.part.size for row in rows for entry in row.entries),
        "total": requirements,
        "state": words.state(summary),
        "headline": words.headline(result),
        "sentence": words.sentence(summary),
        "sentences": html_summary.sentences(result, rows, views, totals),
        "terms": html_summary.TERMS,
        "specs": sorted({f"{r.cluster.spec_name} {r.cluster.spec_version}".strip() for r in rows}),
        "outcomes": _outcomes(rows),
        "severities": _by_severity(result),
        "frequent": frequent[:_FREQUENT],
        "less_frequent": frequent[_FREQUENT:],
        "words": {verdict.value: word for verdict, word in words.VERDICTS.items()},
        "states": words.STATES,
        "control_words": {status.value: word for status, word in words.CONTROLS.items()},
        "statuses": words.STATUSES,
        "parts": _parts(summary),
        "views": views,
        "trend": html_trend.of(result.trend),
        "drawing": html_trend,
        "data": Markup(html_data.render(rows, views)),
    }


def _parts(summary: Summary) -> list[tuple[str, str, int]]:
    """(verdict, word, count), worst first."""
    return [
        ("error", "Errors", summary.errors),
        ("fail", "Failed", summary.failed),
        ("pass", "Passed", summary.passed),
        ("skip", "Skipped", summary.skipped),
    ]


def _by_severity(result: ScanResult) -> list[tuple[Severity, dict[str, int]]]:
    counts: Counter[tuple[str, str]] = Counter(
        (check.severity.value, check.verdict.value) for cluster in result.clusters for check in cluster.checks
    )
    return [(s, {v.value: counts[s.value, v.value] for v in Verdict}) for s in WORST_FIRST]


def _outcomes(rows: list[Row]) -> list[tuple[str, str, int]]:
    """(state, words, how many clusters)."""
    states = Counter(row.state for row in rows)
    return [(state, word, states[state]) for state, word in words.STATES.items()]


def _frequent(rows: list[Row]) -> list[Frequent]:
    """Requirements that are not met, those of most clusters first."""
    bad: dict[str, list[CheckResult]] = {}
    seen: Counter[str] = Counter()
    for row in rows:
        for check in row.cluster.checks:
            seen[check.id] += 1
            if check.verdict in (Verdict.FAIL, Verdict.ERROR):
                bad.setdefault(check.id, []).append(check)
    found = []
    for check_id, checks in bad.items():
        failed = sum(c.verdict is Verdict.FAIL for c in checks)
        found.append(Frequent(checks[0], failed, len(checks) - failed, seen[check_id]))
    return sorted(found, key=lambda f: (-(f.failed + f.errors), -f.check.severity.rank, f.check.id))


def _breakable(path: str) -> Markup:
    """The field path, with places where a narrow column may break it."""
    return Markup(".<wbr>").join(text.printable(path).split("."))
