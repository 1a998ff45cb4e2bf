"""One ClusterTarget: whether its cluster answers, as which, with which credentials, and since when it does not.

A cluster that did not answer once may do so in a moment: what is said of it is Unknown then, and False from the second
failure on. One that stays away is asked less and less, up to every half hour, and costs one worker half a minute each
time; others do not wait for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pytest_kspec import clock
from pytest_kspec.cluster.watch.reflector import Key, Object
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import GROUP, NAMESPACE
from pytest_kspec.errors import AccessDenied, Conflict, NotFound, SourceError
from pytest_kspec.fleet.targets.clustertargets import API_VERSION, KIND, target_of
from pytest_kspec.fleet.targets.credentials import Life, as_time, expired
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.fleet.targets.look import Look, look_at
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.operator import observed, status
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.controller import TARGETS, Concerned, Given, Right
from pytest_kspec.operator.events import tell
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.metrics import Metrics
from pytest_kspec.operator.status import Note, Said, moment_of, status_of

log = logging.getLogger("kspec.operator")

READY, VALID = "Ready", "CredentialsValid"
REACHABLE, UNREACHABLE = "ClusterReachable", "Unreachable"
CREDENTIALS_VALID, CREDENTIALS_INVALID = "CredentialsValid", "InvalidCredentials"
SUSPENDED, NOT_CHECKED = "Suspended", "NotChecked"

FIELD_MANAGER = "kspec-operator"
GROUP_LABEL = "kspec.io/group"
"""By which dashboards group clusters."""


class Pace(NamedTuple):
    """Seconds. again_s: after the first failure. longest_s: between two attempts at a cluster that stays away.

    written_s: a status of which only the time of the look would change is written this rarely
    """

    interval_s: float = 60.0
    again_s: float = 10.0
    longest_s: float = 1800.0
    written_s: float = 300.0


PACE = Pace()


class Targets:
    """The controller of ClusterTarget. known: all of them, as last seen. look: asks one cluster."""

    resource = TARGETS
    label = "clustertarget"
    workers = 8
    others: Mapping[ResourceType, Concerned] = {}
    rights = (
        Right(GROUP, "clustertargets", ("get", "list", "watch")),
        Right(GROUP, "clustertargets/status", ("update",)),
        Right("", "secrets", ("get",), NAMESPACE),
        Right("", "events", ("create",), NAMESPACE),
    )

    def __init__(
        self,
        access: Access,
        hub: Hub,
        known: Callable[[], Mapping[Key, Object]],
        *,
        pace: Pace = PACE,
        look: Callable[[Target], Look] = look_at,
        metrics: Metrics | None = None,
        board: Board | None = None,
    ) -> None:
        self._access = access
        self._hub = hub
        self._known = known
        self._pace = pace
        self._look = look
        self._metrics = metrics
        self._board = board if board is not None else Board()
        self._lock = threading.Lock()
        self._targets: dict[Key, tuple[Any, Target]] = {}

    def reconcile(self, key: Key) -> float | None:
        """As `Controller.reconcile`."""
        found = self._find(key)
        if found is None or found["metadata"].get("deletionTimestamp"):
            with self._lock:
                self._targets.pop(key, None)
            self._gone(key)
            return None
        target = self._target(key, found)
        before = status_of(found)
        now = clock.now()
        if target.suspended:
            text = "suspend is set: the cluster is not contacted."
            said = [Said(READY, "Unknown", SUSPENDED, text), Said(VALID, "Unknown", SUSPENDED, text)]
            fields: Object = {"reachable": False, "unreachableSince": None, "consecutiveFailures": 0}
            self._write(key, found, now, said, fields)
            self._gone(key)
            return self._pace.longest_s
        seen = self._look(target)
        said, fields = told(seen, before, now, self._another(key, seen))
        self._measure(key, target, seen, before | fields)
        uid = str((before | fields).get("uid") or "")
        self._board.post(observed.of_target(*key, _life(seen), now, uid))
        self._write(key, found, now, said, fields)
        return self._wait(found, int(fields["consecutiveFailures"]))

    def failed(self, key: Key, fault: Exception) -> None:
        """As `Controller.failed`."""
        text = f"an internal error of kspec ({type(fault).__name__}): see the log of the operator."
        said = [Said(READY, "Unknown", NOT_CHECKED, text), Said(VALID, "Unknown", NOT_CHECKED, text)]
        try:
            found = self._find(key)
            if found is not None:
                self._write(key, found, clock.now(), said, {"reachable": False})
        except LostLease:
            raise
        except SourceError as error:
            log.warning("%s: %s", "/".join(key), error)

    # -- inside --------------------------------------------------------------------------------------------

    def _gone(self, key: Key) -> None:
        """It was deleted, or is not contacted any more: nothing of it is wrong now."""
        if self._metrics is not None:
            self._metrics.target_gone(*key)
        self._board.post(observed.no_target(*key, clock.now()))

    def _measure(self, key: Key, target: Target, seen: Look, fields: Object) -> None:
        """Tell the metrics; one failure is not enough to call a cluster unhealthy, as in its conditions."""
        if self._metrics is None:
            return
        namespace, name = key
        is_healthy = seen.reachable
        if is_healthy or fields["consecutiveFailures"] > 1:
            platform, version = (str(fields.get(one) or "") for one in ("platform", "version"))
            self._metrics.targeted(
                namespace,
                name,
                is_healthy=is_healthy,
                nodes=fields.get("nodeCount"),
                facts=(platform, version, target.server),
                life=_life(seen),
                group=(target.labels or {}).get(GROUP_LABEL, ""),
            )

    def _find(self, key: Key) -> Object | None:
        namespace, name = key
        return self._access.do(lambda writer: writer.find(API_VERSION, KIND, name, namespace=namespace))

    def _target(self, key: Key, found: Object) -> Target:
        """The same record while the object says the same: it keeps the credentials."""
        metadata = found["metadata"]
        mark = metadata.get("uid"), metadata.get("generation")
        with self._lock:
            if key not in self._targets or self._targets[key][0] != mark:
                self._targets[key] = mark, target_of(self._hub, found)
            return self._targets[key][1]

    def _another(self, key: Key, seen: Look) -> str:
        """The name of a ClusterTarget before this one that is the same cluster; "" if there is none."""
        if not seen.uid:
            return ""
        others = (
            other
            for other, obj in self._known().items()
            if other < key and status_of(obj).get("uid") == seen.uid and status_of(obj).get("reachable")
        )
        return "/".join(min(others, default=()))

    def _wait(self, found: Object, failures: int) -> float:
        pace = self._pace
        seconds = pace.interval_s
        if failures == 1:
            seconds = pace.again_s
        elif failures > 3:
            seconds = min(pace.longest_s, pace.interval_s * 2.0 ** min(failures - 3, 16))
        digest = hashlib.sha256(str(found["metadata"].get("uid")).encode()).digest()
        return seconds * (1 + digest[0] / 2550)

    def _write(self, key: Key, found: Object, now: datetime, said: list[Said], fields: Object) -> None:
        before = status_of(found)
        generation = int(found["metadata"].get("generation") or 0)
        after = status.merged(before, generation, now, said, {**fields, "lastChecked": status.stamp(now)})
        if not self._worth_writing(before, after, now):
            return
        sent = {**found, "status": after}
        # A conflict means that somebody changed it: the next look is at what it is then.
        with contextlib.suppress(Conflict, NotFound):
            self._access.do(
                lambda writer: writer.replace(sent, field_manager=FIELD_MANAGER, subresource="status")
            )
            tell(self._access, found, notes(before, after))

    def _worth_writing(self, before: Object, after: Object, now: datetime) -> bool:
        if {**before, "lastChecked": ""} != {**after, "lastChecked": ""}:
            return True
        checked = moment_of(before.get("lastChecked"))
        return checked is None or not 0 <= (now - checked).total_seconds() < self._pace.written_s


def told(seen: Look, before: Mapping[str, Any], now: datetime, same: str = "") -> tuple[list[Said], Object]:
    """Conditions and fields of the status after a look. same: another ClusterTarget of this cluster.

    What is known of a cluster that does not answer stays, with the time since when; whether it is up is not among it.
    """
    failures = 0 if seen.reachable else _count(before.get("consecutiveFailures")) + 1
    end = as_time(seen.expires) if seen.expires is not None else None
    fields: Object = {
        "reachable": seen.reachable,
        "consecutiveFailures": failures,
        "unreachableSince": None,
        "credentialsExpire": end,
    }
    if seen.reachable:
        fields |= {
            "version": seen.version,
            "uid": seen.uid,
            "platform": seen.platform,
            "nodeCount": seen.nodes,
        }
        text = f"{seen.version}; {'an unknown number of' if seen.nodes is None else seen.nodes} nodes."
        if same:
            text += f" This is the same cluster as {same}."
        until = f" until {end}" if end else ""
        return [
            Said(READY, "True", REACHABLE, text),
            Said(VALID, "True", CREDENTIALS_VALID, f"The API server accepted the credentials{until}."),
        ], fields
    since = before.get("unreachableSince") or status.stamp(now)
    fields["unreachableSince"] = since
    text = f"Unreachable since {since}: {seen.problem}"[: status.LONGEST_MESSAGE]
    return [
        Said(READY, "Unknown" if failures == 1 else "False", UNREACHABLE, text),
        _credentials(seen, end),
    ], fields


def _credentials(seen: Look, end: str | None) -> Said:
    if seen.expires is not None and seen.target.keeper is not None and expired(seen.target.keeper.life):
        return Said(VALID, "False", CREDENTIALS_INVALID, f"The credentials expired at {end}.")
    if seen.valid is False or isinstance(seen.problem, AccessDenied) or not seen.loaded:
        text = str(seen.problem)[: status.LONGEST_MESSAGE]
        return Said(VALID, "False", CREDENTIALS_INVALID, text)
    return Said(VALID, "Unknown", NOT_CHECKED, "The API server did not answer.")


def notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Note]:
    """The Events of a change."""
    found = []
    now, was = status.condition(after, READY), status.condition(before, READY)
    text = str(now.get("message", ""))
    if now.get("status") == "False" != was.get("status"):
        found.append(Note("Warning", "TargetUnreachable", text))
    elif now.get("status") == "True" and was.get("status") == "False":
        found.append(Note("Normal", "TargetReachable", text))
    one, other = before.get("uid"), after.get("uid")
    if one and other and one != other:
        text = f"The cluster has the UID {other} now; it was {one}: it was created again, or another cluster answers."
        found.append(Note("Warning", "TargetReplaced", text))
    end = moment_of(after.get("credentialsExpire"))
    looks = [moment_of(one.get("lastChecked")) for one in (before, after)]
    same = before.get("credentialsExpire") == after.get("credentialsExpire")
    if end is not None and same and looks[0] is not None and looks[1] is not None:
        left = [(end - look).total_seconds() for look in looks if look is not None]
        if left[0] > observed.EXPIRING_S >= left[1]:
            text = f"The credentials expire at {after['credentialsExpire']}."
            found.append(Note("Warning", "CredentialsExpiring", text))
    return found


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _life(seen: Look) -> Life:
    """Of the credentials of the last look; one that keeps none knows the end at most."""
    return seen.target.keeper.life if seen.target.keeper is not None else Life(expires=seen.expires)


def controller(given: Given, board: Board) -> Targets:
    """The controller of one process."""
    hub = Hub(given.access)
    return Targets(given.access, hub, lambda: given.objects(TARGETS), metrics=given.metrics, board=board)
