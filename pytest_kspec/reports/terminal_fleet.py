"""The terminal summary of several clusters: what could not be looked at, then each requirement and finding once.

`fleet` says which findings are the same, as for the other reports. The table by cluster follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_kspec.reports.shared import fleet, words
from pytest_kspec.reports.shared.text import plural, width_of
from pytest_kspec.reports.terminal_parts import (
    Page,
    findings_lines,
    fix_lines,
    framework_lines,
    id_lines,
    note_lines,
    notes,
    short_line,
)
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.results.verdict import Verdict

NAMES = 8
"""Clusters that are named where something is said of them."""
FEW = 3
"""Clusters that are named beside each requirement and finding; the table and the reports name all."""
REASONS = 10

Named = Sequence[tuple[str, ClusterResult]]


def lines(result: ScanResult, page: Page) -> Iterator[str]:
    """All but the table and the total. result: in canonical order, of more than one cluster or specification."""
    clusters = list(zip(fleet.names(result), result.clusters, strict=True))
    head = f"{page.symbols.rule * 2} {plural(len(words.by_cluster(result)), 'cluster')} "
    yield page.style(head + page.symbols.rule * (page.width - width_of(head)), "bold")
    asked = dict.fromkeys(f"{c.spec_name} {c.spec_version}".strip() for c in result.clusters)
    yield from page.block(fleet.listed(list(asked), NAMES), "   ", lines=2)
    yield from _unseen([one for one in clusters if one[1].summary.errors], page)
    common = fleet.common(clusters)
    for one in common:
        if one.failed or one.found:
            yield from _requirement(one, page, alone=len({name for name, _ in clusters}) == 1)
    yield from _only_errors([one for one in common if not one.failed and not one.found], page)
    yield from note_lines(_noted(clusters), page)
    yield from framework_lines(
        (
            (
                framework.name,
                f"score {fleet.spread(s.score for s in framework.summaries)}, "
                f"coverage {fleet.spread(s.coverage for s in framework.summaries)} %",
            )
            for framework in fleet.frameworks(result.clusters)
        ),
        page,
    )


def _unseen(clusters: Named, page: Page) -> Iterator[str]:
    """Why requirements could not be evaluated, each reason once."""
    found = fleet.reasons(clusters)
    if not found:
        return
    yield ""
    yield page.style(f" {page.symbols.error} Could not be fully evaluated", "red", "bold")
    for reason in found[:REASONS]:
        yield from page.block(reason.text, "   ", first=f"{page.symbols.dot} ", lines=6)
        count = plural(reason.requirements, "requirement")
        yield from page.block(f"{count} on {fleet.listed(reason.clusters, NAMES)}", "     ", lines=3)
    if len(found) > REASONS:
        rest = f"and {plural(len(found) - REASONS, 'more reason')} (see the JSON or HTML report)"
        yield from page.block(rest, "   ", first=f"{page.symbols.more} ")


def _requirement(one: fleet.Common, page: Page, *, alone: bool) -> Iterator[str]:
    """alone: there is one cluster only, and several specifications."""
    check, verdict = one.check, Verdict.FAIL if one.failed else Verdict.ERROR
    if next(page.details, None) is None:
        yield short_line(check, page, one.found, verdict)
        return
    yield ""
    yield from id_lines(check, page, verdict)
    yield from page.block(check.title, "   ", styles=("bold",))
    where = one.failed or one.errors
    if not alone:
        unclear = f" ({len(one.errors):,} not fully evaluated)" if one.failed and one.errors else ""
        said = f"on {len(where):,} of {one.asked:,}{unclear}: {fleet.listed(where, FEW)}"
        yield from page.block(said, "   ", lines=3)
    found = [
        (
            alike.finding,
            "" if alone or alike.clusters == where else f"on {fleet.listed(alike.clusters, NAMES)}",
        )
        for alike in one.alike()
    ]
    yield from findings_lines(check, found, page)
    if found:
        yield from fix_lines(check, sum(f.fix is not None for _, all_of in one.open for f in all_of), page)


def _only_errors(unclear: Sequence[fleet.Common], page: Page) -> Iterator[str]:
    """Requirements of which nothing is known on some clusters, and nothing bad on the others: why, is said above."""
    where: list[str] | None = None
    for one in unclear:
        if where != (where := one.errors):
            yield ""
            yield from page.block(
                f"could not be evaluated on {fleet.listed(where, NAMES)}:", "   ", lines=3, styles=("bold",)
            )
        yield short_line(one.check, page, 0, Verdict.ERROR)


def _noted(clusters: Named) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is to be noted of clusters, the same once."""
    found: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for name, cluster in clusters:
        for note in notes(cluster):
            found.setdefault(note, {})[name] = None
    every = len({name for name, _ in clusters})
    for (text, styles), where in found.items():
        on = "" if len(where) == every else f" ({fleet.listed(list(where), NAMES)})"
        yield f"{text}{on}", styles
