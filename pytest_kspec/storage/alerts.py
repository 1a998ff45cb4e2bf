"""Alerts that are active, and what receivers were told, beside the results that they come from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select

from pytest_kspec.errors import StoreError
from pytest_kspec.results.identity import is_stated
from pytest_kspec.results.result import ClusterResult
from pytest_kspec.shown import well_formed
from pytest_kspec.storage import origins, schema
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.write import in_parts, insert_into


@dataclass(frozen=True)
class StoredAlerts:
    """alerts: documents by id. told: (config, receiver, group) → (time, document)."""

    alerts: Mapping[str, dict[str, Any]]
    told: Mapping[tuple[str, str, str], tuple[str, dict[str, str]]]


def load(store: Store, config: str | None = None) -> StoredAlerts:
    """All alerts, and what receivers of a configuration (None: of all) were told. Raises StoreError."""
    alert, told = schema.alerts.c, schema.alerts_told.c
    which = select(schema.alerts_told)
    if config is not None:
        which = which.where(told.config == config)
    with store.read() as connection:
        alerts = {
            row.id: _read(row.document, store)
            for row in connection.execute(select(alert.id, alert.document).order_by(alert.id))
        }
        found = {
            (row.config, row.receiver, row.group_key): (row.at, _read(row.document, store))
            for row in connection.execute(which)
        }
    return StoredAlerts(alerts, found)


def save(store: Store, alerts: Mapping[str, dict[str, Any]], gone: Iterable[str] = ()) -> None:
    """Write these alerts, and leave out others; committed when it returns. Raises StoreError."""
    rows = [
        {
            "id": key,
            "cluster_id": well_formed(data["alert"]["clusterId"])[:200],
            "spec": _text(data["alert"]["spec"]),
            "document": _written(data),
        }
        for key, data in sorted(alerts.items())
    ]
    names = sorted(gone)

    def work(connection: Any) -> None:
        statement = insert_into(connection, schema.alerts)
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=["id"],
            set_={"document": new.document, "cluster_id": new.cluster_id, "spec": new.spec},
        )
        for some in in_parts(rows):
            connection.execute(statement, some)
        for part in in_parts([{"id": name} for name in names]):
            ids = [row["id"] for row in part]
            connection.execute(delete(schema.alerts).where(schema.alerts.c.id.in_(ids)))

    store.write(work)


def save_told(
    store: Store,
    config: str,
    told: Mapping[tuple[str, str], tuple[str, dict[str, str]]],
    gone: Iterable[tuple[str, str]] = (),
) -> None:
    """Write what receivers were told: (receiver, group) → (time, tokens). Raises StoreError."""
    rows = [
        {
            "config": _text(config),
            "receiver": _text(receiver),
            "group_key": group,
            "at": at,
            "document": _written(tokens),
        }
        for (receiver, group), (at, tokens) in sorted(told.items())
    ]
    names = list(gone)

    def work(connection: Any) -> None:
        statement = insert_into(connection, schema.alerts_told)
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=["config", "receiver", "group_key"],
            set_={"at": new.at, "document": new.document},
        )
        for some in in_parts(rows):
            connection.execute(statement, some)
        column = schema.alerts_told.c
        for receiver, group in names:
            connection.execute(
                delete(schema.alerts_told).where(
                    column.config == _text(config), column.receiver == receiver, column.group_key == group
                )
            )

    store.write(work)


def claim(store: Store, config: str, path: str, digest: str) -> None:
    """A configuration is this file. Raises StoreError where the store knows another one by its name."""

    def work(connection: Any) -> None:
        insert = insert_into(connection, schema.origins)
        origins.claim_config(connection, insert, config, path, digest, store.address.shown)

    store.write(work)


def is_other(store: Store, cluster: ClusterResult) -> bool:
    """Whether the store knows other manifests by the name of these. Raises StoreError."""
    with store.read() as connection:
        return origins.is_other(connection, cluster)


def newest(store: Store, cluster_id: str, spec: str) -> str:
    """When the newest result of a specification on a cluster ended; "" if there is none. Raises StoreError."""
    subject = schema.subjects.c
    statement = select(subject.newest_at).where(subject.cluster_id == cluster_id, subject.spec == spec)
    with store.read() as connection:
        return connection.execute(statement).scalar() or ""


def known_as(store: Store, name: str) -> str:
    """The UID of the cluster that was last called so; "" if there is none. Raises StoreError."""
    cluster = schema.clusters.c
    statement = select(cluster.id).where(cluster.name == name).order_by(cluster.last_seen.desc())
    with store.read() as connection:
        uids = (found for found in connection.execute(statement).scalars() if not is_stated(found))
        return next(uids, "")


def _text(text: str) -> str:
    return well_formed(text.replace("\0", "\ufffd"))


def _written(data: object) -> str:
    return json.dumps(data, separators=(",", ":"))  # ASCII: whatever a name holds, both databases keep it


def _read(text: str, store: Store) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise StoreError(
            "the store contains an alert that cannot be read.", where=store.address.shown
        ) from error
