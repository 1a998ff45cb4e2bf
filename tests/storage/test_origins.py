"""Manifests of one name from two places are two: a store never takes the one for the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from pytest_kspec.cluster.sources.origin import STATED, origin_of
from pytest_kspec.errors import StoreError
from pytest_kspec.results.evidence import Evidence
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import alerts
from pytest_kspec.storage.engine import Store, open_store
from pytest_kspec.storage.prune import prune
from pytest_kspec.storage.read import findings, trend

from .before import go_back
from .conftest import keep
from .test_observations import FOUND, GONE, OTHER, at


def manifests(day: int, origin: str, *checks: object, name: str = "app.yaml") -> ScanResult:
    result = at(day, *checks, name=name, uid="", source="manifests")  # type: ignore[arg-type]
    (cluster,) = result.clusters
    return replace(result, clusters=(replace(cluster, evidence=Evidence(origin=origin)),))


def test_others_of_the_name_are_an_error_that_stores_nothing(store: Store) -> None:
    keep(store, manifests(1, "prod/app.yaml", FOUND))
    keep(store, manifests(2, "prod/app.yaml", FOUND))
    other = manifests(3, "dev/\x1b[31mapp.yaml", GONE)
    with pytest.raises(StoreError) as raised:
        keep(store, other)
    assert (
        "'app.yaml' was not stored: the store has results of that name from prod/app.yaml; those from dev/"
        in str(raised.value)
    )
    assert "--cluster NAME=PATH" in str(raised.value)
    assert "\x1b" not in str(raised.value)
    assert alerts.is_other(store, other.clusters[0])
    assert not alerts.is_other(store, manifests(3, "prod/app.yaml", GONE).clusters[0])
    assert len(trend(store)) == 2
    assert [str(found.state) for found in findings(store)] == ["open"]


def test_others_of_the_run_are_stored(store: Store) -> None:
    keep(store, manifests(1, "prod/app.yaml", FOUND))
    both = manifests(2, "dev/app.yaml", GONE)
    (own,) = manifests(2, "", OTHER, name="other.yaml").clusters
    third = manifests(2, "stage/app.yaml", GONE).clusters[0]
    with pytest.raises(StoreError, match=r"The other results are stored as run \w+"):
        keep(store, replace(both, clusters=(*both.clusters, own)))
    assert sorted((one.cluster, one.finished_at[8:10]) for one in trend(store)) == [
        ("app.yaml", "01"),
        ("other.yaml", "02"),
    ]
    assert [str(found.state) for found in findings(store) if found.cluster == "app.yaml"] == ["open"]
    keep(store, manifests(3, "prod/stage.yaml", FOUND, name="stage.yaml"))
    third = replace(third, name="stage.yaml")
    with pytest.raises(StoreError, match=r"'app.yaml' was not stored.*; 'stage.yaml' was not stored"):
        keep(store, replace(both, clusters=(*both.clusters, third)))
    assert len(trend(store)) == 3


def test_a_given_name_is_believed_and_then_needed(store: Store) -> None:
    keep(store, manifests(1, "prod/app.yaml", OTHER))
    keep(store, manifests(2, STATED, OTHER))
    with pytest.raises(StoreError, match="given with NAME=PATH"):
        keep(store, manifests(3, "prod/app.yaml", OTHER))
    keep(store, manifests(3, "", OTHER))
    keep(store, manifests(3, "dev/app.yaml", OTHER, name="dev"))
    assert len(trend(store)) == 4


def test_what_is_gone_gives_its_name_free(store: Store) -> None:
    keep(store, manifests(1, "prod/app.yaml", OTHER))
    alerts.claim(store, "ci", "a.yaml", "1")
    prune(store, since="2027-01-01T00:00:00Z")
    keep(store, manifests(2, "dev/app.yaml", OTHER))
    with pytest.raises(StoreError, match=r"nothing was sent: the store has an AlertConfig .ci. from a\.yaml"):
        alerts.claim(store, "ci", "b.yaml", "2")
    alerts.claim(store, "ci", "a.yaml", "3")  # changed
    alerts.claim(store, "ci", "b.yaml", "3")  # moved
    alerts.claim(store, "ci", "b.yaml", "4")


def test_a_store_of_before_learns_where_they_come_from(url: str) -> None:
    store = open_store(url, create=True)
    keep(store, manifests(1, "", FOUND))
    go_back(store, "r0011")
    store.close()
    store = open_store(url)
    keep(store, manifests(2, "prod/app.yaml", FOUND))
    with pytest.raises(StoreError, match=r"from prod/app\.yaml"):
        keep(store, manifests(3, "dev/app.yaml", GONE))
    store.close()


def test_a_place_is_the_same_on_each_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    (work / "deploy" / "prod").mkdir(parents=True)
    monkeypatch.chdir(work)
    assert origin_of("deploy/prod") == origin_of("./deploy/../deploy/prod/") == "deploy/prod"
    assert origin_of(str(work / "deploy" / "prod")) == "deploy/prod"
    assert origin_of(str(tmp_path / "app.yaml")) == ""
    monkeypatch.chdir(work / "deploy")
    assert origin_of("prod") == "prod"
    (work / ".git").mkdir()
    assert origin_of("prod") == origin_of("../deploy/prod") == "deploy/prod"
    assert origin_of(str(work)) == "."
