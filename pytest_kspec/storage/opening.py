"""Opens a store of any kind, also one in S3."""

from __future__ import annotations

from pytest_kspec.storage.address import parse_address
from pytest_kspec.storage.engine import Store, open_address
from pytest_kspec.storage.replica import Parse, ReplicaStore


def open_any(url: str, parse: Parse, *, option: str = "--store", create: bool = False) -> Store:
    """As `engine.open_store`. parse: reads full reports, of which a store in S3 makes its rows later.

    Raises UsageError (the address), StoreError, NoStore.
    """
    address = parse_address(url, option=option, objects=True)
    if address.kind == "s3":
        return ReplicaStore(address, parse, create=create)
    return open_address(address, create=create)
