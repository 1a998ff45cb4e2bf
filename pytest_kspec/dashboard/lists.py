"""The lists of the dashboard: which filters each has, and which query of the store answers it.

Pages and the API read the same table, so that both have the same filters and the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.dashboard.asked import Asked
from pytest_kspec.storage import lasting, listing
from pytest_kspec.storage.cut import Cut
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
    """One list. row: the structure of its rows; names: of its filters; query: has an argument for each of them."""

    about: str
    row: type[msgspec.Struct]
    names: tuple[str, ...]
    query: Callable[..., Listed[Any]]

    def of(self, store: Store, visible: Visible, asked: Asked, now: datetime) -> Listed[Any]:
        """One page. Raises StoreError."""
        values: dict[str, str | int] = {**asked._asdict(), "days": asked.since(now)}
        filters = {_ARGUMENTS.get(name, name): values[name] for name in self.names}
        return self.query(store, visible, cut=asked.cut, **filters)


_ARGUMENTS = {"q": "text", "cluster": "cluster_id", "id": "fingerprint", "days": "since"}
"""Arguments of queries that have another name than the parameter."""


def _trend(
    store: Store, visible: Visible, *, since: str, cluster_id: str, spec: str, cut: Cut
) -> Listed[Day]:
    found = listing.days(store, visible, since=since, cluster_id=cluster_id, spec=spec)
    first = (cut.number - 1) * cut.size
    return Listed(found[first : first + cut.size], len(found))


LISTS = {
    "results": List(
        "The newest result of each specification on each cluster, the worst first.",
        Standing,
        ("q", "cluster", "spec", "state", "order"),
        listing.standings,
    ),
    "requirements": List(
        "Requirements of the newest results, with the number of results by verdict.",
        RequirementTotals,
        ("q", "spec"),
        listing.requirements,
    ),
    "verdicts": List(
        "Requirements in each of the newest results; errors and failures first.",
        RequirementResult,
        ("q", "check", "cluster", "spec", "verdict"),
        listing.requirement_results,
    ),
    "findings": List(
        "Findings over all runs: those that are present first, then unknown and fixed ones.",
        FindingRow,
        ("q", "cluster", "spec", "check", "severity", "state", "namespace", "id"),
        lasting.findings,
    ),
    "frameworks": List(
        "Compliance frameworks in each of the newest results, the lowest score first.",
        FrameworkResult,
        ("q", "framework", "cluster"),
        listing.framework_results,
    ),
    "exemptions": List(
        "Exemptions of the newest results; expired ones first, then those that end first.",
        ExemptionRow,
        ("q", "state", "cluster"),
        listing.exemptions,
    ),
    "drift": List(
        "Differences that looks for drift found: present ones first, then cleared ones.",
        DriftRow,
        ("q", "cluster", "spec", "severity", "state"),
        lasting.drift,
    ),
    "trend": List(
        "The last results of each day, together; the oldest day first.",
        Day,
        ("cluster", "spec", "days"),
        _trend,
    ),
}
