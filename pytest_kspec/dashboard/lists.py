"""The lists of the dashboard: which filters each has, and which query of the store answers it.

Pages and the API read the same table, so that both have the same filters and the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.dashboard.asked import Asked
from pytest_kspec.storage import listing
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.rows import (
    Day,
    DriftRow,
    ExemptionRow,
    FindingRow,
    FrameworkResult,
    Listed,
    RequirementResult,
    RequirementTotals,
    Standing,
)
from pytest_kspec.storage.visible import Visible


class List(NamedTuple):
    """One list. row: the structure of its rows; names: of its filters; of: makes a page of it."""

    about: str
    row: type[msgspec.Struct]
    names: tuple[str, ...]
    of: Callable[[Store, Visible, Asked, datetime], Listed[Any]]


def _results(store: Store, visible: Visible, asked: Asked, _now: datetime) -> Listed[Any]:
    return listing.standings(
        store,
        visible,
        text=asked.q,
        cluster_id=asked.cluster,
        spec=asked.spec,
        state=asked.state,
        order=asked.order or listing.ORDERS[0],
        cut=asked.cut,
    )


def _requirements(store: Store, visible: Visible, asked: Asked, _now: datetime) -> Listed[Any]:
    return listing.requirements(store, visible, text=asked.q, spec=asked.spec, cut=asked.cut)


def _verdicts(store: Store, visible: Visible, asked: Asked, _now: datetime) -> Listed[Any]:
    return listing.requirement_results(
        store,
        visible,
        check=asked.check,
        cluster_id=asked.cluster,
        spec=asked.spec,
        verdict=asked.verdict,
        text=asked.q,
        cut=asked.cut,
    )


def _findings(store: Store, visible: Visible, asked: Asked, _now: datetime) -> Listed[Any]:
    return listing.findings(
        store,
        visible,
        text=asked.q,
        cluster_id=asked.cluster,
        spec=asked.spec,
        check=asked.check,
        severity=asked.severity,
        state=asked.state,
        namespace=asked.namespace,
        fingerprint=asked.id,
        cut=asked.cut,
    )


def _frameworks(store: Store, visible: Visible, asked: Asked, _now: datetime) -> Listed[Any]:
    return listing.framework_results(
        store,
        visible,
        framework=asked.framework,
        cluster_id=asked.cluster,
        text=asked.q,
        cut=asked.cut,
    )


def _exemptions(store: Store, visible: Visible, asked: Asked, _now: datetime) -> Listed[Any]:
    return listing.exemptions(
        store, visible, text=asked.q, state=asked.state, cluster_id=asked.cluster, cut=asked.cut
    )


def _drift(store: Store, visible: Visible, asked: Asked, _now: datetime) -> Listed[Any]:
    return listing.drift(
        store,
        visible,
        text=asked.q,
        cluster_id=asked.cluster,
        spec=asked.spec,
        severity=asked.severity,
        state=asked.state,
        cut=asked.cut,
    )


def _trend(store: Store, visible: Visible, asked: Asked, now: datetime) -> Listed[Any]:
    found = listing.days(store, visible, since=asked.since(now), cluster_id=asked.cluster, spec=asked.spec)
    first = (asked.page - 1) * asked.size
    return Listed(found[first : first + asked.size], len(found))


LISTS = {
    "results": List(
        "The newest result of each specification on each cluster, the worst first.",
        Standing,
        ("q", "cluster", "spec", "state", "order"),
        _results,
    ),
    "requirements": List(
        "Requirements of the newest results, with the number of results by verdict.",
        RequirementTotals,
        ("q", "spec"),
        _requirements,
    ),
    "verdicts": List(
        "Requirements in each of the newest results; errors and failures first.",
        RequirementResult,
        ("q", "check", "cluster", "spec", "verdict"),
        _verdicts,
    ),
    "findings": List(
        "Findings over all runs: those that are present first, then unknown and fixed ones.",
        FindingRow,
        ("q", "cluster", "spec", "check", "severity", "state", "namespace", "id"),
        _findings,
    ),
    "frameworks": List(
        "Compliance frameworks in each of the newest results, the lowest score first.",
        FrameworkResult,
        ("q", "framework", "cluster"),
        _frameworks,
    ),
    "exemptions": List(
        "Exemptions of the newest results; expired ones first, then those that end first.",
        ExemptionRow,
        ("q", "state", "cluster"),
        _exemptions,
    ),
    "drift": List(
        "Differences that looks for drift found: present ones first, then cleared ones.",
        DriftRow,
        ("q", "cluster", "spec", "severity", "state"),
        _drift,
    ),
    "trend": List(
        "The last results of each day, together; the oldest day first.",
        Day,
        ("cluster", "spec", "days"),
        _trend,
    ),
}
