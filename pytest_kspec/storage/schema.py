"""The tables, as the newest revision has them; `migrations/versions` makes them, and a test compares the two.

A run has parts (one upload each), a part has results (one for each specification on each cluster), a result has checks,
frameworks, exemptions and observations of findings. A *subject* is one specification on one cluster, over all runs.
A run over a fleet has targets besides, the clusters that it was begun with, and one outcome for each of them and each
specification: a result, or why there is none.

Times are RFC 3339 text in UTC of one length, which sorts as it reads, in both databases. A score is 0-100 or null.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from pytest_kspec.shown import well_formed

HEAD = "r0014"
REVISIONS = tuple(f"r{number:04}" for number in range(1, 15))
VERSION_TABLE = "kspec_schema"

COUNTS = ("passed", "failed", "errors", "skipped", "findings", "exempt", "known")
"""Requirements by verdict, findings by status; the names of `model.trend.TrendPoint`."""

metadata = MetaData()


def plain_text(text: str) -> str:
    """The text as PostgreSQL can hold it: without NUL and lone surrogates."""
    return text if text.isprintable() else well_formed(text.replace("\0", "\ufffd"))


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


# One run of the tool. id: the first half of the SHA-256 of its JSON report, or what the caller calls it.
runs = Table(
    "kspec_runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("started_at", String(20), nullable=False),
    Column("finished_at", String(20), nullable=False, index=True),
    _text("tool_version"),
    _text("run_by"),
)

# One upload of it. id: the first half of the SHA-256 of its JSON report.
parts = Table(
    "kspec_parts",
    metadata,
    Column("run_id", String(64), ForeignKey("kspec_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("id", String(32), primary_key=True),
    # Where the full report is, and its digest; "" where it was not kept.
    _text("report"),
    Column("report_sha256", String(64), nullable=False, server_default=""),
)

# A cluster, by its identity (`model.identity`). name: of `naming`; source, version: as the newest result has them.
clusters = Table(
    "kspec_clusters",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("name", Text, nullable=False, index=True),
    _text("source"),
    _text("version"),
    Column("first_seen", String(20), nullable=False),
    Column("last_seen", String(20), nullable=False),
)

# Where what is known by a name alone comes from (`origins`). name: identity of manifests, or a configuration of alerts.
origins = Table(
    "kspec_origins",
    metadata,
    Column("name", String(420), primary_key=True),
    _text("origin"),
)

# One specification on one cluster. newest_at: of its newest result (`newest`).
subjects = Table(
    "kspec_subjects",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("cluster_id", String(200), ForeignKey("kspec_clusters.id", ondelete="CASCADE"), nullable=False),
    Column("spec", Text, nullable=False),
    Column("newest_at", String(20), nullable=False, index=True),
    UniqueConstraint("cluster_id", "spec", name="uq_kspec_subjects_cluster_id_spec"),
)

# One specification on one cluster in one run. name: what the cluster was called then.
# weight, weight_met: severity weights of the requirements that apply, and of those that are met: scores add up.
# shape, verdicts, tally: its requirements as short texts (`verdicts`).
# left_out: how many requirements of the specification the run did not select; more than 0: the result is partial.
results = Table(
    "kspec_results",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(64), nullable=False),
    Column("part_id", String(32), nullable=False),
    Column("subject_id", Integer, ForeignKey("kspec_subjects.id", ondelete="CASCADE"), nullable=False),
    Column("finished_at", String(20), nullable=False),
    Column("name", Text, nullable=False),
    _text("spec_version"),
    _text("source"),
    _text("version"),
    Column("score", Float),
    _number("weight"),
    _number("weight_met"),
    *(_number(name) for name in COUNTS),
    Column("shape", String(32), nullable=False, server_default=""),
    _text("verdicts"),
    _text("tally"),
    _number("left_out"),
    ForeignKeyConstraint(
        ["run_id", "part_id"],
        ["kspec_parts.run_id", "kspec_parts.id"],
        ondelete="CASCADE",
        name="fk_kspec_results_part",
    ),
    UniqueConstraint("run_id", "subject_id", name="uq_kspec_results_run_id_subject_id"),
    Index("ix_kspec_results_newest", "subject_id", "finished_at", "id"),
    Index("ix_kspec_results_run_id_part_id", "run_id", "part_id"),
    Index("ix_kspec_results_name", "name"),
)

# One requirement of it. findings, exempt and known count findings.
# evaluated: a finding that is not there is gone (`results.result.ClusterResult.looked_at`).
checks = Table(
    "kspec_checks",
    metadata,
    Column("result_id", ForeignKey("kspec_results.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("check_id", Text, nullable=False),
    Column("severity", String(8), nullable=False),
    Column("verdict", String(5), nullable=False),
    Column("evaluated", Boolean, nullable=False, server_default=false()),
    _text("reason"),
    *(_number(name) for name in ("findings", "exempt", "known")),
    Index("ix_kspec_checks_check_id_result_id", "check_id", "result_id"),
)

# What a requirement is called, and how to fix it, as the newest result that has it says.
requirements = Table(
    "kspec_requirements",
    metadata,
    Column("check_id", Text, primary_key=True),
    _text("title"),
    _text("remediation"),
    Column("seen_at", String(20), nullable=False),
)

# One framework of it.
frameworks = Table(
    "kspec_frameworks",
    metadata,
    Column("result_id", ForeignKey("kspec_results.id", ondelete="CASCADE"), primary_key=True),
    Column("framework", String, primary_key=True),
    _text("name"),
    _text("version"),
    Column("score", Float),
    Column("coverage", Float, nullable=False),
    *(_number(name) for name in ("met", "not_met", "not_evaluated", "manual", "partly_met", "in_part")),
)

# A finding over all runs, once a subject. state: `model.observation.State` as of the newest result of the subject.
# reason: why it is unknown; resolved_at: of the first result after last_seen that looked and did not find it.
# api_group to container: the object and the field; "" in rows of before r0003, which had `what` only.
# legacy: its fingerprint is one by the cluster's name, until it is seen again.
findings = Table(
    "kspec_findings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("subject_id", Integer, ForeignKey("kspec_subjects.id", ondelete="CASCADE"), nullable=False),
    Column("fingerprint", String(32), nullable=False),
    Column("check_id", Text, nullable=False),
    Column("severity", String(8), nullable=False),
    *(
        _text(name)
        for name in ("api_group", "kind", "namespace", "name", "path", "container", "what", "message")
    ),
    Column("state", String(8), nullable=False),
    _text("reason"),
    Column("first_seen", String(20), nullable=False),
    Column("last_seen", String(20), nullable=False, index=True),
    Column("resolved_at", String(20)),
    Column("legacy", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("subject_id", "fingerprint", name="uq_kspec_findings_subject_id_fingerprint"),
    Index("ix_kspec_findings_subject_id_state", "subject_id", "state"),
    Index("ix_kspec_findings_check_id_state", "check_id", "state"),
    Index("ix_kspec_findings_fingerprint", "fingerprint"),
)

# That a result has a finding. status: open, known, exempt. Where a later result has no row, its check says why:
# evaluated, so the finding was fixed; or not, so nobody knows.
observations = Table(
    "kspec_observations",
    metadata,
    Column("result_id", ForeignKey("kspec_results.id", ondelete="CASCADE"), primary_key=True),
    Column("finding_id", ForeignKey("kspec_findings.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("status", String(6), nullable=False),
)

# One exemption of a result (`results.evidence.ExemptionUse`).
exemptions = Table(
    "kspec_exemptions",
    metadata,
    Column("result_id", ForeignKey("kspec_results.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    *(_text(name) for name in ("name", "reason", "approver", "expires_at", "location")),
    Column("state", String(8), nullable=False),
    _number("matched"),
)

# A run over a fleet. document: what each worker is to do, as JSON (`fleet.runs.Order`); ended_at: null until every
# cluster has an outcome.
fleet_runs = Table(
    "kspec_fleet_runs",
    metadata,
    Column("id", String(64), ForeignKey("kspec_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("created_at", String(20), nullable=False, index=True),
    Column("ended_at", String(20)),
    _text("engine"),
    _number("shards"),
    Column("document", Text, nullable=False),
)

# A cluster of it, frozen when the run began. ref: how a worker opens it; labels: JSON, or ""; expected_s: how long it
# took the last time; attempts: how often a worker began with it; returned: those that it gave back; forgiven: those of
# before somebody went on with the run; cluster_id: its identity, once a worker knows it, so that of two names of one
# cluster one is scanned.
targets = Table(
    "kspec_targets",
    metadata,
    Column("run_id", String(64), ForeignKey("kspec_fleet_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("shard", Integer, nullable=False),
    Column("name", Text, nullable=False, index=True),
    Column("ref", Text, nullable=False),
    _text("labels"),
    Column("expected_s", Float),
    _number("attempts"),
    _number("returned"),
    _number("forgiven"),
    Column("cluster_id", String(200)),
    UniqueConstraint("run_id", "cluster_id", name="uq_kspec_targets_run_id_cluster_id"),
)

# What became of a specification on it: once, whoever comes first. outcome: `results.outcome.Outcome`.
outcomes = Table(
    "kspec_outcomes",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("spec", Text, primary_key=True),
    Column("spec_sha256", String(64), primary_key=True),
    Column("outcome", String(12), nullable=False),
    _text("reason"),
    Column("at", String(20), nullable=False),
    Column("seconds", Float, nullable=False, server_default="0"),
    Column("result_id", ForeignKey("kspec_results.id", ondelete="SET NULL"), index=True),
    ForeignKeyConstraint(
        ["run_id", "position"],
        ["kspec_targets.run_id", "kspec_targets.position"],
        ondelete="CASCADE",
        name="fk_kspec_outcomes_target",
    ),
)

# An alert (`alerts.alert.Fact`), active or ended a short while ago.
alerts = Table(
    "kspec_alerts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("cluster_id", String(200), nullable=False, index=True),
    _text("spec"),
    _text("document"),
)

# What a receiver of a configuration was told of a group of alerts, and when.
alerts_told = Table(
    "kspec_alerts_told",
    metadata,
    Column("config", String(400), primary_key=True),
    Column("receiver", String(300), primary_key=True),
    Column("group_key", String(32), primary_key=True),
    Column("at", String(20), nullable=False),
    _text("document"),
)

# One difference of a cluster, from when it was first seen until a look did not find it: `storage.drift`.
# cluster_id: no key of kspec_clusters, since a cluster may drift that was never scanned. event: JSON.
drift = Table(
    "kspec_drift",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("cluster_id", String(200), nullable=False),
    Column("cluster", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("key", String(32), nullable=False),
    Column("type", String(13), nullable=False),
    Column("severity", String(8), nullable=False),
    Column("first_seen", String(20), nullable=False),
    Column("last_seen", String(20), nullable=False, index=True),
    Column("cleared_at", String(20)),
    Column("event", Text, nullable=False),
)
Index(
    "uq_kspec_drift_open",
    drift.c.cluster_id,
    drift.c.spec,
    drift.c.key,
    unique=True,
    sqlite_where=drift.c.cleared_at.is_(None),
    postgresql_where=drift.c.cleared_at.is_(None),
)

# That an object was corrected: three times within an hour is a fight.
drift_corrections = Table(
    "kspec_drift_corrections",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("cluster_id", String(200), nullable=False),
    Column("spec", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("corrected_at", String(20), nullable=False),
    Index("ix_kspec_drift_corrections_cluster_id_corrected_at", "cluster_id", "corrected_at"),
)

# Objects of the last good run, as an archive of `kspec snapshot`: `storage.recordings`. owner: who compares with it;
# kinds: digest of those that are recorded; used_at: the day of the last comparison.
recordings = Table(
    "kspec_drift_recordings",
    metadata,
    Column("cluster_id", String(200), primary_key=True),
    Column("owner", String(400), primary_key=True),
    Column("kinds", String(32), nullable=False),
    _text("tool_version"),
    Column("recorded_at", String(20), nullable=False),
    Column("used_at", String(20), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

# The newest leader that wrote, of replicas that share a Lease: `storage.leaders`. lease: UID of the Lease; number: its
# `leaseTransitions`.
leaders = Table(
    "kspec_leaders",
    metadata,
    Column("lease", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
)
