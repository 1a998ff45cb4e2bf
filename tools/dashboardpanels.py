"""What a panel of a dashboard is, and the panels that several dashboards have."""

from __future__ import annotations

from typing import Any, NamedTuple

CS = 'cluster_name=~"$cluster_name",cluster_spec=~"$cluster_spec"'
SPEC = 'cluster_spec=~"$cluster_spec"'
CLUSTER = 'cluster_name=~"$cluster_name"'
BY = "cluster_name, cluster_spec"
_SHARES = ("50", "95", "99")


class Panel(NamedTuple):
    """One panel. kind: stat, graph, table or pie; queries: legend and PromQL; steps: where colours begin."""

    kind: str
    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    steps: tuple[tuple[float, str], ...] = ()
    text: str = ""


Rows = tuple[tuple[str, tuple[Panel, ...]], ...]


def one(kind: str, title: str, unit: str, query: str, legend: str = "", **more: Any) -> Panel:
    """A panel of one query."""
    return Panel(kind, title, unit, ((legend, query),), **more)


def percentiles(title: str, metric: str, by: str, where: str = "", window: str = "$__rate_interval") -> Panel:
    """The 50th, 95th and 99th percentile of a histogram, by a label."""
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    found = f"sum by ({labels}) (rate({metric}_bucket{{{where}}}[{window}]))"
    queries = [(f"{legend}p{share}", f"histogram_quantile(0.{share}, {found})") for share in _SHARES]
    return Panel("graph", title, "s", tuple(queries))


def rate(title: str, metric: str, by: str, where: str = "", unit: str = "ops") -> Panel:
    """What happens now and then is counted over an hour: a rate a second of it says nothing."""
    query = f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"
    return one("graph", title, unit, query, f"{{{{{by}}}}}")


def hourly(title: str, metric: str, by: str, where: str = "") -> Panel:
    """What is rare, in an hour; 0 where it never happened."""
    return one(
        "graph",
        title,
        "short",
        f"sum by ({by}) (increase({metric}{{{where}}}[1h])) or vector(0)",
        f"{{{{{by}}}}}",
    )


SCORE = ((0, "red"), (50, "orange"), (70, "yellow"), (90, "green"))
BAD = ((0, "green"), (1, "red"))
SCORES = one(
    "graph",
    "Score",
    "percent",
    f"min by ({BY}) (kspec_compliance_score{{{CS}}})",
    "{{cluster_spec}} on {{cluster_name}}",
)
MODES = one(
    "pie", "Specifications by mode", "short", "max by (mode) (kspec_active_cluster_specs)", "{{mode}}"
)
BREAKER = one(
    "stat",
    "Circuit breaker",
    "bool_yes_no",
    "max(kspec_circuit_breaker_tripped)",
    steps=BAD,
    text="Yes: it is open.",
)
