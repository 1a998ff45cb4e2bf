"""Secrets of the hub: one is read by its name, never listed, so that a Role can name it."""

from __future__ import annotations

import base64
import binascii
import json

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.errors import Malformed, NotFound
from pytest_kspec.secretstores.reference import Reference
from pytest_kspec.secretstores.sealed import Sealed


class KubernetesSecrets:
    """As `stores.Store`."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def read(self, reference: Reference) -> Sealed:
        """One key of one Secret; without a key, all of it as a JSON object of texts."""
        where = str(reference)
        found = self._access.do(
            lambda writer: writer.find("v1", "Secret", reference.name, namespace=reference.namespace)
        )
        if found is None:
            raise NotFound("the Secret does not exist.", where=where)
        data = found.get("data")
        if not reference.key and isinstance(data, dict):
            texts = {
                name: self._decoded(value, where).decode("utf-8", "replace") for name, value in data.items()
            }
            return Sealed(json.dumps(texts).encode(), where=where)
        value = data.get(reference.key) if isinstance(data, dict) else None
        if value is None:
            keys = ", ".join(sorted(map(str, data))) if isinstance(data, dict) else ""
            raise Malformed(
                f"the Secret has no key '{reference.key}'.",
                where=where,
                fix=f"It has: {keys}." if keys else "It is empty.",
            )
        return Sealed(self._decoded(value, where), where=where)

    @staticmethod
    def _decoded(value: object, where: str) -> bytes:
        try:
            return base64.b64decode(str(value), validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise Malformed("the value is not base64.", where=where) from None


def open_store(hub: Access) -> KubernetesSecrets:
    """The store of this hub."""
    return KubernetesSecrets(hub)
