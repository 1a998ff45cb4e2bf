"""The OCI distribution API, as far as it is needed: manifests, blobs, and what refers to an image.

What has a digest is believed only if it has that digest. A tag is what the registry says; its digest is computed.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from pytest_kspec.errors import NotFound, SourceUnavailable
from pytest_kspec.kube.images import ImageReference
from pytest_kspec.signatures.credentials import DockerConfig
from pytest_kspec.signatures.http import PATIENCE, Connection, Patience

MAX_MANIFEST_BYTES = 4 << 20
MAX_BLOB_BYTES = 4 << 20
MAX_PAGES = 10
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
_NEXT = re.compile(r'<([^<>]+)>\s*+;\s*+rel="?next"?')
_ALGORITHMS = ("sha256", "sha384", "sha512")


class Manifest(NamedTuple):
    """digest: computed from the bytes. data: never anything but a map."""

    digest: str
    media_type: str
    data: dict[str, Any]

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests, one a platform."""
        return self.media_type in INDEX_TYPES

    def entries(self, key: str) -> list[dict[str, Any]]:
        """The maps in a list of it; [] if there is no such list."""
        found = self.data.get(key)
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


class Registry:
    """Registries by name, each with one connection. For several threads."""

    def __init__(self, config: DockerConfig | None = None, patience: Patience = PATIENCE) -> None:
        self._config = config or DockerConfig()
        self._patience = patience
        self._connections: dict[str, Connection] = {}
        self._lock = threading.Lock()

    def manifest(self, image: ImageReference, reference: str) -> Manifest | None:
        """The manifest of a tag or digest in the repository of `image`; None if there is none.

        Raises SourceUnavailable for what is no manifest of OCI or Docker (schema 2), AccessDenied.
        """
        path = f"/v2/{image.repository}/manifests/{reference}"
        answer = self._connection(image).get(path, image.repository, accept=_ACCEPT, limit=MAX_MANIFEST_BYTES)
        if answer.status == 404:
            return None
        where = f"{image.registry}/{image.repository}"
        algorithm = reference.partition(":")[0] if ":" in reference else "sha256"
        digest = _digest(algorithm, answer.body, where)
        if ":" in reference and digest != reference:
            raise SourceUnavailable(f"the registry answers with other content than {reference}.", where=where)
        data = _json(answer.body, where)
        kind = data.get("mediaType") or answer.content_type
        if kind not in (*INDEX_TYPES, *MANIFEST_TYPES):
            shown = str(kind)[:80] or "nothing"
            raise SourceUnavailable(
                f"{reference} is of type {shown}, which is not a supported manifest.", where=where
            )
        return Manifest(digest, str(kind), data)

    def blob(self, image: ImageReference, digest: str, limit: int = MAX_BLOB_BYTES) -> bytes:
        """Raises NotFound, SourceUnavailable, AccessDenied."""
        path = f"/v2/{image.repository}/blobs/{digest}"
        where = f"{image.registry}/{image.repository}"
        answer = self._connection(image).get(path, image.repository, accept="*/*", limit=limit)
        if answer.status == 404:
            raise NotFound(f"the registry does not have the blob {digest}.", where=where)
        if _digest(digest.partition(":")[0], answer.body, where) != digest:
            raise SourceUnavailable(f"the registry answers with other content than {digest}.", where=where)
        return answer.body

    def referrers(self, image: ImageReference, digest: str) -> Iterator[dict[str, Any]]:
        """Descriptors of what refers to this digest: from the referrers API, else from the tag that replaces it.

        Raises as `manifest`; SourceUnavailable too where there are more pages than `MAX_PAGES`.
        """
        path = f"/v2/{image.repository}/referrers/{digest}"
        where = f"{image.registry}/{image.repository}"
        for _ in range(MAX_PAGES):
            answer = self._connection(image).get(
                path, image.repository, accept=INDEX_TYPES[0], limit=MAX_MANIFEST_BYTES
            )
            if answer.status == 404:  # the API is not there; an image without referrers has an empty list
                fallback = self.manifest(image, digest.replace(":", "-"))
                yield from fallback.entries("manifests") if fallback is not None and fallback.is_index else ()
                return
            if answer.content_type != INDEX_TYPES[0]:
                raise SourceUnavailable("the referrers API does not answer with an index.", where=where)
            yield from Manifest("", INDEX_TYPES[0], _json(answer.body, where)).entries("manifests")
            following = _NEXT.search(answer.link)
            if following is None:
                return
            target = urlsplit(urljoin(path, following[1]))  # of another host, only its path is taken
            path = f"{target.path}?{target.query}"
            if not path.startswith("/v2/"):
                raise SourceUnavailable("the referrers API names an invalid next page.", where=where)
        raise SourceUnavailable(f"more than {MAX_PAGES} pages of referrers of {digest}.", where=where)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()

    def _connection(self, image: ImageReference) -> Connection:
        with self._lock:
            known = self._connections.get(image.registry)
            if known is None:
                known = Connection(image.registry, self._config, self._patience)
                self._connections[image.registry] = known
            return known


def _digest(algorithm: str, body: bytes, where: str) -> str:
    if algorithm not in _ALGORITHMS:
        raise SourceUnavailable(f"a digest of type {algorithm[:20]!r} cannot be verified.", where=where)
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def _json(body: bytes, where: str) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise SourceUnavailable("the registry answers with something that is not a JSON object.", where=where)
    return data
