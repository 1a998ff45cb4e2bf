"""Policies of specifications for clusters that are not the operator's own: `kspec fleet enforce`, again and again.

What is done on a cluster is `fleet.enforcing`; here is when. It takes as long as the slowest cluster, so that it goes
on beside the queue, and the specification is looked at again when it is over. Clusters that do not answer are left
alone until their ClusterTarget says that they are back. Before anything is applied, the status of the ClusterTarget
says so: whoever leads next finds all that has to be removed.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pytest_kspec import clock
from pytest_kspec.cluster.watch.reflector import Key
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.objects import clusterspecification as resources
from pytest_kspec.enforce.engines import Engine, engine, webhook
from pytest_kspec.enforce.modes import asked_engines, asked_mode
from pytest_kspec.errors import Conflict, KspecError, NotFound, SourceUnavailable
from pytest_kspec.files import write_whole
from pytest_kspec.fleet.enforcing import Order, Synced
from pytest_kspec.fleet.targets.clustertargets import API_VERSION, KIND, target_of
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.operator import remotestatus, status
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.remotestatus import AWAY, DENIED, DIFFERS, FAILED, OK, WAITING, Left, Member, Told
from pytest_kspec.operator.remoteturn import Turn, Work
from pytest_kspec.operator.status import Note, status_of
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import LoadedSpec, load_spec, spec_from_part

log = logging.getLogger("kspec.operator")

Object = dict[str, Any]

FIELD_MANAGER = "kspec-operator"
AGAIN_S, SOON_S = 60.0, 15.0
"""How soon what failed is tried again, and what did not answer though its ClusterTarget says that it does."""
AT_ONCE = 2
"""Specifications that are applied at the same time; each to eight clusters at once."""
_WRITES = 4
_OPERATIONS = {"create": "create", "change": "update", "remove": "delete"}


class Seen(Protocol):
    """Who counts what happens: `metrics.Metrics`."""

    def changed(self, cluster: str, name: str, engine: str, changes: Sequence[tuple[str, bool]]) -> None:
        """Policy objects that were changed: the operation, and whether it corrected drift."""
        ...

    def enforced(self, name: str, mode: str) -> None:
        """The mode that a specification asks for; "": not known."""
        ...

    def drifted(self, cluster: str, name: str, kinds: Mapping[str, int]) -> None:
        """Differences from what was applied, by kind."""
        ...


class Posts(Protocol):
    """Who tells others: `board.Board`."""

    def drifted(self, spec: str, cluster: str, identity: str, drifted: int) -> None:
        """Policies on a cluster were compared. drifted: those that are not as they were applied."""
        ...


class Settings(NamedTuple):
    """interval_s: between two looks at a cluster. image: of webhooks there, by digest. options: of engines."""

    interval_s: float = 300.0
    image: str = ""
    options: Any = None


class _Tried(NamedTuple):
    """mark: of specification and ClusterTarget; boundary: when it is to be made anew (UNIX time)."""

    mark: Any
    at: float
    boundary: float | None = None


class Remote:
    """Policies on other clusters, of one operator.

    known: all ClusterTargets, as last seen. look: look at this specification again
    """

    def __init__(
        self,
        access: Access,
        known: Callable[[], Mapping[Key, Object]],
        checkset: Callable[[], CheckSet],
        look: Callable[[str], None],
        settings: Settings,
        seen: Seen | None = None,
        posts: Posts | None = None,
    ) -> None:
        self._access, self._hub = access, Hub(access)
        self._known, self._checkset, self._again = known, checkset, look
        self._settings, self._seen, self._posts = settings, seen, posts
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._targets: dict[Key, tuple[Any, Target]] = {}
        self._entries: dict[tuple[str, Key], tuple[Any, Object]] = {}  # newer than what was last seen
        self._tried: dict[tuple[str, Key], _Tried] = {}
        self._notes: dict[str, list[Note]] = {}

    def step(self, found: Object, spec: LoadedSpec) -> Told:
        """Look at a specification for other clusters; begin what is due. Asks no cluster, and does not wait."""
        name, known = spec.name, self._known()
        asks = bool(asked_engines(spec))
        keys = remotestatus.selected(spec, known) if asks else []
        members, work, again = self._members(found, spec, keys, known)
        remove, drop, left = self._unwanted(name, keys, known)
        self._begin(found, spec, work._replace(remove=remove, drop=drop))
        with self._lock:
            notes = tuple(self._notes.pop(name, ()))
        if self._seen is not None:
            self._seen.enforced(name, str(asked_mode(spec)))
        if not asks:
            said, fields = remotestatus.not_asked(spec, [*left.waits, *left.others])
            return Told(
                AGAIN_S if left.waits else self._settings.interval_s, said, fields, notes, bool(left.waits)
            )
        last = max((str(self._entry(name, key, known[key]).get("since") or "") for key in keys), default="")
        said, fields = remotestatus.concluded(spec, members, status_of(found), last or None)
        return Told(min(again, AGAIN_S) if left.waits else again, said, fields, notes, held=True)

    def clean(self, name: str) -> Left:
        """The specification is gone, or is for the operator's own cluster: begin to remove what it left elsewhere."""
        known = self._known()
        remove, drop, left = self._unwanted(name, (), known)
        if remove or drop:
            self._begin({"metadata": {"name": name}}, spec_from_part({}, name=name), Work(remove, drop=drop))
        elif not left.waits and not left.others:
            with self._lock:
                self._entries = {one: kept for one, kept in self._entries.items() if one[0] != name}
                self._tried = {one: kept for one, kept in self._tried.items() if one[0] != name}
        return left

    def interval(self, spec: LoadedSpec) -> float:
        """Seconds between two scans of its clusters."""
        return remotestatus.interval(spec, self._known(), self._settings.interval_s)

    def forget(self, name: str) -> None:
        """Nothing is left of it."""
        with self._lock:
            self._notes.pop(name, None)

    # -- what is due ---------------------------------------------------------------------------------------

    def _members(
        self, found: Object, spec: LoadedSpec, keys: Sequence[Key], known: Mapping[Key, Object]
    ) -> tuple[list[Member], Work, float]:
        members: list[Member] = []
        apply: list[tuple[bool, Key]] = []
        looks: list[Key] = []
        again = self._settings.interval_s
        clusters: set[str] = set()
        digest = status.digest_of(spec)
        of_spec = remotestatus.mark_of(found), digest
        for key in keys:
            target, obj = self._target(key, known[key]), known[key]
            uid = remotestatus.uid_of(obj)
            if uid and uid in clusters:
                continue  # another name of a cluster that has its turn
            entry = self._entry(spec.name, key, obj)
            if target.problem is not None:
                members.append(Member(target.name, FAILED, target.problem.what))
                continue
            if not target.allow_enforcement:
                members.append(Member(target.name, DENIED))
                continue
            clusters.add(uid)
            if remotestatus.is_silent(obj):
                since = status_of(obj).get("unreachableSince")
                members.append(
                    Member(target.name, AWAY, f"since {since}") if since else Member(target.name, WAITING)
                )
                continue
            current = remotestatus.is_current(entry, found, spec, digest, obj)
            state = (
                str(entry.get("state", WAITING))
                if current or entry.get("state") in (FAILED, AWAY)
                else WAITING
            )
            members.append(
                Member(target.name, state, str(entry.get("message") or ""), int(entry.get("policies") or 0))
            )
            wait = self._wait(spec.name, key, (of_spec, remotestatus.mark_of(obj)), state)
            if wait > 0:
                again = min(again, wait)
            elif current and state in (
                OK,
                DIFFERS,
                AWAY,
            ):  # what was changed while it was away is not ours to undo
                looks.append(key)
            else:
                apply.append((state == FAILED, key))  # those that failed do not come first again
        return members, Work((), tuple(key for _, key in sorted(apply)), tuple(looks)), again

    def _wait(self, name: str, key: Key, mark: Any, state: str) -> float:
        """Seconds until it is due; 0 or less: now."""
        with self._lock:
            tried = self._tried.get((name, key))
        if tried is None or tried.mark != mark:
            return 0.0
        passed = time.monotonic() - tried.at
        if state in (OK, DIFFERS):
            end = self._settings.interval_s - passed
            return end if tried.boundary is None else min(end, tried.boundary + 1 - clock.now().timestamp())
        return (SOON_S if state == AWAY else AGAIN_S) - passed

    def _unwanted(
        self, name: str, keys: Sequence[Key], known: Mapping[Key, Object]
    ) -> tuple[tuple[Key, ...], tuple[Key, ...], Left]:
        """What has records of it and is not meant: due now, only to be forgotten, and all that is left."""
        with self._lock:  # they hold credentials
            self._targets = {key: kept for key, kept in self._targets.items() if key in known}
        wanted = set(keys)
        clusters = {uid for key in keys if (uid := remotestatus.uid_of(known[key]))}
        remove, drop, waits, others = [], [], [], []
        tried = False
        for key, obj in sorted(known.items()):
            entry = self._entry(name, key, obj)
            if key in wanted or not entry:
                continue
            if remotestatus.uid_of(obj) in clusters:
                if self._wait(name, key, remotestatus.mark_of(obj), FAILED) <= 0:
                    drop.append(key)
                continue
            target = self._target(key, obj)
            if not target.allow_enforcement or target.problem is not None or target.suspended:
                others.append(target.name)
                continue
            waits.append(target.name)
            if remotestatus.is_silent(obj):
                continue
            tried = True
            if self._wait(name, key, remotestatus.mark_of(obj), FAILED) <= 0:
                remove.append(key)
        return tuple(remove), tuple(drop), Left(tuple(waits), tuple(others), tried)

    def _target(self, key: Key, obj: Object) -> Target:
        """The same record while the object says the same: it keeps the credentials."""
        with self._lock:
            if key not in self._targets or self._targets[key][0] != remotestatus.mark_of(obj):
                self._targets[key] = remotestatus.mark_of(obj), target_of(self._hub, obj)
            return self._targets[key][1]

    def _entry(self, name: str, key: Key, obj: Object) -> Object:
        with self._lock:
            uid, entry = self._entries.get((name, key), (None, {}))
        return entry if uid == obj["metadata"].get("uid") else remotestatus.entry_of(obj, name)

    # -- doing it ------------------------------------------------------------------------------------------

    def _begin(self, found: Object, spec: LoadedSpec, work: Work) -> None:
        if not any(work):
            return
        with self._lock:
            if spec.name in self._busy:
                return
            self._busy.add(spec.name)
        # In the context of this thread: it belongs to the trace of this reconciliation.
        act = partial(copy_context().run, self._thread, found, spec, work)
        try:
            threading.Thread(target=act, daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self._busy.discard(spec.name)
            raise SourceUnavailable(f"no thread could be started: {error}.", where=spec.name) from error

    def _thread(self, found: Object, spec: LoadedSpec, work: Work) -> None:
        marks = self._marks(found, spec, work)
        began = time.monotonic()
        try:
            with self._slots:
                Turn(self, found, spec).do(work)
        except LostLease:
            return  # the operator ends
        except KspecError as error:
            log.warning("%s: policies on other clusters: %s", spec.name, error)
        except Exception:  # a fault of ours: the other specifications go on, and this one has its next turn
            log.exception("%s: unexpected error while its policies were applied to other clusters", spec.name)
        finally:
            known = self._known()
            with self._lock:
                self._busy.discard(spec.name)
                # However the turn ended, each had its turn: without that, one that fails would be begun again at once.
                for key, mark in marks.items():
                    tried = self._tried.get((spec.name, key))
                    if tried is None or tried.at < began:
                        self._tried[spec.name, key] = _Tried(mark, time.monotonic())
                self._entries = {one: kept for one, kept in self._entries.items() if one[1] in known}
                self._tried = {one: kept for one, kept in self._tried.items() if one[1] in known}
            self._again(spec.name)

    def _marks(self, found: Object, spec: LoadedSpec, work: Work) -> dict[Key, Any]:
        """What `_wait` compares, of each cluster that is to have its turn."""
        known = self._known()
        marks = {key: remotestatus.mark_of(known[key]) for key in (*work.remove, *work.drop) if key in known}
        of_spec = remotestatus.mark_of(found), status.digest_of(spec)
        return marks | {
            key: (of_spec, remotestatus.mark_of(known[key]))
            for key in (*work.apply, *work.look)
            if key in known
        }

    def note(self, name: str, note: Note) -> None:
        """An Event of what was done, for the next look."""
        with self._lock:
            self._notes.setdefault(name, []).append(note)

    def record(self, name: str, key: Key, entry: Object | None, of: Object | None = None) -> bool:
        """Write what is known of a cluster into the status of its ClusterTarget; False: it is gone. Raises SourceError.

        of: the object that it is known of; another one of its name, which was made since, may be another cluster
        """
        namespace, target = key
        meant = of["metadata"].get("uid") if of is not None else None

        def act(writer: Writer) -> Any:
            obj = writer.get(API_VERSION, KIND, target, namespace=namespace)
            if meant is not None and obj["metadata"].get("uid") != meant:
                raise NotFound("it was deleted and created again in the meantime.", where=target)
            after = remotestatus.with_entry(obj, name, entry)
            if after != status_of(obj):
                writer.replace({**obj, "status": after}, field_manager=FIELD_MANAGER, subresource="status")
            return obj["metadata"].get("uid")

        for attempt in range(_WRITES):
            try:
                uid = self._access.do(act)
            except NotFound:
                return False  # it was deleted meanwhile, or made anew
            except Conflict:
                if attempt + 1 == _WRITES:
                    raise
                continue
            with self._lock:
                self._entries[name, key] = uid, entry or {}
            return True
        return False

    def tried(self, name: str, key: Key, mark: Any, boundary: float | None = None) -> None:
        """It had its turn."""
        with self._lock:
            self._tried[name, key] = _Tried(mark, time.monotonic(), boundary)

    def order(self, spec: LoadedSpec, chosen: Engine, *, is_wanted: bool) -> Order:
        """As in `kspec fleet enforce`; only the leader writes."""
        return Order(
            (spec,),
            self._checkset(),
            chosen,
            asked_mode(spec) if is_wanted else None,
            clock.now(),
            allow_empty=True,
            options=self._settings.options,
            gate=self._access.passing,
        )

    def engine(self, name: str, found: Object, spec: LoadedSpec) -> tuple[Engine, LoadedSpec]:
        """The engine, and the specification as it takes it. Raises KspecError."""
        if name != webhook.NAME:
            return engine(name), spec
        from pytest_kspec.fleet.webhook import Deployed, checked_image, packed

        if "spec" not in found:
            return Deployed("", {}), spec
        image = checked_image(self._settings.image, "--fleet-webhook-image of the operator")
        try:
            with tempfile.TemporaryDirectory(prefix="kspec-remote-") as folder:
                path = Path(folder, resources.file_name(spec.name))
                write_whole(path, resources.document({**found, "spec": spec.tree.plain()}).encode())
                loaded = load_spec(path, Library())
                return Deployed(image, {spec.name: packed(loaded, (), ())}), loaded
        except OSError as error:
            what = f"no temporary file could be written: {error.strerror}."
            raise SourceUnavailable(
                what, where=spec.name, fix="Free space in the operator's /tmp."
            ) from error

    def entry(self, name: str, key: Key) -> Object:
        """The record of a cluster, as far as it is known here."""
        obj = self._known().get(key)
        return self._entry(name, key, obj) if obj is not None else {}

    def target(self, key: Key) -> tuple[Target, Object] | None:
        """The target of this name and its object; None: it is gone."""
        obj = self._known().get(key)
        return (self._target(key, obj), obj) if obj is not None else None

    def count(self, one: Synced, name: str, *, corrected: bool) -> None:
        """Tell the metrics what was changed."""
        changes = [
            (word, corrected) for what, word in _OPERATIONS.items() for _ in range(one.changes.get(what, 0))
        ]
        if self._seen is not None and changes:
            self._seen.changed(one.cluster, one.spec, name, changes)

    def compared(self, one: Synced, uid: str, drifted: int) -> None:
        """Tell metrics and alerts what differs on a cluster."""
        if self._seen is not None:
            self._seen.drifted(one.cluster, one.spec, {"modified": drifted} if drifted else {})
        if self._posts is not None and uid:
            self._posts.drifted(one.spec, one.cluster, uid, drifted)
