"""Drift of a store on its page, in the API and in the routes of before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.widgets import DataTable

from pytest_kspec.dashboard import terminal
from pytest_kspec.dashboard.screen import Watch
from pytest_kspec.dashboard.source import Answers, StoreSource
from pytest_kspec.reports.shared.text import width_of
from pytest_kspec.reports.terminal_parts import plain
from pytest_kspec.storage import lasting
from pytest_kspec.storage.drift import Difference, record
from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.rows import Listed
from pytest_kspec.storage.visible import Visible
from tests.reports.results import EVIL, UID, cluster, scan

from .conftest import stored
from .serving import serving

FIRST, SECOND = "2026-11-25T06:00:00Z", "2026-11-26T06:00:00Z"


def difference(name: str, severity: str = "high") -> Difference:
    event = {
        "resource": {"kind": "ValidatingAdmissionPolicy", "name": name},
        "drift_kind": "modified",
        "message": f"{name} was changed",
    }
    return Difference(name, "policy", severity, event)


@pytest.fixture
def drifted(tmp_path: Path) -> str:
    """A store with differences that are there, and one that was cleared."""
    found = stored(tmp_path / "results.db", scan(cluster(), cluster("calm", uid="uid-calm")))
    store = open_store(found)
    record(store, UID, "prod-eu", "strict", FIRST, [difference("old"), difference(EVIL)], ["policy"])
    record(
        store, UID, "prod-eu", "strict", SECOND, [difference(EVIL), difference("new", "critical")], ["policy"]
    )
    store.close()
    return found


def test_what_is_present_comes_first_and_what_was_cleared_says_when(drifted: str) -> None:
    with serving(StoreSource(drifted)) as client:
        found = client.json("/api/v1/drift")
        assert [(row["object"].split()[1], row["state"]) for row in found["items"]] == [
            ("new", "present"),
            (EVIL.split()[0], "present"),
            ("old", "cleared"),
        ]
        assert found["counts"] == {"present": 2, "cleared": 1}
        assert found["items"][-1]["clearedAt"] == SECOND
        page = client.page("/drift?state=present")
        assert "<img" not in page
        assert "old was changed" not in page
        summary = client.json("/api/summary")
        assert (summary["ClustersWithDrift"], summary["TotalDriftEvents"]) == (1, 2)
        rows = {row["ClusterName"]: row["DriftEventCount"] for row in client.json("/api/clusters")}
        assert rows == {"calm": None, "prod-eu": 2}, (
            "of which none was stored, it is not known that there is none"
        )


def test_a_viewer_sees_drift_of_visible_clusters_only(drifted: str) -> None:
    store = open_store(drifted)
    other = Visible(frozenset({"uid-calm"}), {UID: frozenset({"ops"})})
    assert lasting.drift(store, other) == Listed((), 0, {})
    assert lasting.drifted(store, other, "strict") == {}
    store.close()


@pytest.mark.parametrize("width", [80, 200])
def test_the_terminal_shows_what_is_present(drifted: str, width: int) -> None:
    source = StoreSource(drifted)
    fleet = source.read(lambda store: terminal.look(store, ""))
    lines = terminal.lines(fleet, width, plain)
    assert max(map(width_of, lines)) <= width
    assert lines[0].endswith("; 2 drift differences")
    place = lines.index("Drift")
    assert lines[place + 1].startswith("critical  ValidatingAdmissionPolicy new (modified) on prod-eu")
    assert len(lines) == place + 3
    assert "\x1b" not in "".join(lines)
    drift = terminal.wire(fleet)["drift"]
    assert (drift["present"], drift["cleared"], len(drift["worst"])) == (2, 1, 2)
    other = source.read(lambda store: terminal.look(store, "other"))
    assert "Drift" not in terminal.lines(other, width, plain)
    source.close()


def test_the_terminal_says_that_none_is_present_only_where_somebody_looked(drifted: str) -> None:
    store = open_store(drifted)
    record(store, UID, "prod-eu", "strict", "2026-11-27T06:00:00Z", [], ["policy"])
    store.close()
    source = StoreSource(drifted)
    looked = source.read(lambda store: terminal.look(store, "strict"))
    assert "There is no drift." in terminal.lines(looked, 80, plain)
    never = source.read(lambda store: terminal.look(store, "other"))
    assert "There is no drift." not in terminal.lines(never, 80, plain)
    source.close()


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_a_key_of_the_screen_leads_to_it(drifted: str, size: tuple[int, int]) -> None:
    source = StoreSource(drifted)
    app = Watch(Answers(source), 3600)

    async def play() -> None:
        async with app.run_test(size=size) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            await pilot.press("d", "d")
            await app.workers.wait_for_complete()
            await pilot.pause()
            table = app.screen.query_one(DataTable)
            assert len(app.screen_stack) == 2
            rows = [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]
            assert [row[0] for row in rows] == ["critical", "high"]
            assert rows[0][1:4] == ["prod-eu", "ValidatingAdmissionPolicy new", "modified"]
            await pilot.press("escape")
            await pilot.pause()
            assert len(app.screen_stack) == 1
            await pilot.press("q")

    asyncio.run(play())
    source.close()
    assert app.return_code == 0
