"""Signatures of files as `cosign sign-blob --key` makes them: ECDSA on P-256 over SHA-256, DER, in base64.

One format, which `openssl dgst -sha256 -verify` and `cosign verify-blob --key` check, with keys in PEM. Neither a key
nor a passphrase ever gets into a message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pytest_kspec.errors import EvidenceError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

PASSPHRASE = "KSPEC_KEY_PASSPHRASE"
SUFFIX = ".sig"
MAX_KEY_BYTES = 64 << 10
_CHUNK = 1 << 20
_MAKE = "Create a key with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem"
_PUBLIC = "Create the public key of key.pem with: openssl pkey -in key.pem -pubout -out key.pub"


def load_private(path: str, passphrase: str | None) -> EllipticCurvePrivateKey:
    """A signing key. passphrase: None if none is known. Raises UsageError; NeedsPassphrase where it has one."""
    _require_library()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    raw = _read(path)
    try:
        key = serialization.load_pem_private_key(raw, passphrase.encode() if passphrase is not None else None)
    except TypeError as error:  # encrypted and no passphrase, or the other way round
        if passphrase is None:
            raise NeedsPassphrase(
                "the key has a passphrase.", where=path, fix=f"Set {PASSPHRASE}."
            ) from error
        return load_private(path, None)
    except Exception as error:
        what = (
            "this is not a private key in PEM format"
            if passphrase is None
            else "the passphrase is wrong, or the file is not a private key"
        )
        raise UsageError(f"{what}.", where=path, fix=_MAKE) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError("the key is not an ECDSA key on P-256.", where=path, fix=_MAKE)
    return key


def load_public(path: str) -> EllipticCurvePublicKey:
    """A verification key. Raises UsageError."""
    _require_library()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(_read(path))
    except Exception as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError("this is not a public key in PEM format.", where=path, fix=_PUBLIC) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError("the key is not an ECDSA key on P-256.", where=path, fix=_PUBLIC)
    return key


def sign(file: BinaryIO, key: EllipticCurvePrivateKey) -> bytes:
    """The signature of all of a file, as the content of its `.sig`."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return base64.b64encode(key.sign(_digest(file), ec.ECDSA(_prehashed()))) + b"\n"


def verify(file: BinaryIO, signature: bytes, key: EllipticCurvePublicKey, where: str) -> None:
    """Raises EvidenceError if this is not the signature of this file by this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec

    text = signature.removesuffix(b"\n")
    try:
        der = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise EvidenceError("the signature is not base64.", where=where) from error
    if base64.b64encode(der) != text:
        raise EvidenceError("the signature is not in its canonical form.", where=where)
    try:
        key.verify(der, _digest(file), ec.ECDSA(_prehashed()))
    except InvalidSignature as error:
        raise EvidenceError(
            "the signature does not match this file and this key.",
            where=where,
            fix="The file was changed after it was signed, or it was signed with another key.",
        ) from error


def key_id(key: EllipticCurvePublicKey) -> str:
    """`SHA256:` and the digest of the public key in DER: what two people compare."""
    from cryptography.hazmat.primitives import serialization

    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"SHA256:{hashlib.sha256(der).hexdigest()}"


class NeedsPassphrase(UsageError):
    """The key is encrypted."""


def _require_library() -> None:
    if find_spec("cryptography") is None:
        raise UsageError(
            "signatures need the library cryptography.", fix="pip install 'pytest-kspec[evidence]'"
        )


def _prehashed() -> Prehashed:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    return Prehashed(hashes.SHA256())


def _digest(file: BinaryIO) -> bytes:
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise UsageError(f"could not be read: {error.strerror or error}.", where=path) from error
