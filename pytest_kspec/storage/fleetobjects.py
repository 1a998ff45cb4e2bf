"""Runs over fleets in a store of objects, as `fleet` knows them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_kspec.errors import StoreError
from pytest_kspec.storage import objects
from pytest_kspec.storage.fleetrun import StoredRun, StoredTarget, shards_in
from pytest_kspec.storage.objectruns import ObjectRuns, State, shard_of
from pytest_kspec.storage.schema import plain_text
from pytest_kspec.storage.write import Upload


def begin(
    there: ObjectRuns,
    head: Mapping[str, Any],
    engine: str,
    document: Mapping[str, Any],
    targets: Sequence[StoredTarget],
    expected: Mapping[str, float],
) -> bool:
    """Freeze a run; False where it is there already. head: as for `write.add_run`. Raises StoreError."""
    frozen = [
        {
            "position": target.position,
            "shard": target.shard,
            "name": plain_text(target.name),
            "ref": plain_text(target.ref),
            "labels": {plain_text(key): plain_text(value) for key, value in target.labels.items()},
            "expected": expected.get(target.name),
        }
        for target in targets
    ]
    what = {
        "head": dict(head),
        "engine": engine,
        "shards": shards_in(targets),
        "document": dict(document),
        "targets": frozen,
    }
    return there.begin(head["id"], what)


def runs(there: ObjectRuns, ids: Sequence[str]) -> tuple[StoredRun, ...]:
    """Those of these that are there. Raises StoreError."""
    found = []
    for run in ids:
        if (state := there.state(run)) is not None:
            said = there.outcomes(run, state)
            counts = Counter(one["outcome"] for one in said.values())
            if missing := len(state.head["targets"]) - len(said):
                counts[""] = missing
            ended = max((one["at"] for one in said.values()), default="") if state.is_ended else ""
            found.append(_run(run, state.head, ended, counts))
    return tuple(found)


def order_of(there: ObjectRuns, run: str) -> StoredRun | None:
    """A run as if nothing was known of its clusters; None where there is no such run. Raises StoreError."""
    head = there.head(run)
    return None if head is None else _run(run, head, "", {"": len(head["targets"])})


def _run(run: str, head: Mapping[str, Any], ended: str, counts: Mapping[str, int]) -> StoredRun:
    return StoredRun(
        run,
        head["head"]["started_at"],
        ended,
        head["engine"],
        head["shards"],
        head["document"],
        dict(counts),
    )


def targets_of(there: ObjectRuns, run: str, shard: int | None = None) -> tuple[StoredTarget, ...] | None:
    """The clusters of a run, or of one shard of it, in order; None where there is no such run. Raises StoreError."""
    state = there.state(run)
    if state is None:
        return None
    return tuple(target for target in targets_in(state) if shard is None or target.shard == shard)


def targets_in(state: State) -> list[StoredTarget]:
    """All clusters of a run, in order."""
    return [
        StoredTarget(
            one["position"],
            shard_of(state, one["position"]),
            one["name"],
            one["ref"],
            one["labels"],
            state.attempts[one["position"]],
            one["position"] in state.outcomes,
            state.returned[one["position"]],
            state.forgiven[one["position"]],
        )
        for one in state.head["targets"]
    ]


def outcome(rows: Sequence[Mapping[str, Any]], upload: Upload | None = None) -> dict[str, Any]:
    """What is kept of an outcome. rows: one for each specification."""
    first = rows[0]
    return {
        **{name: first[name] for name in ("outcome", "reason", "at", "seconds")},
        "specs": [[row["spec"], row["spec_sha256"]] for row in rows],
        "report": upload.part["report"] if upload else "",
        "sha256": upload.part["report_sha256"] if upload else "",
    }


def commit(
    there: ObjectRuns, run: str, position: int, rows: Sequence[Mapping[str, Any]], upload: Upload
) -> bool:
    """Say what became of a cluster whose report is kept; False where that is known already. Raises StoreError.

    The report of one who comes too late goes, unless it is the one that the outcome names.
    """
    if there.say(run, position, outcome(rows, upload)):
        return True
    report = upload.part["report"]
    known = there.said(run, position)
    if known is not None and known["report"] != report:
        with contextlib.suppress(StoreError):
            objects.delete(report)
    return False
