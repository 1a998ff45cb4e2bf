"""What lies beside an image in a registry and may be a signature of it, in both forms that cosign has written.

Until version 2, a tag `sha256-….sig` holds the signed payload (simple signing), the signature and its certificate.
Since version 3, bundles refer to the image; version 2 could be told to let payloads refer to it. Other things that
refer to it (bills of materials, attestations) are no signatures.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from pytest_kspec.errors import Malformed
from pytest_kspec.kube.images import ImageReference
from pytest_kspec.signatures.registry import Manifest, Registry

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIMPLE_TYPES = ("cosign container image signature", "atomic container signature")
BUNDLE = "application/vnd.dev.sigstore.bundle"
BUNDLES = (
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
)
IN_TOTO = "application/vnd.in-toto+json"
STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
MAX_PAYLOAD_BYTES = 1 << 20
SIGNATURE_ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
_UNTOLD = "application/vnd.oci.empty.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_CERTIFICATE = "dev.sigstore.cosign/certificate"


class Simple(NamedTuple):
    """payload: the signed bytes. certificate: PEM, "" where it was signed with a key."""

    payload: bytes
    signature: bytes
    certificate: str


class Bundle(NamedTuple):
    """raw: the JSON. statement, signatures: of its DSSE envelope. certified: it holds a certificate."""

    raw: bytes
    payload_type: str
    payload: bytes
    signatures: tuple[bytes, ...]
    certified: bool

    @property
    def signed_bytes(self) -> bytes:
        """What a signature of the envelope is over (DSSE, pre-authentication encoding)."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)


Candidate = Simple | Bundle


def beside(registry: Registry, image: ImageReference, digest: str) -> Iterator[Candidate | Malformed]:
    """Those of the tag beside the image. What could not be read comes as the error. Raises as `Registry` does."""
    manifest = registry.manifest(image, f"{digest.replace(':', '-')}.sig")
    if manifest is not None:
        yield from _layers(registry, image, manifest)


def referring(registry: Registry, image: ImageReference, digest: str) -> Iterator[Candidate | Malformed]:
    """Those that refer to the image. What could not be read comes as the error. Raises as `Registry` does."""
    for entry in registry.referrers(image, digest):
        reference = entry.get("digest")
        if not isinstance(reference, str) or not _may_be_signature(entry.get("artifactType")):
            continue
        manifest = registry.manifest(image, reference)
        if manifest is None:
            yield Malformed(f"a manifest that refers to it is missing: {reference[:80]}.")
            continue
        subject = manifest.data.get("subject")
        if not isinstance(subject, dict) or subject.get("digest") != digest:
            yield Malformed(f"{reference[:80]} does not refer to it, although the registry lists it.")
            continue
        yield from _layers(registry, image, manifest)


def _may_be_signature(kind: object) -> bool:
    """Of registries that do not know the type of an artifact, its manifest says what it is."""
    return not isinstance(kind, str) or kind in ("", _UNTOLD, SIGNATURE_ARTIFACT) or kind.startswith(BUNDLE)


def _layers(registry: Registry, image: ImageReference, manifest: Manifest) -> Iterator[Candidate | Malformed]:
    """The signatures in a manifest; layers of other types are none."""
    for layer in manifest.entries("layers"):
        kind, digest = layer.get("mediaType"), layer.get("digest")
        if not isinstance(kind, str) or not (kind == SIMPLE_SIGNING or kind.startswith(BUNDLE)):
            continue
        if not isinstance(digest, str):
            yield Malformed("a stored signature could not be read.")
        elif kind == SIMPLE_SIGNING:
            yield _simple(layer, registry.blob(image, digest, MAX_PAYLOAD_BYTES))
        else:
            yield read_bundle(registry.blob(image, digest))


def _simple(layer: dict[str, Any], payload: bytes) -> Simple | Malformed:
    annotations = layer.get("annotations")
    annotations = annotations if isinstance(annotations, dict) else {}
    signature = _base64(annotations.get(_SIGNATURE))
    if signature is None:
        return Malformed("a stored signature could not be read.")
    return Simple(payload, signature, str(annotations.get(_CERTIFICATE) or ""))


def read_bundle(raw: bytes) -> Bundle | Malformed:
    """A bundle of version 0.1 to 0.3 with a DSSE envelope; anything else is the error."""
    try:
        data = json.loads(raw)
        kind = data["mediaType"]
        if kind not in BUNDLES:
            return Malformed(f"a bundle of type {str(kind)[:80]} cannot be examined.")
        if "dsseEnvelope" not in data:
            return Malformed("a bundle without a DSSE envelope cannot be examined.")
        envelope = data["dsseEnvelope"]
        payload = _base64(envelope["payload"])
        found = [_base64(entry["sig"]) for entry in envelope["signatures"]]
        material = data["verificationMaterial"]
        certified = "certificate" in material or "x509CertificateChain" in material
        payload_type = envelope["payloadType"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Malformed("a stored bundle could not be read.")
    if payload is None or not isinstance(payload_type, str) or any(one is None for one in found):
        return Malformed("a stored bundle could not be read.")
    return Bundle(raw, payload_type, payload, tuple(one for one in found if one is not None), certified)


def says_simple(payload: bytes, digest: str) -> bool:
    """Whether a payload of simple signing is about this digest."""
    try:
        critical = json.loads(payload)["critical"]
        return critical["type"] in SIMPLE_TYPES and critical["image"]["docker-manifest-digest"] == digest
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def is_signing(payload_type: str, payload: bytes) -> bool:
    """Whether a statement says that an image is signed, unlike those that say something else about it."""
    statement = _statement(payload) if payload_type == IN_TOTO else {}
    return statement.get("_type") in STATEMENTS and statement.get("predicateType") == SIGN_PREDICATE


def says_statement(payload: bytes, digest: str) -> bool:
    """Whether a statement has this digest as a subject."""
    algorithm, _, value = digest.partition(":")
    subjects = _statement(payload).get("subject")
    return isinstance(subjects, list) and any(
        isinstance(one, dict)
        and isinstance(one.get("digest"), dict)
        and one["digest"].get(algorithm) == value
        for one in subjects
    )


def _statement(payload: bytes) -> dict[str, Any]:
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _base64(text: Any) -> bytes | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
