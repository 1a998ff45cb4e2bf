"""Reports of a cluster as a source: what is wrong in one takes no other with it, and what is away is said."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pytest_kspec.crds.objects.compliancereport import build
from pytest_kspec.dashboard import reports as room
from pytest_kspec.dashboard.reports import ReportsSource
from pytest_kspec.errors import AccessDenied, StoreError
from pytest_kspec.storage import listing
from tests.reports.results import cluster


class Access:
    """A cluster with these reports."""

    name = "hub"
    error: Exception | None = None

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = list(objects)

    def do(self, action: Callable[[Any], Any]) -> Any:
        if self.error is not None:
            raise self.error
        return action(self)

    def list(self, _version: str, _kind: str, *, namespace: str) -> list[dict[str, Any]]:
        assert namespace in ("kspec-system", "kspec-sytem")
        return self.objects

    namespaces: ClassVar[tuple[str, ...]] = ("kspec-system",)
    may_not: Exception | None = None

    def find(self, _version: str, kind: str, name: str) -> dict[str, Any] | None:
        assert kind == "Namespace"
        if self.may_not is not None:
            raise self.may_not
        return {} if name in self.namespaces else None


def report(name: str, at: str = "2026-11-24T06:00:00Z", **more: Any) -> dict[str, Any]:
    made = build(cluster(name, **more), at)
    made["metadata"] |= {"uid": f"uid-{name}-{at}", "resourceVersion": "1"}
    return made


def shown(source: ReportsSource) -> list[tuple[str, str]]:
    rows = source.read(lambda store: listing.standings(store, order="name")).rows
    return [(row.cluster, row.finished_at) for row in rows]


@pytest.fixture(autouse=True)
def _always_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "REFRESH_S", 0.0)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        "text",
        {},
        {"clusterName": ["a"]},
        {"scanTime": "yesterday"},
        {"results": [{"name": "a", "status": "Maybe"}]},
    ],
)
def test_what_is_no_report_is_named_and_leaves_out_no_other(
    spec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bad = report("bad")
    bad["spec"] = {**bad["spec"], **spec} if isinstance(spec, dict) and spec else spec
    source = ReportsSource(Access(bad, report("good")))  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "kspec.dashboard"):
        assert shown(source) == [("good", "2026-11-24T06:00:00Z")]
        assert shown(source) == [("good", "2026-11-24T06:00:00Z")]
    source.close()
    assert [bad["metadata"]["name"] in record.getMessage() for record in caplog.records] == [True]


def test_new_reports_come_and_old_ones_go() -> None:
    access = Access(report("a"), report("b"))
    source = ReportsSource(access)  # type: ignore[arg-type]
    assert [name for name, _ in shown(source)] == ["a", "b"]
    access.objects = [report("a"), report("a", "2026-11-25T06:00:00Z")]
    assert shown(source) == [("a", "2026-11-25T06:00:00Z")]
    access.objects = [report("a")]
    assert shown(source) == [("a", "2026-11-24T06:00:00Z")]
    source.close()


def test_a_cluster_that_cannot_be_read_is_no_cluster_without_reports() -> None:
    access = Access(report("a"))
    source = ReportsSource(access)  # type: ignore[arg-type]
    assert shown(source)
    access.error = AccessDenied("list compliancereports was rejected (403).")
    with pytest.raises(StoreError, match="could not be read: list compliancereports was rejected"):
        shown(source)
    access.error = None
    assert shown(source)
    source.close()


def test_its_own_files_are_made_anew_where_they_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server runs for months, and temporary folders are cleaned."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = ReportsSource(Access(report("a")))  # type: ignore[arg-type]
    before = shown(source)
    (made,) = tmp_path.iterdir()
    shutil.rmtree(made)
    assert shown(source) == before
    source.close()
    assert not [*tmp_path.iterdir()]


def test_a_namespace_that_is_not_there_is_no_cluster_without_results() -> None:
    access = Access()
    source = ReportsSource(access)  # type: ignore[arg-type]
    assert shown(source) == []
    source.close()
    access.namespaces = ()
    source = ReportsSource(access, "kspec-sytem")  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="the namespace kspec-sytem does not exist in hub"):
        shown(source)
    access.may_not = AccessDenied("may not get namespaces")
    assert shown(source) == []
    access.may_not = None
    access.objects = [report("a")]
    assert [name for name, _ in shown(source)] == ["a"]
    access.objects = []
    assert shown(source) == [], "they were there: the namespace was"
    source.close()


def test_a_report_of_some_requirements_is_marked_and_pushed_back_by_a_whole_one() -> None:
    access = Access(report("a", "2026-11-25T06:00:00Z", not_selected=("x", "y")))
    source = ReportsSource(access)  # type: ignore[arg-type]
    (row,) = source.read(lambda store: listing.standings(store)).rows
    assert (row.left_out, row.finished_at[8:10]) == (2, "25")
    access.objects.append(report("a"))
    (row,) = source.read(lambda store: listing.standings(store)).rows
    assert (row.left_out, row.finished_at[8:10]) == (0, "24")
    source.close()
