"""Drift of a store on its page, in the API and in the routes of before."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kspec.dashboard.source import StoreSource
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
