"""DSSE envelopes of attestations: the form that in-toto's specification asks for, in one JSON line.

What is signed is the type and the bytes of the statement (PAE), with the keys of `signature`. An envelope of ours has
one signature; the tests verify it with sigstore's library.
"""

from __future__ import annotations

import base64
import binascii
import io
from typing import TYPE_CHECKING

import msgspec

from pytest_kspec.errors import EvidenceError
from pytest_kspec.evidence import document
from pytest_kspec.evidence.signature import key_id, sign, verify

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

SUFFIX = ".intoto.jsonl"
TYPE = "application/vnd.in-toto+json"


def seal(statement: bytes, key: EllipticCurvePrivateKey) -> bytes:
    """The envelope of a statement."""
    made = {
        "payload": base64.b64encode(statement).decode(),
        "payloadType": TYPE,
        "signatures": [
            {
                "keyid": key_id(key.public_key()),
                "sig": sign(io.BytesIO(_signed(statement)), key).decode().strip(),
            }
        ],
    }
    return msgspec.json.encode(made) + b"\n"


def is_envelope(raw: bytes) -> bool:
    """Whether a file is one, and not a statement with its signature beside it: the statement within is base64."""
    return b'"payloadType"' in raw and b'"predicateType"' not in raw


def unseal(raw: bytes, key: EllipticCurvePublicKey, where: str) -> bytes:
    """The statement of an envelope that this key signed. Raises EvidenceError."""
    found = document.read(raw, "the envelope", where)
    if found.get("payloadType") != TYPE:
        raise EvidenceError(f"this is not a DSSE envelope of the type {TYPE}.", where=where)
    statement = _decoded(found.get("payload"), "payload", where)
    signatures = found.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise EvidenceError("an envelope must have exactly one signature.", where=where)
    sig = signatures[0].get("sig")
    if not isinstance(sig, str):
        raise EvidenceError("the envelope has no signature.", where=where)
    verify(io.BytesIO(_signed(statement)), sig.encode(), key, where)
    return statement


def _signed(statement: bytes) -> bytes:
    """Pre-authentication encoding of DSSE version 1."""
    return b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE.encode(), len(statement), statement)


def _decoded(text: object, what: str, where: str) -> bytes:
    if isinstance(text, str):
        try:
            found = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            found = b""
        if found and base64.b64encode(found).decode() == text:
            return found
    raise EvidenceError(f"the {what} of the envelope is not base64 in its canonical form.", where=where)
