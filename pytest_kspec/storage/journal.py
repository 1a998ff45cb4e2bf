"""Objects of an S3-compatible store that are made once: who comes second is told so, and changes nothing.

That is one request with `If-None-Match: *`. It is all that is needed of a store: replacing an object on a condition
(`If-Match`) is not exact in every one of them.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pytest_kspec.errors import DamagedObject, StoreError
from pytest_kspec.storage import objects

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_AT_ONCE = 16
_LARGEST = 64 << 20
_BY = "by"
_PROBES = "probes"


class Journal:
    """The objects below a place, `s3://BUCKET/PREFIX`. Nothing is asked before it is needed; not for use after a fork
    by a process that used one: the library's threads are not there.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._client: ObjectStore | None = None
        self._known: dict[str, dict[str, Any]] = {}

    def create(self, name: str, document: dict[str, Any]) -> bool:
        """False where somebody else made it. Raises StoreError."""
        return self.create_bytes(name, _wire(document | {_BY: secrets.token_hex(8)}))

    def create_bytes(self, name: str, content: bytes) -> bool:
        """The same; content: unlike that of all others. Raises StoreError."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with objects.errors(self.where(name)):
            try:
                obstore.put(self._open(), name, content, mode="create", use_multipart=False)
                return True
            except AlreadyExistsError:
                # Where the answer was lost, the library asked again, and was told of what it had made itself.
                return self.read_bytes(name) == content

    def read(self, name: str) -> dict[str, Any] | None:
        """A document, None where there is none. Raises StoreError."""
        if name not in self._known:
            content = self.read_bytes(name)
            if content is None:
                return None
            self._known[name] = _parse(content, self.where(name))
        return self._known[name]

    def read_all(self, names: Iterable[str]) -> dict[str, dict[str, Any] | DamagedObject]:
        """Each of these, or why it cannot be read. Raises StoreError."""
        wanted = list(names)

        def read(name: str) -> dict[str, Any] | DamagedObject:
            try:
                found = self.read(name)
            except DamagedObject as error:
                return error
            return DamagedObject("the object is gone.", where=self.where(name)) if found is None else found

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(wanted, pool.map(read, wanted), strict=True))

    def read_bytes(self, name: str, largest: int = _LARGEST) -> bytes | None:
        """Raises StoreError, also for one that is larger."""
        import obstore
        from obstore.exceptions import NotFoundError

        with objects.errors(self.where(name)):
            try:
                found = obstore.get(self._open(), name)
            except (NotFoundError, FileNotFoundError) as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            if found.meta["size"] > largest:
                raise DamagedObject(f"the object is larger than {largest >> 20} MiB.", where=self.where(name))
            return bytes(found.bytes())

    def names(self, below: str) -> list[str]:
        """Names of all objects below a name, in order. Raises StoreError."""
        import obstore

        with objects.errors(self.where(below)):
            return sorted(one["path"] for some in obstore.list(self._open(), below) for one in some)

    def folders(self, below: str) -> list[str]:
        """The next parts of names below a name. Raises StoreError."""
        import obstore

        with objects.errors(self.where(below)):
            found = obstore.list_with_delimiter(self._open(), below)["common_prefixes"]
        return sorted(one.rstrip("/").rpartition("/")[2] for one in found)

    def delete(self, names: Iterable[str]) -> None:
        """Those that are gone are no error. Raises StoreError."""
        import obstore

        with objects.errors(self.place):
            for name in names:
                obstore.delete(self._open(), name)

    def delete_older(self, below: str, seconds: float) -> None:
        """Objects below a name that were made so long before the last one. Raises StoreError."""
        import obstore

        with objects.errors(self.where(below)):
            made = {
                one["path"]: one["last_modified"]
                for some in obstore.list(self._open(), below)
                for one in some
            }
        newest = max(made.values(), default=None)
        if newest is not None:
            self.delete(name for name, at in made.items() if (newest - at).total_seconds() > seconds)

    def prove(self) -> None:
        """See to it that the store refuses a second object of a name. Raises StoreError where it does not."""
        name = f"{_PROBES}/{secrets.token_hex(8)}"
        first, second = self.create(name, {}), self.create(name, {})
        with contextlib.suppress(StoreError):
            self.delete([name])
        if not first or second:
            raise StoreError(
                "this object store replaces an object although the request says 'If-None-Match: *'. Two workers could "
                "store two outcomes of one cluster.",
                where=self.place,
                fix="Use a version of it that supports conditional writes, or PostgreSQL.",
            )

    def _open(self) -> ObjectStore:
        if self._client is None:
            self._client = objects.open_place(self.place)
        return self._client

    def where(self, name: str) -> str:
        """For errors."""
        return f"{self.place}/{name}"


def _wire(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _parse(content: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedObject("the object is damaged: it is not JSON.", where=where) from error
    if not isinstance(found, dict):
        raise DamagedObject("the object is damaged: it is not a JSON object.", where=where)
    return found
