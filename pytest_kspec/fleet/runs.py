"""A run over a fleet before any worker starts: what is asked, of which clusters, in which shards. Frozen in the store.

A worker is given the id of the run and the index of a shard, and finds everything else there: a fleet that grows or
shrinks meanwhile, or a specification that is edited, changes nothing of a run that has begun.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import msgspec

from pytest_kspec import clock, typed
from pytest_kspec.errors import UsageError
from pytest_kspec.fleet.shards import balance
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import TEMPLATE, LoadedSpec, find_specs, load_spec
from pytest_kspec.storage import fleet as stored
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.fleetrun import Asked, StoredTarget


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of each cluster; the same options as those of `kspec scan`. Paths are absolute.

    asked: names and digests of the specifications; place: where full reports are kept, or ""
    files: name → content in base64, where the run carries its files (`bundle`); paths are in their folder then
    """

    specs: tuple[str, ...]
    asked: tuple[Asked, ...]
    checks: tuple[str, ...] = ()
    exemptions: tuple[str, ...] = ()
    baseline: str = ""
    kubeconfig: str = ""
    check_timeout: str = ""
    fail_on: str = ""
    place: str = ""
    run_by: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        """Plain data, as the store keeps it."""
        return asdict(self) | {"asked": [list(one) for one in self.asked]}

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Order:
        """The inverse; what a newer version added is not known here. Raises UsageError for other data."""
        try:
            known = {one.name: data[one.name] for one in fields(cls) if one.name in data}
            several = {name: tuple(known.get(name, ())) for name in ("specs", "checks", "exemptions")}
            made = cls(**(known | several | {"asked": tuple(Asked(*one) for one in data["asked"])}))
            return typed.convert(msgspec.to_builtins(made), cls)  # each value has the type of its field
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            raise UsageError(
                f"the store has no complete order for this run ({type(error).__name__})."
            ) from error


def ask(specs: Sequence[str]) -> tuple[tuple[str, ...], tuple[Asked, ...], list[LoadedSpec]]:
    """What a run writes down of its specifications: absolute paths, names with digests; and what they say.

    Raises UsageError, SpecError with every problem of every file.
    """
    paths = find_specs(list(specs))
    library = Library(tuple(paths))
    loaded = [load_spec(path, library) for path in paths]
    names = [spec.name for spec in loaded]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two specifications are called '{name}': their results could not be distinguished.",
                where=", ".join(spec.path for spec in loaded if spec.name == name),
                fix="Change metadata.name of one of them.",
            )
    places = tuple(spec if spec.startswith(TEMPLATE) else absolute(spec) for spec in specs)
    return places, tuple(Asked(spec.name, spec.sha256) for spec in loaded), loaded


def verify(order: Order) -> None:
    """Raises UsageError where a file is not what it was when the run began; SpecError where it is wrong now."""
    _, now, _ = ask(order.specs)
    if sorted(now) != sorted(order.asked):
        raise UsageError(
            "the specifications are not those that this run was begun with: their digests differ.",
            where=", ".join(order.specs),
            fix="Begin a new run with 'kspec fleet scan', or restore the files.",
        )


def absolute(path: str) -> str:
    """The same in another folder; an empty path stays empty."""
    return os.path.abspath(path) if path else path


def new_id() -> str:
    """Sorts by time, and is another one for each run."""
    return f"{clock.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def freeze(
    store: Store, run: str, order: Order, targets: Iterable[Target], *, engine: str, shards: int
) -> bool:
    """Begin a run, with its clusters in balanced shards; False where a run of this id is there already.

    Raises UsageError without clusters; StoreError.
    """
    chosen = list(targets)
    if not chosen:
        raise UsageError(
            "no cluster is selected.", fix="See 'kspec fleet scan --help': --context, --all-contexts, -l."
        )
    expected = stored.durations(store, [target.name for target in chosen])
    shard_of = balance([expected.get(target.name) for target in chosen], shards)
    frozen = [
        StoredTarget(position, shard_of[position], target.name, target.ref, target.labels or {})
        for position, target in enumerate(chosen)
    ]
    return stored.begin(
        store, run, engine=engine, document=order.to_wire(), targets=frozen, run_by=order.run_by
    )


_FROZEN = {
    "checks": "--checks",
    "exemptions": "--exemptions",
    "baseline": "--baseline",
    "kubeconfig": "--kubeconfig",
    "check_timeout": "--check-timeout",
    "place": "--store-reports",
}
"""Fields of an order that options of the command line give."""


def differing(known: Order, given: Order, *, only_given: bool = False) -> list[str]:
    """Options by which `given` asks for something else than a run that has begun.

    only_given: what is not given says nothing. Of files that a run carries the contents count, and not their places.
    """
    found = []
    if not only_given and sorted(known.asked) != sorted(given.asked):
        found.append("the specifications")
    carried = bool(known.files)
    for name, option in _FROZEN.items():
        one, other = getattr(known, name), getattr(given, name)
        if only_given and not other:
            continue
        if carried and name in ("checks", "exemptions", "baseline", "kubeconfig"):
            continue
        if one != other:
            found.append(option)
    if carried and not only_given and sorted(known.files.values()) != sorted(given.files.values()):
        found.append("the files of specifications, checks, exemptions or the baseline")
    return found


def paths_exist(order: Order) -> None:
    """Raises UsageError for a path of the order that is not there."""
    for path in (*order.checks, *order.exemptions, *filter(None, (order.baseline, order.kubeconfig))):
        if not os.path.exists(path):
            raise UsageError("the file or folder does not exist.", where=path)
