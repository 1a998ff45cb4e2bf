"""Full reports, as files of a folder or as objects of an S3-compatible store: compressed, named by day and run.

An object is there before its run is acknowledged. Credentials come from the environment (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL), never from an address.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_kspec.errors import StoreError, UsageError
from pytest_kspec.files import write_whole

if TYPE_CHECKING:
    from obstore.store import ObjectStore

S3 = "s3://"
_TIMEOUT = "30s"


def check_place(place: str, *, option: str = "--kspec-store-reports") -> str:
    """The place as it is kept: `s3://bucket/prefix`, or an absolute path. Raises UsageError; touches nothing."""
    if not place.startswith(S3):
        if "://" in place:
            scheme = place.partition("://")[0]
            raise UsageError(
                f"unknown kind of place '{scheme}'.",
                where=option,
                fix="Write a folder or s3://BUCKET/PREFIX.",
            )
        return os.path.abspath(place)
    parts = urlsplit(place)
    if "@" in parts.netloc or parts.query:
        raise UsageError(
            "an address must not contain credentials.",
            where=option,
            fix="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    if not parts.netloc:
        raise UsageError("no bucket is given.", where=option, fix="Write s3://BUCKET/PREFIX.")
    return f"{S3}{parts.netloc}{parts.path.rstrip('/')}"


def put(place: str, name: str, document: bytes) -> str:
    """Keep a document; returns where. Raises StoreError. The same document gives the same bytes."""
    with _errors(place):
        import obstore

        packed = gzip.compress(document, mtime=0)
        if place.startswith(S3):
            obstore.put(_open(place), name, packed)
        else:
            path = Path(place, name)
            for folder in (place, path.parent):
                os.makedirs(folder, mode=0o700, exist_ok=True)
            write_whole(path, packed, private=True)
    return f"{place}/{name}"


def get(where: str, sha256: str) -> bytes:
    """A document, its digest verified. Raises StoreError."""
    place, name = _split(where)
    with _errors(where):
        import obstore

        packed = bytes(obstore.get(_open(place), name).bytes())
    try:
        document = gzip.decompress(packed)
    except (OSError, EOFError) as error:
        raise StoreError(f"the report is damaged: {error}.", where=where) from error
    if hashlib.sha256(document).hexdigest() != sha256:
        raise StoreError("the report was changed after it was stored: its SHA-256 differs.", where=where)
    return document


def delete(where: str) -> None:
    """Remove a document; one that is gone already is no error. Raises StoreError."""
    place, name = _split(where)
    with _errors(where):
        import obstore
        from obstore.exceptions import NotFoundError

        try:
            obstore.delete(_open(place), name)
        except (NotFoundError, FileNotFoundError):
            return


def _split(where: str) -> tuple[str, str]:
    """Place and name: the name is the day and the run."""
    place, day, run = where.rsplit("/", 2)
    return place, f"{day}/{run}"


def _open(place: str) -> ObjectStore:
    from obstore.store import LocalStore, from_url

    if not place.startswith(S3):
        return LocalStore(place)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    return from_url(
        place,
        client_options={"timeout": _TIMEOUT, "allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": 3},
    )


class _errors:  # reads as a statement: with _errors(where)
    """Errors of the library and of the system become StoreError that names the place."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        if isinstance(error, ImportError):
            fix = "pip install 'pytest-kspec[store]'"
            raise UsageError("full reports need obstore.", where="--kspec-store-reports", fix=fix) from error
        from obstore.exceptions import BaseError

        if isinstance(error, BaseError | OSError | ValueError):
            text = " ".join(str(error).split())[:300]
            raise StoreError(
                f"{text.rstrip('.')}.",
                where=self._where,
                fix="Check that it exists and that you may write to it.",
            ) from error
