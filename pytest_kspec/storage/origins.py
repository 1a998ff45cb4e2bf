"""Where things come from that are known by a name alone: what tells that two share it, before one clears the other."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, case, delete, or_, select

from pytest_kspec.cluster.sources.origin import STATED
from pytest_kspec.errors import StoreError
from pytest_kspec.results.result import ClusterResult
from pytest_kspec.shown import printable, well_formed
from pytest_kspec.storage import schema

_origin = schema.origins.c
_MANIFESTS = "manifests:"
_CONFIG = "AlertConfig "


def claim(connection: Connection, insert: Any, cluster: ClusterResult, where: str) -> StoreError | None:
    """Manifests of this name come from here; or why not, where the store knows them from elsewhere.

    insert: an INSERT into `origins`, whose row is locked from here on. A name that the user gave is always theirs.
    """
    mine = cluster.evidence.origin
    if not mine or not cluster.id.startswith(_MANIFESTS):
        return None
    kept = _take(connection, insert, well_formed(cluster.id), mine, stated=mine == STATED)
    if kept == mine:
        return None
    known = "given with NAME=PATH" if kept == STATED else f"from {printable(kept)}"
    return StoreError(
        f"'{printable(cluster.name)}' was not stored: the store has results of that name {known}; "
        f"those from {printable(mine)} would replace them.",
        where=where,
        fix="Give these manifests a name of their own: --cluster NAME=PATH.",
    )


def is_other(connection: Connection, cluster: ClusterResult) -> bool:
    """Whether the store knows manifests of this name from elsewhere."""
    mine = cluster.evidence.origin
    if mine in ("", STATED) or not cluster.id.startswith(_MANIFESTS):
        return False
    known = connection.execute(select(_origin.origin).where(_origin.name == well_formed(cluster.id))).scalar()
    return known not in (None, "", mine)


def claim_config(connection: Connection, insert: Any, name: str, path: str, digest: str, where: str) -> None:
    """As `claim`, of an AlertConfig: a file that was moved, or changed where it is, is the same one."""
    mine = f"{digest} {path}"
    kept = _take(connection, insert, f"{_CONFIG}{well_formed(name)}"[:420], mine)
    old_digest, _, old_path = kept.partition(" ")
    if kept == mine or not path:
        return
    if old_path and old_digest != digest and old_path != path:
        raise StoreError(
            f"nothing was sent: the store has an AlertConfig '{printable(name)}' from {printable(old_path)}; "
            f"alerts that its receivers were sent would count as sent to those of {printable(path)} too.",
            where=where,
            fix="Give each AlertConfig a metadata.name of its own.",
        )
    _take(connection, insert, f"{_CONFIG}{well_formed(name)}"[:420], mine, stated=True)


def _take(connection: Connection, insert: Any, name: str, origin: str, *, stated: bool = False) -> str:
    new = insert.excluded
    keeps = _origin.origin if not stated else new.origin
    statement = insert.on_conflict_do_update(
        index_elements=["name"], set_={"origin": case((_origin.origin == "", new.origin), else_=keeps)}
    ).returning(_origin.origin)
    kept: str = connection.execute(statement, {"name": name, "origin": well_formed(origin)}).scalar_one()
    return kept


def forget(connection: Connection) -> None:
    """Of clusters of which nothing is left."""
    there = select(schema.clusters.c.id)
    of_config = _origin.name.startswith(_CONFIG, autoescape=True)
    connection.execute(delete(schema.origins).where(~or_(of_config, _origin.name.in_(there))))
