"""Lists of pages: filtered, sorted, cut and narrowed to what a viewer may see, in both databases."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import lasting, listing, read
from pytest_kspec.storage.cut import Cut
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.rows import Listed, Standing
from pytest_kspec.storage.visible import Visible
from pytest_kspec.storage.write import store_result
from tests.reports.results import UID, check, cluster, finding, one, ref, scan

from .conftest import keep


def some(*verdicts: tuple[str, str], at: str = "2026-11-24T06:00:00Z") -> ScanResult:
    """One requirement on clusters of these names and verdicts."""
    found = finding(ref("Deployment", "web"), "spec.a", 1, "2")
    made = tuple(
        cluster(
            name,
            uid=f"uid-{name}",
            checks=(
                check(
                    "images.tags",
                    "Images have a tag",
                    "high",
                    verdict,
                    findings=(found,) if verdict == "fail" else (),
                    reason="403 Forbidden" if verdict == "error" else "",
                ),
            ),
        )
        for name, verdict in verdicts
    )
    return replace(scan(*made), started_at=at, finished_at=at)


FOUR = (("good", "pass"), ("bad", "fail"), ("away", "error"), ("none", "skip"))


def names(found: Listed[Standing]) -> list[str]:
    return [row.cluster for row in found.rows]


def test_the_worst_comes_first_and_counts_are_those_of_all(store: Store) -> None:
    keep(store, some(*FOUR))
    found = listing.standings(store)
    assert names(found) == ["away", "bad", "good", "none"]
    assert [row.state for row in found.rows] == ["error", "fail", "pass", "skip"]
    assert found.counts == {"error": 1, "fail": 1, "pass": 1, "skip": 1}
    failed = listing.standings(store, state="fail")
    assert (names(failed), failed.total, failed.counts) == (["bad"], 1, found.counts)
    assert names(listing.standings(store, order="name")) == ["away", "bad", "good", "none"]
    assert names(listing.standings(store, order="findings"))[0] == "bad"


def test_a_baseline_is_no_compliance(store: Store) -> None:
    known = replace(finding(ref("Deployment", "web"), "spec.a", 1, "2"), known=True)
    keep(store, scan(cluster(checks=(check("images.tags", "t", "high", "pass", findings=(known,)),))))
    assert [row.state for row in listing.standings(store).rows] == ["known"]


def test_pages_have_every_row_once_and_the_page_behind_the_last_has_none(store: Store) -> None:
    keep(store, some(*((f"c{number:02}", "pass") for number in range(7))))
    cuts = [listing.standings(store, cut=Cut(number, 3)) for number in (1, 2, 3, 4)]
    assert [len(cut.rows) for cut in cuts] == [3, 3, 1, 0]
    assert {cut.total for cut in cuts} == {7}
    assert [name for cut in cuts for name in names(cut)] == [f"c{number:02}" for number in range(7)]
    requirements = [listing.requirements(store, cut=Cut(number, 1)) for number in (1, 2)]
    assert [(len(cut.rows), cut.total) for cut in requirements] == [(1, 1), (0, 1)]


def test_only_the_newest_result_counts_also_where_two_end_in_one_second(store: Store) -> None:
    keep(store, some(("a", "fail"), at="2026-11-23T06:00:00Z"))
    store_result(store, some(("a", "fail")), b"first", run="first")
    store_result(store, some(("a", "pass")), b"second", run="second")
    keep(store, some(("a", "error"), at="2026-11-22T06:00:00Z"))
    assert [row.state for row in listing.standings(store).rows] == ["pass"]
    assert [(row.passed, row.failed) for row in listing.requirements(store).rows] == [(1, 0)]
    assert listing.requirement_results(store).counts == {"pass": 1}


def test_requirements_say_on_how_many_clusters(store: Store) -> None:
    keep(store, some(*FOUR, ("worse", "fail")))
    (row,) = listing.requirements(store, text="HAVE a").rows
    assert (row.check, row.title, row.severity) == ("images.tags", "Images have a tag", "high")
    assert (row.errors, row.failed, row.skipped, row.passed, row.findings) == (1, 2, 1, 1, 2)
    assert listing.requirements(store, text="images nothing").rows == ()
    found = listing.requirement_results(store, check="images.tags")
    assert [(r.cluster, r.verdict, r.reason) for r in found.rows] == [
        ("away", "error", "403 Forbidden"),
        ("bad", "fail", ""),
        ("worse", "fail", ""),
        ("none", "skip", ""),
        ("good", "pass", ""),
    ]
    assert listing.remediation(store, "images.tags")[0] == "Images have a tag"


@pytest.mark.parametrize("text", ["100%", "_", "\\", "'", '"; DROP TABLE kspec_runs; --'])
def test_what_is_searched_is_text_and_no_pattern(store: Store, text: str) -> None:
    keep(store, some(("plain", "fail"), (f"x{text}y", "fail")))
    assert names(listing.standings(store, text=text)) == [f"x{text}y"]
    assert [row.cluster for row in lasting.findings(store, text=text.split()[0]).rows] == [f"x{text}y"]


def test_findings_are_searched_by_all_words(store: Store) -> None:
    keep(store, one())
    found = lasting.findings(store, text="PRIVILEGED ops")
    assert {row.namespace for row in found.rows} == {"ops"}
    assert found.total == len(found.rows) > 0
    (row,) = lasting.findings(store, fingerprint=found.rows[0].id).rows
    assert row == found.rows[0]
    assert row.message
    assert row.kind == "Pod"
    assert set(lasting.findings(store, state="exempt").counts) >= {"open", "exempt"}
    assert {row.state for row in lasting.findings(store, state="exempt").rows} == {"exempt"}


def test_what_is_there_comes_before_what_may_be_and_what_is_not(store: Store) -> None:
    first = (("a-fixed", "fail"), ("b-unknown", "fail"), ("c-open", "fail"))
    keep(store, some(*first))
    second = (("a-fixed", "pass"), ("b-unknown", "error"), ("c-open", "fail"))
    keep(store, some(*second, at="2026-11-25T06:00:00Z"))
    expected = [("c-open", "open"), ("b-unknown", "unknown"), ("a-fixed", "fixed")]
    found = lasting.findings(store)
    assert [(row.cluster, row.state) for row in found.rows] == expected
    assert found.counts == {"open": 1, "unknown": 1, "fixed": 1}
    assert [(row.cluster, row.state.value) for row in read.findings(store)] == expected


def test_frameworks_and_exemptions_of_the_newest_results(store: Store) -> None:
    keep(store, one())
    (expected,) = one().clusters
    assert {row.framework for row in listing.frameworks(store)} == {f.id for f in expected.frameworks}
    found = listing.framework_results(store, framework=expected.frameworks[0].id)
    assert [(row.cluster, row.met) for row in found.rows] == [
        (expected.name, expected.frameworks[0].summary.met)
    ]
    used = listing.exemptions(store)
    assert {(row.name, row.state, row.matched) for row in used.rows} == {
        (use.name, use.state, use.matched) for use in expected.exemptions
    }
    assert used.rows[0].state == "expired"


def test_days_are_scored_by_weight_and_by_the_last_result_of_each(store: Store) -> None:
    keep(store, some(("a", "fail"), ("b", "fail"), at="2026-11-22T06:00:00Z"))
    keep(store, some(("a", "pass"), at="2026-11-22T23:59:59Z"))
    keep(store, some(("a", "pass"), ("b", "error"), at="2026-11-24T00:00:00Z"))
    keep(store, some(("a", "error"), at="2026-11-25T00:00:00Z"))
    found = listing.days(store, since="2026-11-22T00:00:00Z")
    assert [(day.day, day.results, day.score, day.errors) for day in found] == [
        ("2026-11-22", 2, 50.0, 0),
        ("2026-11-24", 2, 50.0, 1),
        ("2026-11-25", 1, None, 1),
    ]
    assert len(listing.days(store, since="2026-11-24T00:00:00Z")) == 2


A = Visible(frozenset({"uid-a"}))


def test_a_viewer_sees_nothing_of_other_clusters(store: Store) -> None:
    keep(store, some(("a", "fail"), ("b", "fail")))
    assert names(listing.standings(store, A)) == ["a"]
    assert listing.standings(store, A).counts == {"fail": 1}
    assert listing.standings(store, A, cluster_id="uid-b").total == 0
    assert [(row.failed, row.findings) for row in listing.requirements(store, A).rows] == [(1, 1)]
    assert {row.cluster for row in listing.requirement_results(store, A).rows} == {"a"}
    assert {row.cluster for row in lasting.findings(store, A).rows} == {"a"}
    assert [day.results for day in listing.days(store, A, since="2026-11-01T00:00:00Z")] == [1]
    assert listing.visible_clusters(store, A) == 1
    nobody = Visible(frozenset())
    assert listing.standings(store, nobody).total == lasting.findings(store, nobody).total == 0
    assert listing.specs(store, nobody) == ()


def test_a_viewer_of_a_namespace_sees_its_findings_only(store: Store) -> None:
    keep(store, one())
    visible = Visible(frozenset(), {UID: frozenset({"ops"})})
    found = lasting.findings(store, visible)
    assert {row.namespace for row in found.rows} == {"ops"}
    assert sum(found.counts.values()) == found.total
    assert listing.standings(store, visible).total == 0
    assert listing.exemptions(store, visible).total == listing.framework_results(store, visible).total == 0
    assert lasting.namespaces(store, UID, 500) == tuple(
        sorted({row.namespace for row in lasting.findings(store).rows if row.namespace})
    )
