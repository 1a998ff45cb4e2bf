"""The objects of one kind, kept as the API server has them: a list, then watches from there on.

What a watch may do wrong is expected: it ends, expires (410), sends errors, or falls silent without an end. Each watch
is asked for less than a minute and given up ten seconds later, so that a connection that is dead without saying so
costs no more than that. After anything but an ordinary end everything is listed again: no event is missed for good.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.cluster.limits import MIB
from pytest_kspec.cluster.objects.answers import Wrong, check_metadata, check_object
from pytest_kspec.cluster.objects.items import BROKEN_JSON, items_of
from pytest_kspec.cluster.sources.live import LiveSource, resource_path
from pytest_kspec.cluster.watch.ending import Ending
from pytest_kspec.errors import Malformed, NotServed, SourceError, SourceUnavailable
from pytest_kspec.kube.resources import ResourceType

log = logging.getLogger("kspec.watch")

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace ("" where there is none) and name."""

Changed = Callable[[Key, Object | None, Object | None], None]
"""Called with a key, what was there, and what is there now; None: nothing."""


class Bounds(NamedTuple):
    """What one reflector may cost: objects that it holds, bytes of an event and of one watch, seconds.

    watch_s:  how long a watch is asked for, less up to a tenth; grace_s: how much later it is given up
    first_s, longest_s: the wait after the first failure, which doubles, and its end; each wait is between half and all
    """

    objects: int = 20_000
    event_bytes: int = 4 * MIB
    watch_bytes: int = 256 * MIB
    watch_s: float = 55.0
    grace_s: float = 10.0
    first_s: float = 0.5
    longest_s: float = 30.0


BOUNDS = Bounds()


class Expired(Exception):
    """The server no longer knows the state that the watch was to begin from."""


class Reflector(Ending):
    """One kind of one cluster. `run` works in the thread that calls it; everything else may be called from others.

    open_source: makes a connection for this reflector alone
    changed:     called from within `run`; what a list no longer has was deleted
    """

    def __init__(
        self,
        open_source: Callable[[], LiveSource],
        resource_type: ResourceType,
        changed: Changed,
        *,
        bounds: Bounds = BOUNDS,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(chance)
        self._open = open_source
        self._type = resource_type
        self._changed = changed
        self._bounds = bounds
        self._objects: dict[Key, Object] = {}
        self._failures = 0
        self.problem = "not listed yet"
        """Why what is held may be out of date; "" while it is not."""
        self.listed = False
        """They were listed once: what is held is what was there then, or later."""
        self.absent = False
        """The cluster does not serve this kind: that is what `problem` says."""

    @property
    def objects(self) -> Mapping[Key, Object]:
        """All that are there, as last seen."""
        return dict(self._objects)  # in one step, as seen by other threads

    def run(self) -> None:
        """Until `stop`. Raises nothing of a cluster: what goes wrong is logged, and tried again later and later."""
        while not self._stopped.is_set():
            source = self._open()
            try:
                self._follow(source)
            except Expired:
                log.info("%s: the watch expired, listing again", self._type.resource)
                self._back_off()
            except SourceError as error:
                if self._stopped.is_set():
                    return
                if str(error) != self.problem:
                    log.warning("%s: %s", self._type.resource, error)
                self.problem = str(error)
                self.absent = isinstance(error, NotServed)
                self._back_off()
            finally:
                source.close()

    # -- inside --------------------------------------------------------------------------------------------

    def _back_off(self) -> None:
        self._failures += 1
        self._wait(min(self._bounds.longest_s, self._bounds.first_s * 2 ** min(self._failures - 1, 16)))

    def _follow(self, source: LiveSource) -> None:
        version = self._list(source)
        if self.problem:
            log.info("%s: %d there", self._type.resource, len(self._objects))
        self.problem, self.absent, self.listed = "", False, True
        while not self._stopped.is_set():
            started = time.monotonic()
            version = self._watch(source, version)
            self._failures = 0
            if time.monotonic() - started < self._bounds.first_s:  # a server that ends each watch at once
                self._wait(self._bounds.first_s)

    def _list(self, source: LiveSource) -> str:
        listed = source.pages(self._type)
        found: dict[Key, Object] = {}
        for page in listed:
            try:
                for item in items_of(page, self._type, source.name):
                    check_metadata(item.get("metadata"))
                    found[_key(item)] = {
                        **item,
                        "apiVersion": self._type.api_version,
                        "kind": self._type.kind,
                    }
            except (Wrong, *BROKEN_JSON) as error:
                reason = f"an item {error}" if isinstance(error, Wrong) else "it is not valid JSON"
                raise Malformed(
                    f"the list of {self._type.resource} cannot be read: {reason}.", where=source.name
                ) from None
            self._check_count(len(found), source)
        if not listed.resource_version:
            raise Malformed(
                f"the list of {self._type.resource} has no resourceVersion to watch from.", where=source.name
            )
        before, self._objects = self._objects, found
        for key in before.keys() | found.keys():
            if before.get(key) != found.get(key):
                self._changed(key, before.get(key), found.get(key))
        return listed.resource_version

    def _watch(self, source: LiveSource, version: str) -> str:
        """Follow one watch to its end; from where the next one goes on. Raises Expired, SourceError."""
        bounds = self._bounds
        asked = max(1, round(bounds.watch_s * (1 - self._chance() / 10)))
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(asked),
        }
        path = resource_path(self._type)
        with source.connection.watch(
            path, query, seconds=asked + bounds.grace_s, most=bounds.watch_bytes
        ) as watching:
            if watching.answer is not None:
                if watching.answer.status == 410:
                    raise Expired
                detail = f": {watching.answer.message}" if watching.answer.message else ""
                raise SourceUnavailable(
                    f"cannot watch {self._type.resource}: HTTP {watching.answer.status}{detail}.",
                    where=source.name,
                )
            self._watching = watching
            try:
                if self._stopped.is_set():
                    return version
                for line in watching.lines(bounds.event_bytes):
                    version = self._event(line, version, source)
            finally:
                self._watching = None
        return version

    def _event(self, line: bytes, version: str, source: LiveSource) -> str:
        try:
            event = msgspec.json.decode(line)
            kind = event["type"]
            obj = event["object"]
            if kind == "ERROR":
                if isinstance(obj, dict) and obj.get("code") == 410:
                    raise Expired
                message = obj.get("message") if isinstance(obj, dict) else ""
                raise SourceUnavailable(
                    f"the watch of {self._type.resource} ended with an error: {str(message)[:300]}.",
                    where=source.name,
                )
            if kind == "BOOKMARK":
                metadata = obj["metadata"]
            else:
                check_object(obj, self._type.api_version, self._type.kind)
                metadata = obj["metadata"]
            at = metadata["resourceVersion"]
            if not isinstance(at, str) or not at or kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
                raise Wrong("has no resourceVersion, or an unknown type")
        except (Wrong, KeyError, TypeError, *BROKEN_JSON) as error:
            raise Malformed(
                f"an event of the watch of {self._type.resource} cannot be read ({type(error).__name__}).",
                where=source.name,
            ) from None
        if kind != "BOOKMARK":
            self._put(_key(obj), None if kind == "DELETED" else obj, source)
        self._failures = (
            0  # not after a list: where watches fail alone, each failure would cost a list at once
        )
        return at

    def _put(self, key: Key, obj: Object | None, source: LiveSource) -> None:
        before = self._objects.get(key)
        if obj is None:
            self._objects.pop(key, None)
        else:
            self._check_count(len(self._objects) + (before is None), source)
            self._objects[key] = obj  # in one step: other threads never see that it is gone
        self._changed(key, before, obj)

    def _check_count(self, count: int, source: LiveSource) -> None:
        if count > self._bounds.objects:
            raise SourceUnavailable(
                f"there are more than {self._bounds.objects:,} {self._type.resource}: too many to follow.",
                where=source.name,
            )


def _key(obj: Mapping[str, Any]) -> Key:
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
