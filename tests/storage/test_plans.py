"""Pages about one cluster, requirement or finding find their rows by an index: no large table is read in whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from pytest_kspec.errors import UsageError
from pytest_kspec.storage import lasting, listing, pages, read
from pytest_kspec.storage.engine import Store, open_store

LARGE = (
    "kspec_checks",
    "kspec_exemptions",
    "kspec_findings",
    "kspec_frameworks",
    "kspec_observations",
    "kspec_results",
)
OF_ONE = read.Query(cluster="a")
ASKED: dict[str, Callable[[Store], Any]] = {
    "requirement": lambda store: pages.requirement(store, "network.defaultDeny"),
    "finding": lambda store: pages.observations(store, "0" * 32),
    "trend": lambda store: read.trend(store, OF_ONE),
    "trend of a requirement": lambda store: read.check_trend(store, "network.defaultDeny", OF_ONE),
    "findings": lambda store: read.findings(store, OF_ONE),
    "newest": lambda store: pages.newest(store, OF_ONE),
    "results": listing.standings,
    "requirements": listing.requirements,
    "verdicts of a requirement": lambda store: listing.requirement_results(
        store, check="network.defaultDeny"
    ),
    "verdicts of a cluster": lambda store: listing.requirement_results(store, cluster_id="a"),
    "findings of a cluster": lambda store: lasting.findings(store, cluster_id="a"),
    "one finding": lambda store: lasting.findings(store, fingerprint="0" * 32),
    "frameworks": listing.frameworks,
    "a framework": lambda store: listing.framework_results(store, framework="a"),
    "exemptions": listing.exemptions,
    "days of a cluster": lambda store: listing.days(store, since="2026-01-01T00:00:00Z", cluster_id="a"),
}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = open_store(str(Path(tmp_path_factory.mktemp("store"), "results.db")), create=True)
    yield store
    store.close()


@pytest.mark.parametrize("page", ASKED)
def test_no_large_table_is_read_in_whole(empty: Store, page: str) -> None:
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        sent.append((sql, parameters))

    with empty.read() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        ASKED[page](empty)
    except UsageError:
        pass  # there is no such finding
    finally:
        event.remove(engine, "before_cursor_execute", note)
    plans = []
    with empty.read() as connection:
        for sql, parameters in sent:
            if "kspec_" in sql and sql.lstrip().startswith("SELECT"):
                found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)
                plans += [str(row[-1]) for row in found]
    assert plans
    whole = [line for line in plans if line.startswith("SCAN ") and line.split()[1] in LARGE]
    assert whole == []
