"""Policies of specifications on many clusters: the same as `kspec enforce` on each, in parallel, and read back.

What is to be done is read from each cluster, so that whoever does it again comes to the same end: one that was away
is caught up, and one that is as it should be costs a list.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from math import ceil
from typing import NamedTuple

from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.access import PATIENCE
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce.engines import Engine, InForce, Wanted
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.errors import KspecError, SourceUnavailable, SpecError, without_credentials
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.spec.loading import LoadedSpec

AT_ONCE = 8
FIRST_WAVE = 0.1
"""The part of the clusters that goes first; where one of them fails, the others are left as they are."""
PENDING_S, _POLL_S = 3.0, 0.5


class Order(NamedTuple):
    """What is to be on each cluster. mode: None: nothing; dry_run: nothing is written."""

    specs: Sequence[LoadedSpec]
    checkset: CheckSet
    engine: Engine
    mode: Mode | None
    now: datetime
    dry_run: bool = False
    allow_empty: bool = False


class Synced(NamedTuple):
    """One specification on one cluster.

    changes: how many objects were created, changed, kept and removed, or would be
    in_force: policies that were read back; problems: of these; error: why nothing is known, or not all was done
    away: the cluster does not answer: it is caught up the next time
    """

    cluster: str
    spec: str
    changes: dict[str, int]
    in_force: int = 0
    problems: tuple[str, ...] = ()
    error: str = ""
    away: bool = False

    @property
    def failed(self) -> bool:
        """Something is wrong that the clusters to come may have, too."""
        return bool(self.problems) or bool(self.error and not self.away)


def sync(
    targets: Sequence[Target], order: Order, *, at_once: int = AT_ONCE, say: Callable[[Synced], None]
) -> tuple[list[Synced], list[Target]]:
    """Bring all clusters up to date, a first wave before the others; what came of it, and what was not tried.

    say: called with each as it is done, in this thread
    """
    first = ceil(len(targets) * FIRST_WAVE)
    waves = [list(targets[:first]), list(targets[first:])]
    done: list[Synced] = []
    with ThreadPoolExecutor(at_once, thread_name_prefix="fleet") as pool:
        while waves:
            for found in pool.map(lambda target: list(_cluster(target, order)), waves.pop(0)):
                for one in found:
                    say(one)
                done += found
            if any(one.failed for one in done):
                break
    return done, [target for wave in waves for target in wave]


def _cluster(target: Target, order: Order) -> Iterator[Synced]:
    """Each specification; a cluster that does not answer is asked once."""
    left = list(order.specs)
    try:
        with closing(target.open(PATIENCE)) as source:
            version = source.info().version
            while left:
                try:
                    yield _spec(target.name, source, version, left[0], order)
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
        text = without_credentials(f"a fault of kspec: {type(error).__name__}: {error}")
        yield from (Synced(target.name, spec.name, {}, error=text) for spec in left)


def _spec(cluster: str, source: LiveSource, version: str, spec: LoadedSpec, order: Order) -> Synced:
    writer = Writer(source)
    engine = order.engine
    if order.mode is None:
        planned = applying.removals(spec, engine, writer)
    else:
        plan = enforcement_plan(spec, order.checkset, version=version, now=order.now)
        wanted = Wanted(plan, order.mode, cluster)
        made = engine.generate(wanted)
        inactive = plan.rules and not wanted.active and not made.timeless
        if not (made.manifests or inactive or order.allow_empty):
            raise SpecError(
                f"nothing in it can be enforced by {engine.NAME}; nothing was changed.",
                where=spec.name,
                fix="Add requirements that admission can evaluate, or use --allow-empty or --remove.",
            )
        planned = applying.changes(spec, engine, made.manifests, writer)
    counts = {
        what: sum(change.what == what for change in planned)
        for what in ("create", "change", "keep", "remove")
    }
    if order.dry_run:
        return Synced(cluster, spec.name, counts)
    for _ in applying.carry_out(planned, writer):
        pass
    if order.mode is None:
        return Synced(cluster, spec.name, counts)
    found = _read_back(spec, engine, writer)
    # What the cluster has not looked at yet (its type checker may not run) is in force all the same.
    looked_at = [entry for entry in found if not entry.pending]
    problems = [f"{entry.name}: {problem}" for entry in looked_at for problem in entry.problems]
    problems += [
        f"{entry.name}: not in force" for entry in looked_at if not entry.mode and not entry.problems
    ]
    if made.manifests and not found:
        problems.append("no policy was there when it was read back")
    return Synced(cluster, spec.name, counts, len(found), tuple(problems))


def _read_back(spec: LoadedSpec, engine: Engine, writer: Writer) -> list[InForce]:
    """What the cluster says is in force; waits a moment for one that has not looked at it yet."""
    deadline = time.monotonic() + PENDING_S
    while True:
        found = engine.in_force(applying.existing(spec, engine, writer), writer)
        if not any(entry.pending for entry in found) or time.monotonic() > deadline:
            return list(found)
        time.sleep(_POLL_S)
