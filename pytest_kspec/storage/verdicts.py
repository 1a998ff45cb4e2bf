"""The verdicts of a result in three short texts, so that those of a thousand results are read and compared at once.

Beside `kspec_checks`, which has a row with a reason for each requirement: of 1,000 clusters with 60 requirements these
are 120,000 rows for a comparison with the day before, and here 2,000. `kspec_results` has `shape`, a digest of the
requirements and their severities in their order; `verdicts`, a letter for each; `tally`, findings of each, as JSON.
Results of one shape are compared as text; what a shape stands for, the rows of any result that has it say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import select

from pytest_kspec.results.verdict import Severity, Verdict
from pytest_kspec.storage import schema
from pytest_kspec.storage.among import among
from pytest_kspec.storage.engine import Store

_result, _subject, _check, _outcome = (
    schema.results.c,
    schema.subjects.c,
    schema.checks.c,
    schema.outcomes.c,
)
_LETTERS = {verdict.value[0]: verdict.value for verdict in Verdict}
_numbers = msgspec.json.Decoder(list[int])


class Row(NamedTuple):
    """A requirement of a result, as it is written."""

    check: str
    severity: str
    verdict: str
    findings: int


class RequirementRow(NamedTuple):
    """A requirement on all clusters of a run. Counts clusters, findings counts open findings."""

    spec: str
    check: str
    severity: str
    passed: int
    failed: int
    errors: int
    skipped: int
    findings: int


class ChangedRow(NamedTuple):
    """Requirements that had another verdict before, by both verdicts. clusters: names, sorted."""

    spec: str
    check: str
    severity: str
    before: str
    now: str
    clusters: tuple[str, ...]


class Pair(NamedTuple):
    """Two results of one subject. name: of the cluster."""

    name: str
    spec: str
    before: int
    now: int


class _Short(NamedTuple):
    shape: str
    verdicts: str


Shape = tuple[tuple[str, str], ...]
"""(check, severity) of each requirement, in their order."""


def texts(rows: Sequence[Row]) -> dict[str, str]:
    """The three columns of a result with these requirements."""
    parts = "".join(f"{row.check}\0{row.severity}\n" for row in rows)
    return {
        "shape": hashlib.sha256(parts.encode()).hexdigest()[:32] if rows else "",
        "verdicts": "".join(row.verdict[0] for row in rows),
        "tally": tally([row.findings for row in rows]),
    }


def tally(findings: Sequence[int]) -> str:
    """The column of this name, of the open findings of each requirement."""
    return msgspec.json.encode(list(findings)).decode() if findings else ""


def requirements(store: Store, run: str) -> tuple[RequirementRow, ...]:
    """Each requirement of a run over a fleet. Raises StoreError."""
    joined = schema.outcomes.join(schema.results, _result.id == _outcome.result_id).join(
        schema.subjects, _subject.id == _result.subject_id
    )
    statement = (
        select(_subject.spec, _result.id, _result.shape, _result.verdicts, _result.tally)
        .select_from(joined)
        .where(_outcome.run_id == run, _result.shape != "")
    )
    groups: dict[tuple[str, str], tuple[list[str], list[list[int]]]] = {}
    examples: dict[str, int] = {}
    with store.read() as connection:
        for spec, key, shape, verdicts, tally in connection.execute(statement):
            letters, numbers = groups.setdefault((spec, shape), ([], []))
            letters.append(verdicts)
            numbers.append(_numbers.decode(tally))
            examples.setdefault(shape, key)
        shapes = _shapes(connection.execute, examples)
    sums: dict[tuple[str, str], tuple[str, list[int]]] = {}
    for (spec, shape), (letters, numbers) in groups.items():
        columns = zip(shapes[shape], zip(*letters, strict=True), zip(*numbers, strict=True), strict=True)
        for (check, severity), found, counts in columns:
            known, total = sums.get((spec, check), (severity, [0] * (len(_LETTERS) + 1)))
            each = [found.count(letter) for letter in "pfes"]
            worst = max(known, severity, key=lambda one: Severity(one).rank)
            sums[spec, check] = (
                worst,
                [a + b for a, b in zip(total, [*each, sum(counts)], strict=True)],
            )
    return tuple(
        RequirementRow(spec, check, worst, *counts) for (spec, check), (worst, counts) in sums.items()
    )


def changed(store: Store, pairs: Iterable[Pair]) -> tuple[ChangedRow, ...]:
    """Verdicts of `now` that are others than those of `before`. Raises StoreError."""
    given = [pair for pair in pairs if pair.before != pair.now]
    with store.read() as connection:
        short = _short(connection.execute, sorted({key for pair in given for key in (pair.before, pair.now)}))
        differing = [
            (pair, before, now)
            for pair in given
            if (before := short.get(pair.before)) and (now := short.get(pair.now)) and before != now
        ]
        examples: dict[str, int] = {}
        for pair, before, now in differing:
            examples.setdefault(before.shape, pair.before)
            examples.setdefault(now.shape, pair.now)
        shapes = _shapes(connection.execute, examples)
    found: dict[tuple[str, str, str, str, str], list[str]] = {}
    for pair, before, now in differing:
        for (check, severity), then, verdict in _differing(before, now, shapes):
            key = (pair.spec, check, severity, _LETTERS[then], _LETTERS[verdict])
            found.setdefault(key, []).append(pair.name)
    return tuple(ChangedRow(*key, tuple(sorted(names))) for key, names in sorted(found.items()))


def _differing(
    before: _Short, now: _Short, shapes: Mapping[str, Shape]
) -> Iterable[tuple[tuple[str, str], str, str]]:
    """(check and severity, verdict of before, of now). What only one of them has is no change."""
    if before.shape == now.shape:
        for what, then, verdict in zip(shapes[now.shape], before.verdicts, now.verdicts, strict=True):
            if then != verdict:
                yield what, then, verdict
        return
    old = {check: then for (check, _), then in zip(shapes[before.shape], before.verdicts, strict=True)}
    for what, verdict in zip(shapes[now.shape], now.verdicts, strict=True):
        then = old.get(what[0], verdict)
        if then != verdict:
            yield what, then, verdict


def _short(execute: Any, keys: Sequence[int]) -> dict[int, _Short]:
    statement = select(_result.id, _result.shape, _result.verdicts).where(among(_result.id, keys))
    return {key: _Short(shape, verdicts) for key, shape, verdicts in execute(statement)}


def _shapes(execute: Any, examples: Mapping[str, int]) -> dict[str, Shape]:
    """What each shape stands for. examples: shape → a result that has it."""
    rows: dict[int, list[tuple[str, str]]] = {}
    statement = select(_check.result_id, _check.check_id, _check.severity).where(
        among(_check.result_id, sorted(examples.values()))
    )
    for key, check, severity in execute(statement.order_by(_check.result_id, _check.position)):
        rows.setdefault(key, []).append((check, severity))
    return {shape: tuple(rows.get(key, ())) for shape, key in examples.items()}
