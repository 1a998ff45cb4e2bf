"""The one way to a secret: a reference becomes bytes, if whoever refers to it may.

Nothing is kept here: whoever uses a secret for long keeps it (`fleet.targets.keeper`), and asks again when it is due. A
store's library is imported when one of its secrets is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Protocol

from pytest_kspec.audit.trail import about, recorded
from pytest_kspec.errors import KspecError, Malformed, SourceUnavailable, UsageError
from pytest_kspec.extend.places import SECRET_STORES
from pytest_kspec.secretstores.allowed import Allowed, allowed_by_environment
from pytest_kspec.secretstores.reference import Reference
from pytest_kspec.secretstores.sealed import Sealed

if TYPE_CHECKING:
    from pytest_kspec.cluster.writing.access import Access as Hub

LONGEST = 4 << 20
"""Bytes of one secret."""


class Store(Protocol):
    """One store. Called from several threads."""

    def read(self, reference: Reference) -> Sealed:
        """Raises NotFound, AccessDenied, Malformed (no such key), SourceUnavailable; never with a secret in it."""
        ...


_MODULES = {"vault": "hvac", "aws": "boto3"}
"""Stores that need a package."""


def access(reference: str, asker: str, hub: Hub | None = None) -> AbstractContextManager[None]:
    """What happens within is in the audit log as a secret that was read, or refused.

    asker: as of `Secrets.read`; hub: the cluster that has it, if one does
    """
    where: dict[str, str] = {}
    if hub is not None:
        with suppress(KspecError):  # who reads the secret says it
            where = hub.do(lambda writer: about(writer.source))
    said = f"read the secret {reference}"
    return recorded("credential_access", "read", said, resource=reference, details={"asker": asker}, **where)


class Secrets:
    """hub: the cluster whose Secrets references of the store `kubernetes` mean; None: there are none.

    stores: instead of those that the environment describes
    """

    def __init__(
        self,
        hub: Hub | None = None,
        allowed: Allowed | None = None,
        stores: Mapping[str, Store] | None = None,
    ) -> None:
        self._hub = hub
        self._allowed = allowed if allowed is not None else allowed_by_environment()
        self._stores = dict(stores or {})
        self._trusted = {*self._stores, *SECRET_STORES.builtin}
        self._lock = threading.Lock()

    def read(self, reference: Reference, *, asker: str) -> Sealed:
        """asker: namespace of the object that has the reference; "": the user at the command line.

        Raises as `Store.read`; AccessDenied where the asker may not refer to it.
        """
        hub = self._hub if reference.store == "kubernetes" else None
        with access(str(reference), asker, hub):
            self._allowed.check(reference, asker)
            found = self._read(reference)
            if len(found.reveal()) > LONGEST:
                raise Malformed(f"the secret is larger than {LONGEST >> 20} MiB.", where=str(reference))
        return found

    def _read(self, reference: Reference) -> Sealed:
        if reference.store in self._trusted:
            return self._store(reference.store).read(reference)
        where = str(reference)
        package = _named(reference.store)
        try:
            found = self._store(reference.store).read(reference)
        except KspecError:
            raise
        except Exception as error:  # its text may hold anything
            raise SourceUnavailable(f"{package} failed with {type(error).__name__}.", where=where) from error
        if not isinstance(found, Sealed):
            raise SourceUnavailable(f"{package} returned {type(found).__name__}, not Sealed.", where=where)
        return found

    def _store(self, name: str) -> Store:
        with self._lock:
            if name not in self._stores:
                self._stores[name] = self._make(name)
            return self._stores[name]

    def _make(self, name: str) -> Store:
        if name == "kubernetes" and self._hub is None:
            raise SourceUnavailable("there is no cluster whose Secrets could be read.", where=name)
        try:
            make: Callable[..., Store] = SECRET_STORES.load(name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != _MODULES.get(name):
                raise
            raise UsageError(
                f"the store '{name}' needs the package {error.name}.",
                where=name,
                fix=f"Install it with: pip install 'pytest-kspec[{name}]'.",
            ) from error
        return make(self._hub) if name == "kubernetes" else make()


def _named(store: str) -> str:
    entry = SECRET_STORES.find(store)
    return f"the store {store!r}" + (f" of the package {entry.package}" if entry is not None else "")
