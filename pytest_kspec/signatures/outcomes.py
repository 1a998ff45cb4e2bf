"""What was found out about an image is found out once a run: in this process, and for the workers of xdist in files."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from pytest_kspec import typed

LOCK_TIMEOUT_S = 600.0


class Outcome(msgspec.Struct, frozen=True):
    """The result of the verification of one image.

    digest:    digest to which the reference resolves, "" if it is not known
    platforms: digests in an index, one for each platform; a signature of the index covers them
    signed:    whether trusted signers signed it
    problem:   why this is not known; "" if it is known
    reason:    why it is not signed
    """

    digest: str = ""
    platforms: tuple[str, ...] = ()
    signed: bool = False
    problem: str = ""
    reason: str = ""

    def covers(self, digest: str) -> bool:
        """Whether this says something about that digest."""
        return digest == self.digest or digest in self.platforms


class Outcomes:
    """folder: where the workers of a run share them; None for one process alone."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder / "signatures" if folder is not None else None
        self._known: dict[str, Outcome] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def once(self, key: str, find: Callable[[], Outcome]) -> Outcome:
        """The outcome under this key, found out by the first who asks."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = find() if self._folder is None else self._shared(key, find)
            return known

    def _shared(self, key: str, find: Callable[[], Outcome]) -> Outcome:
        assert self._folder is not None
        path = self._folder / hashlib.sha256(key.encode()).hexdigest()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
                if path.exists():
                    return typed.from_json(path.read_bytes(), Outcome)
                found = find()
                aside = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
                with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(msgspec.json.encode(found))
                aside.rename(path)
                return found
        except Timeout:
            return Outcome(
                problem=f"another worker did not finish the verification within {LOCK_TIMEOUT_S:.0f} s."
            )
        except OSError as error:
            return Outcome(problem=f"workers could not share their results: {error.strerror or error}.")
