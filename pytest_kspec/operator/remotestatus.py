"""What the status of a specification says of its policies on clusters that are not the operator's own. Pure.

Which clusters are meant, which are due, and the words: of each cluster there is a record in the status of its
ClusterTarget (`policies`), so that who leads next knows where something of a specification may be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pytest_kspec.cluster.watch.reflector import Key
from pytest_kspec.crds.models.base import seconds as seconds_of
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.drift.correcting import FIGHT, WINDOW
from pytest_kspec.enforce.modes import asked_engines, asked_mode
from pytest_kspec.fleet.enforcing import Synced
from pytest_kspec.kube.selectors import selects
from pytest_kspec.operator import fleetstatus, status
from pytest_kspec.operator.fleets import is_elsewhere
from pytest_kspec.operator.status import Note, Said, moment_of, status_of
from pytest_kspec.reports.shared.text import plural
from pytest_kspec.spec.loading import LoadedSpec

Object = dict[str, Any]

NOT_ALLOWED = "EnforcementNotAllowed"
OK, DIFFERS, AWAY, FAILED, WAITING, DENIED = "ok", "differs", "away", "failed", "waiting", "not allowed"
_COUNTS = {OK: "inForce", DIFFERS: "differ", AWAY: "away", FAILED: "failed", WAITING: "waiting"}
_WORDS = (
    (FAILED, "failed", "failed"),
    (DIFFERS, "was changed by others", "were changed by others"),
    (AWAY, "does not answer", "do not answer"),
    (WAITING, "waits", "wait"),
    (DENIED, "does not allow enforcement", "do not allow enforcement"),
)
_NAMED, _LONGEST = 5, 300
SHORTEST_S, LONGEST_S = 30.0, 366 * 86400.0
"""Of `scanInterval`."""


class Member(NamedTuple):
    """One cluster of a specification. state: as above; message: what is wrong; policies: that were read back."""

    name: str
    state: str
    message: str = ""
    policies: int = 0


class Told(NamedTuple):
    """What is to be said of a specification now, and when to look at it again. held: clusters have policies of it."""

    again_s: float
    said: tuple[Said, ...]
    fields: Object
    notes: tuple[Note, ...] = ()
    held: bool = False


class Left(NamedTuple):
    """Clusters that have policies of a specification that is gone. waits: may still be reached; others: may not.

    tried: some of those that may be reached answer, so that it is to be tried again
    """

    waits: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    tried: bool = False


def selected(spec: LoadedSpec, known: Mapping[Key, Object]) -> list[Key]:
    """The ClusterTargets that a specification names or selects, without those that are being deleted or suspended."""
    selector = spec.spec.cluster_selector
    if selector is not None:
        keys = [
            key
            for key, one in known.items()
            if key[0] == NAMESPACE and selects(selector, one["metadata"].get("labels") or {})
        ]
    else:
        kind, _, rest = spec.cluster_ref.partition(":")
        namespace, slash, name = rest.partition("/")
        keys = [(namespace, name) if slash else (NAMESPACE, rest)] if kind == "target" else []
    return sorted(key for key in keys if key in known and _is_used(known[key]))


def interval(spec: LoadedSpec, known: Mapping[Key, Object], usual_s: float) -> float:
    """Seconds between two scans: the shortest `scanInterval` of its clusters. usual_s: of those that have none."""
    found = []
    for key in selected(spec, known):
        asked = (known[key].get("spec") or {}).get("scanInterval")
        found.append(
            max(SHORTEST_S, min(seconds_of(asked), LONGEST_S)) if isinstance(asked, str) else usual_s
        )
    return min(found, default=usual_s)


def _is_used(target: Object) -> bool:
    return (
        not target["metadata"].get("deletionTimestamp")
        and (target.get("spec") or {}).get("suspend") is not True
    )


def entry_of(target: Mapping[str, Any], name: str) -> Object:
    """What the status of a ClusterTarget records of a specification; {} where there is nothing."""
    return next((one for one in entries_of(target) if one["specification"] == name), {})


def entries_of(target: Mapping[str, Any]) -> list[Object]:
    """All that it records."""
    found = status_of(target).get("policies")
    return [
        one
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict) and isinstance(one.get("specification"), str)
    ]


def with_entry(target: Mapping[str, Any], name: str, entry: Object | None) -> Object:
    """The status with this record, or without one."""
    others = [one for one in entries_of(target) if one["specification"] != name]
    made = sorted([*others, *([entry] if entry else [])], key=lambda one: str(one["specification"]))
    after = {**status_of(target), "policies": made}
    if not made:
        del after["policies"]
    return after


def is_silent(target: Mapping[str, Any]) -> bool:
    """Whether its controller says that the cluster does not answer."""
    return status_of(target).get("reachable") is not True


def uid_of(target: Mapping[str, Any]) -> str:
    """Of its cluster; "" where that is not known."""
    return str(status_of(target).get("uid") or "")


def is_current(
    entry: Object, found: Mapping[str, Any], spec: LoadedSpec, digest: str, target: Mapping[str, Any]
) -> bool:
    """Whether what was applied is of this specification as it is now, and of the cluster that is there now.

    digest: `status.digest_of` the specification
    """
    metadata = found["metadata"]
    return (
        entry.get("specificationUID") == metadata.get("uid")
        and entry.get("generation") == metadata.get("generation")
        and entry.get(status.DIGEST) == digest
        and entry.get("clusterUID", "") == uid_of(target)
        and entry.get("engines") == list(asked_engines(spec))
    )


def corrections(entry: Object, now: datetime) -> list[str]:
    """Times of the last hour at which this cluster was corrected."""
    found = entry.get("corrected")
    times = [
        text for text in (found if isinstance(found, list) else ()) if (moment_of(text) or now) > now - WINDOW
    ]
    return times[-FIGHT:]


def recorded(
    one: Synced,
    before: Object,
    found: Mapping[str, Any],
    spec: LoadedSpec,
    digest: str,
    cluster: str,
    now: datetime,
) -> Object:
    """The record of what was done, or seen, on a cluster. Of one that does not answer the last one stays."""
    state = DIFFERS if one.failed and not one.error and not one.changes else one.state
    message = " ".join("; ".join(filter(None, [*one.problems, one.error])).split())[:_LONGEST]
    metadata = found["metadata"]
    made: Object = (
        dict(before)
        if state == AWAY and before
        else {
            "specification": spec.name,
            "specificationUID": metadata.get("uid"),
            "generation": metadata.get("generation"),
            status.DIGEST: digest,
            "clusterUID": cluster,
            "engines": list(asked_engines(spec)),
            "mode": one.mode,
            "policies": one.in_force,
        }
    )
    changed = any(count for what, count in one.changes.items() if what != "keep")
    made |= {"state": state, "message": message}
    since = before.get("since")
    made["since"] = status.stamp(now) if changed or not since or before.get("state") != state else since
    if times := corrections(before, now):
        made["corrected"] = times
    return {key: value for key, value in made.items() if value not in ("", None)}


def merged(results: Sequence[Synced]) -> Synced:
    """What several engines did on one cluster, as one."""
    first = next((one for one in results if one.error), results[0])
    changes: Counter[str] = Counter()
    for one in results:
        changes.update(one.changes)
    modes = {one.mode for one in results if one.mode}
    return first._replace(
        changes=dict(changes),
        in_force=sum(one.in_force for one in results),
        problems=tuple(problem for one in results for problem in one.problems),
        away=any(one.away for one in results),
        mode=modes.pop() if len(modes) == 1 else "",
        boundary=min((one.boundary for one in results if one.boundary is not None), default=None),
        outdated=any(one.outdated for one in results),
    )


def concluded(
    spec: LoadedSpec, members: Sequence[Member], before: Mapping[str, Any], last: str | None
) -> tuple[tuple[Said, ...], Object]:
    """PolicyEnforced and DriftDetected, and `enforcement` of the status. last: when something was applied."""
    mode, engines = asked_mode(spec), list(asked_engines(spec))
    count = Counter(one.state for one in members)
    allowed = len(members) - count[DENIED]
    was = before.get("enforcement")
    last = last or (was.get("lastEnforcementTime") if isinstance(was, dict) else None)
    there = [one for one in members if one.state in (OK, DIFFERS)]
    enforcement: Object = {
        "active": bool(there),
        "mode": str(mode),
        "engines": engines,
        "policiesGenerated": sum(one.policies for one in there),
        **({"lastEnforcementTime": last} if last else {}),
        "clusters": {
            "selected": len(members),
            "allowed": allowed,
            **{field: count[state] for state, field in _COUNTS.items()},
        },
    }
    words = [f"In force on {count[OK]} of {plural(allowed, 'cluster')}, mode {mode}"]
    for state, one, several in _WORDS:
        if count[state]:
            names = _names([member for member in members if member.state == state])
            words.append(f"{count[state]} {one if count[state] == 1 else several}: {names}")
    text = f"{'; '.join(words)}."[: status.LONGEST_MESSAGE]
    if not members:
        text = "No cluster is selected."
    return (_enforced(count, allowed, text), _drifted(count, members)), {
        "enforcement": enforcement,
        "webhooks": None,
    }


def _enforced(count: Mapping[str, int], allowed: int, text: str) -> Said:
    if not allowed:
        reason = NOT_ALLOWED if count[DENIED] else fleetstatus.NONE_SELECTED
        return Said(status.ENFORCED, "False", reason, text)
    if count[FAILED] or count[DIFFERS]:
        return Said(status.ENFORCED, "False", status.NOT_IN_FORCE, text)
    if count[WAITING]:
        return Said(status.ENFORCED, "False", status.PENDING, text)
    if count[AWAY]:
        return Said(status.ENFORCED, "Unknown", fleetstatus.UNREACHABLE, text)
    return Said(status.ENFORCED, "True", status.DEPLOYED, text)


def _drifted(count: Mapping[str, int], members: Sequence[Member]) -> Said:
    if not members:
        return Said(status.DRIFT, "False", status.NO_DRIFT, "No policies are applied that could drift.")
    if count[DIFFERS]:
        text = f"Changed on {_names([one for one in members if one.state == DIFFERS])}."
        return Said(status.DRIFT, "True", status.DRIFT_FOUND, text[: status.LONGEST_MESSAGE])
    if not count[OK] or count[FAILED] or count[AWAY] or count[WAITING]:
        return Said(
            status.DRIFT, "Unknown", status.PENDING, "Not compared on all clusters: see PolicyEnforced."
        )
    return Said(status.DRIFT, "False", status.NO_DRIFT, "Policies are unchanged since they were applied.")


def _names(members: Sequence[Member]) -> str:
    texts = [f"{one.name} ({one.message})" if one.message else one.name for one in members[:_NAMED]]
    more = f" and {len(members) - _NAMED} more" if len(members) > _NAMED else ""
    return ", ".join(texts) + more


def not_asked(spec: LoadedSpec, left: Sequence[str]) -> tuple[tuple[Said, ...], Object]:
    """Where nothing is to be enforced. left: clusters that still have policies of it."""
    section = spec.spec.enforcement
    why = "mode is monitor" if section is not None and section.enabled else "enforcement.enabled is not true"
    text = f"{why}." if not left else f"{why}; not removed yet from {', '.join(left[:_NAMED])}."
    drift = Said(status.DRIFT, "False", status.NO_DRIFT, "No policies are applied that could drift.")
    clusters = {"selected": 0, "allowed": 0, **dict.fromkeys(_COUNTS.values(), 0)}
    enforcement = {"active": bool(left), "policiesGenerated": 0, "clusters": clusters}
    fields: Object = {"enforcement": enforcement, "webhooks": None}
    return (Said(status.ENFORCED, "False", status.NOT_ENFORCED, text), drift), fields


def concerned(before: Object | None, now: Object | None, specs: Mapping[Key, Object]) -> set[Key]:
    """Specifications that a change of a ClusterTarget concerns: those for other clusters, and those that it records.

    It is a change if the cluster is another one, is described or selected otherwise, or is back.
    """
    is_back = now is not None and not is_silent(now) and (before is None or is_silent(before))
    if not is_back and _described(before) == _described(now):
        return set()
    recorded_there = {("", one["specification"]) for obj in (before, now) if obj for one in entries_of(obj)}
    return recorded_there | {key for key, item in specs.items() if is_elsewhere(item)}


def _described(target: Object | None) -> Any:
    if target is None:
        return None
    leaves = bool(target["metadata"].get("deletionTimestamp"))
    return mark_of(target), leaves, target["metadata"].get("labels") or {}, uid_of(target)


def mark_of(obj: Object) -> Any:
    """Another one where it was made anew, or its spec changed."""
    return obj["metadata"].get("uid"), obj["metadata"].get("generation")
