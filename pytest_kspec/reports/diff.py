"""A difference of two results or recordings as text, Markdown or JSON. Counts are exact; the text is capped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from pytest_kspec.kube.objectdiff import ABSENT, KindDiff
from pytest_kspec.reports.json import pretty
from pytest_kspec.reports.markdown import escape
from pytest_kspec.reports.shared.text import elide, fold, plural, printable, value, width_of
from pytest_kspec.reports.terminal_parts import Style, plain
from pytest_kspec.results.diff import ClusterDiff, FindingChange, ResultDiff, State
from pytest_kspec.results.identity import labels

SHOWN = 20
"""Findings of one state, and objects of one kind, that the text shows."""
_WORDS = {
    State.NEW: ("+", "new", ("red", "bold")),
    State.UNKNOWN: ("?", "unknown", ("yellow", "bold")),
    State.FIXED: ("-", "fixed", ("green",)),
    State.EXEMPTED: ("-", "exempted", ("yellow",)),
    State.DROPPED: ("-", "dropped", ("yellow",)),
    State.UNCHANGED: ("=", "unchanged", ()),
}
Resources = Sequence[KindDiff]


def render_json(diff: ResultDiff | None, resources: Resources | None) -> bytes:
    """{"apiVersion", "kind": "Diff", "findings": null | ResultDiff, "resources": null | [...]}, indented."""
    document = {
        "apiVersion": "kspec.io/v1alpha1",
        "kind": "Diff",
        "findings": diff.to_wire() if diff is not None else None,
        "resources": [kind.to_wire() for kind in resources] if resources is not None else None,
    }
    return pretty(document)


def render_text(
    diff: ResultDiff | None, resources: Resources | None, width: int = 80, style: Style = plain
) -> str:
    """For a terminal; no line is wider than `width`, with a trailing newline."""
    lines: list[str] = []
    if resources is not None:
        lines += _resources(resources, width, style)
    names = labels((c.cluster_id, c.name) for c in diff.clusters) if diff is not None else {}
    for cluster in diff.clusters if diff is not None else ():
        lines += [*([""] if lines else []), *_cluster(cluster, names[cluster.cluster_id], width, style)]
    if diff is not None:
        lines += ["", *_overall(diff, width, style)]
    return "\n".join(lines) + "\n"


def _cluster(cluster: ClusterDiff, name: str, width: int, style: Style) -> Iterator[str]:
    name = f"{cluster.name_before} → {name}" if cluster.name != cluster.name_before else name
    head = f"── {elide(printable(name), width - 6)} "
    yield style(head + "─" * (width - width_of(head)), "bold")
    before, after = cluster.spec_version_before, cluster.spec_version
    version = f"{before} → {after}" if before != after else after
    yield f"   {elide(printable(f'{cluster.spec} {version}'.strip()), width - 3)}"
    if cluster.went:
        yield from (style(line, "yellow") for line in _noted("only in the first result: not compared", width))
        return
    if cluster.came:
        yield from _noted("only in the second result: all its findings are new", width)
    yield f"   {_counts(cluster.counts)}"
    for state, found in groupby(cluster.findings, key=lambda change: change.state):
        if state is not State.UNCHANGED:
            yield from _findings(state, list(found), width, style)
    if cluster.checks:
        yield ""
        yield style("   verdicts that changed", "bold")
    for change in cluster.checks:
        words = f"{change.before or 'not required'} → {change.after or 'not required'}"
        yield f"   {elide(printable(change.check), width - 6 - len(words))}  {words}"
        if change.reason:
            yield from (f"     {line}" for line in fold(printable(change.reason), width - 5, 3))


def _findings(state: State, found: list[FindingChange], width: int, style: Style) -> Iterator[str]:
    symbol, word, styles = _WORDS[state]
    shown = found[:SHOWN]
    for (severity, check, reason), some in groupby(
        shown, key=lambda c: (c.severity.value, c.check, c.reason)
    ):
        label = f" {symbol} {word:<9} {severity:<8}  "
        yield ""
        first, *rest = fold(printable(check), width - len(label), 3)
        yield f" {style(f'{symbol} {word:<9} {severity:<8}', *styles)}  {first}"
        yield from (" " * len(label) + line for line in rest)
        if reason:
            yield from (f"   {line}" for line in fold(printable(reason), width - 3, 3))
        for change in some:
            yield from _finding(change, width)
    if len(found) > len(shown):
        yield f"   … and {len(found) - len(shown):,} more {word} (see -o json)"


def _finding(change: FindingChange, width: int) -> Iterator[str]:
    finding = change.finding
    yield f"   · {elide(printable(str(finding.owner)), width - 5)}"
    text = f"{finding.path}: {value(finding.actual)}" if finding.path else finding.message
    yield from (f"     {line}" for line in fold(printable(text), width - 5, 3))


def _noted(text: str, width: int) -> Iterator[str]:
    return (f"   {line}" for line in fold(text, width - 3))


def _total(diff: ResultDiff) -> str:
    """What went is not compared: nothing is said of its findings."""
    if all(cluster.went for cluster in diff.clusters):
        return "nothing was compared"
    if not any(diff.counts.values()) and any(cluster.went for cluster in diff.clusters):
        return "no findings in what was compared"
    return _counts(diff.counts)


def _counts(counts: dict[State, int]) -> str:
    parts = [f"{counts[state]:,} {word}" for state, (_, word, _) in _WORDS.items() if counts[state]]
    return " · ".join(parts) or "no findings, before or now"


def _overall(diff: ResultDiff, width: int, style: Style) -> Iterator[str]:
    if not diff.is_complete:
        yield style("! NOT FULLY EVALUATED" + (", SOMETHING NEW" if diff.has_new else ""), "red", "bold")
    elif diff.has_new:
        yield style("✗ SOMETHING NEW", "red", "bold")
    else:
        yield style("✓ NOTHING NEW", "green", "bold")
    yield from (f"  {line}" for line in fold(_total(diff), width - 2))


def _resources(resources: Resources, width: int, style: Style) -> Iterator[str]:
    head = "── objects "
    yield style(head + "─" * (width - len(head)), "bold")
    if not resources:
        yield "   no object differs"
    for kind in resources:
        counts = [
            f"{len(some):,} {word}"
            for some, word in ((kind.added, "added"), (kind.removed, "removed"), (kind.changed, "changed"))
            if some
        ]
        said = style("not compared", "yellow") if kind.unknown else ", ".join(counts)
        yield f"   {style(kind.type.resource, 'bold')}: {said}"
        if kind.unknown:
            yield from (f"     {line}" for line in fold(printable(kind.unknown), width - 5, 2))
        yield from _objects(kind, width)


def _objects(kind: KindDiff, width: int) -> Iterator[str]:
    for symbol, keys in (("+", kind.added), ("-", kind.removed)):
        for namespace, name in keys[:SHOWN]:
            yield f"     {symbol} {elide(printable(_place(namespace, name)), width - 7)}"
        if len(keys) > SHOWN:
            yield f"     {symbol} and {len(keys) - SHOWN:,} more (see -o json)"
    for one in kind.changed[:SHOWN]:
        yield f"     ~ {elide(printable(_place(one.namespace, one.name)), width - 7)}"
        for field in islice(one.fields, SHOWN):
            text = f"{printable(field.path)}: {_value(field.before)} → {_value(field.after)}"
            yield from (f"       {line}" for line in fold(text, width - 7, 3))
        if len(one.fields) > SHOWN:
            yield f"       and {len(one.fields) - SHOWN:,} more fields (see -o json)"
    if len(kind.changed) > SHOWN:
        yield f"     ~ and {len(kind.changed) - SHOWN:,} more (see -o json)"


def _place(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name


def _value(item: Any) -> str:
    return "absent" if item is ABSENT else value(item)


def render_markdown(diff: ResultDiff | None, resources: Resources | None) -> str:
    """For a comment on a change: a table a cluster, new findings first."""
    lines: list[str] = []
    for cluster in diff.clusters if diff is not None else ():
        lines += [*_markdown_cluster(cluster), ""]
    if resources is not None:
        lines += ["### Objects", "", *_markdown_objects(resources), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _markdown_cluster(cluster: ClusterDiff) -> Iterator[str]:
    yield f"### {_cell(cluster.name)}: {_cell(cluster.spec)}"
    yield ""
    if cluster.went:
        yield "Only in the first result: not compared."
        return
    before, after = cluster.spec_version_before, cluster.spec_version
    if before != after:
        yield f"Specification {_cell(before)} → {_cell(after)}. "
    yield f"{_counts(cluster.counts)}."
    shown = [change for change in cluster.findings if change.state is not State.UNCHANGED]
    if shown:
        yield ""
        yield "| | Severity | Requirement | Object | Finding |"
        yield "| --- | --- | --- | --- | --- |"
    for change in shown[: 5 * SHOWN]:
        finding = change.finding
        text = f"{finding.path}: {value(finding.actual)}" if finding.path else finding.message
        if change.reason:
            text = f"{text} ({change.reason})"
        cells = (_WORDS[change.state][1], change.severity.value, change.check, str(finding.owner), text)
        yield f"| {' | '.join(map(_cell, cells))} |"
    if len(shown) > 5 * SHOWN:
        yield ""
        yield f"And {plural(len(shown) - 5 * SHOWN, 'more finding')}."
    if cluster.checks:
        yield ""
        yield "| Requirement | before | now | |"
        yield "| --- | --- | --- | --- |"
    for check in cluster.checks:
        verdicts = (
            check.check,
            check.before or "not required",
            check.after or "not required",
            check.reason,
        )
        yield f"| {' | '.join(map(_cell, verdicts))} |"


def _markdown_objects(resources: Resources) -> Iterator[str]:
    if not resources:
        yield "No object differs."
        return
    yield "| Kind | added | removed | changed | |"
    yield "| --- | --- | --- | --- | --- |"
    for kind in resources:
        counts = f"{len(kind.added):,} | {len(kind.removed):,} | {len(kind.changed):,}"
        yield f"| {_cell(kind.type.resource)} | {counts} | {_cell(kind.unknown)} |"


def _cell(text: str) -> str:
    """The text in a table's cell: what a cluster holds is shown, and is neither markup nor a mention."""
    return escape(elide(printable(text), 300))
