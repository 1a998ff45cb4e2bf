"""Lets the full reports of a store need its present key, one after the other: `kspec history rewrap`."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from pytest_kspec.errors import StoreError, UsageError
from pytest_kspec.storage import envelope, objects, schema
from pytest_kspec.storage.engine import Store


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """changed: reports that need the present key now; kept: those that did already; failed: why others do not."""

    changed: int
    kept: int
    failed: tuple[StoreError, ...]


def rewrap(store: Store) -> Rewrapped:
    """Go through all; one that cannot be read takes no other with it. Raises UsageError without a key, StoreError."""
    if not envelope.is_wanted():
        raise UsageError("no key is given.", where=envelope.KEY, fix=f"Set {envelope.KEY}=file:PATH.")
    keys = envelope.keys()
    part = schema.parts.c
    with store.read() as connection:
        statement = select(part.report).where(part.report != "").distinct().order_by(part.report)
        places = list(connection.execute(statement).scalars())
    changed = 0
    failed = []
    for place in places:
        try:
            changed += objects.rewrap(place, keys)
        except StoreError as error:
            failed.append(error)
    return Rewrapped(changed, len(places) - changed - len(failed), tuple(failed))
