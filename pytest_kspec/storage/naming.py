"""What a cluster with several names is called: one name, whoever scanned it last."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from pytest_kspec.storage import schema

_IN_USE = timedelta(days=1)
_RUNS = 2
_cluster, _subject, _result = schema.clusters.c, schema.subjects.c, schema.results.c


def name(connection: Connection, cluster: str, latest: str) -> None:
    """After a result under the name `latest` was added. In whatever order results are stored, the name is the same.

    It is the first of the names in use: those of a day before the newest result, and those of the last two runs. So it
    stays where a hub scans itself and is a ClusterTarget too, and follows where a cluster was renamed.
    """
    is_it = _cluster.id == cluster
    if connection.execute(select(_cluster.name).where(is_it)).scalar() == latest:
        return  # a result more under a name changes nothing of which was the first
    mine = _result.subject_id.in_(select(_subject.id).where(_subject.cluster_id == cluster))
    first, last = func.min(_result.finished_at), func.max(_result.finished_at)
    rows = connection.execute(select(_result.name, first, last).where(mine).group_by(_result.name)).all()
    newest = max(row[2] for row in rows)
    since = f"{datetime.fromisoformat(newest) - _IN_USE:%Y-%m-%dT%H:%M:%SZ}"
    for found, _, ended in sorted(rows, key=lambda row: (row[1], row[0])):
        later = select(func.count(_result.run_id.distinct())).where(mine, _result.finished_at > ended)
        if ended >= since or connection.execute(later).scalar_one() < _RUNS:
            connection.execute(update(schema.clusters).where(is_it).values(name=found))
            return
