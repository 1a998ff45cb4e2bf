"""Policies of specifications on many clusters: the same as `kspec enforce` on each, in parallel, and read back.

What is to be done is read from each cluster, so that whoever does it again comes to the same end: one that was away
is caught up, and one that is as it should be costs a list. `look` asks the same clusters and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import ceil
from typing import Any, NamedTuple

from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.access import PATIENCE
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce import inforce, succession
from pytest_kspec.enforce.engines import Engine, Generated, InForce, Wanted
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.errors import KspecError, NotServed, SourceUnavailable, SpecError, without_credentials
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.fleet.webhook import Deployed
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.spec.loading import LoadedSpec
from pytest_kspec.storage.fleetrun import preference

AT_ONCE = 8
FIRST_WAVE = 0.1
"""The part of the clusters that goes first; where one of them fails, the others are left as they are."""
PENDING_S, WITHOUT_EFFECT_S, _POLL_S = 3.0, 15.0, 0.5
"""How long is waited for a cluster that has not looked at policies: those that hold already, and those that do not."""


class Order(NamedTuple):
    """What is to be on each cluster.

    mode: None: nothing; dry_run: nothing is written; options: of the engine, as its `add_arguments` has them
    gate: of `Writer`, entered just before each write
    """

    specs: Sequence[LoadedSpec]
    checkset: CheckSet
    engine: Engine
    mode: Mode | None
    now: datetime
    dry_run: bool = False
    allow_empty: bool = False
    options: Any = None
    gate: Callable[[], AbstractContextManager[None]] = nullcontext


class Synced(NamedTuple):
    """One specification on one cluster.

    changes: how many objects were created, changed, kept and removed, or would be
    in_force: policies that are, read back; mode: theirs, INACTIVE outside of the periods of the specification, "" where
              they have none, or not one alone; problems: of these
    error: why nothing is known, or not all was done
    away: the cluster does not answer: it is caught up the next time
    same_as: the name under which this cluster is looked after
    boundary: when it is to be made anew, None: never; outdated: that time has passed for what is there
    """

    cluster: str
    spec: str
    changes: dict[str, int]
    in_force: int = 0
    problems: tuple[str, ...] = ()
    error: str = ""
    away: bool = False
    mode: str = ""
    same_as: str = ""
    boundary: datetime | None = None
    outdated: bool = False

    @property
    def failed(self) -> bool:
        """Something is wrong that the clusters to come may have, too."""
        return bool(self.problems) or bool(self.error and not self.away)

    @property
    def state(self) -> str:
        """One word: ok, away, failed, duplicate."""
        if self.same_as:
            return "duplicate"
        return "away" if self.away else "failed" if self.failed else "ok"


INACTIVE = "not active"


class Total(NamedTuple):
    """One specification on all clusters, each of which is counted once. differ: what `look` found is not as wanted."""

    spec: str
    clusters: int
    ok: int
    away: int
    failed: int
    differ: int = 0


def totals(done: Sequence[Synced], *, looked: bool = False) -> list[Total]:
    """Of each specification, in the order in which they come. looked: these come from `look`."""
    found: dict[str, list[Synced]] = {}
    for one in done:
        mine = found.setdefault(one.spec, [])
        if not one.same_as:
            mine.append(one)
    return [
        Total(
            spec,
            len(mine),
            sum(one.state == "ok" for one in mine),
            sum(one.away for one in mine),
            sum(one.failed and not (looked and not one.error) for one in mine),
            sum(looked and bool(one.problems) and not one.error for one in mine),
        )
        for spec, mine in found.items()
    ]


def sync(
    targets: Sequence[Target], order: Order, *, at_once: int = AT_ONCE, say: Callable[[Synced], None]
) -> tuple[list[Synced], list[Target]]:
    """Bring all clusters up to date, a first wave before the others; what came of it, and what was not tried.

    say: called with each as it is done, in this thread
    """
    first = ceil(len(targets) * FIRST_WAVE)
    return _in_waves([list(targets[:first]), list(targets[first:])], order, _spec, at_once, say)


def look(
    targets: Sequence[Target], order: Order, *, at_once: int = AT_ONCE, say: Callable[[Synced], None]
) -> list[Synced]:
    """What is in force on all clusters, and how it differs from what would be applied now. Changes nothing.

    order.mode: the one that is to be there; None: any
    """
    done, _ = _in_waves([list(targets)], order, _status, at_once, say)
    return done


Work = Callable[[str, LiveSource, str, LoadedSpec, Order], Synced]


class _Names:
    """Which name a cluster is looked after under: of those that answer, the one that a scan prefers.

    Never the one that answers first: policies have the name of their cluster, and would change with each run.
    """

    def __init__(self) -> None:
        self._of: dict[str, str] = {}

    def settle(self, wave: Sequence[Target], uids: Sequence[str | Exception]) -> list[str]:
        """The other name under which each of a wave is looked after, or "". What an earlier wave settled stays."""
        for target, uid in sorted(
            zip(wave, uids, strict=True), key=lambda one: preference(one[0].name, one[0].ref)
        ):
            if uid and isinstance(uid, str):
                self._of.setdefault(uid, target.name)
        kept = (self._of.get(uid, "") if isinstance(uid, str) else "" for uid in uids)
        return [name if name != target.name else "" for target, name in zip(wave, kept, strict=True)]


def _uid(target: Target) -> str | Exception:
    """Which cluster it is, "" where that may not be read; or why it cannot be told."""
    try:
        with closing(target.open(PATIENCE)) as source:
            return source.info().uid
    except Exception as error:  # noqa: BLE001 - it becomes the outcome of this cluster
        return error


def _in_waves(
    waves: list[list[Target]], order: Order, work: Work, at_once: int, say: Callable[[Synced], None]
) -> tuple[list[Synced], list[Target]]:
    """Wave after wave, until one fails. Others take the place of a cluster that is unreachable."""
    done: list[Synced] = []
    names = _Names()
    with ThreadPoolExecutor(at_once, thread_name_prefix="fleet") as pool:
        while waves:
            wave = waves.pop(0)
            before = len(done)
            uids = list(pool.map(_uid, wave))
            failed = [uid if isinstance(uid, Exception) else None for uid in uids]
            cluster = partial(_cluster, order, work)
            for found in pool.map(cluster, wave, names.settle(wave, uids), failed):
                for one in found:
                    say(one)
                done += found
            if any(one.failed for one in done):
                break
            if waves and all(one.away for one in done[before:]):
                waves[:1] = filter(None, (waves[0][: len(wave)], waves[0][len(wave) :]))
    return done, [target for wave in waves for target in wave]


def _cluster(
    order: Order, work: Work, target: Target, same_as: str, failed: Exception | None
) -> list[Synced]:
    return list(_each(order, work, target, same_as, failed))


def _each(
    order: Order, work: Work, target: Target, same_as: str, failed: Exception | None
) -> Iterator[Synced]:
    """Each specification; a cluster that does not answer (`failed`) is asked once."""
    left = list(order.specs)
    if same_as:
        yield from (Synced(target.name, spec.name, {}, same_as=same_as) for spec in left)
        return
    try:
        if failed is not None:
            raise failed
        with closing(target.open(PATIENCE)) as source:
            info = source.info()
            while left:
                try:
                    yield work(target.name, source, info.version, left[0], order)
                except SourceUnavailable:
                    raise
                except KspecError as error:
                    yield Synced(target.name, left[0].name, {}, error=str(error))
                left.pop(0)
    except SourceUnavailable as error:
        away = target.problem is None
        yield from (Synced(target.name, spec.name, {}, error=str(error), away=away) for spec in left)
    except KspecError as error:
        yield from (Synced(target.name, spec.name, {}, error=str(error)) for spec in left)
    except Exception as error:  # noqa: BLE001 - a fault of ours concerns this cluster only
        text = without_credentials(f"an internal error of kspec: {type(error).__name__}: {error}")
        yield from (Synced(target.name, spec.name, {}, error=text) for spec in left)


def _wanted(cluster: str, version: str, spec: LoadedSpec, order: Order, mode: Mode) -> Wanted:
    plan = enforcement_plan(spec, order.checkset, version=version, now=order.now)
    return Wanted(plan, mode, cluster, order.options)


def _spec(cluster: str, source: LiveSource, version: str, spec: LoadedSpec, order: Order) -> Synced:
    writer = Writer(source, gate=order.gate)
    engine = order.engine
    if order.mode is None:
        try:
            planned = applying.removals(spec, engine, writer)
        except NotServed:  # of a kind that is not served there is nothing
            planned = []
        return _done(cluster, spec, planned, writer, order)
    wanted = _wanted(cluster, version, spec, order, order.mode)
    made = engine.generate(wanted)
    inactive = _is_inactive(wanted, made)
    if not (made.manifests or inactive or order.allow_empty):
        raise SpecError(
            f"nothing in it can be enforced by {engine.NAME}; nothing was changed.",
            where=spec.name,
            fix="Add requirements that admission can evaluate, or use --allow-empty or --remove.",
        )
    turnover = succession.Succession()
    if isinstance(engine, Deployed):
        planned = engine.planned(spec, made.manifests, writer, dry_run=order.dry_run)
    else:
        planned = applying.changes(spec, engine, made.manifests, writer)
        if not order.dry_run:
            turnover = succession.succession(planned, made.manifests, wanted)
    done = _done(cluster, spec, [one for one in planned if one not in turnover.old], writer, order)
    if order.dry_run:
        return done
    found = turnover.of_new(_read_back(spec, engine, writer))
    problems = [] if inactive else list(_problems(found))
    if turnover.old and succession.is_in_force(found, wanted):
        removed = _done(cluster, spec, turnover.old, writer, order).changes
        done = done._replace(changes={**done.changes, "remove": done.changes["remove"] + removed["remove"]})
    elif turnover.old:
        problems.append(turnover.text)
    if made.manifests and not found:
        problems.append("no policy existed when it was read back")
    return done._replace(
        in_force=_count(found),
        problems=tuple(problems),
        mode=INACTIVE if inactive else _mode(found),
        boundary=None if made.timeless else wanted.boundary,
    )


def _done(
    cluster: str, spec: LoadedSpec, planned: Sequence[applying.Change], writer: Writer, order: Order
) -> Synced:
    """Do it, unless it is a dry run."""
    counts = {
        what: sum(change.what == what for change in planned)
        for what in ("create", "change", "keep", "remove")
    }
    if isinstance(order.engine, Deployed) and not order.dry_run:
        order.engine.carry_out(spec, planned, writer)
    elif not order.dry_run:
        for _ in applying.carry_out(planned, writer):
            pass
    return Synced(cluster, spec.name, counts)


def _status(cluster: str, source: LiveSource, version: str, spec: LoadedSpec, order: Order) -> Synced:
    writer = Writer(source)
    engine = order.engine
    try:
        objects = applying.existing(spec, engine, writer)
    except NotServed:  # then nothing of this engine is there
        objects = []
    if isinstance(engine, Deployed):
        engine = engine.as_there(objects)
    wanted = _wanted(cluster, version, spec, order, order.mode or Mode.AUDIT)
    modes = (order.mode,) if order.mode is not None else (Mode.AUDIT, Mode.ENFORCE)
    made = [engine.generate(replace(wanted, mode=mode)) for mode in modes]
    inactive = _is_inactive(wanted, made[0])
    boundary = None if made[0].timeless else wanted.boundary
    if not objects:
        nothing = inactive or (order.allow_empty and not made[0].manifests)
        problems = () if nothing else ("nothing is in force",)
        mode = INACTIVE if inactive else ""
        return Synced(cluster, spec.name, {}, problems=problems, mode=mode, boundary=boundary)
    found = inforce.in_force(engine, objects, writer)
    said = [] if inactive else list(_problems(found))
    for (kind, name), texts in applying.differences(objects, [one.manifests for one in made]).items():
        said += [f"{kind} {name}: {text}" for text in texts]
    late = [f"out of date since {moment}: apply again" for moment in applying.outdated(objects, order.now)]
    said += late
    mode = INACTIVE if inactive else _mode(found)
    return Synced(
        cluster,
        spec.name,
        {},
        _count(found),
        tuple(said),
        mode=mode,
        boundary=boundary,
        outdated=bool(late),
    )


def _is_inactive(wanted: Wanted, made: Generated) -> bool:
    """Whether nothing is to be in force now that would be at another time."""
    return bool(wanted.plan.rules) and not wanted.active and not made.timeless


def _problems(found: Sequence[InForce]) -> Iterator[str]:
    """What the cluster has not looked at yet is in force all the same where it has a mode: its type checker is late."""
    for entry in found:
        if entry.pending and entry.mode:
            continue
        yield from (f"{entry.name}: {problem}" for problem in entry.problems)
        if not entry.mode and not entry.problems:
            yield f"{entry.name}: not in force"


def _count(found: Sequence[InForce]) -> int:
    return sum(1 for entry in found if entry.mode)


def _mode(found: Sequence[InForce]) -> str:
    modes = {entry.mode for entry in found}
    return modes.pop() if len(modes) == 1 else ""


def _read_back(spec: LoadedSpec, engine: Engine, writer: Writer) -> list[InForce]:
    """What the cluster says is in force; waits a moment for one that has not looked at it yet."""
    started = time.monotonic()
    while True:
        found = inforce.in_force(engine, applying.existing(spec, engine, writer), writer)
        waited = time.monotonic() - started
        without = any(entry.pending and not entry.mode for entry in found)
        if waited > (WITHOUT_EFFECT_S if without else PENDING_S) or not any(one.pending for one in found):
            return found
        time.sleep(_POLL_S)
