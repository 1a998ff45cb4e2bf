"""Secrets of receivers, by reference: read when something is sent, so that a rotated one is used at once.

Each receiver is given its own only; what one of them answers is shown without any of its secrets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Protocol

from pytest_kspec.crds.models.alertconfig import AlertSecretRef
from pytest_kspec.errors import AccessDenied, KspecError, Malformed, SourceUnavailable
from pytest_kspec.secretstores.reference import Reference, reference_of
from pytest_kspec.secretstores.sealed import Sealed
from pytest_kspec.secretstores.stores import Secrets as Stores
from pytest_kspec.secretstores.stores import access

LONGEST = 8192


class Secrets(Protocol):
    """Reads what a reference names."""

    def read(self, ref: AlertSecretRef, default: str) -> str:
        """One value. default: the key where the reference names none. Raises KspecError without the value."""
        ...

    def read_all(self, ref: AlertSecretRef) -> Mapping[str, str]:
        """All keys of a secret, or the one that the reference names. Raises KspecError."""
        ...


class Referenced:
    """asker: namespace of the AlertConfig; "": the user at the command line, who may name variables and files too."""

    def __init__(self, stores: Stores, asker: str = "") -> None:
        self._stores = stores
        self._asker = asker

    def read(self, ref: AlertSecretRef, default: str) -> str:
        """One value."""
        return _sendable(self._sealed(ref, default).text(), _named(ref))

    def read_all(self, ref: AlertSecretRef) -> Mapping[str, str]:
        """Headers by name; of a variable or a file without `key`, from lines of `Name: value`."""
        if ref.key:
            return {ref.key: self.read(ref, ref.key)}
        text = self._sealed(ref, "").text()
        where = _named(ref)
        if ref.name:
            try:
                data = json.loads(text)
            except (ValueError, RecursionError):
                data = None
            if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
                raise Malformed("its values must be an object of strings.", where=where)
            found = data
        else:
            lines = [line.partition(":") for line in text.splitlines() if line.strip()]
            if not all(colon for _, colon, _ in lines):
                raise Malformed("each line must have the form 'Name: value'.", where=where, fix="Or set key.")
            found = {name: value for name, _, value in lines}
        return {name.strip(): _sendable(value.strip(), where) for name, value in found.items()}

    def _sealed(self, ref: AlertSecretRef, key: str) -> Sealed:
        """Each that is read or refused is in the audit log once: here, or by the stores."""
        try:
            reference = self._reference(ref, key)
        except KspecError:
            with access(_recorded(ref), self._asker):
                raise
        if reference is not None:
            return self._stores.read(reference, asker=self._asker)
        with access(_recorded(ref), self._asker):
            value = os.environ.get(ref.env)
            if value is None:
                raise SourceUnavailable("the variable is not set.", where=_named(ref))
            return Sealed(value.encode("utf-8", "surrogateescape"), where=_named(ref))

    def _reference(self, ref: AlertSecretRef, key: str) -> Reference | None:
        """What a store is asked for; None for a variable. Raises KspecError for what may not be referred to."""
        if not ref.name and self._asker:
            raise AccessDenied(
                "an object cannot refer to variables and files of the operator.", where=_named(ref)
            )
        if not ref.name:
            return Reference("file", ref.file) if ref.file else None
        reference = reference_of(ref, namespace=self._asker or "default", key=key)
        if not self._asker and reference.store == "kubernetes":
            raise SourceUnavailable(
                "is a Secret of a cluster, which only the operator reads.",
                where=_named(ref),
                fix="Write env: VARIABLE or file: PATH instead.",
            )
        return reference


def _sendable(value: str, where: str) -> str:
    if not value.isprintable() or len(value) > LONGEST:
        raise Malformed("it has control characters or is too long, and cannot be sent.", where=where)
    return value


def _named(ref: AlertSecretRef) -> str:
    if ref.env:
        return f"${ref.env}"
    return f"the file {ref.file}" if ref.file else f"the secret {ref.name}"


def _recorded(ref: AlertSecretRef) -> str:
    """As the audit log names it."""
    if ref.env:
        return f"env:{ref.env}"
    return f"file:{ref.file}" if ref.file else f"{ref.store or 'kubernetes'}:{ref.name}"
