"""Counts, values and their text, as prometheus_client's own parser reads it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pytest_kspec.observe import registry as module
from pytest_kspec.observe.registry import LONGEST_VALUE, Registry
from pytest_kspec.observe.table import OPERATOR, ROWS, WEBHOOK

SCORE, SCAN_S = "kspec_compliance_score", "kspec_scan_duration_seconds"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(registry: Registry) -> Samples:
    """Every sample as the library reads it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(registry.text().decode())
        for sample in family.samples
    }


def of(name: str, registry: Registry) -> dict[tuple[str, ...], float]:
    """Values of one metric by the values of its labels, those sorted by name."""
    return {
        tuple(value for _, value in labels): number
        for (found, labels), number in samples(registry).items()
        if found == name
    }


@pytest.fixture
def made() -> Registry:
    return Registry(OPERATOR)


def test_gauges_counters_and_histograms(made: Registry) -> None:
    made.set(SCORE, ("prod", "u1", "s"), 87.5)
    made.count("kspec_scan_errors_total", "s", "timeout")
    made.count("kspec_scan_errors_total", "s", "timeout", by=2)
    for seconds in (0.5, 0.6, 31, 9999):
        made.observe(SCAN_S, seconds, "prod", "s")
    assert of(SCORE, made) == {("prod", "s", "u1"): 87.5}
    assert of("kspec_scan_errors_total", made) == {("s", "timeout"): 3}
    buckets = {labels[-1]: count for labels, count in of(f"{SCAN_S}_bucket", made).items()}
    assert buckets == {
        **dict.fromkeys(("0.5",), 1),
        **dict.fromkeys(("1", "2.5", "5", "10", "30"), 2),
        **dict.fromkeys(("60", "120", "300", "600"), 3),
        "+Inf": 4,
    }
    assert of(f"{SCAN_S}_count", made) == {("prod", "s"): 4}
    assert of(f"{SCAN_S}_sum", made) == {("prod", "s"): 10031.1}
    assert made.value(SCAN_S, "prod", "s") == 4
    assert made.value(SCORE, "prod", "u1", "s") == 87.5
    assert made.value(SCORE, "other", "u1", "s") is None


def test_counters_of_few_series_begin_at_0_and_gauges_do_not(made: Registry) -> None:
    assert of("kspec_webhook_requests_total", Registry(WEBHOOK))[("success",)] == 0
    assert of("kspec_leader_election_transitions_total", made) == {(): 0}
    assert of("kspec_fleet_clusters", made) == {}, "a gauge at 0 would be a statement"
    made.start("kspec_store_errors_total", "s")
    assert of("kspec_store_errors_total", made) == {("s",): 0}


def test_what_is_gone_vanishes(made: Registry) -> None:
    for name in ("a", "b"):
        made.set(SCORE, ("prod", "u", name), 1)
        made.observe(SCAN_S, 1, "prod", name)
        made.count("kspec_reconcile_total", "clusterspec", name)
    made.forget(cluster_spec="a")
    assert not [labels for _, labels in samples(made) if ("cluster_spec", "a") in labels]
    assert of(SCORE, made) == {("prod", "b", "u"): 1}
    made.forget([SCORE], cluster_name="prod", cluster_spec="b")
    assert of(SCORE, made) == {}
    assert of(f"{SCAN_S}_count", made) == {("prod", "b"): 1}
    made.drop(SCORE, ("prod", "u", "b"))
    made.replace("kspec_fleet_clusters", {("all",): 3})
    made.replace("kspec_fleet_clusters", {("healthy",): 2})
    assert of("kspec_fleet_clusters", made) == {("healthy",): 2}


def test_new_information_replaces_a_series(made: Registry) -> None:
    info = "kspec_cluster_target_info"
    made.set(info, ("prod", "ns", "eks", "1.33", "https://a"), 1)
    made.set(info, ("prod", "ns", "eks", "1.34", "https://a"), 1)
    assert of(info, made) == {("https://a", "prod", "ns", "eks", "1.34"): 1}
    made.count("kspec_remediation_actions_total", "prod", "u1", "s", "update", by=5)
    made.count("kspec_remediation_actions_total", "prod", "u2", "s", "update")
    assert of("kspec_remediation_actions_total", made) == {("update", "prod", "s", "u2"): 1}


def test_what_the_leader_knows_others_do_not_say() -> None:
    leads = [False]
    made = Registry(OPERATOR, lambda: leads[0])
    made.set(SCORE, ("prod", "u", "s"), 1)
    made.set("kspec_leader_election_status", (), 0)
    assert {name for name, _ in samples(made)} & {SCORE, "kspec_leader_election_status"} == {
        "kspec_leader_election_status"
    }
    leads[0] = True
    assert of(SCORE, made) == {("prod", "s", "u"): 1}


def test_what_is_known_only_when_asked(made: Registry) -> None:
    asked: list[int] = []

    def read() -> None:
        asked.append(1)
        made.set("kspec_workqueue_depth", (), len(asked))

    made.read(read)
    assert of("kspec_workqueue_depth", made) == {(): 1}
    assert of("kspec_workqueue_depth", made) == {(): 2}


def test_series_are_bounded() -> None:
    made = Registry(OPERATOR, most=2)
    for name in "abcd":
        made.set(SCORE, ("prod", "u", name), 1)
    made.set(SCORE, ("prod", "u", "a"), 2)
    made.count("kspec_reconcile_total", "clusterspec", "a")
    assert of(SCORE, made) == {("prod", "a", "u"): 2, ("prod", "b", "u"): 1}
    assert of("kspec_metric_series_dropped_total", made) == {(SCORE,): 2}
    made.forget(cluster_spec="a")
    made.set(SCORE, ("prod", "u", "c"), 3)
    assert ("prod", "c", "u") in of(SCORE, made), "there is room again"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda made: made.set("kspec_other", (), 1), KeyError),
        (lambda made: made.set("kspec_webhook_ready", (), 1), KeyError),
        (lambda made: made.set(SCORE, ("prod",), 1), ValueError),
        (lambda made: made.count("kspec_reconcile_total", "a"), ValueError),
    ],
)
def test_what_the_table_does_not_have(
    made: Registry, call: Callable[[Registry], None], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(made)


@given(st.lists(st.text(min_size=1), min_size=3, max_size=3))
def test_any_text_is_one_label(texts: list[str]) -> None:
    made = Registry(OPERATOR)
    made.set(SCORE, texts, 1)
    shown = [
        text[:LONGEST_VALUE].encode("utf-8", "replace").decode() for text in (texts[0], texts[2], texts[1])
    ]
    assert of(SCORE, made) == {tuple(shown): 1}
    made.forget(cluster_spec=texts[2])
    assert of(SCORE, made) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.1, "0.1"), (1e300, "1e+300"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")],
)
def test_numbers(value: float, text: str) -> None:
    assert module._number(value) == text


def test_one_series_that_is_looked_up_once() -> None:
    made = Registry(WEBHOOK)
    requests = made.series("kspec_webhook_requests_total", "success")
    seconds = made.series("kspec_webhook_request_duration_seconds", "success")
    requests.inc()
    requests.inc(2)
    seconds.observe(0.3)
    assert made.value("kspec_webhook_requests_total", "success") == 3
    made.forget(result="success")
    requests.inc()
    seconds.observe(0.3)
    assert made.value("kspec_webhook_requests_total", "success") == 1
    assert made.value("kspec_webhook_request_duration_seconds", "success") == 1


def test_every_row_can_be_exposed() -> None:
    for emitter in (OPERATOR, WEBHOOK):
        made = Registry(emitter)
        rows = [row for row in ROWS if emitter in row.emitters]
        for row in rows:
            labels = [row.values.get(label, (f"a-{label}",))[0] for label in row.labels]
            if row.kind == "gauge":
                made.set(row.name, labels, 1)
            elif row.kind == "counter":
                made.count(row.name, *labels)
            else:
                made.observe(row.name, 1, *labels)
        text = made.text().decode()
        for row in rows:
            assert f"# TYPE {row.name} {row.kind}\n" in text
            assert f"# HELP {row.name} {row.help}\n" in text
        assert len(list(text_string_to_metric_families(text))) == len(rows)
