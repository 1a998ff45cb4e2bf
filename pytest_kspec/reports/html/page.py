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
from typing import Any, NamedTuple

from markupsafe import Markup

from pytest_kspec.reports.html import data as html_data
from pytest_kspec.reports.html import frameworks as html_frameworks
from pytest_kspec.reports.html import rows as html_rows
from pytest_kspec.reports.html import summary as html_summary
from pytest_kspec.reports.html import trend as html_trend
from pytest_kspec.reports.html.environment import TEMPLATES, environment
from pytest_kspec.reports.html.rows import Row
from pytest_kspec.reports.shared import fleet, words
from pytest_kspec.results.order import WORST_SEVERITIES_FIRST
from pytest_kspec.results.result import ScanResult, Summary
from pytest_kspec.results.totals import Totals
from pytest_kspec.results.verdict import Severity, Verdict

_SCRIPTS = ("findings.js", "matrix.js", "report.js")
_COMMON = 10
"""Requirements whose findings over all clusters are shown; more have a line each, up to _LISTED."""
_LISTED = 60
_ALIKE = 10
_REASONS = 8
_UNSEEN = 24
_AT_ONCE = 600
"""Requirements that are markup at once. With more, those of a cluster wait in its `noscript`, until it is opened."""


def render(result: ScanResult) -> bytes:
    """The page as UTF-8. `result` is in canonical order."""
    style = (TEMPLATES / "report.css").read_text("utf-8")
    script = '"use strict";\n' + "".join((TEMPLATES / name).read_text("utf-8") for name in _SCRIPTS)
    template = environment().get_template("report.html.j2")
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
    named = [(row.name, row.cluster) for row in rows]
    common = [] if len(rows) == 1 else fleet.common(named)
    reasons = fleet.reasons(named)
    unseen = [row for row in rows if row.summary.errors]
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
        "state": words.overall(summary),
        "headline": words.headline(result),
        "sentence": words.sentence(summary),
        "sentences": html_summary.sentences(result, rows, views, totals),
        "terms": html_summary.TERMS,
        "specs": sorted({f"{r.cluster.spec_name} {r.cluster.spec_version}".strip() for r in rows}),
        "outcomes": _outcomes(rows),
        "severities": _by_severity(result),
        "common": [(one, _alike(one)) for one in common[:_COMMON]],
        "less_common": common[_COMMON:_LISTED],
        "least_common": len(common[_LISTED:]),
        "unseen": unseen[:_UNSEEN],
        "more_unseen": len(unseen[_UNSEEN:]),
        "reasons": reasons[:_REASONS],
        "more_reasons": len(reasons[_REASONS:]),
        "recordings": words.recordings(result),
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
    return [(s, {v.value: counts[s.value, v.value] for v in Verdict}) for s in WORST_SEVERITIES_FIRST]


def _outcomes(rows: list[Row]) -> list[tuple[str, str, int]]:
    """(state, words, how many clusters); what could not be evaluated first. One of those may be not compliant too."""
    states = Counter(row.state for row in rows)
    both = sum(row.summary.failed > 0 for row in rows if row.state == "error")
    said = words.STATES | {
        "error": words.STATES["error"] + (f" ({both} of them not compliant)" if both else "")
    }
    return [(state, said[state], states[state]) for state in ("error", "fail", "known", "pass", "skip")]


class Shown(NamedTuple):
    """Findings of one requirement over all clusters, as many as are shown; left: how many more there are."""

    findings: list[fleet.Alike]
    left: int


def _alike(common: fleet.Common) -> Shown:
    found = common.alike()
    return Shown(found[:_ALIKE], len(found) - len(found[:_ALIKE]))
