"""The tables, as the newest revision has them; `migrations/versions` makes them, and a test compares the two.

Times are RFC 3339 text in UTC of one length, which sorts as it reads, in both databases. A score is 0-100 or null.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

HEAD = "r0002"
REVISIONS = ("r0001", "r0002")
VERSION_TABLE = "kspec_schema"

COUNTS = ("passed", "failed", "errors", "skipped", "findings", "exempt", "known")
"""Requirements by verdict, findings by status; the names of `model.trend.TrendPoint`."""

metadata = MetaData()


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _counts() -> list[Column[int]]:
    return [_number(name) for name in COUNTS]


# One run of the tool. id: the first half of the SHA-256 of its JSON report, so that a run is stored once.
runs = Table(
    "kspec_runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("started_at", String(20), nullable=False),
    Column("finished_at", String(20), nullable=False, index=True),
    Column("tool_version", Text, nullable=False),
    Column("run_by", Text, nullable=False),
    Column("score", Float),
    *_counts(),
    # Where the full report is, and its digest; "" where it was not kept.
    Column("report", Text, nullable=False, server_default=""),
    Column("report_sha256", String(64), nullable=False, server_default=""),
)

# One specification on one cluster in one run.
clusters = Table(
    "kspec_clusters",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(32), ForeignKey("kspec_runs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("spec_version", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("uid", Text, nullable=False),
    Column("score", Float),
    *_counts(),
    Index("ix_kspec_clusters_name_spec", "name", "spec"),
)

# One requirement of it. findings, exempt and known count findings.
checks = Table(
    "kspec_checks",
    metadata,
    Column("cluster_id", ForeignKey("kspec_clusters.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("check_id", Text, nullable=False, index=True),
    Column("severity", String(8), nullable=False),
    Column("verdict", String(5), nullable=False),
    Column("reason", Text, nullable=False),
    *(_number(name) for name in ("findings", "exempt", "known")),
)

# One framework of it.
frameworks = Table(
    "kspec_frameworks",
    metadata,
    Column("cluster_id", ForeignKey("kspec_clusters.id", ondelete="CASCADE"), primary_key=True),
    Column("framework", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("score", Float),
    Column("coverage", Float, nullable=False),
    *(_number(name) for name in ("met", "not_met", "not_evaluated", "manual")),
)

# A finding over all runs, by fingerprint. status: when it was last seen (open, known, exempt).
findings = Table(
    "kspec_findings",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("spec", String, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("check_id", Text, nullable=False),
    Column("severity", String(8), nullable=False),
    Column("what", Text, nullable=False),
    Column("status", String(6), nullable=False, server_default="open"),
    Column("first_seen", String(20), nullable=False),
    Column("last_seen", String(20), nullable=False, index=True),
    Index("ix_kspec_findings_cluster_spec", "cluster", "spec"),
)
