"""What the next leader knows: all that it needs to send nothing twice, of 10,000 alerts in a text of bounded size."""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.alerts import kept
from pytest_kspec.alerts.alert import Alert, Fact, Level
from pytest_kspec.alerts.kept import keep, read
from pytest_kspec.alerts.ledger import Ledger, Told, stamp
from pytest_kspec.errors import StoreError
from tests.alerts.conftest import EVIL, NOW, alert, plan, seen

MINUTE = timedelta(minutes=1)
IDENTITY = ("event", "level", "cluster", "cluster_id", "spec", "about", "labels", "count")


def of_ten_clusters() -> list[Alert]:
    """A thousand each, that say much: a description, members."""
    return [
        alert(
            f"check-{one}",
            cluster=f"c-{number}",
            cluster_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))),
            description="Deployment a/b: it is not. " * 10,
            members=tuple(f"{number}-{one}-{member}" for member in range(20)),
            count=20,
        )
        for number in range(10)
        for one in range(1000)
    ]


def of_as_many_clusters() -> list[Alert]:
    """One each, of random identities."""
    return [
        alert(
            "",
            cluster=f"cluster-{number:05d}",
            cluster_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))),
            event="ClusterUnreachable",
            description="no route to host",
        )
        for number in range(10_000)
    ]


def looked(book: Ledger, alerts: list[Alert], at: timedelta, *, active: bool = True) -> None:
    """The scans of these alerts' clusters."""
    of: dict[str, list[Alert]] = {}
    for one in alerts:
        of.setdefault(one.cluster_id, []).append(one)
    for mine in of.values():
        made = seen(*(mine if active else ()), at=NOW + at)
        where: dict[str, Any] = {"cluster": mine[0].cluster, "cluster_id": mine[0].cluster_id}
        book.take(replace(made, **where, judges=frozenset(one.event for one in mine)))


@pytest.mark.parametrize(
    ("of", "group"),
    [(of_ten_clusters, ["cluster", "check"]), (of_as_many_clusters, ["severity", "event_type"])],
)
def test_after_a_change_of_leader_nothing_of_10_000_alerts_is_sent_twice_and_each_end_once(
    of: Callable[[], list[Alert]], group: list[str]
) -> None:
    each = {"name": "each", "url": "https://b.example", "groupBy": group}
    two = plan(webhooks=[{"name": "all", "url": "https://a.example"}, each])
    alerts = of()
    first = Ledger(Fact(one, stamp(NOW)) for one in alerts)
    sent = first.due(two, NOW, at_once=True)
    assert sum(len(one.firing) for one in sent) == 20_000
    for one in sent:
        first.sent(one)
    text, left = keep(first)
    assert (len(text) <= kept.LONGEST, left) == (True, 0)

    following = read(text, "AlertConfig a/b")
    some = alerts if len({one.cluster for one in alerts}) == 10 else alerts[:100]
    looked(following, some, MINUTE)  # the scans of the new leader
    assert following.due(two, NOW + MINUTE, at_once=True) == []

    # What ended while no one led is said to have ended, once, in its group.
    third = read(keep(following).text, "AlertConfig a/b")
    gone = [one for one in alerts if one.cluster == alerts[7].cluster]
    looked(third, gone, 2 * MINUTE, active=False)
    ends = third.due(two, NOW + 2 * MINUTE, at_once=True)
    assert {(one.receiver, one.key) for one in ends} <= {(one.receiver, one.key) for one in sent}
    for receiver in ("all", "each"):
        ended = {fact.alert.id for one in ends if one.receiver == receiver for fact in one.resolved}
        assert ended == {one.id for one in gone}
    assert {fact.alert.title for one in ends for fact in one.resolved} == {one.title for one in gone}
    for one in ends:
        third.sent(one)
    assert read(keep(third).text, "x").due(two, NOW + 3 * MINUTE, at_once=True) == []


def test_what_does_not_fit_is_the_least_urgent_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_WHOLE", 0)
    monkeypatch.setattr(kept, "LONGEST", 2_000)
    book = Ledger()
    levels = ("critical", "info")
    book.take(seen(*(alert(f"{uuid.UUID(int=n * 31**20)}", level=levels[n > 2]) for n in range(200))))
    for one, fact in book.facts.items():
        book.told["hook", one] = Told(stamp(NOW), {one: fact.token})
    text, left = keep(book)
    facts = read(text, "x").facts.values()
    assert len(text) <= 2_000
    assert len(facts) + left == 200
    assert read(text, "x").told.keys() == {("hook", one.id) for one in (fact.alert for fact in facts)}
    assert sum(fact.alert.level == "critical" for fact in facts) == 3


texts = st.sampled_from(("", "a", "prod", "é\0", EVIL)) | st.text(max_size=8)
alerts = st.builds(
    Alert,
    st.sampled_from(("ComplianceFailure", "DriftDetected")),
    st.none() | st.sampled_from(Level),
    texts,
    texts,
    texts,
    texts,
    texts,
    texts,
    st.dictionaries(texts, texts, max_size=3),
    st.just({}),
    st.frozensets(texts, max_size=2),
    st.integers(0, 5),
)
times = st.integers(0, 3).map(lambda n: stamp(NOW + n * MINUTE))
facts = st.builds(Fact, alerts, times, st.integers(0, 3), times | st.just(""), texts)


@given(st.lists(facts, max_size=6), st.data(), st.booleans())
def test_everything_that_counts_is_read_back(found: list[Fact], data: st.DataObject, is_brief: bool) -> None:
    book = Ledger(found)
    ids = sorted(book.facts)
    for name in ("a", EVIL) if ids else ():
        tokens = {
            one: data.draw(st.sampled_from((book.facts[one].token, "2020-01-01T00:00:00Z/7")))
            for one in data.draw(st.lists(st.sampled_from(ids), unique=True))
        }
        book.told[name, "key"] = Told(stamp(NOW), tokens)
    with pytest.MonkeyPatch.context() as patch:
        if is_brief:
            patch.setattr(kept, "MOST_WHOLE", -1)
        again = read(keep(book).text, "x")
    assert again.told == book.told
    assert again.facts.keys() == book.facts.keys()
    for key, fact in book.facts.items():
        other = again.facts[key]
        assert (other.token, other.resolved_at, other.reason) == (fact.token, fact.resolved_at, fact.reason)
        for name in IDENTITY:
            assert getattr(other.alert, name) == getattr(fact.alert, name), name


def test_what_an_earlier_version_kept_is_read() -> None:
    fact = Fact(alert(), stamp(NOW))
    told = [["hook", "k", stamp(NOW), {fact.alert.id: fact.token}]]
    plain = json.dumps({"facts": [fact.to_wire()], "told": told}).encode()
    book = read(base64.b64encode(zlib.compress(plain)).decode(), "x")
    assert book.told == {("hook", "k"): Told(stamp(NOW), {fact.alert.id: fact.token})}


@pytest.mark.parametrize(
    "data",
    [
        {"facts": {}, "told": []},
        {"facts": [], "told": [["a", "k", "t", {"same": [0], "other": []}]]},
        {"facts": [], "told": [["a", "k", "t", {"same": [], "other": [[5, "x"]]}]]},
        {"facts": [], "told": [["a", "k", "t", 5]]},
        {"facts": [], "told": [["a", "k", "t", ["same"]]]},
        {"facts": {name: [["x"], [0]] for name in kept._Brief._fields}, "told": []},
        {"facts": {name: [[5], [0]] for name in kept._Brief._fields}, "told": []},
        {"facts": [Fact(alert(), stamp(NOW)).to_wire() | {"startedAt": 5}], "told": []},
        {"facts": [], "told": [["a", "k", 5, {}]]},
        {"facts": [], "told": [["a", "k", "t", {"x": 5}]]},
        {"facts": {name: [[], [9]] for name in kept._Brief._fields}, "told": []},
        {"facts": dict.fromkeys(kept._Brief._fields, 5), "told": []},
        [],
        5,
    ],
)
def test_what_others_wrote_is_an_error(data: object) -> None:
    text = base64.b64encode(zlib.compress(json.dumps(data).encode())).decode()
    with pytest.raises(StoreError):
        read(text, "AlertConfig a/b")
