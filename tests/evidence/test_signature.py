"""Our signatures and openssl's are one; keys that are refused; nothing secret in a message."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest

from pytest_kspec.errors import EvidenceError, UsageError
from pytest_kspec.evidence.signature import (
    NeedsPassphrase,
    key_id,
    load_private,
    load_public,
    sign,
    verify,
)

from .conftest import Keys, make_keys, openssl

CONTENT = b"evidence" * 300_000


def test_openssl_verifies_what_we_sign(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    signature = sign(io.BytesIO(CONTENT), load_private(str(keys.private), None))
    (tmp_path / "sig").write_bytes(base64.b64decode(signature))
    words = ("dgst", "-sha256", "-verify", keys.public, "-signature", tmp_path / "sig", tmp_path / "file")
    assert openssl(*words).stdout == "Verified OK\n"
    (tmp_path / "file").write_bytes(CONTENT + b".")
    assert openssl(*words).returncode != 0


def test_we_verify_what_openssl_signs(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    openssl("dgst", "-sha256", "-sign", keys.private, "-out", tmp_path / "sig", tmp_path / "file")
    signature = base64.b64encode((tmp_path / "sig").read_bytes())
    public = load_public(str(keys.public))
    verify(io.BytesIO(CONTENT), signature, public, "file")
    with pytest.raises(EvidenceError, match="does not match this file and this key"):
        verify(io.BytesIO(CONTENT[1:]), signature, public, "file")
    other = load_public(str(make_keys(tmp_path / "other").public))
    with pytest.raises(EvidenceError, match="does not match this file and this key"):
        verify(io.BytesIO(CONTENT), signature, other, "file")
    assert key_id(public) != key_id(other)


@pytest.mark.parametrize("text", [b"", b"***", b"AAAA", b" MEUC", b"AAA\n=", b"AAB="])
def test_what_is_no_signature(keys: Keys, text: bytes) -> None:
    with pytest.raises(EvidenceError):
        verify(io.BytesIO(CONTENT), text, load_public(str(keys.public)), "file")


def test_one_signature_is_written_in_one_way(keys: Keys) -> None:
    private, public = load_private(str(keys.private), None), load_public(str(keys.public))
    text = b""
    while not text.endswith(b"="):  # then bits of the last character say nothing
        text = sign(io.BytesIO(CONTENT), private).strip()
    digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    place = text.index(b"=") - 1
    other = text[:place] + digits[digits.index(text[place]) + 1 :][:1] + text[place + 1 :]
    assert base64.b64decode(other) == base64.b64decode(text)
    verify(io.BytesIO(CONTENT), text, public, "file")
    with pytest.raises(EvidenceError, match="not in its canonical form"):
        verify(io.BytesIO(CONTENT), other, public, "file")


def test_a_key_with_a_passphrase(tmp_path: Path) -> None:
    locked = make_keys(tmp_path, passphrase="correct horse")
    key = load_private(str(locked.private), "correct horse")
    assert key_id(key.public_key()) == key_id(load_public(str(locked.public)))
    with pytest.raises(NeedsPassphrase, match="Set KSPEC_KEY_PASSPHRASE"):
        load_private(str(locked.private), None)
    with pytest.raises(UsageError, match="the passphrase is wrong") as raised:
        load_private(str(locked.private), "hunter2")
    assert "hunter2" not in str(raised.value)


def test_a_passphrase_that_is_not_needed_is_not_used(keys: Keys) -> None:
    assert load_private(str(keys.private), "hunter2").key_size == 256


def test_other_keys_are_refused(tmp_path: Path, keys: Keys) -> None:
    bigger = make_keys(tmp_path, curve="P-384")
    rsa = tmp_path / "rsa.pem"
    openssl("genpkey", "-algorithm", "RSA", "-out", rsa)
    for path in (bigger.private, rsa):
        with pytest.raises(UsageError, match=r"not an ECDSA key on P-256.*openssl genpkey"):
            load_private(str(path), None)
    with pytest.raises(UsageError, match="not an ECDSA key on P-256"):
        load_public(str(bigger.public))
    with pytest.raises(UsageError, match="not a public key"):
        load_public(str(keys.private))
    with pytest.raises(UsageError, match="not a private key"):
        load_private(str(keys.public), None)
    with pytest.raises(UsageError, match="could not be read"):
        load_public(str(tmp_path / "nothing"))
