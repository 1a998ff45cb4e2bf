"""Full reports, as files of a folder or as objects of an S3-compatible store: compressed, named by day and run.

An object is there before its run is acknowledged. Credentials come from the environment (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL), never from an address. The store encrypts them where
AWS_SERVER_SIDE_ENCRYPTION asks it to, and `envelope` before they are sent where KSPEC_STORE_KEY names a key.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_kspec.errors import DamagedObject, KspecError, StoreError, UsageError
from pytest_kspec.files import write_whole
from pytest_kspec.secretstores.endpoint import check_endpoint
from pytest_kspec.storage import envelope

if TYPE_CHECKING:
    from obstore.store import ObjectStore

S3 = "s3://"
LARGEST = 2 << 30
"""Bytes of a full report, packed and unpacked."""
_PIECE = 1 << 20
_TIMEOUT = "30s"
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


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
    """Keep a document; returns where. Raises StoreError, UsageError (an endpoint, a key).

    The same document gives the same bytes, unless they are encrypted.
    """
    with errors(place):
        _write(place, name, pack(document, name))
    return f"{place}/{name}"


def put_once(place: str, name: str, document: bytes) -> tuple[str, str]:
    """Keep a document under a name that others may use for what says the same; where, and the digest of what is there.

    Raises StoreError, UsageError.
    """
    content = pack(document, name)
    where = f"{place}/{name}"
    with errors(place):
        from obstore.exceptions import AlreadyExistsError

        try:
            _write(place, name, content, replace=False)
        except (AlreadyExistsError, FileExistsError):
            document = _document(where)
    return where, hashlib.sha256(document).hexdigest()


def _write(place: str, name: str, packed: bytes, *, replace: bool = True) -> None:
    import obstore

    if not place.startswith(S3):
        path = Path(place, name)
        for folder in (place, path.parent):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        write_whole(path, packed, private=True, replace=replace)
    elif replace:
        obstore.put(open_place(place), name, packed)
    else:
        obstore.put(open_place(place), name, packed, mode="create", use_multipart=False)


def get(where: str, sha256: str) -> bytes:
    """A document, its digest verified. Raises StoreError, also where its key is not here; UsageError."""
    document = _document(where)
    if hashlib.sha256(document).hexdigest() != sha256:
        raise DamagedObject("the report was changed after it was stored: its SHA-256 differs.", where=where)
    return document


def _document(where: str) -> bytes:
    return b"".join(unpack(_read(where), _split(where)[1], LARGEST, where))


def pack(document: bytes, name: str, level: int = 9) -> bytes:
    """As it is kept under a name: compressed, and encrypted where a key is named. Raises StoreError, UsageError."""
    content = gzip.compress(document, level, mtime=0)
    return envelope.seal(content, name, envelope.keys()) if envelope.is_wanted() else content


def unpack(content: bytes, name: str, largest: int, where: str, what: str = "report") -> Iterator[bytes]:
    """Pieces of the document that is kept under a name. what: it is, for errors.

    Raises StoreError, also for more bytes than `largest`; UsageError.
    """
    if envelope.is_sealed(content):
        content = envelope.open_sealed(content, name, envelope.keys(), where)
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # of gzip
    size = 0
    try:
        for start in range(0, len(content), _PIECE):
            rest = content[start : start + _PIECE]
            while rest and not unpacker.eof:
                piece = unpacker.decompress(rest, _PIECE)
                rest = unpacker.unconsumed_tail
                size += len(piece)
                if size > largest:
                    raise _too_large(what, largest, where)
                yield piece
            if rest or unpacker.unused_data:
                raise DamagedObject(f"the {what} is damaged: data follows its end.", where=where)
        yield unpacker.flush()
        if not unpacker.eof:
            raise DamagedObject(f"the {what} is damaged: it ends too early.", where=where)
    except zlib.error as error:
        raise DamagedObject(f"the {what} is damaged: {error}.", where=where) from error


def _too_large(what: str, largest: int, where: str) -> DamagedObject:
    return DamagedObject(f"the {what} is larger than {largest >> 20} MiB.", where=where)


def rewrap(where: str, keys: envelope.Keys) -> bool:
    """Let a document need the current key; False where it does already. Raises StoreError.

    One that was not encrypted is from then on.
    """
    place, name = _split(where)
    packed = _read(where)
    new = (
        envelope.rewrapped(packed, keys, where)
        if envelope.is_sealed(packed)
        else envelope.seal(packed, name, keys)
    )
    if new is not None:
        with errors(place):
            _write(place, name, new)
    return new is not None


def _read(where: str) -> bytes:
    place, name = _split(where)
    with errors(where):
        import obstore
        from obstore.exceptions import NotFoundError

        try:
            found = obstore.get(open_place(place), name)
        except (NotFoundError, FileNotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise
            raise DamagedObject("the report is gone.", where=where) from error
        if found.meta["size"] > LARGEST:
            raise _too_large("report", LARGEST, where)
        return bytes(found.bytes())


def delete(where: str) -> None:
    """Remove a document; one that is gone already is no error, a place that is not there is. Raises StoreError."""
    place, name = _split(where)
    with errors(where):
        import obstore
        from obstore.exceptions import NotFoundError

        try:
            obstore.delete(open_place(place), name)
        except (NotFoundError, FileNotFoundError):
            if place.startswith(S3):  # it does not mind a missing object: the bucket is missing
                raise


def _split(where: str) -> tuple[str, str]:
    """Place and name: the name is the day and the run."""
    place, day, run = where.rsplit("/", 2)
    return place, f"{day}/{run}"


def open_place(place: str) -> ObjectStore:
    """A client for a place, or a folder. Raises StoreError, UsageError (an endpoint)."""
    from obstore.store import LocalStore, from_url

    if not place.startswith(S3):
        if not os.path.isdir(place):
            raise StoreError(
                "the folder with the full reports does not exist.",
                where=place,
                fix="Is a volume not mounted?",
            )
        return LocalStore(place)
    for variable in _ENDPOINTS:
        if os.environ.get(variable):
            check_endpoint(os.environ[variable], variable)
    plain = any(os.environ.get(variable, "").startswith("http://") for variable in _ENDPOINTS)
    return from_url(
        place,
        client_options={"timeout": _TIMEOUT, "allow_http": plain},
        retry_config={"max_retries": 3},
    )


class errors:  # reads as a statement: with errors(where)
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

        if isinstance(error, KspecError):
            return
        if isinstance(error, BaseError | OSError | ValueError):
            text = " ".join(str(error).split()).partition(" Debug source:")[0][:300]
            raise StoreError(
                f"{text.rstrip('.')}.",
                where=self._where,
                fix="Check that it exists and that you may write to it.",
            ) from error
