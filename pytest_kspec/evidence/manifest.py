"""What a bundle holds: `manifest.json`, its first file, names every other one with role, size and SHA-256.

A bundle is a .tar.gz of plain files below `evidence/`; nothing else is in it. What is read is believed only after it
was checked: a bundle may come from anywhere.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from pytest_kspec import typed
from pytest_kspec.errors import EvidenceError
from pytest_kspec.evidence import document

API_VERSION, KIND = "kspec.io/v1alpha1", "EvidenceBundle"
TOP = "evidence"
MANIFEST, RESULT = "manifest.json", "result.json"
MAX_MANIFEST_BYTES = 16 << 20
MAX_FILES = 20_000
MAX_BYTES = 2 << 30
"""Unpacked size at which a bundle is refused."""

Role = Literal["result", "spec", "exemptions", "check", "snapshot", "key", "baseline"]

# What may be written to a disk under which name: nothing that is not a check can be run by mistake.
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "result": (RESULT,),
    "spec": (".yaml", ".yml"),
    "exemptions": (".yaml", ".yml"),
    "check": (".py",),
    "snapshot": (".tar.gz",),
    "baseline": (".json",),
    "key": (".pub", ".pem", ".json"),  # public keys and trusted roots that a specification names
}
_FOLDERS = {"result": "", "snapshot": "snapshots/"}
_PART = re.compile(r"[^/\\\x00-\x1f\x7f:]{1,200}")


class File(msgspec.Struct, frozen=True):
    """One file. size: bytes; sha256: in hexadecimal."""

    role: Role
    size: int
    sha256: str


class Replay(msgspec.Struct, frozen=True):
    """One specification on one cluster, and what it is replayed with.

    spec: name in the bundle; snapshot: the same, "" where there is none, for this reason
    """

    cluster: str
    spec_path: str
    spec: str
    snapshot: str
    reason: str = ""


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """All of it.

    exemptions, checks, baseline: what a replay is given beside each replay's own
    places: path of a file as the result writes it → its name in the bundle
    """

    tool: str
    finished_at: str
    files: dict[str, File]
    replays: tuple[Replay, ...]
    exemptions: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    baseline: str = ""
    places: dict[str, str] = {}
    api_version: str = API_VERSION
    kind: str = KIND

    def encode(self) -> bytes:
        """`manifest.json`, readable, the same bytes for the same content."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=1) + b"\n"


def decode(raw: bytes, where: str) -> Manifest:
    """Read and check it. Raises EvidenceError."""
    try:
        found = typed.from_json(raw, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        text = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise EvidenceError(f"{MANIFEST} could not be read: {text}.", where=where) from error
    document.read(raw, MANIFEST, where)
    if (found.api_version, found.kind) != (API_VERSION, KIND):
        raise EvidenceError(
            f"this is {found.kind!r} of {found.api_version!r}; this version reads {KIND} of {API_VERSION}.",
            where=where,
        )
    if len(found.files) > MAX_FILES or sum(max(file.size, 0) for file in found.files.values()) > MAX_BYTES:
        raise EvidenceError(
            f"the bundle is larger than {MAX_BYTES >> 30} GiB or {MAX_FILES} files.", where=where
        )
    for name, file in found.files.items():
        if problem := name_problem(name, file.role):
            raise EvidenceError(f"{MANIFEST} names {name!r}: {problem}.", where=where)
        if file.size < 0 or not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
            raise EvidenceError(f"{MANIFEST} has an invalid entry for {name!r}.", where=where)
    if RESULT not in found.files:
        raise EvidenceError(f"the bundle does not contain {RESULT}.", where=where)
    roles = {name: file.role for name, file in found.files.items()}
    for replay in found.replays:
        if roles.get(replay.spec) != "spec" or (replay.snapshot and roles.get(replay.snapshot) != "snapshot"):
            raise EvidenceError(
                f"{MANIFEST} names a file for {replay.cluster!r} that is not in the bundle.", where=where
            )
    pairs = [(replay.cluster, replay.spec_path) for replay in found.replays]
    if len(set(pairs)) < len(pairs):
        raise EvidenceError(f"{MANIFEST} names a cluster and its specification twice.", where=where)
    for name in found.exemptions:
        if roles.get(name) != "exemptions":
            raise EvidenceError(f"{MANIFEST} names exemptions that are not in the bundle.", where=where)
    if found.baseline and roles.get(found.baseline) != "baseline":
        raise EvidenceError(f"{MANIFEST} names a baseline that is not in the bundle.", where=where)
    for name in found.places.values():
        if name not in roles:
            raise EvidenceError(f"{MANIFEST} names {name!r}, which is not in the bundle.", where=where)
    for name in found.checks:
        if problem := name_problem(f"{name.rstrip('/')}/x.py", "check"):
            raise EvidenceError(f"{MANIFEST} names {name!r}: {problem}.", where=where)
    return found


def name_problem(name: str, role: str) -> str:
    """Why no file of this role may have this name; "" if it may."""
    parts = name.split("/")
    if not all(_PART.fullmatch(part) for part in parts) or any(part.strip(". ") == "" for part in parts):
        return "a bundle cannot contain such a path"
    folder = _FOLDERS.get(role, "files/")
    if not name.startswith(folder) or not name.endswith(_SUFFIXES[role]) or (not folder and "/" in name):
        return f"a file with role {role} cannot have such a name"
    return ""
