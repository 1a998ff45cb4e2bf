"""Full reports that are encrypted before they are kept."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import boto3
import pytest

from pytest_kspec.errors import StoreError, UsageError
from pytest_kspec.reports import json
from pytest_kspec.results.order import canonical
from pytest_kspec.storage import envelope, objects
from pytest_kspec.storage.engine import Store, open_store
from pytest_kspec.storage.read import reports
from pytest_kspec.storage.rekey import rewrap
from tests.reports.results import one
from tests.secretstores.conftest import aws

from .conftest import keep

__all__ = ["aws"]

DOCUMENT = b'{"secret": "plan"}'
DIGEST = hashlib.sha256(DOCUMENT).hexdigest()
NAME = "2026-11-25/a.json.gz"


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    envelope._last.clear()


class Chest:
    """Files with keys, and what the environment says of them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder, self._patch = folder, patch

    def key(self, name: str) -> str:
        path = self._folder / name
        if not path.exists():
            path.write_text(base64.b64encode(hashlib.sha256(name.encode()).digest()).decode() + "\r\n")
        return f"file:{path}"

    def use(self, current: str, *old: str) -> None:
        self._patch.setenv(envelope.KEY, self.key(current) if current else "")
        self._patch.setenv(envelope.OLD_KEYS, ",".join(map(self.key, old)))


@pytest.fixture
def chest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chest:
    return Chest(tmp_path, monkeypatch)


def stored(folder: Path) -> bytes:
    (path,) = (found for found in folder.rglob("*.gz") if found.is_file())
    return path.read_bytes()


def test_what_is_kept_cannot_be_read_without_the_key(chest: Chest, tmp_path: Path) -> None:
    place = str(tmp_path / "reports")
    chest.use("first")
    where = objects.put(place, NAME, DOCUMENT)
    assert b"plan" not in stored(tmp_path / "reports")
    assert stored(tmp_path / "reports").startswith(envelope.MAGIC)
    assert objects.get(where, DIGEST) == DOCUMENT
    once = stored(tmp_path / "reports")
    objects.put(place, NAME, DOCUMENT)
    assert stored(tmp_path / "reports") != once, "each object has a data key of its own"
    for current in ("", "second"):
        chest.use(current)
        with pytest.raises(
            StoreError, match=r"encrypted with the key [0-9a-f]{16}, which is not available"
        ) as raised:
            objects.get(where, DIGEST)
        assert "KSPEC_STORE_OLD_KEYS" in str(raised.value)


def test_a_plain_report_of_before_is_still_read(chest: Chest, tmp_path: Path) -> None:
    chest.use("")
    where = objects.put(str(tmp_path / "reports"), NAME, DOCUMENT)
    assert not envelope.is_sealed(stored(tmp_path / "reports"))
    chest.use("first")
    assert objects.get(where, DIGEST) == DOCUMENT


@pytest.mark.parametrize("at", [len(envelope.MAGIC) + 3, 60, 120, -1])
def test_one_changed_byte_is_seen(chest: Chest, tmp_path: Path, at: int) -> None:
    chest.use("first")
    where = objects.put(str(tmp_path / "reports"), NAME, DOCUMENT)
    content = bytearray(stored(tmp_path / "reports"))
    content[at] ^= 1
    Path(where).write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|not here"):
        objects.get(where, DIGEST)


def test_an_object_under_another_name_does_not_open(chest: Chest, tmp_path: Path) -> None:
    chest.use("first")
    where = objects.put(str(tmp_path / "reports"), NAME, DOCUMENT)
    other = where.replace("a.json", "b.json")
    os.rename(where, other)
    with pytest.raises(StoreError, match="stored under another name"):
        objects.get(other, DIGEST)
    for cut in (b"", b"{}\n", b"x" * 9000):
        Path(other).write_bytes(envelope.MAGIC + cut)
        with pytest.raises(StoreError, match="damaged"):
            objects.get(other, DIGEST)


@pytest.mark.parametrize(
    "text", ["", "short", "x" * 31, "not base64 !", base64.b64encode(b"x" * 16).decode()]
)
def test_a_key_has_32_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "key").write_text(text)
    monkeypatch.setenv(envelope.KEY, f"file:{tmp_path / 'key'}")
    with pytest.raises(UsageError, match="not a key of 32 bytes") as raised:
        objects.put(str(tmp_path / "reports"), NAME, DOCUMENT)
    assert not text or text not in str(raised.value)
    assert not (tmp_path / "reports").exists(), "nothing is kept in the clear instead"


def test_a_key_that_cannot_be_read_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(envelope.KEY, f"file:{tmp_path / 'none'}")
    with pytest.raises(StoreError, match="the file does not exist"):
        objects.put(str(tmp_path / "reports"), NAME, DOCUMENT)
    monkeypatch.setenv(envelope.KEY, "plain text")
    with pytest.raises(UsageError, match="this is not a reference to a secret"):
        objects.put(str(tmp_path / "reports"), NAME, DOCUMENT)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
def test_an_endpoint_without_encryption_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "http://192.0.2.9:9000")
    with pytest.raises(UsageError, match=f"{variable}: the connection would not be encrypted"):
        objects.put("s3://bucket", NAME, DOCUMENT)


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"AWS_SERVER_SIDE_ENCRYPTION": "AES256"}, ("AES256", None)),
        (
            {"AWS_SERVER_SIDE_ENCRYPTION": "aws:kms", "AWS_SSE_KMS_KEY_ID": "alias/kspec"},
            ("aws:kms", "alias/kspec"),
        ),
    ],
)
def test_the_store_is_asked_to_encrypt(
    aws: str, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], seen: tuple[str, str | None]
) -> None:
    common = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    for name, value in (common | settings | {"AWS_ENDPOINT_URL": aws}).items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=aws, region_name="us-east-1")
    client.create_bucket(Bucket="kspec-reports")
    where = objects.put("s3://kspec-reports", NAME, DOCUMENT)
    head = client.head_object(Bucket="kspec-reports", Key=NAME)
    assert (head["ServerSideEncryption"], head.get("SSEKMSKeyId")) == seen
    assert objects.get(where, DIGEST) == DOCUMENT


def test_a_key_is_replaced(chest: Chest, tmp_path: Path) -> None:
    """New objects need the new one; old ones too once they are wrapped anew, and plain ones are encrypted."""
    place = str(tmp_path / "reports")
    store = open_store(str(tmp_path / "results.db"), create=True)
    chest.use("first")
    run = keep(store, one(), place)
    before = stored(tmp_path / "reports")
    chest.use("second", "first")
    assert _document(store, run)
    done = rewrap(store)
    assert (done.changed, done.kept, done.failed) == (1, 0, ())
    after = stored(tmp_path / "reports")
    body = slice(-200, None)
    assert before[body] == after[body], "the report itself stays as it is"
    chest.use("second")
    assert _document(store, run)
    assert (rewrap(store).changed, rewrap(store).kept) == (0, 1)
    chest.use("third")
    assert "not available" in str(rewrap(store).failed[0])
    chest.use("")
    with pytest.raises(UsageError, match="no key is given"):
        rewrap(store)
    store.close()


def _document(store: Store, run: str) -> bool:
    return reports(store, run) == (json.render(canonical(one())),)
