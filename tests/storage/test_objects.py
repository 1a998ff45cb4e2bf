"""Full reports in a real S3-compatible store."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from pytest_kspec.errors import StoreError
from pytest_kspec.reports import json
from pytest_kspec.results.order import canonical
from pytest_kspec.storage import objects
from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.prune import prune
from pytest_kspec.storage.read import reports
from tests.reports.results import one

from .conftest import keep
from .servers import ObjectStore


@pytest.fixture
def bucket(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"b{uuid.uuid4().hex[:12]}"
    for variable, value in object_store.bucket(name).items():
        monkeypatch.setenv(variable, value)
    return name


def test_a_report_is_an_object(object_store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "results.db"), create=True)
    run_id = keep(store, one(), objects.check_place(f"s3://{bucket}/team/reports/"))
    (file,) = [p for p in (object_store.buckets / bucket).rglob("*.gz") if p.is_file()]
    relative = file.relative_to(object_store.buckets / bucket)
    assert str(relative) == f"team/reports/{one().finished_at[:10]}/{run_id}.json.gz"
    assert reports(store, run_id) == (json.render(canonical(one())),)
    prune(store, since="9")
    assert not file.exists()
    store.close()


def test_without_a_prefix(bucket: str) -> None:
    where = objects.put(objects.check_place(f"s3://{bucket}"), "2026-11-25/a.json.gz", b"{}")
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert objects.get(where, digest) == b"{}"
    with pytest.raises(StoreError, match="SHA-256 differs"):
        objects.get(where, "0" * 64)
    objects.delete(where)
    objects.delete(where)
    with pytest.raises(StoreError):
        objects.get(where, digest)


@pytest.mark.parametrize(
    ("variable", "value"), [("AWS_SECRET_ACCESS_KEY", "wrong-secret"), ("AWS_ACCESS_KEY_ID", "x")]
)
def test_wrong_credentials_are_an_error_without_them(
    bucket: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, object_store: ObjectStore
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StoreError) as raised:
        objects.put(f"s3://{bucket}", "2026-11-25/a.json.gz", b"{}")
    assert str(raised.value).startswith(f"s3://{bucket}: ")
    assert object_store.secret not in str(raised.value)
    assert "wrong-secret" not in str(raised.value)


def test_a_bucket_that_is_not_there(bucket: str) -> None:
    where = f"s3://{bucket}-none"
    with pytest.raises(StoreError):
        objects.put(where, "2026-11-25/a.json.gz", b"{}")
    for ask in (lambda: objects.get(f"{where}/2026-11-25/a.json.gz", "0" * 64), lambda: _delete(where)):
        with pytest.raises(StoreError, match="NoSuchBucket"):
            ask()


def _delete(place: str) -> bytes:
    objects.delete(f"{place}/2026-11-25/a.json.gz")
    return b""


def test_a_folder_that_is_away_is_not_one_without_reports(tmp_path: Path) -> None:
    """Such as a volume that is not mounted: its reports are still there."""
    place = str(tmp_path / "reports")
    where = objects.put(place, "2026-11-25/a.json.gz", b"{}")
    objects.delete(where)
    objects.delete(where)
    (tmp_path / "reports").rename(tmp_path / "away")
    for ask in (lambda: objects.get(where, "0" * 64), lambda: _delete(place)):
        with pytest.raises(StoreError, match=f"{place}: the folder with the full reports does not exist"):
            ask()
    assert not (tmp_path / "reports").exists(), "what reads makes no folder"
