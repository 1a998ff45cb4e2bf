"""Full reports that are encrypted before they are kept, for places that cannot do it themselves.

Each object has a data key of its own (AES-256-GCM), which is kept with it, wrapped by the key that KSPEC_STORE_KEY
refers to (`secretstores`): where that key is replaced, data keys are wrapped anew and no report is read. What is
encrypted says which key it needs by a digest of that key. Under another name an object does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pytest_kspec import typed
from pytest_kspec.errors import DamagedObject, SourceError, StoreError, UsageError
from pytest_kspec.secretstores.reference import Reference, parse_reference
from pytest_kspec.secretstores.stores import Secrets

KEY, OLD_KEYS = "KSPEC_STORE_KEY", "KSPEC_STORE_OLD_KEYS"
"""A reference to the key, and those of keys before it, separated by commas."""
MAGIC = b"KSPEC-ENCRYPTED 1\n"
_BYTES = 32
_LARGEST_HEAD = 4096
_MADE = "openssl rand -base64 32"


class _Head(msgspec.Struct):
    """key: which one wraps; wrapped: the data key, with it (RFC 3394); nonce: of the content."""

    key: str
    wrapped: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that the environment refers to. current: id of the one that new objects get, "" for none."""

    current: str
    known: Mapping[str, bytes] = field(repr=False)


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether new objects are encrypted."""
    return bool(environment.get(KEY))


def keys(environment: Mapping[str, str] = os.environ) -> Keys:
    """Read them. Raises UsageError for a reference or a key that is none, StoreError where one cannot be read."""
    asked = (environment.get(KEY, ""), environment.get(OLD_KEYS, ""))
    at, kept = _last.get(asked, (0.0, None))
    if kept is None or time.monotonic() - at > _KEPT_S:
        kept = _read(environment)
        _last.clear()
        _last[asked] = (time.monotonic(), kept)
    return kept


_KEPT_S = 60.0
_last: dict[tuple[str, str], tuple[float, Keys]] = {}
"""A report on a fleet reads a thousand objects: the store of secrets is asked once a minute."""


def _read(environment: Mapping[str, str]) -> Keys:
    known: dict[str, bytes] = {}
    current = ""
    references = [(KEY, environment.get(KEY, ""))]
    references += [(OLD_KEYS, one.strip()) for one in environment.get(OLD_KEYS, "").split(",")]
    secrets = Secrets()
    for variable, text in references:
        if not text:
            continue
        try:
            key = _key(secrets.read(_reference(text, variable), asker="").reveal(), variable)
        except SourceError as error:
            raise StoreError(
                f"the key of the stored reports could not be read: {error.what}",
                where=variable,
                fix=error.fix,
            ) from error
        name = _id(key)
        known[name] = key
        current = current or (name if variable == KEY else "")
    return Keys(current, known)


def seal(content: bytes, name: str, given: Keys) -> bytes:
    """Encrypted with a new data key. name: what the object is called where it is kept."""
    aead, wrap, _ = _library()
    data_key, nonce = os.urandom(_BYTES), os.urandom(12)
    wrapped = wrap(given.known[given.current], data_key)
    return _with_head(
        _Head(given.current, wrapped, nonce), aead(data_key).encrypt(nonce, content, name.encode())
    )


def is_sealed(content: bytes) -> bool:
    """Whether an object is encrypted."""
    return content.startswith(MAGIC)


def open_sealed(content: bytes, name: str, given: Keys, where: str) -> bytes:
    """What was sealed. Raises StoreError: without its key, damaged, or under another name."""
    aead, _, _ = _library()
    head, rest = _split(content, where)
    data_key = _unwrapped(head, given, where)
    from cryptography.exceptions import InvalidTag

    try:
        return bytes(aead(data_key).decrypt(head.nonce, rest, name.encode()))
    except (InvalidTag, ValueError):
        raise _damaged(where) from None


def rewrapped(content: bytes, given: Keys, where: str) -> bytes | None:
    """The same, wrapped with the current key; None where it is already. The report itself is not decrypted.

    Raises StoreError.
    """
    _, wrap, _ = _library()
    head, rest = _split(content, where)
    if head.key == given.current:
        return None
    data_key = _unwrapped(head, given, where)
    return _with_head(_Head(given.current, wrap(given.known[given.current], data_key), head.nonce), rest)


def _unwrapped(head: _Head, given: Keys, where: str) -> bytes:
    _, _, unwrap = _library()
    key = given.known.get(head.key)
    if key is None:
        raise StoreError(
            f"the report is encrypted with the key {head.key}, which is not available.",
            where=where,
            fix=f"Refer to that key in {KEY}, or in {OLD_KEYS} if another key replaced it.",
        )
    from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

    try:
        return bytes(unwrap(key, head.wrapped))
    except (InvalidUnwrap, ValueError):
        raise _damaged(where) from None


def _damaged(where: str) -> DamagedObject:
    return DamagedObject("the report is damaged, or was stored under another name.", where=where)


def _split(content: bytes, where: str) -> tuple[_Head, bytes]:
    line, found, _ = content[len(MAGIC) :][: _LARGEST_HEAD + 1].partition(b"\n")
    try:
        if not found:
            raise ValueError
        head = typed.from_json(line, _Head)
    except ValueError:
        raise DamagedObject(
            "the report is damaged: it does not say how it is encrypted.", where=where
        ) from None
    return head, content[len(MAGIC) + len(line) + 1 :]


def _with_head(head: _Head, rest: bytes) -> bytes:
    return MAGIC + msgspec.json.encode(head) + b"\n" + rest


def _reference(text: str, variable: str) -> Reference:
    try:
        return parse_reference(text)
    except UsageError:
        raise UsageError(
            "this is not a reference to a secret.",
            where=variable,
            fix="Write file:PATH, vault:PATH#KEY or aws:NAME#KEY, and not the key itself.",
        ) from None


def _key(text: bytes, variable: str) -> bytes:
    """32 bytes, as they are or in base64."""
    try:
        key = text if len(text) == _BYTES else base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _BYTES:
        raise UsageError(
            "what it refers to is not a key of 32 bytes.", where=variable, fix=f"Make one: {_MADE}."
        )
    return key


def _id(key: bytes) -> str:
    return hashlib.sha256(b"kspec store key\n" + key).hexdigest()[:16]


def _library() -> tuple[Any, Any, Any]:
    """AESGCM, and the functions that wrap and unwrap a key."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap
    except ImportError as error:
        raise UsageError(
            "encrypted reports need the package cryptography.",
            where=KEY,
            fix="pip install 'pytest-kspec[encryption]'",
        ) from error
    return AESGCM, aes_key_wrap, aes_key_unwrap
