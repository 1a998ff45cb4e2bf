"""Runs over a fleet: the clusters of each, frozen, and what became of them; exemptions of each result.

Of a framework, all counts are kept, so that those of many clusters add up.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"


def upgrade() -> None:
    """Results of before belong to no run of a fleet, and which exemptions they used is not known."""
    op.create_table(
        "kspec_fleet_runs",
        sa.Column("id", sa.String(64), sa.ForeignKey("kspec_runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("created_at", sa.String(20), nullable=False),
        sa.Column("ended_at", sa.String(20)),
        sa.Column("engine", sa.Text, nullable=False, server_default=""),
        sa.Column("shards", sa.Integer, nullable=False, server_default="0"),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("ix_kspec_fleet_runs_created_at", "kspec_fleet_runs", ["created_at"])
    op.create_table(
        "kspec_targets",
        sa.Column(
            "run_id",
            sa.String(64),
            sa.ForeignKey("kspec_fleet_runs.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False, server_default=""),
        sa.Column("expected_s", sa.Float),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("cluster_id", sa.String(200)),
        sa.UniqueConstraint("run_id", "cluster_id", name="uq_kspec_targets_run_id_cluster_id"),
    )
    op.create_index("ix_kspec_targets_name", "kspec_targets", ["name"])
    op.create_table(
        "kspec_outcomes",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("spec", sa.Text, primary_key=True),
        sa.Column("spec_sha256", sa.String(64), primary_key=True),
        sa.Column("outcome", sa.String(12), nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("at", sa.String(20), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False, server_default="0"),
        sa.Column("result_id", sa.Integer, sa.ForeignKey("kspec_results.id", ondelete="SET NULL")),
        sa.ForeignKeyConstraint(
            ["run_id", "position"],
            ["kspec_targets.run_id", "kspec_targets.position"],
            ondelete="CASCADE",
            name="fk_kspec_outcomes_target",
        ),
    )
    op.create_index("ix_kspec_outcomes_result_id", "kspec_outcomes", ["result_id"])
    op.create_table(
        "kspec_exemptions",
        sa.Column(
            "result_id", sa.Integer, sa.ForeignKey("kspec_results.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        *(
            sa.Column(name, sa.Text, nullable=False, server_default="")
            for name in ("name", "reason", "approver", "expires_at", "location")
        ),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("matched", sa.Integer, nullable=False, server_default="0"),
    )
    for name in ("partly_met", "in_part"):
        op.add_column("kspec_frameworks", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
