"""Public keys in PEM, and whether bytes were signed with one: as cosign signs, with SHA-256.

Ed25519 is refused: with such a key cosign signs by Ed25519ph, which the library `cryptography` does not have. Taken for
plain Ed25519, every signature would read as one by somebody else.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey = EllipticCurvePublicKey | RSAPublicKey

MIN_RSA_BITS = 2048
SUPPORTED = f"ECDSA on P-256, RSA of {MIN_RSA_BITS} bits or more"


def require(module: str) -> None:
    """Raises UsageError that names the extra where a library of this room is not installed."""
    if find_spec(module) is None:
        raise UsageError(
            f"signatures of images need the library {module}.", fix="pip install 'pytest-kspec[signatures]'"
        )


@lru_cache(maxsize=256)
def load(pem: str) -> PublicKey:
    """Raises UsageError for what is no key, or one that is not `SUPPORTED`."""
    require("cryptography")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    where = "workloads.images.signatures.publicKeys"
    try:
        key = serialization.load_pem_public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError("one of the keys is not a public key in PEM format.", where=where) from error
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return key
    raise UsageError(
        f"one of the keys is of a kind that is not supported; supported: {SUPPORTED}.", where=where
    )


def is_signed(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether this is the signature of these bytes by this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding

    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
