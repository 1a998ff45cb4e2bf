"""A difference as text, Markdown and JSON."""

from __future__ import annotations

import json

from msgspec.structs import replace

from pytest_kspec.kube.objectdiff import ABSENT, ChangedObject, FieldChange, KindDiff
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.reports import diff as report
from pytest_kspec.reports.shared.text import width_of
from pytest_kspec.results.diff import State, compare
from tests.reports import results

SERVICES = ResourceType("", "v1", "Service", "services", True)
NODES = ResourceType("", "v1", "Node", "nodes", False)
OBJECTS = (
    KindDiff(
        SERVICES,
        added=tuple(("web", f"s-{n:02}") for n in range(30)),
        changed=(
            ChangedObject(
                "web",
                results.EVIL,
                (FieldChange("spec.x", ABSENT, results.ESCAPES), FieldChange("y", None, 1)),
            ),
        ),
    ),
    KindDiff(NODES, unknown="in the first: may not list nodes"),
)
DIFF = compare(
    results.compliant(),
    replace(
        results.one(),
        clusters=(replace(results.one().clusters[0], name=results.compliant().clusters[0].name),),
    ),
)


def test_no_line_is_wider_than_asked_and_nothing_is_obeyed() -> None:
    for width in (50, 80, 120):
        text = report.render_text(DIFF, OBJECTS, width)
        assert max(map(width_of, text.splitlines())) <= width
        assert text.replace("\n", "").isprintable()


def test_counts_are_exact_and_the_text_is_capped() -> None:
    text = report.render_text(DIFF, OBJECTS)
    counts = DIFF.counts
    assert f"  {counts[State.NEW]:,} new" in text
    assert "services: 30 added, 1 changed" in text
    assert "+ and 10 more (see -o json)" in text
    assert "nodes: not compared" in text
    assert "spec.x: absent → " in text
    wire = json.loads(report.render_json(DIFF, OBJECTS))
    assert len(wire["findings"]["clusters"][0]["findings"]) == sum(counts.values())
    assert len(wire["resources"][0]["added"]) == 30


def test_markdown_has_no_markup_of_a_cluster() -> None:
    text = report.render_markdown(DIFF, OBJECTS)
    assert "<script" not in text
    assert "<img" not in text
    assert all(line.count("|") - line.count("\\|") in (6, 5, 0) for line in text.splitlines())
    assert text.startswith("### ")
    assert "| nodes | 0 | 0 | 0 | in the first: may not list nodes |" in text


def test_a_part_that_was_not_compared_is_not_there() -> None:
    assert json.loads(report.render_json(None, ()))["findings"] is None
    assert json.loads(report.render_json(DIFF, None))["resources"] is None
    assert "no object differs" in report.render_text(None, ())
    assert "objects" not in report.render_text(DIFF, None).splitlines()[0]


def test_of_what_was_not_compared_nothing_is_said() -> None:
    gone = compare(results.one(), replace(results.one(), clusters=()))
    text = report.render_text(gone, None)
    assert "! NOT FULLY EVALUATED\n  nothing was compared" in text
    compliant = results.compliant().clusters[0]
    compliant = replace(compliant, checks=tuple(c for c in compliant.checks if not c.findings))
    went = compare(
        replace(results.one(), clusters=(compliant, results.one().clusters[0])),
        replace(results.one(), clusters=(compliant,)),
    )
    assert "  no findings in what was compared" in report.render_text(went, None)
