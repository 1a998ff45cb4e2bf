"""Findings: one violation, on one object or on all pods of one owner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.redaction.marker import holds_redacted
from pytest_kspec.shown import well_formed

_INT64, _UINT64 = -(2**63), 2**64


class FindingStatus(StrEnum):
    """open: a reason to fail; known: a baseline has it; exempt: an exemption covers it (known or not)."""

    OPEN = "open"
    KNOWN = "known"
    EXEMPT = "exempt"

    @property
    def rank(self) -> int:
        """0 for open, which comes first in lists."""
        return _RANKS[self]


_RANKS = {status: rank for rank, status in enumerate(FindingStatus)}


class AppliedExemption(Struct, frozen=True):
    """The exemption that covers a finding, as every report shows it. expires_at: RFC 3339 text or ""."""

    name: str
    reason: str
    approver: str = ""
    expires_at: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report."""
        return {
            "name": self.name,
            "reason": self.reason,
            "approver": self.approver,
            "expiresAt": self.expires_at,
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> AppliedExemption:
        """The inverse of `to_wire`."""
        return cls(data["name"], data["reason"], data["approver"], data["expiresAt"])


class Finding(Struct, frozen=True):
    """One violation.

    resource:  the object that contains the field
    owner:     its topmost known controller (a Deployment for its pods), or `resource` if there is none
    count:     number of objects that the finding stands for, at least 1 (50 pods of a Deployment are one finding)
    path:      path of the field in `resource` ("spec.template.spec.containers[app].securityContext.privileged"), or ""
    actual:    the value found, as JSON-like data; None if the field is unset
    expected:  the expected value, as text
    message:   one line of text
    container: name of the container, or ""
    known:     whether the baseline contains the finding (`--kspec-baseline`): it is shown, but does not fail the run
    fix:       a strategic merge patch of `resource` that removes the violation, as JSON-like data, or a whole object to
               create, which has `kind`; None if this needs a manual decision, and for exempted findings
    """

    resource: ResourceRef
    owner: ResourceRef
    path: str
    actual: Any
    expected: str
    message: str
    container: str = ""
    count: int = 1
    exemption: AppliedExemption | None = None
    known: bool = False
    fix: Any = None

    @property
    def is_open(self) -> bool:
        """No exemption covers it, and no baseline has it: a reason to fail."""
        return self.exemption is None and not self.known

    @property
    def status(self) -> FindingStatus:
        """The one of three that every report shows."""
        if self.exemption is not None:
            return FindingStatus.EXEMPT
        return FindingStatus.KNOWN if self.known else FindingStatus.OPEN

    def exempted_by(self, exemption: AppliedExemption) -> Finding:
        """A copy that carries the exemption."""
        return replace(self, exemption=exemption)

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report; the only form that crosses processes."""
        return {
            "resource": self.resource.to_wire(),
            "owner": self.owner.to_wire(),
            "count": self.count,
            "path": self.path,
            "container": self.container,
            "actual": self.actual,
            "expected": self.expected,
            "message": self.message,
            "exemption": self.exemption.to_wire() if self.exemption else None,
            "known": self.known,
            "fix": self.fix,
        }

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> Finding:
        """The inverse of `to_wire`."""
        exemption = data["exemption"]
        return cls(
            resource=ResourceRef.from_wire(data["resource"]),
            owner=ResourceRef.from_wire(data["owner"]),
            path=data["path"],
            actual=data["actual"],
            expected=data["expected"],
            message=data["message"],
            container=data["container"],
            count=data["count"],
            exemption=AppliedExemption.from_wire(exemption) if exemption else None,
            known=data.get("known", False),
            fix=data.get("fix"),
        )


def plain(value: Any) -> Any:
    """The same value of built-in types only, its texts without lone surrogates: nothing else crosses xdist or fits
    into JSON. Numbers that no reader of JSON keeps exactly are text.
    """
    if type(value) is str:
        return well_formed(value)
    if value is None or type(value) is bool:
        return value
    if isinstance(value, float):
        return float(value) if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, Mapping):
        return {well_formed(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(v) for v in value), key=repr)
    if isinstance(value, int):
        return int(value) if _INT64 <= value < _UINT64 else str(int(value))
    return well_formed(str.__str__(value) if isinstance(value, str) else str(value))


class Told(NamedTuple):
    """What a finding says of a value, without what may be a credential."""

    actual: Any
    expected: str
    message: str


def told(kind: str, path: str, actual: Any, expected: str, message: str = "") -> Told:
    """What every report and message says of what stands at a path of an object of this kind: the one place that
    decides what is shown of it.

    message: "" for one made of the others
    """
    given = plain(actual)
    path, expected, message = well_formed(path), well_formed(expected), well_formed(message)
    if not message and (given is None or isinstance(given, bool)):
        return Told(given, expected, statement(path, given, expected))  # most findings: nothing to import for
    from pytest_kspec.redaction.marker import REDACTED
    from pytest_kspec.redaction.objects import redact_at
    from pytest_kspec.redaction.text import redact

    shown = redact_at(path, plain(actual), kind)
    expected, message = redact(expected), redact(message)
    if shown != given:
        for text in sorted(_taken(given, shown), key=len, reverse=True):
            expected, message = expected.replace(text, REDACTED), message.replace(text, REDACTED)
    return Told(shown, expected, message or statement(path, shown, expected))


def safe_fix(fix: Any) -> Any:
    """A fix that a check gave, as plain data; None for one with a credential: no report may hold it, and without it
    the fix would be another one. None also for one with what a snapshot holds in its place: it would overwrite it.
    """
    given = plain(fix)
    if not given:
        return given
    if holds_redacted(given):
        return None
    from pytest_kspec.redaction.objects import redact_at

    return given if redact_at("", plain(fix)) == given else None


def _taken(given: Any, shown: Any) -> Iterator[str]:
    """Texts that were redacted as a whole, and are long enough to be found in others."""
    if isinstance(given, dict) and isinstance(shown, dict):
        for key, value in given.items():
            yield from _taken(value, shown.get(key))
    elif isinstance(given, list) and isinstance(shown, list):
        for before, after in zip(given, shown, strict=False):
            yield from _taken(before, after)
    elif given != shown and len(str(given)) > 3:
        yield str(given)


def statement(path: str, actual: Any, expected: str) -> str:
    """One line that says what is where, and what must be there; `actual` as `plain` gives it."""
    text = "unset" if actual is None else str(actual).lower() if isinstance(actual, bool) else str(actual)
    if len(text) > 120:
        text = text[:119] + "…"
    stated = f"{path} is {text}" if path else text
    return f"{stated}, must be {expected}" if expected else stated
