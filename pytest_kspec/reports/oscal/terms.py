"""What OSCAL asks of names: tokens, one-line texts, properties that are not empty, times with a zone, UUIDs.

A cluster's and a specification's names are free text. As a token a name keeps what a token may hold; where that is not
all of it, a digest of the name keeps two names apart, and the name itself stands beside it as a property.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import msgspec

from pytest_kspec.reports.shared.text import printable

NAMESPACE = "https://kspec.io/ns/oscal"
"""`ns` of every property of ours."""
_UUIDS = UUID("5b1f9f0e-5d0c-5a0f-9a53-6f6b7c1e2d34").bytes
_NO_TOKEN = re.compile(r"[^A-Za-z0-9._-]+")
_NIST = re.compile(r"([A-Z]{2})-(\d{1,2})(?:\((\d{1,2})\))?")
_NO_TIME = "1970-01-01T00:00:00Z"


class Names:
    """UUIDs that are equal for equal names. Given the times of a run, they differ from run to run."""

    def __init__(self, *run: str) -> None:
        self._run = "\x00".join(run)

    def uuid(self, *parts: str) -> str:
        """Of something in this run."""
        return self.lasting(self._run, *parts)

    @staticmethod
    def lasting(*parts: str) -> str:
        """Of something that is the same in each run: a cluster, an object, a risk."""
        name = "\x00".join(parts).encode("utf-8", "surrogatepass").hex()
        # As `uuid.uuid5` makes it, which takes three times as long.
        digest = bytearray(hashlib.sha1(_UUIDS + name.encode(), usedforsecurity=False).digest()[:16])
        digest[6] = digest[6] & 0x0F | 0x50
        digest[8] = digest[8] & 0x3F | 0x80
        text = digest.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def line(text: str) -> str:
    """One line that is not empty and has no space at its ends."""
    return printable(text).strip() or "-"


def props(values: Mapping[str, object]) -> list[msgspec.Raw]:
    """Properties of ours, as JSON; None and empty texts are left out. Names must be tokens."""
    made = [_prop(name, str(text)) for name, text in values.items() if text is not None]
    return [prop for prop in made if prop is not None]


@lru_cache(4096)  # most are those of the finding before
def _prop(name: str, text: str) -> msgspec.Raw | None:
    if not text.strip():
        return None
    return msgspec.Raw(msgspec.json.encode({"name": name, "ns": NAMESPACE, "value": line(text)}))


def token(text: str) -> str:
    """`rbac.forbiddenRules[*/*]` → `rbac.forbiddenRules-1f0c9a5e`; a token stays as it is."""
    kept = _NO_TOKEN.sub("-", text).strip("-.") or "x"
    kept = kept if kept[0].isalpha() else f"_{kept}"
    if kept == text:
        return text
    return f"{kept}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def control(framework: str, control_id: str) -> str:
    """Control ids of NIST SP 800-53 as its OSCAL catalog has them (`ac-6.1`), others behind their framework's id."""
    match = _NIST.fullmatch(control_id) if framework.startswith("nist-800-53") else None
    if match:
        number = f".{int(match[3])}" if match[3] else ""
        return f"{match[1].lower()}-{int(match[2])}{number}"
    return token(f"{framework}_{control_id}")


def moment(rfc3339: str) -> str:
    """A time with a zone; what is no time becomes the beginning of 1970, which reads as unknown."""
    return when(rfc3339) or _NO_TIME


def when(rfc3339: str) -> str:
    """A time with a zone, or "" if it is none."""
    try:
        at = datetime.fromisoformat(rfc3339)
    except ValueError:
        return ""
    return at.isoformat() if at.tzinfo else at.replace(tzinfo=UTC).isoformat()
