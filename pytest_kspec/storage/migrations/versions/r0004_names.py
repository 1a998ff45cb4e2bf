"""Results of a cluster are found by its name without reading all of them."""

from __future__ import annotations

from alembic import op

revision = "r0004"
down_revision = "r0003"


def upgrade() -> None:
    """Names are what they were."""
    op.create_index("ix_kspec_results_name", "kspec_results", ["name"])
