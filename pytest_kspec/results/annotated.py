"""Exemptions that an object carries itself: `kspec.io/exempt.<check>: <reason>; until=2027-03-31`.

Whoever may write the object can write them, so they count only where a specification allows it
(`annotationExemptions`), within its bounds. Those of a pod count for the pod; a controller's stand in its pod
template, so that its pods carry them: a scan, a preview and an admission request see the same. What is refused is
said, and never in effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from pytest_kspec.errors import Malformed, NotApplicable
from pytest_kspec.kube.globs import Globs, matches_check
from pytest_kspec.kube.listing import Listing
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.resources import Resource, Workload
from pytest_kspec.regexes import regex
from pytest_kspec.results.finding import AppliedExemption
from pytest_kspec.results.verdict import Severity
from pytest_kspec.spec.exemption import AnnotationExemptions
from pytest_kspec.spec.times import Expiring

PREFIX = "kspec.io/exempt."
NAME = f"annotation {PREFIX}"
"""What names of such exemptions begin with."""
KEY = "annotationExemptions"
MAX_NOTES = 50
LONGEST_REASON = 500
NOT_ALLOWED = "the specification does not allow it (annotationExemptions)"
_NOT_IN_KEY = regex(r"[^A-Za-z0-9_.-]")
_UNTIL = regex(r"until\s*=\s*(\S*)\s*")


class Refused(ValueError):
    """An annotation that has no effect; the text says why."""


class Written(NamedTuple):
    """What an annotation says. expires: aware."""

    reason: str
    expires: datetime


@lru_cache(maxsize=4096)
def annotation_of(requirement_id: str) -> str:
    """The key that exempts from a requirement; a key of an annotation cannot hold `[`, `]`, `/` and the like.

    `podSecurity.standard[privileged]` → `kspec.io/exempt.podSecurity.standard.privileged`
    """
    plain = requirement_id.replace("[", ".").replace("]", "")
    return PREFIX + _NOT_IN_KEY.sub("_", plain).strip("._-")


def keys_of(requirement_id: str) -> tuple[str, ...]:
    """Keys that exempt from it: its own, and that of the check for all its parts."""
    return tuple(
        dict.fromkeys((annotation_of(requirement_id), annotation_of(requirement_id.partition("[")[0])))
    )


def read(value: str, allowed: AnnotationExemptions, now: datetime) -> Written:
    """What an annotation says, if it is within the bounds. Raises Refused."""
    reason, separator, last = value.rpartition(";")
    found = _UNTIL.fullmatch(last.strip())
    if found is None:
        raise Refused("it does not end in '; until=YYYY-MM-DD'")
    reason = " ".join(reason.split()) if separator else ""
    if allowed.require_reason and not any(char.isalnum() for char in reason):
        raise Refused("it gives no reason before '; until='")
    if len(reason) > LONGEST_REASON:
        raise Refused(f"its reason has more than {LONGEST_REASON} characters")
    try:
        end = Expiring.model_validate({"expiresAt": found[1]}).expires
    except ValueError as error:
        raise Refused(f"{found[1][:40]!r} is not a date such as 2027-03-31") from error
    assert end is not None
    if now >= end:
        raise Refused(f"it ended at {end.isoformat(timespec='seconds')}")
    if end.astimezone(UTC).date() > (now + timedelta(days=allowed.max_days)).astimezone(UTC).date():
        raise Refused(f"it lasts until {found[1]}, but at most {allowed.max_days} days are allowed")
    return Written(reason, end)


class AnnotationMatcher:
    """Exemptions in annotations, for findings of one requirement."""

    def __init__(
        self, allowed: AnnotationExemptions, requirement_id: str, severity: Severity, now: datetime
    ) -> None:
        self._allowed = allowed
        self._now = now
        self._keys = keys_of(requirement_id) if _may(allowed, requirement_id, severity) else ()
        self._namespaces = Globs(allowed.namespaces)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def match(self, annotations: Mapping[str, str], owner: ResourceRef) -> AppliedExemption | None:
        """The exemption that the object carries, if it is allowed. owner: whose the finding is."""
        for key in self._keys:
            value = annotations.get(key)
            if not isinstance(value, str):
                continue
            if self._allowed.namespaces and not (owner.namespace and self._namespaces.match(owner.namespace)):
                continue
            try:
                written = read(value, self._allowed, self._now)
            except Refused:
                continue  # `refusals` says it
            return AppliedExemption(
                f"annotation {key} of {owner}",
                written.reason,
                "",
                written.expires.isoformat(timespec="seconds"),
            )
        return None


def matcher(
    allowed: AnnotationExemptions | None, requirement_id: str, severity: Severity, now: datetime
) -> AnnotationMatcher | None:
    """None where annotations cannot matter."""
    if allowed is None:
        return None
    return AnnotationMatcher(allowed, requirement_id, severity, now) or None


def may_exempt(allowed: AnnotationExemptions | None, requirement_id: str, severity: Severity) -> bool:
    """Whether an annotation may exempt from this requirement."""
    return allowed is not None and _may(allowed, requirement_id, severity)


def _may(allowed: AnnotationExemptions, requirement_id: str, severity: Severity) -> bool:
    return severity.rank <= Severity(allowed.max_severity).rank and matches_check(
        Globs(allowed.checks), requirement_id
    )


def annotations_of(resource: Resource) -> Mapping[str, str]:
    """Those that count for findings about it: of a controller, those that its template gives its pods.

    None of what admission does not evaluate: there nobody would see what is written. Nor where they are not known, of
    a pod that an operator completes.
    """
    try:
        if isinstance(resource, Workload) and not resource.is_pod:
            return resource.pod_annotations
        counts = isinstance(resource, Workload) or (resource.kind, resource.api_version) == ("Service", "v1")
        return resource.annotations if counts else {}
    except (Malformed, NotApplicable):
        return {}


def refusals(
    resources: Iterable[Resource],
    allowed: AnnotationExemptions | None,
    requirements: Mapping[str, Severity],
    now: datetime,
) -> Iterator[tuple[Resource, str, str]]:
    """(object, key, why it has no effect) of annotations that mean to exempt and do not.

    requirements: id → severity of what is asked for
    """
    known: dict[str, list[str]] = {}
    for requirement_id in requirements:
        for key in keys_of(requirement_id):
            known.setdefault(key, []).append(requirement_id)
    prefix = PREFIX.encode()
    for resource in resources:
        workload = resource if isinstance(resource, Workload) else None
        is_template = workload is not None and workload.template_path
        if workload is not None and not is_template and not workload.may_mention(prefix):
            continue
        counting = annotations_of(resource)
        if is_template:
            for key in resource.annotations:
                if key.startswith(PREFIX) and key not in counting:
                    yield resource, key, "it is on the controller; it must be in the pod template"
        for key, value in counting.items():
            if key.startswith(PREFIX):
                why = _refusal(
                    resource, value, allowed, [(i, requirements[i]) for i in known.get(key, ())], now
                )
                if why:
                    yield resource, key, why


def _refusal(
    resource: Resource,
    value: str,
    allowed: AnnotationExemptions | None,
    meant: list[tuple[str, Severity]],
    now: datetime,
) -> str:
    if allowed is None:
        return NOT_ALLOWED
    if not meant:
        return "no requirement has this name"
    if not any(matches_check(Globs(allowed.checks), requirement_id) for requirement_id, _ in meant):
        return "the specification does not allow it for this check"
    if not any(_may(allowed, requirement_id, severity) for requirement_id, severity in meant):
        return f"the check is of severity {meant[0][1]}, but at most {allowed.max_severity} is allowed"
    namespace = resource.namespace
    if allowed.namespaces and not (namespace and Globs(allowed.namespaces).match(namespace)):
        return "the specification does not allow it in this namespace"
    try:
        read(value, allowed, now)
    except Refused as error:
        return str(error)
    return ""


def notes(
    resources: Iterable[Resource],
    allowed: AnnotationExemptions | None,
    requirements: Mapping[str, Severity],
    now: datetime,
) -> tuple[str, ...]:
    """Lines about `refusals`, one for each owner and reason."""
    found: dict[str, None] = {}
    for resource, key, why in refusals(resources, allowed, requirements, now):
        line = f"{resource.owner}: {key} has no effect: {why}."
        found[line if line.isprintable() else line.encode("unicode_escape").decode()] = None
    lines = list(found)
    if len(lines) > MAX_NOTES:
        more = Listing(f"and {len(lines) - MAX_NOTES} more such annotations", lines[MAX_NOTES:])
        lines = [*lines[:MAX_NOTES], more]
    return tuple(lines)


def location(applied: AppliedExemption, resource: ResourceRef) -> str:
    """Where such an exemption stands."""
    return (
        f"{resource}: metadata.annotations[{applied.name.removeprefix('annotation ').partition(' of ')[0]}]"
    )
