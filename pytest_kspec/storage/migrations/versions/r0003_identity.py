"""Clusters by UID, runs of several parts, findings with their object and a state; observations.

The tables of before are copied, then dropped. A cluster without a UID gets the identity `SOURCE:NAME`. Findings keep
their fingerprints by the name of the cluster, marked, until they are seen again: what they are made of was not stored.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"

_COUNTS = ("passed", "failed", "errors", "skipped", "findings", "exempt", "known")
_OLD = ("kspec_runs", "kspec_clusters", "kspec_checks", "kspec_frameworks", "kspec_findings")
_INDEXES = (
    ("ix_kspec_runs_finished_at", "kspec_runs"),
    ("ix_kspec_clusters_run_id", "kspec_clusters"),
    ("ix_kspec_clusters_name_spec", "kspec_clusters"),
    ("ix_kspec_checks_check_id", "kspec_checks"),
    ("ix_kspec_findings_last_seen", "kspec_findings"),
    ("ix_kspec_findings_cluster_spec", "kspec_findings"),
)
_IDENTITY = "substr(CASE WHEN c.uid <> '' THEN c.uid ELSE c.source || ':' || c.name END, 1, 200)"
_WEIGHT = "CASE severity WHEN 'critical' THEN 8 WHEN 'high' THEN 4 WHEN 'medium' THEN 2 ELSE 1 END"
_NOTHING_TO_EXAMINE = "nothing there to examine"


def upgrade() -> None:
    """Make the new tables, copy, drop the old ones."""
    for index, table in _INDEXES:
        op.drop_index(index, table_name=table)
    for table in _OLD:
        op.rename_table(table, f"{table}_r2")
    _make_tables()
    for statement in _copies():
        op.execute(sa.text(statement))
    if op.get_bind().dialect.name == "postgresql":  # ids were given, not drawn
        op.execute(
            sa.text(
                "SELECT setval(pg_get_serial_sequence('kspec_results', 'id'),"
                " (SELECT coalesce(max(id), 0) + 1 FROM kspec_results), false)"
            )
        )
    for table in ("kspec_checks", "kspec_frameworks", "kspec_findings", "kspec_clusters", "kspec_runs"):
        op.drop_table(f"{table}_r2")
    _make_indexes()


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _to(name: str, target: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, sa.ForeignKey(target, ondelete="CASCADE"), nullable=False)


def _key(name: str, target: str) -> sa.Column[int]:
    link = sa.ForeignKey(target, ondelete="CASCADE")
    return sa.Column(name, sa.Integer, link, primary_key=True, autoincrement=False)


def _make_tables() -> None:
    op.create_table(
        "kspec_runs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("started_at", sa.String(20), nullable=False),
        sa.Column("finished_at", sa.String(20), nullable=False),
        _text("tool_version"),
        _text("run_by"),
    )
    op.create_table(
        "kspec_parts",
        sa.Column(
            "run_id", sa.String(64), sa.ForeignKey("kspec_runs.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("id", sa.String(32), primary_key=True),
        _text("report"),
        sa.Column("report_sha256", sa.String(64), nullable=False, server_default=""),
    )
    op.create_table(
        "kspec_clusters",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        _text("source"),
        _text("version"),
        sa.Column("first_seen", sa.String(20), nullable=False),
        sa.Column("last_seen", sa.String(20), nullable=False),
    )
    op.create_table(
        "kspec_subjects",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "cluster_id",
            sa.String(200),
            sa.ForeignKey("kspec_clusters.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("newest_at", sa.String(20), nullable=False),
        sa.UniqueConstraint("cluster_id", "spec", name="uq_kspec_subjects_cluster_id_spec"),
    )
    op.create_table(
        "kspec_results",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("part_id", sa.String(32), nullable=False),
        _to("subject_id", "kspec_subjects.id"),
        sa.Column("finished_at", sa.String(20), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        _text("spec_version"),
        _text("source"),
        _text("version"),
        sa.Column("score", sa.Float),
        *(_number(name) for name in ("weight", "weight_met", *_COUNTS)),
        sa.ForeignKeyConstraint(
            ["run_id", "part_id"],
            ["kspec_parts.run_id", "kspec_parts.id"],
            ondelete="CASCADE",
            name="fk_kspec_results_part",
        ),
        sa.UniqueConstraint("run_id", "subject_id", name="uq_kspec_results_run_id_subject_id"),
    )
    op.create_table(
        "kspec_checks",
        _key("result_id", "kspec_results.id"),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("check_id", sa.Text, nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("verdict", sa.String(5), nullable=False),
        sa.Column("evaluated", sa.Boolean, nullable=False, server_default=sa.false()),
        _text("reason"),
        *(_number(name) for name in ("findings", "exempt", "known")),
    )
    op.create_table(
        "kspec_frameworks",
        _key("result_id", "kspec_results.id"),
        sa.Column("framework", sa.String, primary_key=True),
        _text("name"),
        _text("version"),
        sa.Column("score", sa.Float),
        sa.Column("coverage", sa.Float, nullable=False),
        *(_number(name) for name in ("met", "not_met", "not_evaluated", "manual")),
    )
    op.create_table(
        "kspec_findings",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        _to("subject_id", "kspec_subjects.id"),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("check_id", sa.Text, nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        *(_text(name) for name in ("api_group", "kind", "namespace", "name", "path", "container", "what")),
        sa.Column("state", sa.String(8), nullable=False),
        _text("reason"),
        sa.Column("first_seen", sa.String(20), nullable=False),
        sa.Column("last_seen", sa.String(20), nullable=False),
        sa.Column("resolved_at", sa.String(20)),
        sa.Column("legacy", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.UniqueConstraint("subject_id", "fingerprint", name="uq_kspec_findings_subject_id_fingerprint"),
    )
    op.create_table(
        "kspec_observations",
        _key("result_id", "kspec_results.id"),
        _key("finding_id", "kspec_findings.id"),
        sa.Column("status", sa.String(6), nullable=False),
    )


def _make_indexes() -> None:
    for table, *columns in (
        ("kspec_runs", "finished_at"),
        ("kspec_clusters", "name"),
        ("kspec_subjects", "newest_at"),
        ("kspec_results", "subject_id", "finished_at"),
        ("kspec_results", "run_id", "part_id"),
        ("kspec_checks", "check_id", "result_id"),
        ("kspec_findings", "last_seen"),
        ("kspec_findings", "subject_id", "state"),
        ("kspec_findings", "check_id", "state"),
        ("kspec_findings", "fingerprint"),
        ("kspec_observations", "finding_id"),
    ):
        op.create_index("_".join(("ix", table, *columns)), table, columns)


def _copies() -> tuple[str, ...]:
    """What was a cluster of a run is a result; a specification that a run has twice on one cluster is taken once."""
    old = "kspec_clusters_r2 c JOIN kspec_runs_r2 r ON r.id = c.run_id"
    once = f"SELECT min(c.id) FROM kspec_clusters_r2 c GROUP BY c.run_id, {_IDENTITY}, c.spec"
    newest = (
        f"SELECT {_IDENTITY} AS identity, c.*, r.finished_at AS at, row_number() OVER (PARTITION BY {_IDENTITY}"
        f" ORDER BY r.finished_at DESC, c.id DESC) AS place, min(r.finished_at) OVER (PARTITION BY {_IDENTITY})"
        f" AS first FROM {old}"
    )
    # A finding belongs to the cluster that the run had in which it was last seen, else to the newest of that name.
    named = (
        "SELECT s.id FROM kspec_results x JOIN kspec_subjects s ON s.id = x.subject_id"
        " WHERE x.name = f.cluster AND s.spec = f.spec"
    )
    order = "ORDER BY x.finished_at DESC, x.id DESC LIMIT 1"
    owner = f"coalesce(({named} AND x.finished_at = f.last_seen {order}), ({named} {order}))"
    looked = (
        "SELECT min(x.finished_at) FROM kspec_results x JOIN kspec_checks k ON k.result_id = x.id WHERE"
        " x.subject_id = kspec_findings.subject_id AND x.finished_at > kspec_findings.last_seen"
        " AND k.check_id = kspec_findings.check_id AND k.evaluated"
    )
    gone = "last_seen < (SELECT s.newest_at FROM kspec_subjects s WHERE s.id = kspec_findings.subject_id)"
    counts = ", ".join(f"c.{name}" for name in _COUNTS)
    return (
        "INSERT INTO kspec_runs (id, started_at, finished_at, tool_version, run_by)"
        " SELECT id, started_at, finished_at, tool_version, run_by FROM kspec_runs_r2",
        "INSERT INTO kspec_parts (run_id, id, report, report_sha256)"
        " SELECT id, id, report, report_sha256 FROM kspec_runs_r2",
        "INSERT INTO kspec_clusters (id, name, source, version, first_seen, last_seen)"
        f" SELECT identity, name, source, version, first, at FROM ({newest}) n WHERE place = 1",
        "INSERT INTO kspec_subjects (cluster_id, spec, newest_at)"
        f" SELECT {_IDENTITY}, c.spec, max(r.finished_at) FROM {old} GROUP BY {_IDENTITY}, c.spec",
        "INSERT INTO kspec_results (id, run_id, part_id, subject_id, finished_at, name, spec_version, source,"
        f" version, score, {', '.join(_COUNTS)})"
        " SELECT c.id, c.run_id, c.run_id, s.id, r.finished_at, c.name, c.spec_version, c.source, c.version,"
        f" c.score, {counts} FROM {old} JOIN kspec_subjects s ON s.cluster_id = {_IDENTITY} AND s.spec = c.spec"
        f" WHERE c.id IN ({once})",
        "INSERT INTO kspec_checks (result_id, position, check_id, severity, verdict, evaluated, reason, findings,"
        " exempt, known) SELECT k.cluster_id, k.position, k.check_id, k.severity, k.verdict,"
        f" k.verdict IN ('pass', 'fail') OR (k.verdict = 'skip' AND k.reason = '{_NOTHING_TO_EXAMINE}'), k.reason,"
        " k.findings, k.exempt, k.known FROM kspec_checks_r2 k JOIN kspec_results x ON x.id = k.cluster_id",
        "UPDATE kspec_results SET"
        f" weight = (SELECT coalesce(sum({_WEIGHT}), 0) FROM kspec_checks k WHERE k.result_id = kspec_results.id"
        " AND k.verdict <> 'skip'),"
        f" weight_met = (SELECT coalesce(sum({_WEIGHT}), 0) FROM kspec_checks k WHERE"
        " k.result_id = kspec_results.id AND k.verdict = 'pass' AND k.known = 0)",
        "INSERT INTO kspec_frameworks (result_id, framework, name, version, score, coverage, met, not_met,"
        " not_evaluated, manual) SELECT f.cluster_id, f.framework, f.name, f.version, f.score, f.coverage, f.met,"
        " f.not_met, f.not_evaluated, f.manual FROM kspec_frameworks_r2 f"
        " JOIN kspec_results x ON x.id = f.cluster_id",
        "INSERT INTO kspec_findings (subject_id, fingerprint, check_id, severity, what, state, first_seen,"
        " last_seen, legacy) SELECT subject, id, check_id, severity, what, status, first_seen, last_seen, true FROM"
        f" (SELECT f.*, {owner} AS subject FROM kspec_findings_r2 f) o WHERE subject IS NOT NULL",
        f"UPDATE kspec_findings SET resolved_at = ({looked}) WHERE {gone}",
        "UPDATE kspec_findings SET state = CASE WHEN resolved_at IS NULL THEN 'unknown' ELSE 'fixed' END,"
        " reason = CASE WHEN resolved_at IS NULL THEN 'the requirement was not evaluated since' ELSE '' END"
        f" WHERE {gone}",
    )
