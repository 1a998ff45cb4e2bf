"""Writes the Grafana dashboards of config/monitoring/dashboards, with Grafana's own library for dashboards as code.

`python -m tools.dashboards config/monitoring/dashboards` (`make docs`); a test fails when they are stale. Queries are
PromQL over the metrics of `observe/table.py` and the recordings of `reference/alerts.py`; `tests/observe` runs each one
against a real Prometheus.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, piechart, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.dashboardpanels import CLUSTER, Panel, Rows
from tools.dashboardrows import EXECUTIVE, OPERATIONS, PLATFORM, SECURITY

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HALF = 12
"""Columns of a panel; Grafana has 24."""

DASHBOARDS: dict[str, tuple[str, Rows]] = {
    "kspec-executive": ("KSpec: executive", EXECUTIVE),
    "kspec-operations": ("KSpec: operations", OPERATIONS),
    "kspec-security": ("KSpec: security", SECURITY),
    "kspec-platform": ("KSpec Policy Enforcement Platform", PLATFORM),
}
"""Titles and panels by uid, which links and bookmarks use."""


def queries() -> Iterable[tuple[str, str, str]]:
    """Dashboard, panel and PromQL of each query."""
    for uid, (_, rows) in DASHBOARDS.items():
        for _, panels in rows:
            for panel in panels:
                for _, query in panel.queries:
                    yield uid, panel.title, query


def files() -> dict[str, str]:
    """JSON by file name, as Grafana imports it from a file."""
    return {f"{uid}.json": _render(uid, *of) for uid, of in DASHBOARDS.items()}


def _render(uid: str, title: str, rows: Rows) -> str:
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["kspec", "compliance", "policy", "kubernetes"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("group", "Group", "label_values(kspec_cluster_group, group)"))
        .with_variable(
            _variable(
                "cluster_name", "Cluster", 'label_values(kspec_cluster_group{group=~"$group"}, cluster_name)'
            )
        )
        .with_variable(
            _variable(
                "cluster_spec",
                "Specification",
                f"label_values(kspec_last_scan_success{{{CLUSTER}}}, cluster_spec)",
            )
        )
    )
    for name, panels in rows:
        made = made.with_row(dashboard.Row(name))
        for panel in panels:
            made = made.with_panel(_panel(panel))
    return str(JSONEncoder(sort_keys=True, indent=1).encode(made.build())) + "\n"


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )


_KINDS = {
    "stat": (stat.Panel, 4, 6),
    "graph": (timeseries.Panel, 8, HALF),
    "table": (table.Panel, 8, HALF),
    "pie": (piechart.Panel, 8, HALF),
}


def _panel(panel: Panel) -> Any:
    kind, height, span = _KINDS[panel.kind]
    made = kind().title(panel.title).unit(panel.unit).datasource(SOURCE).height(height).span(span)
    if panel.text:
        made = made.description(panel.text)
    if panel.steps:
        steps = [Threshold(value if n else None, colour) for n, (value, colour) in enumerate(panel.steps)]
        made = made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    if panel.kind in ("stat", "pie"):
        made = made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    for number, (legend, query) in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query).ref_id(chr(ord("A") + number)).datasource(SOURCE)
        if legend:
            target = target.legend_format(legend)
        if panel.kind == "graph":
            target = target.range_val() if hasattr(target, "range_val") else target.range()
        else:
            target = target.instant()
        if panel.kind == "table":
            target = target.format(PromQueryFormat.TABLE)
        made = made.with_target(target)
    return made


def main() -> None:
    """Write them."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
