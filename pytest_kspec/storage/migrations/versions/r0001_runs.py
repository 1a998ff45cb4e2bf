"""Runs, clusters, checks, frameworks and findings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _counts() -> list[sa.Column[int]]:
    return [_number(name) for name in ("passed", "failed", "errors", "skipped", "findings", "exempt")]


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "kspec_runs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("started_at", sa.String(20), nullable=False),
        sa.Column("finished_at", sa.String(20), nullable=False),
        sa.Column("tool_version", sa.Text, nullable=False),
        sa.Column("run_by", sa.Text, nullable=False),
        sa.Column("score", sa.Float),
        *_counts(),
    )
    op.create_index("ix_kspec_runs_finished_at", "kspec_runs", ["finished_at"])
    op.create_table(
        "kspec_clusters",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "run_id", sa.String(32), sa.ForeignKey("kspec_runs.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("spec_version", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("score", sa.Float),
        *_counts(),
    )
    op.create_index("ix_kspec_clusters_run_id", "kspec_clusters", ["run_id"])
    op.create_index("ix_kspec_clusters_name_spec", "kspec_clusters", ["name", "spec"])
    op.create_table(
        "kspec_checks",
        sa.Column(
            "cluster_id",
            sa.Integer,
            sa.ForeignKey("kspec_clusters.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("check_id", sa.Text, nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("verdict", sa.String(5), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        _number("findings"),
        _number("exempt"),
    )
    op.create_index("ix_kspec_checks_check_id", "kspec_checks", ["check_id"])
    op.create_table(
        "kspec_frameworks",
        sa.Column(
            "cluster_id",
            sa.Integer,
            sa.ForeignKey("kspec_clusters.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("framework", sa.String, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("coverage", sa.Float, nullable=False),
        *(_number(name) for name in ("met", "not_met", "not_evaluated", "manual")),
    )
    op.create_table(
        "kspec_findings",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("spec", sa.String, primary_key=True),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("check_id", sa.Text, nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("first_seen", sa.String(20), nullable=False),
        sa.Column("last_seen", sa.String(20), nullable=False),
    )
    op.create_index("ix_kspec_findings_last_seen", "kspec_findings", ["last_seen"])
    op.create_index("ix_kspec_findings_cluster_spec", "kspec_findings", ["cluster", "spec"])
