"""Pushes what a test made by hand: blobs, manifests of tiny images, indexes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import urllib3

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"


def digest_of(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


class Pusher:
    """One repository of a registry on loopback."""

    def __init__(self, host: str, repository: str, user: tuple[str, str] | None = None) -> None:
        self.host = host
        self.repository = repository
        self._base = f"http://{host}/v2/{repository}"
        self._http = urllib3.PoolManager()
        self._headers = urllib3.make_headers(basic_auth=":".join(user)) if user else {}

    @property
    def name(self) -> str:
        return f"{self.host}/{self.repository}"

    def blob(self, raw: bytes) -> dict[str, Any]:
        """Push; returns its descriptor without a type."""
        begun = self._send("POST", "/blobs/uploads/")
        target = begun.headers["Location"]
        target = target if "://" in target else f"http://{self.host}{target}"
        target += f"{'&' if '?' in target else '?'}digest={digest_of(raw)}"
        headers = {**self._headers, "Content-Type": "application/octet-stream"}
        done = self._http.request("PUT", target, body=raw, headers=headers)
        assert done.status == 201, done.data
        return {"digest": digest_of(raw), "size": len(raw)}

    def manifest(self, data: dict[str, Any], reference: str = "") -> str:
        """Push under a tag, or under its digest; returns the digest."""
        return self.manifest_bytes(json.dumps(data).encode(), data["mediaType"], reference)

    def manifest_bytes(self, raw: bytes, kind: str, reference: str = "") -> str:
        """The same for bytes that are kept as they are."""
        self._send("PUT", f"/manifests/{reference or digest_of(raw)}", raw, kind)
        return digest_of(raw)

    def image(self, tag: str = "", note: str = "") -> str:
        """A tiny image without layers; another note is another image."""
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": []},
                "author": note,
            }
        ).encode()
        made = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, **self.blob(config)},
            "layers": [],
        }
        return self.manifest(made, tag)

    def index(self, digests: list[str], tag: str = "") -> str:
        """An index of images that are there."""
        entries = [{"mediaType": OCI_MANIFEST, "digest": one, "size": 1} for one in digests]
        for entry in entries:
            got = self._send("GET", f"/manifests/{entry['digest']}", accept=OCI_MANIFEST)
            entry["size"] = len(got.data)
        return self.manifest({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, tag)

    def _send(
        self, method: str, path: str, body: bytes | None = None, kind: str = "", accept: str = "*/*"
    ) -> urllib3.BaseHTTPResponse:
        headers = {**self._headers, "Accept": accept, **({"Content-Type": kind} if kind else {})}
        done = self._http.request(method, self._base + path, body=body, headers=headers)
        assert done.status < 300, (method, path, done.status, done.data)
        return done
