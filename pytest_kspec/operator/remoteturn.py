"""One time that policies of a specification are brought up to date on other clusters: what `remote` found due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from pytest_kspec import clock
from pytest_kspec.cluster.watch.reflector import Key, Object
from pytest_kspec.drift.correcting import FIGHT
from pytest_kspec.enforce.engines import Engine
from pytest_kspec.enforce.modes import asked_engines, asked_mode
from pytest_kspec.errors import KspecError
from pytest_kspec.fleet.enforcing import Order, Synced, look, sync
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.operator import remotestatus, status
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.remotestatus import AWAY, DIFFERS, FAILED, OK, WAITING
from pytest_kspec.operator.status import Note
from pytest_kspec.reports.shared.text import plural
from pytest_kspec.spec.loading import LoadedSpec

log = logging.getLogger("kspec.operator")

_STOPPED = "not tried: an earlier cluster failed"


class Work(NamedTuple):
    """What is due. drop: records of what another name of the same cluster keeps."""

    remove: tuple[Key, ...] = ()
    apply: tuple[Key, ...] = ()
    look: tuple[Key, ...] = ()
    drop: tuple[Key, ...] = ()


class Records(Protocol):
    """What is known of each cluster, and how it is kept: `remote.Remote`. Methods raise KspecError."""

    def note(self, name: str, note: Note) -> None:
        """An Event of what was done."""
        ...

    def record(self, name: str, key: Key, entry: Object | None, of: Object | None = None) -> bool:
        """Keep what is known of a cluster; None: nothing more. False: its object, `of`, is gone."""
        ...

    def tried(self, name: str, key: Key, mark: Any, boundary: float | None = None) -> None:
        """It had its turn."""
        ...

    def order(self, spec: LoadedSpec, chosen: Engine, *, is_wanted: bool) -> Order:
        """What is to be in force."""
        ...

    def engine(self, name: str, found: Object, spec: LoadedSpec) -> tuple[Engine, LoadedSpec]:
        """The engine, and the specification as it takes it."""
        ...

    def entry(self, name: str, key: Key) -> Object:
        """What is known of a cluster."""
        ...

    def target(self, key: Key) -> tuple[Target, Object] | None:
        """The target and its object; None: it is gone."""
        ...

    def count(self, one: Synced, name: str, *, corrected: bool) -> None:
        """Tell the metrics what was changed."""
        ...

    def compared(self, one: Synced, uid: str, drifted: int) -> None:
        """Tell metrics and alerts what differs on a cluster."""
        ...


class Turn:
    """One time that policies of a specification are brought up to date."""

    def __init__(self, remote: Records, found: Object, spec: LoadedSpec) -> None:
        self._remote, self._found, self._spec = remote, found, spec
        self._name = spec.name
        self._digest = status.digest_of(spec)
        self._mark = remotestatus.mark_of(found), self._digest

    def do(self, work: Work) -> None:
        """Raises KspecError; what was done stays done, and is recorded."""
        for key in work.drop:
            try:
                self._remote.record(self._name, key, None)
            except LostLease:
                raise
            except KspecError as error:  # the others have their turn
                log.warning("%s: %s: %s", self._name, key[1], error)
        if work.remove:
            self._remove(work.remove)
        again = self._look(work.look) if work.look else []
        if work.apply or again:
            self._apply(work.apply, again)

    def _of(self, keys: Iterable[Key]) -> dict[str, tuple[Key, Target, Object]]:
        """Name of the target → what is known of it, for those that are still there."""
        found = {}
        for key in keys:
            if (one := self._remote.target(key)) is not None:
                found[one[0].name] = key, *one
        return found

    def _remove(self, keys: Sequence[Key]) -> None:
        """From clusters that are not meant any more."""
        there = self._of(keys)
        results: dict[str, list[Synced]] = {}
        for name in sorted({one for key in keys for one in self._engines(key)}):
            with_it = [target for key, target, _ in there.values() if name in self._engines(key)]
            chosen, _ = self._remote.engine(name, {}, self._spec)
            order = self._remote.order(self._spec, chosen, is_wanted=False)
            for one in self._all(with_it, order):
                results.setdefault(one.cluster, []).append(one)
                self._remote.count(one, name, corrected=False)
        removed = []
        for name, (key, _, obj) in there.items():
            done = remotestatus.merged(results[name]) if name in results else None
            self._remote.tried(self._name, key, remotestatus.mark_of(obj))
            if done is not None and done.error:
                entry = {**self._remote.entry(self._name, key), "message": " ".join(done.error.split())[:300]}
                self._remote.record(self._name, key, entry | {"state": AWAY if done.away else FAILED}, obj)
            else:
                self._remote.record(self._name, key, None, obj)
                removed.append(name)
                self._remote.compared(Synced(name, self._name, {}), remotestatus.uid_of(obj), 0)
        if removed:
            log.info("%s: policies removed from %s", self._name, ", ".join(removed))
            self._remote.note(self._name, Note("Normal", "PolicyPruned", _on(removed)))

    def _engines(self, key: Key) -> Sequence[str]:
        found = self._remote.entry(self._name, key).get("engines")
        return [str(one) for one in found] if isinstance(found, list) else []

    def _look(self, keys: Sequence[Key]) -> list[Key]:
        """What differs, and which of it is to be corrected or made anew now."""
        there = self._of(keys)
        again = []
        section = self._spec.spec.enforcement
        corrects = section is not None and section.auto_remediate
        now = clock.now()
        results = self._with_engines(lambda targets, order: look(targets, order, say=_quiet), there)
        for name, one in results.items():
            key, _, obj = there[name]
            if one.same_as:
                continue
            before = self._remote.entry(self._name, key)
            differs = bool(one.problems) and not one.error
            fights = len(remotestatus.corrections(before, now)) >= FIGHT
            if one.outdated or (differs and corrects and not fights):
                again.append(key)
                continue
            if differs and corrects:
                one = one._replace(
                    problems=(
                        *one.problems,
                        f"no longer corrected: it was corrected {FIGHT} times within an hour",
                    )
                )
            self._keep(one, key, obj)
        return again

    def _apply(self, keys: Sequence[Key], corrected: Sequence[Key]) -> None:
        there = self._of((*corrected, *keys))
        for name, (key, _, obj) in list(there.items()):
            entry = self._remote.entry(self._name, key)
            engines = list(dict.fromkeys((*self._engines(key), *asked_engines(self._spec))))
            if entry.get("engines") == engines:
                continue
            nothing = {"specification": self._name, "state": WAITING, "generation": 0, "policies": 0}
            noted = {**nothing, **entry, "engines": engines}
            try:
                if not self._remote.record(self._name, key, noted, obj):
                    del there[name]
            except LostLease:
                raise
            except KspecError as error:  # it is not tried without being recorded
                log.warning("%s: %s: %s", self._name, name, error)
                del there[name]
        old = {
            name: (key, *rest)
            for name, (key, *rest) in there.items()
            if set(self._engines(key)) - set(asked_engines(self._spec))
        }
        waits = set(there)
        results = self._with_engines(
            lambda targets, order: sync(targets, order, say=_quiet)[0], there, count=corrected
        )
        done = {name: one for name, one in old.items() if _is_done(results.get(name))}
        stays = dict.fromkeys(old.keys() - done.keys(), "") | self._other_engines(done)
        applied, mended = [], []
        for name, one in results.items():
            waits.discard(name)
            key, _, obj = there[name]
            if one.same_as:
                self._remote.record(self._name, key, None, obj)
                continue
            changed = any(number for what, number in one.changes.items() if what != "keep")
            if key in corrected and changed:
                mended.append(name)
            elif changed:
                applied.append(name)
            if stays.get(name):
                one = one._replace(error=stays[name])
            there_now = self._engines(key) if name in stays else ()
            self._keep(one, key, obj, corrected=key in corrected and changed, engines=there_now)
        for name in waits:
            key, _, obj = there[name]
            self._remote.tried(self._name, key, (self._mark, remotestatus.mark_of(obj)))
            entry = {**self._remote.entry(self._name, key), "state": WAITING, "message": _STOPPED}
            self._remote.record(self._name, key, entry, obj)
        mode = asked_mode(self._spec)
        for reason, names in (("PolicyApplied", applied), ("DriftRemediated", mended)):
            if names:
                self._remote.note(self._name, Note("Normal", reason, f"{_on(names)[:-1]}, mode {mode}."))

    def _other_engines(self, there: Mapping[str, tuple[Any, ...]]) -> dict[str, str]:
        """Remove what engines applied that the specification does not name any more; where it stays, and why."""
        stays = {}
        for name in sorted(
            {one for key, *_ in there.values() for one in self._engines(key)} - set(asked_engines(self._spec))
        ):
            chosen, _ = self._remote.engine(name, {}, self._spec)
            order = self._remote.order(self._spec, chosen, is_wanted=False)
            for one in self._all(
                [target for key, target, _ in there.values() if name in self._engines(key)], order
            ):
                self._remote.count(one, name, corrected=False)
                if one.error:
                    stays[one.cluster] = f"policies of {name} are not removed: {one.error}"
        return stays

    def _all(self, targets: Sequence[Target], order: Order) -> list[Synced]:
        """All of them: what has to go is not held up by one that fails."""
        done, untried = sync(targets, order, say=_quiet)
        while untried:
            more, untried = sync(untried, order, say=_quiet)
            done += more
        return done

    def _with_engines(
        self,
        act: Callable[[Sequence[Target], Order], list[Synced]],
        there: Mapping[str, tuple[Key, Target, Object]],
        count: Sequence[Key] | None = None,
    ) -> dict[str, Synced]:
        """Each engine that the specification names; a cluster on which one fails is left out of the next ones."""
        targets = [target for _, target, _ in there.values()]
        results: dict[str, list[Synced]] = {}
        for name in asked_engines(self._spec):
            try:
                chosen, spec = self._remote.engine(name, self._found, self._spec)
            except KspecError as error:
                done = [Synced(target.name, self._name, {}, error=str(error)) for target in targets]
            else:
                done = act(targets, self._remote.order(spec, chosen, is_wanted=True))
            for one in done:
                results.setdefault(one.cluster, []).append(one)
                if count is not None:
                    self._remote.count(one, name, corrected=there[one.cluster][0] in count)
            tried = {one.cluster for one in done if not one.error}
            targets = [target for target in targets if target.name in tried]
        return {name: remotestatus.merged(found) for name, found in results.items()}

    def _keep(
        self, one: Synced, key: Key, obj: Object, *, corrected: bool = False, engines: Sequence[str] = ()
    ) -> None:
        """engines: whose policies are there, if others than the specification names are among them."""
        now = clock.now()
        before = self._remote.entry(self._name, key)
        uid = remotestatus.uid_of(obj)
        entry = remotestatus.recorded(one, before, self._found, self._spec, self._digest, uid, now)
        if engines:
            entry["engines"] = list(engines)
        if corrected:
            entry["corrected"] = [*remotestatus.corrections(entry, now), status.stamp(now)]
        boundary = one.boundary.timestamp() if one.boundary is not None else None
        self._remote.tried(self._name, key, (self._mark, remotestatus.mark_of(obj)), boundary)
        self._remote.record(self._name, key, entry, obj)
        if entry["state"] in (OK, DIFFERS):
            self._remote.compared(one, uid, len(one.problems) if entry["state"] == DIFFERS else 0)
        if entry["state"] in (FAILED, DIFFERS) and entry != before:
            log.warning("%s: policies on %s: %s", self._name, one.cluster, entry.get("message"))


def _is_done(one: Synced | None) -> bool:
    """Whether all that was wanted is in force, as read back."""
    return one is not None and not one.failed and not one.away


def _quiet(one: Synced) -> None:
    """Nothing is said while it goes on."""


def _on(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"On {plural(len(names), 'cluster')}: {', '.join(sorted(names)[:5])}{more}."
