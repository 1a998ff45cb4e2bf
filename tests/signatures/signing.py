"""Signatures as cosign writes them, made here: so that a test can also make them wrong."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.registry.push import OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, Pusher

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
IN_TOTO = "application/vnd.in-toto+json"
SIGN = "https://sigstore.dev/cosign/sign/v1"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: Key) -> str:
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public.decode()


def private_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def sign(key: Key, data: bytes) -> str:
    """In base64."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        made = key.sign(data, ec.ECDSA(hashes.SHA256()))
    else:
        made = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(made).decode()


def payload(digest: str, kind: str = "cosign container image signature") -> bytes:
    critical = {
        "identity": {"docker-reference": ""},
        "image": {"docker-manifest-digest": digest},
        "type": kind,
    }
    return json.dumps({"critical": critical, "optional": None}).encode()


def beside(
    to: Pusher, digest: str, signed: list[tuple[bytes, str]], annotations: dict[str, str] | None = None
) -> None:
    """The tag `sha256-….sig` with these payloads and signatures."""
    layers = [
        {
            "mediaType": SIMPLE,
            **to.blob(raw),
            "annotations": {"dev.cosignproject.cosign/signature": signature, **(annotations or {})},
        }
        for raw, signature in signed
    ]
    made = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, **to.blob(b"{}")},
        "layers": layers,
    }
    to.manifest(made, f"{digest.replace(':', '-')}.sig")


def sign_beside(to: Pusher, digest: str, key: Key) -> None:
    beside(to, digest, [(payload(digest), sign(key, payload(digest)))])


def statement(digest: str, predicate: str = SIGN) -> bytes:
    algorithm, _, value = digest.partition(":")
    made = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {algorithm: value}}],
        "predicateType": predicate,
        "predicate": {},
    }
    return json.dumps(made).encode()


def encoded(kind: str, data: bytes) -> bytes:
    """What is signed of a DSSE envelope."""
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(data), data)


def bundle(
    key: Key, said: bytes, material: dict[str, Any] | None = None, kind: str = BUNDLE
) -> dict[str, Any]:
    return {
        "mediaType": kind,
        "verificationMaterial": material or {"publicKey": {"hint": ""}},
        "dsseEnvelope": {
            "payload": base64.b64encode(said).decode(),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": sign(key, encoded(IN_TOTO, said))}],
        },
    }


def refer(to: Pusher, digest: str, made: dict[str, Any] | bytes, *, api: bool, kind: str = BUNDLE) -> str:
    """Push a bundle that refers to the image; without the API, the tag that replaces it lists it."""
    raw = made if isinstance(made, bytes) else json.dumps(made).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": {"mediaType": OCI_EMPTY, **to.blob(b"{}")},
        "layers": [{"mediaType": kind, **to.blob(raw)}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1},
    }
    pushed = to.manifest(manifest)
    if not api:
        entry = {
            "mediaType": OCI_MANIFEST,
            "digest": pushed,
            "size": len(json.dumps(manifest)),
            "artifactType": kind,
        }
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        to.manifest(index, digest.replace(":", "-"))
    return pushed


def sign_referring(to: Pusher, digest: str, key: Key, *, api: bool) -> str:
    return refer(to, digest, bundle(key, statement(digest)), api=api)
