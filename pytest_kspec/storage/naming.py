"""What a cluster with several names is called: one name, whoever scanned it last."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from pytest_kspec.storage import schema

_IN_USE = timedelta(days=1)
_RUNS = 2
_cluster, _subject, _result = schema.clusters.c, schema.subjects.c, schema.results.c


def name(connection: Connection, cluster: str, latest: str, finished: str) -> None:
    """After a result under the name `latest` was added. In whatever order results are stored, the name is the same.

    The newest one, where no other was used since it is: the cluster was renamed. Where several are used in turn, as
    for a hub that scans itself and is a ClusterTarget too, the first of those in use: by the last two runs, or within a
    day before the newest result.
    """
    is_it = _cluster.id == cluster
    known = connection.execute(select(_cluster.name, _cluster.last_seen).where(is_it)).one()
    if known == (latest, finished):
        return  # one more under this name, and the newest of all: others are not used more than before
    mine = _result.subject_id.in_(select(_subject.id).where(_subject.cluster_id == cluster))
    first, last = func.min(_result.finished_at), func.max(_result.finished_at)
    rows = connection.execute(select(_result.name, first, last).where(mine).group_by(_result.name)).all()
    used = sorted((begun, ended, found) for found, begun, ended in rows)
    chosen = used[-1][2]
    if any(ended >= used[-1][0] for _, ended, _ in used[:-1]):
        since = f"{datetime.fromisoformat(known.last_seen) - _IN_USE:%Y-%m-%dT%H:%M:%SZ}"
        for _, ended, found in used:
            later = select(func.count(_result.run_id.distinct())).where(mine, _result.finished_at > ended)
            if ended >= since or connection.execute(later).scalar_one() < _RUNS:
                chosen = found
                break
    connection.execute(update(schema.clusters).where(is_it).values(name=chosen))
