"""CSV by RFC 4180, for spreadsheets and databases: a row for each finding, and one for each requirement without any.

A spreadsheet obeys a cell that starts like a formula, and what a cluster holds may have been written for that: such
text gets an apostrophe in front, which spreadsheets take as "this is text".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import lru_cache

from pytest_kspec.reports.shared import words
from pytest_kspec.reports.shared.text import printable, value
from pytest_kspec.reports.shared.titles import cluster_titles, unique
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult

COLUMNS = (
    *("result", "cluster", "cluster_version", "source", "specification", "specification_version"),
    *("requirement", "title", "severity", "verdict", "reason", "controls", "location", "examined"),
    *("status", "owner_kind", "owner_namespace", "owner_name", "count"),
    *(
        "object_kind",
        "object_namespace",
        "object_name",
        "container",
        "field",
        "actual",
        "expected",
        "message",
    ),
    *("exemption", "exemption_reason", "exemption_approver", "exemption_until"),
    *("remediation", "patch", "fingerprint"),
)
_FORMULA = frozenset("=+-@＝＋－＠")  # East Asian spreadsheets take the wide ones too
_NO_FINDING = ("",) * (len(COLUMNS) - COLUMNS.index("status") - 3)


def render(result: ScanResult) -> bytes:
    """The file as UTF-8 without a byte order mark; the first row names the columns, lines end with CR LF."""
    out = io.StringIO()
    # The names that make a cluster's results and its requirements unique are those of the JUnit report.
    write = csv.writer(out, lineterminator="\r\n").writerow
    write(COLUMNS)
    for cluster, title in zip(result.clusters, cluster_titles(result), strict=True):
        for row in _rows(cluster, title):
            write(row)
    return out.getvalue().encode("utf-8", "replace")


def _rows(cluster: ClusterResult, title: str) -> Iterator[tuple[object, ...]]:
    about = tuple(
        map(
            _cell,
            (title, cluster.name, cluster.version, cluster.source, cluster.spec_name, cluster.spec_version),
        )
    )
    for check, name in zip(cluster.checks, unique(c.id for c in cluster.checks), strict=True):
        texts = (
            *(name, check.title, check.severity.value, check.verdict.value, check.reason),
            *(words.controls(check), check.location),
        )
        head = (*about, *map(_cell, texts), check.examined)
        fix = _cell(check.remediation)
        if not check.findings:
            yield (*head, *_NO_FINDING, fix, "", "")
        for finding in check.findings:
            yield (*head, *_finding(finding), fix, *_identity(cluster, check, finding))


def _finding(finding: Finding) -> Iterator[object]:
    owner, resource, exemption = finding.owner, finding.resource, finding.exemption
    yield finding.status.value
    yield from (_cell(owner.kind or "cluster"), _cell(owner.namespace), _cell(owner.name), finding.count)
    yield from (_cell(resource.kind or "cluster"), _cell(resource.namespace), _cell(resource.name))
    yield from (_cell(finding.container), _cell(finding.path), _cell(value(finding.actual)))
    yield from (_cell(finding.expected), _cell(finding.message))
    if exemption is None:
        yield from ("", "", "", "")
    else:
        until = words.until(exemption.expires_at) if exemption.expires_at else ""
        yield from map(_cell, (exemption.name, exemption.reason, exemption.approver, until))


def _identity(cluster: ClusterResult, check: CheckResult, finding: Finding) -> tuple[str, str]:
    patch = "" if finding.fix is None else value(finding.fix)
    return _cell(patch), fingerprint(cluster.id, check.id, finding)


@lru_cache(4096)  # most are those of the row before
def _cell(text: str) -> str:
    """One line of text that no spreadsheet takes for a formula."""
    text = printable(text)
    return f"'{text}" if text[:1] in _FORMULA or text.lstrip()[:1] in _FORMULA else text
