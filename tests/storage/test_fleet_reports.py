"""Full reports of a fleet: of a worker that was killed between the report and its row nothing is left."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pytest_kspec.results.outcome import Outcome
from pytest_kspec.storage import fleet, fleetattempts, fleetrun, objects, schema
from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.fleetrun import Asked, StoredTarget
from tests.reports.results import one

RUN, DAY = "nightly", "2026-11-29"


def kept(place: Path) -> list[str]:
    return sorted(path.name.rpartition("-")[2] for path in place.rglob("*.json.gz"))


def test_what_killed_attempts_left_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "reports"
    result = one()
    asked = [Asked(cluster.spec_name, cluster.evidence.spec_sha256) for cluster in result.clusters]
    with closing(open_store(str(tmp_path / "fleet.db"), option="--store", create=True)) as store:
        targets = [
            StoredTarget(position, 0, f"c-{position}", f"context:c-{position}", {}) for position in range(2)
        ]
        assert fleet.begin(store, RUN, engine="local", document={}, targets=targets)
        for position in range(2):
            for attempt in (1, 2):
                assert fleetattempts.started(store, RUN, position) == attempt
                objects.put(str(place), fleetrun.report_name(RUN, DAY, position, attempt), b"{}")
        assert kept(place) == ["1.json.gz", "1.json.gz", "2.json.gz", "2.json.gz"]
        attempt = fleetattempts.started(store, RUN, 0)
        more: dict[str, Any] = {"place": str(place), "day": DAY}
        assert fleet.commit(store, RUN, 0, asked, result, b"{}", attempt=attempt, attempts=attempt, **more)
        assert kept(place) == ["1.json.gz", "2.json.gz", "3.json.gz"]
        # One that was thought dead comes too late: it adds nothing, and what counts is still there.
        assert not fleet.commit(store, RUN, 0, asked, result, b"{}", attempt=1, attempts=1, **more)
        # Another one is given up: no report of it is left.
        assert fleet.settle(store, RUN, 1, asked, Outcome.FAILED, reason="killed")
        fleetrun.sweep(str(place), RUN, DAY, 1, 2)
    assert kept(place) == ["3.json.gz"]


def test_two_reports_of_errors_only_of_one_cluster(tmp_path: Path) -> None:
    """They have one name: the report of the one who comes too late does not replace the other one's."""
    place = tmp_path / "reports"
    result = one()
    asked = [Asked(cluster.spec_name, cluster.evidence.spec_sha256) for cluster in result.clusters]
    more: dict[str, Any] = {"outcome": Outcome.UNREACHABLE, "reason": "away", "place": str(place), "day": DAY}
    with closing(open_store(str(tmp_path / "fleet.db"), option="--store", create=True)) as store:
        targets = [StoredTarget(0, 0, "c-0", "context:c-0", {})]
        assert fleet.begin(store, RUN, engine="local", document={}, targets=targets)
        assert fleet.commit(store, RUN, 0, asked, result, b'{"by": 1}', **more)
        assert not fleet.commit(store, RUN, 0, asked, result, b'{"by": 2}', **more)
        with store.read() as connection:
            (part,) = connection.execute(select(schema.parts)).all()
    assert objects.get(part.report, part.report_sha256) == b'{"by": 1}'
    (path,) = place.rglob("*.json.gz")
    assert path.stat().st_mode & 0o777 == 0o600
