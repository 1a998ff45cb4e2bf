"""Secrets of the hub: one is read by its name, never listed, so that a Role can name it."""

from __future__ import annotations

import base64
import binascii

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.errors import Malformed, NotFound
from pytest_kspec.secretstores.reference import Reference
from pytest_kspec.secretstores.sealed import Sealed


class KubernetesSecrets:
    """As `stores.Store`."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def read(self, reference: Reference) -> Sealed:
        """One key of one Secret."""
        where = str(reference)
        found = self._access.do(
            lambda writer: writer.find("v1", "Secret", reference.name, namespace=reference.namespace)
        )
        if found is None:
            raise NotFound("the Secret does not exist.", where=where)
        data = found.get("data")
        value = data.get(reference.key) if isinstance(data, dict) else None
        if value is None:
            keys = ", ".join(sorted(map(str, data))) if isinstance(data, dict) else ""
            raise Malformed(
                f"the Secret has no key '{reference.key}'.",
                where=where,
                fix=f"It has: {keys}." if keys else "It is empty.",
            )
        try:
            return Sealed(base64.b64decode(value, validate=True), where=where)
        except (TypeError, ValueError, binascii.Error):
            raise Malformed("the value is not base64.", where=where) from None


def open_store(hub: Access) -> KubernetesSecrets:
    """The store of this hub."""
    return KubernetesSecrets(hub)
