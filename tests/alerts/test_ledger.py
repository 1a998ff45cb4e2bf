"""What is sent, and what is not: changes, repetitions, ends, groups, inhibitions, and 10,000 at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from pytest_kspec.alerts import ledger as ledgers
from pytest_kspec.alerts.alert import Fact
from pytest_kspec.alerts.ledger import Ledger, Notification
from pytest_kspec.alerts.routing import Plan
from tests.alerts.conftest import NOW, alert, plan, seen

HOOK: dict[str, Any] = {"webhooks": [{"name": "hook", "url": "https://x.example"}]}
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def names(made: Notification) -> tuple[list[str], list[str]]:
    return [f.alert.about for f in made.firing], [f.alert.about for f in made.resolved]


def send(book: Ledger, to: Plan, after: timedelta = timedelta()) -> list[Notification]:
    made = book.due(to, NOW + after, at_once=True)
    for one in made:
        book.sent(one)
    return made


def test_a_change_is_sent_once_and_its_end_once() -> None:
    book, to = Ledger(), plan(**HOOK)
    book.take(seen(alert("a"), alert("b")))
    assert [names(one) for one in send(book, to)] == [(["a", "b"], [])]
    book.take(seen(alert("a"), alert("b"), at=NOW + MINUTE))
    assert send(book, to, MINUTE) == []
    book.take(seen(alert("b"), at=NOW + 2 * MINUTE))
    assert [names(one) for one in send(book, to, 2 * MINUTE)] == [(["b"], ["a"])]
    assert send(book, to, 3 * MINUTE) == []


def test_what_was_not_delivered_is_due_again_under_the_same_key() -> None:
    book, to = Ledger(), plan(**HOOK)
    book.take(seen(alert("a")))
    (first,) = book.due(to, NOW, at_once=True)
    later = Ledger([Fact.from_wire(fact.to_wire()) for fact in book.facts.values()])  # another process
    (second,) = later.due(to, NOW + MINUTE, at_once=True)
    assert (first.key, first.firing[0].token) == (second.key, second.firing[0].token)


def test_new_members_are_sent_and_fewer_are_not() -> None:
    book, to = Ledger(), plan(**HOOK)
    book.take(seen(alert("a", members=("1", "2"), count=2)))
    send(book, to)
    book.take(seen(alert("a", members=("2",), count=1)))
    assert send(book, to, MINUTE) == []
    book.take(seen(alert("a", members=("2", "3"), count=2)))
    (again,) = send(book, to, MINUTE)
    assert again.firing[0].revision == 1


def test_an_active_alert_is_repeated_after_the_interval() -> None:
    book, to = Ledger(), plan(**HOOK, repeatInterval="4h")
    book.take(seen(alert("a")))
    send(book, to)
    assert send(book, to, 4 * HOUR - MINUTE) == []
    assert len(send(book, to, 4 * HOUR)) == 1
    assert send(book, to, 5 * HOUR) == []


def test_what_is_not_known_is_no_end() -> None:
    book, to = Ledger(), plan(**HOOK)
    book.take(seen(alert("a"), alert("b")))
    send(book, to)
    book.take(seen(unknown=frozenset(("a",)), at=NOW + MINUTE))
    assert [names(one) for one in send(book, to, MINUTE)] == [(["a"], ["b"])]
    book.take(seen(unknown=None, at=NOW + 2 * MINUTE))
    assert send(book, to, 2 * MINUTE) == []


def test_an_alert_that_comes_back_is_a_new_one() -> None:
    book, to = Ledger(), plan(**HOOK)
    for minute, active in enumerate((True, False, True)):
        book.take(seen(*([alert("a")] if active else []), at=NOW + minute * MINUTE))
        assert len(send(book, to, minute * MINUTE)) == 1, minute


def test_without_send_resolved_an_end_is_silent_and_a_return_is_sent() -> None:
    hook = {"name": "hook", "url": "https://x.example", "sendResolved": False}
    book, to = Ledger(), plan(webhooks=[hook])
    book.take(seen(alert("a")))
    send(book, to)
    book.take(seen(at=NOW + MINUTE))
    assert send(book, to, MINUTE) == []
    book.take(seen(alert("a"), at=NOW + 2 * MINUTE))
    assert [names(one) for one in send(book, to, 2 * MINUTE)] == [(["a"], [])]


def test_a_receiver_that_was_told_nothing_is_told_no_end() -> None:
    book, to = Ledger(), plan(**HOOK)
    book.take(seen(alert("a")))
    book.take(seen(at=NOW + MINUTE))
    assert send(book, to, MINUTE) == []


def test_an_unreachable_cluster_silences_its_alerts_and_no_other() -> None:
    book, to = Ledger(), plan(**HOOK)
    dead = alert("", event="ClusterUnreachable", level="critical", cluster_id="live:prod-eu")
    book.take(seen(alert("a", cluster="prod-us"), cluster="prod-us"))
    book.take(seen(alert("a")))
    book.take(seen(dead, unknown=None, cluster_id="live:prod-eu"))
    (made,) = send(book, to)
    assert [(f.alert.event, f.alert.cluster) for f in made.firing] == [
        ("ClusterUnreachable", "prod-eu"),
        ("ComplianceFailure", "prod-us"),
    ]
    book.take(seen(alert("a"), at=NOW + MINUTE))  # reachable, and its UID is known again
    (made,) = send(book, to, MINUTE)
    assert [f.event for f in made.resolved] == ["ClusterReachable"]
    assert len(made.firing) == 2


def test_what_is_silenced_is_not_repeated_but_where_it_would_end_by_itself() -> None:
    spec: Any = {
        **HOOK,
        "alertmanager": {"url": "http://am:9093"},
        "groupBy": ["check"],
        "repeatInterval": "4h",
    }
    book, to = Ledger(), plan(**spec)
    book.take(seen(alert("a")))
    assert len(send(book, to)) == 2
    dead = alert("", event="ClusterUnreachable", level="critical", cluster_id="live:prod-eu")
    book.take(seen(dead, unknown=None, cluster_id="live:prod-eu", at=NOW + HOUR))
    told = [[fact.alert.event for fact in made.firing] for made in send(book, to, HOUR)]
    assert told == [["ClusterUnreachable"]] * 2
    again = send(book, to, 5 * HOUR)
    assert [(made.receiver, made.firing[0].event) for made in again if made.labels["check"] == "a"] == [
        ("alertmanager", "ComplianceFailure")
    ]
    assert sum(made.firing[0].event == "ClusterUnreachable" for made in again) == 2
    book.take(seen(alert("a"), at=NOW + 6 * HOUR))
    after = [made for made in send(book, to, 6 * HOUR) if made.receiver == "hook"]
    assert sorted(made.state for made in after) == [
        "firing",
        "resolved",
    ]  # it is repeated, as it is heard of again


def test_own_inhibitions() -> None:
    rule = {"source": {"check": "a"}, "target": {"check": "b*"}, "equal": ["cluster"]}
    book, to = Ledger(), plan(**HOOK, inhibit=[rule])
    book.take(seen(alert("a"), alert("b1"), alert("c")))
    book.take(seen(alert("b1", cluster="prod-us"), cluster="prod-us"))
    (made,) = send(book, to)
    assert [(f.alert.cluster, f.alert.about) for f in made.firing] == [
        ("prod-eu", "a"),
        ("prod-eu", "c"),
        ("prod-us", "b1"),
    ]


def test_groups_have_a_message_each_and_keys_that_stay() -> None:
    book, to = Ledger(), plan(**HOOK, groupBy=["cluster"])
    for cluster in ("prod-eu", "prod-us"):
        book.take(seen(alert("a", cluster=cluster), alert("b", cluster=cluster), cluster=cluster))
    made = send(book, to)
    assert [one.labels for one in made] == [{"cluster": "prod-eu"}, {"cluster": "prod-us"}]
    assert len({one.key for one in made}) == 2
    book.take(seen(at=NOW + MINUTE, cluster="prod-us"))
    (end,) = send(book, to, MINUTE)
    assert (end.key, end.state) == (made[1].key, "resolved")


def test_the_operator_waits_for_more_and_between_messages() -> None:
    book, to = Ledger(), plan(**HOOK, groupWait="30s", groupInterval="5m")
    book.take(seen(alert("a")))
    assert book.due(to, NOW + timedelta(seconds=29)) == []
    (made,) = book.due(to, NOW + timedelta(seconds=30))
    book.sent(made)
    book.take(seen(alert("a"), alert("b"), at=NOW + MINUTE))
    assert book.due(to, NOW + 5 * MINUTE) == []
    assert [names(one) for one in book.due(to, NOW + 6 * MINUTE)] == [(["a", "b"], [])]


def test_ten_thousand_at_once_are_one_message_for_each_receiver() -> None:
    events = {"name": "events", "url": "https://x.example", "format": "cloudevents"}
    spec: Any = {"webhooks": [*HOOK["webhooks"], events], "slack": {"webhookURL": "https://hooks.example/x"}}
    spec["alertmanager"] = {"url": "https://am.example"}
    book, to = Ledger(), plan(**spec)
    for cluster in range(1000):
        name = f"c{cluster:04}"
        book.take(seen(*(alert(f"check-{n}", cluster=name) for n in range(10)), cluster=name))
    made = send(book, to)
    assert {one.receiver: (len(one.firing), one.left) for one in made} == {
        "slack": (10_000, 0),
        "hook": (10_000, 0),
        "alertmanager": (10_000, 0),
        "events": (5_000, 5_000),
    }
    (rest,) = send(book, to, MINUTE)  # what did not fit
    assert (rest.receiver, len(rest.firing), rest.left) == ("events", 5_000, 0)
    assert send(book, to, 2 * MINUTE) == []


def test_facts_are_bounded_and_the_least_urgent_are_left_out(monkeypatch: Any) -> None:
    monkeypatch.setattr(ledgers, "MOST_FACTS", 10)
    book = Ledger()
    book.take(seen(*(alert(f"i{n}", level="info") for n in range(10)), alert("bad", level="critical")))
    assert (len(book.facts), book.dropped) == (10, 1)
    assert alert("bad", level="critical").id in book.facts


def test_an_observation_looks_at_what_it_is_about_only(monkeypatch: Any) -> None:
    """Of thousands of clusters each has an observation."""
    book = Ledger(Fact(alert(f"i{n}", cluster_id=f"uid-{n}"), "2026-01-01T00:00:00Z") for n in range(1_000))
    looked: list[str] = []
    real = ledgers._concerns

    def concerns(fact: Fact, observed: Any) -> bool:
        looked.append(fact.alert.id)
        return real(fact, observed)

    monkeypatch.setattr(ledgers, "_concerns", concerns)
    book.take(replace(seen(), cluster_id="uid-7"))
    assert len(looked) == 1
    assert sum(bool(fact.resolved_at) for fact in book.facts.values()) == 1


def test_what_ended_and_was_told_is_forgotten() -> None:
    book, to = Ledger(), plan(**HOOK)
    book.take(seen(alert("a")))
    send(book, to)
    book.take(seen(at=NOW + MINUTE))
    book.forget(NOW + MINUTE)
    assert len(book.facts) == 1, "its end was not told yet"
    send(book, to, MINUTE)
    book.forget(NOW + MINUTE, waiting=[alert("a").id])
    assert len(book.facts) == 1, "another configuration waits for it"
    book.forget(NOW + MINUTE)
    assert book.facts == {}
    book.forget(NOW + timedelta(days=8))
    assert book.told == {}
