"""How many requirements a result left out (`-k` and the like).

Of results of before nobody knows: they count as whole, but for those that ended after the newest result of their
subject. Only a partial one could; how much it left out is told by the newest one, which is whole.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0011"
down_revision = "r0010"


def upgrade() -> None:
    """0: a result of all requirements of its specification."""
    op.add_column("kspec_results", sa.Column("left_out", sa.Integer, nullable=False, server_default="0"))
    op.execute(
        "UPDATE kspec_results SET left_out = COALESCE((SELECT CASE WHEN whole.total > kspec_results.passed + "
        "kspec_results.failed + kspec_results.errors + kspec_results.skipped THEN whole.total - kspec_results.passed - "
        "kspec_results.failed - kspec_results.errors - kspec_results.skipped ELSE 1 END FROM (SELECT MAX(r.passed + "
        "r.failed + r.errors + r.skipped) AS total FROM kspec_results r JOIN kspec_subjects s ON s.id = r.subject_id "
        "AND s.newest_at = r.finished_at WHERE s.id = kspec_results.subject_id) whole), 1) "
        "WHERE finished_at > (SELECT newest_at FROM kspec_subjects WHERE id = kspec_results.subject_id)"
    )
