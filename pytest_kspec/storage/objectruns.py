"""Runs over fleets as objects: what `fleet`, `fleetclaims` and `fleetattempts` keep in tables, for workers without one.

    runs/RUN/run                 the run, its clusters and shards     runs/RUN/outcomes/POSITION     what became of one
    runs/RUN/attempts/POSITION/N a worker began with it               runs/RUN/returned/POSITION/N   and gave it back
    runs/RUN/forgiven/POSITION/N attempts of before                   runs/RUN/moved/POSITION/N-S    is in shard S now
    runs/RUN/clusters/ID/N       who a cluster is scanned as: the last one

Each is made once and never changed, so that one request decides each question. The full report of a cluster is there
before its outcome, which names it with its digest: rows are made of it later (`replica`).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from pytest_kspec.errors import DamagedObject, StoreError
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.storage import objectforms
from pytest_kspec.storage.fleetrun import gave_way, preference, same_as
from pytest_kspec.storage.journal import Journal

_RUNS, _RETIRED = "runs", "pruned"
_PLAIN = re.compile(r"(?!x-)[A-Za-z0-9][A-Za-z0-9_-]*")


class Held(NamedTuple):
    """Who a cluster is scanned as. holder: a position; waits: what becomes of it there is not known yet."""

    holder: int
    waits: bool = False


@dataclass
class State:
    """What the objects of a run say by their names. head: `run`; chains: of each cluster, in order."""

    head: Mapping[str, Any]
    outcomes: set[int] = field(default_factory=set)
    attempts: Counter[int] = field(default_factory=Counter)
    returned: Counter[int] = field(default_factory=Counter)
    forgiven: Counter[int] = field(default_factory=Counter)
    shards: dict[int, int] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_ended(self) -> bool:
        """Every cluster has an outcome."""
        return len(self.outcomes) >= len(self.head["targets"])


class ObjectRuns:
    """The runs below a place. Each method raises StoreError."""

    def __init__(self, place: str) -> None:
        self.journal = Journal(place)

    def begin(self, run: str, head: Mapping[str, Any]) -> bool:
        """Freeze a run; False where it is there already."""
        self.journal.prove()
        if self.journal.names(f"{_RETIRED}/{_folder(run)}/"):
            raise StoreError("a run with this id was pruned.", where=run, fix="Choose another id.")
        return self.journal.create(_name(run, "run"), dict(head))

    def ids(self) -> list[str]:
        """Of all runs that were not pruned."""
        gone = set(self.journal.folders(_RETIRED))
        found = [folder for folder in self.journal.folders(_RUNS) if folder not in gone]
        return [run for run in map(_id, found) if run is not None]

    def head(self, run: str) -> dict[str, Any] | None:
        """What a run was begun with; None where there is none."""
        name = _name(run, "run")
        found = self.journal.read(name)
        if found is None or self.journal.names(f"{_RETIRED}/{_folder(run)}/"):
            return None
        return objectforms.head(found, run, self.journal.where(name))

    def state(self, run: str) -> State | None:
        """All that is known by names; None where there is no such run."""
        head = self.head(run)
        if head is None:
            return None
        state = State(head)
        moved: dict[int, tuple[int, int]] = {}
        below = f"{_RUNS}/{_folder(run)}/"
        names = {name[len(below) :]: name for name in self.journal.names(below)}
        for name, part in objectforms.parts(names, len(head["targets"]), head["shards"]):
            if part.kind == "clusters":
                state.chains.setdefault(part.of, []).append(name)
                continue
            position = int(part.of)
            if part.kind == "outcomes":
                state.outcomes.add(position)
            elif part.kind == "attempts":
                state.attempts[position] += 1
            elif part.kind == "returned":
                state.returned[position] += 1
            elif part.kind == "forgiven":
                state.forgiven[position] = max(state.forgiven[position], part.number)
            else:
                moved[position] = max(moved.get(position, (-1, 0)), (part.number, part.shard))
        state.shards = {position: shard for position, (_, shard) in moved.items()}
        return state

    def outcomes(self, run: str, state: State, *, strict: bool = False) -> dict[int, dict[str, Any]]:
        """Position → what became of it. A name that gave way to another one of its cluster is a duplicate.

        cluster: the identity, of who a cluster is scanned as; strict: DamagedObject for an outcome that cannot be read,
        which has failed otherwise
        """
        names = {position: _name(run, "outcomes", position) for position in state.outcomes}
        chains = [name for chain in state.chains.values() for name in chain]
        read = self.journal.read_all([*names.values(), *chains])

        def outcome(position: int, name: str) -> dict[str, Any]:
            try:
                return objectforms.outcome(read[name], state.head, position, self.journal.where(name))
            except DamagedObject as error:
                if strict:
                    raise
                return objectforms.lost(state.head, error)

        found = {position: outcome(position, name) for position, name in names.items()}
        called = {one["position"]: one["name"] for one in state.head["targets"]}
        for chain in state.chains.values():
            holders = [objectforms.holder(read[name], state.head, self.journal.where(name)) for name in chain]
            for one, then in pairwise(holders):
                if (gave := found.get(one["position"])) is not None:
                    reason = gave_way(called[then["position"]], gave["reason"])
                    gave.update(outcome=Outcome.DUPLICATE.value, reason=reason, report="", sha256="")
            if holders and (last := found.get(holders[-1]["position"])) is not None:
                last["cluster"] = holders[-1]["cluster"]
                _prefer(found, state.head["targets"], holders[-1])
        return found

    def attempt(self, run: str, position: int) -> int:
        """A worker begins with a cluster: which attempt this is, from 1; no two have the same."""
        number = 1 + len(self.journal.names(f"{_name(run, 'attempts', position)}/"))
        while not self.journal.create(_name(run, "attempts", position, f"{number:06}"), {}):
            number += 1
        return number

    def give_back(self, run: str, position: int) -> None:
        """A worker that is told to end."""
        begun = len(self.journal.names(f"{_name(run, 'attempts', position)}/"))
        for number in range(1, begun + 1):
            if self.journal.create(_name(run, "returned", position, f"{number:06}"), {}):
                return

    def forgive(self, run: str) -> None:
        """Attempts without an outcome, of those who ran this run before."""
        state = self.state(run)
        for position in state.attempts if state is not None else ():
            assert state is not None
            ended = state.attempts[position] - state.returned[position]
            if position not in state.outcomes and ended > state.forgiven[position]:
                self.journal.create(_name(run, "forgiven", position, f"{ended:06}"), {})

    def hold(self, run: str, position: int, cluster: str, state: State) -> Held:
        """Say which cluster a target is, as `fleetclaims.claim`; the duplicate itself is for the caller to say."""
        folder = _name(run, "clusters", hashlib.sha256(cluster.encode()).hexdigest()[:32])
        document = {"position": position, "cluster": cluster}
        number = 0
        while not self.journal.create(f"{folder}/{number:06}", document):
            chain = self.journal.names(f"{folder}/")
            read = self.journal.read_all(chain)
            holders = [
                objectforms.holder(one, state.head, self.journal.where(name))["position"]
                for name, one in read.items()
            ]
            if holders[-1] == position:
                break
            held = self.said(run, holders[-1])
            if held is None:
                if position in holders:  # it gave way already, and has its outcome
                    return Held(holders[-1])
                shard = shard_of(state, holders[-1])
                moves = len(self.journal.names(f"{_name(run, 'moved', position)}/"))
                self.journal.create(_name(run, "moved", position, f"{moves:06}-{shard}"), {})
                return Held(holders[-1], waits=True)
            is_over = position in holders or self.said(run, position) is not None
            if is_over or not Outcome(held["outcome"]).is_error:
                return Held(holders[-1])
            number = len(chain)
        return Held(position)

    def say(self, run: str, position: int, document: Mapping[str, Any]) -> bool:
        """Say what became of a cluster; False where that is known already."""
        return self.journal.create(_name(run, "outcomes", position), dict(document))

    def said(self, run: str, position: int) -> dict[str, Any] | None:
        """What became of it, as it was said."""
        name = _name(run, "outcomes", position)
        found = self.journal.read(name)
        if found is None or (head := self.head(run)) is None:
            return None
        return objectforms.outcome(found, head, position, self.journal.where(name))

    def retire(self, runs: Iterable[str]) -> None:
        """Runs that are pruned: from now on nobody finds them, and their objects go."""
        for run in runs:
            self.journal.create(f"{_RETIRED}/{_folder(run)}/run", {})
            with contextlib.suppress(StoreError):
                self.journal.delete(self.journal.names(f"{_RUNS}/{_folder(run)}/"))


def _prefer(
    found: dict[int, dict[str, Any]], targets: Sequence[Mapping[str, Any]], holder: Mapping[str, Any]
) -> None:
    """The result of a cluster that was scanned is that of the preferred one of its names."""
    at = holder["position"]
    if found[at]["outcome"] != Outcome.SCANNED.value:
        return
    names = [position for position, one in found.items() if one.get("of") == holder["cluster"]]
    best = min([at, *names], key=lambda one: preference(targets[one]["name"], targets[one]["ref"]))
    if best != at:
        found[at], found[best] = found[best], found[at]
    for one in (at, *names):
        if one != best and found[one]["outcome"] == Outcome.DUPLICATE.value:
            found[one]["reason"] = same_as(targets[best]["name"])


def shard_of(state: State, position: int) -> int:
    """In which shard a cluster is now."""
    return state.shards.get(position, int(state.head["targets"][position]["shard"]))


def _folder(run: str) -> str:
    """The id as a part of a name that no store reads as something else."""
    return run if _PLAIN.fullmatch(run) else f"x-{run.encode().hex()}"


def _id(folder: str) -> str | None:
    """None for what is no folder of a run."""
    try:
        run = bytes.fromhex(folder[2:]).decode() if folder.startswith("x-") else folder
    except ValueError:
        return None
    return run if _folder(run) == folder else None


def _name(run: str, *parts: object) -> str:
    return "/".join((_RUNS, _folder(run), *map(str, parts)))
