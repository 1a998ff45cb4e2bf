"""What every report says in words: a baseline and a specification that is not active never read as compliance."""

import json

import pytest
from msgspec.structs import replace

from pytest_kspec.reports import markdown, terminal
from pytest_kspec.reports.oscal import document as oscal
from pytest_kspec.reports.shared import words
from pytest_kspec.results.result import ScanResult
from tests.reports import results

PASSED, SKIPPED, KNOWN = results.checks()[7:9], results.checks()[-2:], results.compliant().clusters[0].checks


def test_what_a_baseline_lets_pass_is_not_met() -> None:
    (cluster,) = results.compliant().clusters
    summary = cluster.summary
    assert (summary.passed, summary.tolerated) == (summary.met + summary.tolerated, 1)
    assert words.sentence(summary).startswith(
        f"{summary.met} of {summary.passed} applicable requirements are met. "
        "1 passes only because the baseline contains the findings."
    )
    assert words.state(summary) == "known"


def test_oscal_is_not_satisfied_by_a_baseline() -> None:
    document = json.loads(oscal.render(results.compliant()))
    (result,) = document["assessment-results"]["results"]
    states = {
        (f["target"]["status"]["state"], "known from a baseline" in f["target"]["status"].get("remarks", ""))
        for f in result["findings"]
    }
    assert ("not-satisfied", True) in states
    assert ("satisfied", True) not in states


@pytest.mark.parametrize(
    ("result", "headline"),
    [
        (
            results.scan(results.cluster("a", checks=PASSED), results.cluster("a", checks=SKIPPED)),
            "a is compliant; nothing was evaluated for 1 of 2 specifications",
        ),
        (
            results.scan(*(results.cluster("a", checks=PASSED) for _ in range(2))),
            "a is compliant",
        ),
        (
            results.scan(
                *(results.cluster(n, checks=PASSED) for n in "ab"), results.cluster("c", checks=SKIPPED)
            ),
            "2 of 3 clusters are compliant; nothing was evaluated for 1",
        ),
        (
            results.scan(results.cluster("a", checks=PASSED), results.cluster("b", checks=KNOWN)),
            "All 2 clusters have only known findings",
        ),
    ],
)
def test_headline(result: ScanResult, headline: str) -> None:
    assert words.headline(result) == headline
    assert f" {headline}\n" in markdown.render(result).decode()


def test_a_run_of_some_requirements_says_of_how_many() -> None:
    part = replace(
        results.cluster("a", checks=PASSED), not_selected=("workloads.x", "workloads.y", "workloads.z")
    )
    result = results.scan(part, results.cluster("b", checks=PASSED))
    said = words.headline(result)
    assert said == "All 2 clusters are compliant; this run evaluated 4 of 7 requirements, as selected"
    assert f" {said}\n" in markdown.render(result).decode()
    for text in (terminal.render(result), terminal.brief(result)):
        assert "COMPLIANT · 2 clusters · 4 of 7 requirements, as selected\n" in text


def test_a_cluster_is_counted_once_and_what_was_not_evaluated_is_said() -> None:
    two = results.scan(results.cluster("a", checks=PASSED), results.cluster("a", checks=SKIPPED))
    text = terminal.render(two, 80)
    assert "COMPLIANT, 1 OF 2 NOT EVALUATED" in text
    assert "1 cluster ·" in text
