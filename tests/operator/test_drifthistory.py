"""What an operator remembers of a store that is away, and when it forgets it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pytest_kspec.drift.events import DriftEvent, DriftKind, DriftType, Look
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.operator.drifthistory import DriftHistory, Subject
from pytest_kspec.results.verdict import Severity
from pytest_kspec.storage import drift

BOTH = [
    (Subject("shop"), {"spec": "shop"}),
    (Subject("shop", "nightly"), {"spec": "shop"}),
    (Subject("shop", "nightly"), {"config": "nightly"}),
]


def look(spec: str) -> Look:
    ref = ResourceRef("v1", "Service", "shop", "web")
    at = "2026-01-01T00:00:00Z"
    event = DriftEvent(DriftType.POLICY, DriftKind.MODIFIED, Severity.LOW, ref, "differs", at)
    return Look(
        at=at, spec=spec, version="", cluster="c", uid="u", looked=(DriftType.POLICY,), events=(event,)
    )


@pytest.mark.parametrize(("subject", "gone"), BOTH)
def test_what_is_gone_is_forgotten_and_nothing_else(
    tmp_path: Path, subject: Subject, gone: dict[str, str]
) -> None:
    history = DriftHistory(str(tmp_path))  # a folder is no store
    others = [Subject("other"), Subject("other", "daily"), Subject("sho"), Subject("nightly", "shop")]
    for one in (subject, *others):
        (note,) = history.record(one, look(one.spec))
        assert note.reason == "HistoryIncomplete"
        assert history.record(one, look(one.spec)) == [], "said once"
    history.forget(**gone)
    assert not history.misses(subject)
    assert all(history.misses(one) for one in others)
    (note,) = history.record(subject, look(subject.spec))
    assert note.reason == "HistoryIncomplete", "another one of its name is told of anew"


def test_a_leader_of_before_stores_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    old, new = (DriftHistory(url, lambda number=number: ("lease", number)) for number in (3, 4))
    shop = Subject("shop")
    assert old.record(shop, look("shop")) == []
    assert new.record(shop, look("shop")) == []
    (note,) = old.record(shop, look("other"))
    assert "another replica has become the leader" in note.message
    with closing(new.open()) as store:
        assert {one.spec for one in drift.history(store)} == {"shop"}


def test_who_lost_a_lease_that_was_made_anew_stores_nothing(tmp_path: Path) -> None:
    url, leading = f"sqlite:///{tmp_path}/store.db", {"old": True}
    old = DriftHistory(url, lambda: ("lease-1", 7), lambda: leading["old"])
    new = DriftHistory(url, lambda: ("lease-2", 0))
    shop = Subject("shop")
    assert old.record(shop, look("shop")) == []
    leading["old"] = False
    assert new.record(shop, look("shop")) == []
    (note,) = old.record(shop, look("other"))
    assert "this replica does not hold the Lease" in note.message
    with closing(new.open()) as store:
        assert {one.spec for one in drift.history(store)} == {"shop"}
