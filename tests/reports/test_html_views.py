"""What the page says of frameworks, evidence and time, and in sentences; what it leaves to its data."""

from __future__ import annotations

import json
import re
from collections import Counter

from msgspec.structs import replace

from pytest_kspec.reports import writer
from pytest_kspec.reports.html import rows as html_rows
from pytest_kspec.reports.html import trend as html_trend
from pytest_kspec.results.evidence import Evidence
from pytest_kspec.results.order import worst_first
from pytest_kspec.results.result import ScanResult
from tests.reports import results
from tests.reports.counted import from_html, from_json
from tests.reports.test_html import Tags, page


def section(text: str, name: str) -> str:
    found = re.search(rf'(?s)<section class="{name}".*?</section>', text)
    assert found is not None
    return " ".join(" ".join(Tags(found[0]).text).split())


def data(text: str) -> dict[str, list[object]]:
    found = re.search(r'(?s)<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    document: dict[str, list[object]] = json.loads(found[1])
    return document


def test_nothing_but_met_looks_met() -> None:
    text = page(results.one())
    rows = re.findall(r'(?s)<tr id="framework//.*?</tr>', text)
    badges = [re.findall(r'<span class="badge (\w+)">', row)[0] for row in rows]
    assert badges == ["manual", "notEvaluated", "notMet", "met", "partlyMet", "notEvaluated"]
    said = section(text, "frameworks")
    assert "50.0 score 50.0 % coverage" in said
    assert "none score 0.0 % coverage" in said
    for wanted in ("met 1 ", "partially met 1", "not met 1", "not evaluated 1", "manual review 1"):
        assert wanted in said
    assert "Manual review: whether the network plugin enforces them" in said
    assert "Controls from CIS Kubernetes Benchmark v1.10.0 (Center for Internet Security), 2024-09." in said


def test_from_control_to_check_to_exemption() -> None:
    tags = Tags(page(results.one())).tags
    links = [a["href"] for tag, a in tags if tag == "a"]
    assert "#strict.prod-eu/podSecurity.standard%5Bprivileged%5D" in links
    assert "#strict.prod-eu//node-agent" in links
    ids = {a.get("id") for _, a in tags}
    assert {"strict.prod-eu/podSecurity.standard[privileged]", "strict.prod-eu//node-agent"} <= ids


def test_frameworks_of_several_clusters() -> None:
    text = page(results.framed())
    said = section(text, "frameworks")
    assert "6 clusters, 5 controls" in said
    # Each control has every status on one cluster and one of them twice: it is counted once, as not met.
    assert "not met 5" in said
    assert "met on 1" in said
    assert "failed on 6: cluster-0 (failed, 3 findings, 2 exempted) , cluster-1" in said
    assert "and 3 more clusters" in said
    matrix = data(text)["frameworks"][0]
    assert isinstance(matrix, dict)
    letters = "".join(row[2] for row in matrix["rows"])
    assert Counter(letters) == dict.fromkeys("mpneh", 6)


def test_evidence() -> None:
    evidence = Evidence("s3-copy/prod.tar", "ab" * 32, "2026-11-23T04:00:00Z", "cd" * 32)
    scan = replace(
        results.scan(results.cluster(source="snapshot", evidence=evidence)), run_by="jane@ci.example.com"
    )
    said = section(page(scan), "evidence")
    for wanted in (
        "snapshot s3-copy/prod.tar", "ab" * 32, "cd" * 32, "recorded 23 November 2026, 04:00 UTC",
        "v1.34.1-eks-113cf36", "Run by jane@ci.example.com", "24 November 2026, 06:00 UTC", "pytest-kspec 0.1.0",
    ):  # fmt: skip
        assert wanted in said
    unknown = section(page(results.one()), "evidence")
    assert "Run by not recorded" in unknown
    assert "no snapshot" in unknown


def test_sentences_say_what_was_not_looked_at() -> None:
    said = section(page(results.one()), "guide")
    for wanted in (
        "the cluster prod-eu was compared with the specification strict 1.2.0: 13 requirements.",
        "read from the running cluster",
        "5 requirements passed, 4 failed, 2 could not be evaluated, 2 skipped.",
        "There are 29 open findings: 3 critical, 17 high, 8 medium, 1 low.",
        "3 further findings are covered by exemptions, and 2 are known from a baseline.",
        "2 requirements could not be evaluated. Nothing is known about: Containers have a memory limit; Nobody",
        "2 entries of the specification were not evaluated, or not",
        "CIS Kubernetes Benchmark 1.10.0: 1 control must be reviewed manually and 1 was not evaluated.",
        "How to read this report",
    ):
        assert wanted in said
    for names in (["prod-eu"], ["prod-eu", "prod-us"]):
        made = results.scan(*(results.cluster(name, source="manifests") for name in names))
        assert "no running cluster was examined" in section(page(made), "guide")


def test_score_over_time() -> None:
    one = replace(results.one(), trend=results.trend("prod-eu"))
    text = page(one)
    assert "prod-eu: 72.0 on 1 November 2026, 06:00 UTC, 24.0 more than on 1 March 2026" in section(
        text, "trend"
    )
    (series,) = html_trend.of(one.trend)
    assert len(series.lines) == 2, "the run without a score interrupts the line"
    assert [dot.point.score for dot in series.dots] == [p.score for p in series.points if p.score is not None]
    assert series.dots[0][:2] == (0.0, round(html_trend.HEIGHT * 0.52, 1))
    several = section(page(replace(one, trend=results.trend("a", "b"))), "trend")
    assert "a 9 1 March 2026, 06:00 UTC 48.0 1 November 2026, 06:00 UTC 72.0 +24.0 12" in several
    assert 'class="trend"' not in page(results.one())


def test_a_patch_can_be_applied() -> None:
    blocks = re.findall(r"(?s)<pre[^>]*><code>(.*?)</code>", page(results.one()))
    patches = [json.loads("".join(Tags(f"<p>{block}</p>").text)) for block in blocks]
    fixes = [f.fix for c in worst_first(results.checks()) for f in c.findings if f.fix]
    assert patches == fixes


def test_a_page_too_long_for_markup_has_everything_in_its_data() -> None:
    result = results.huge()
    text = page(result)
    wanted, static = from_json(writer.render(result, "json")), from_html(text.encode())
    assert static.requirements == wanted.requirements
    assert sum(static.open.values()) + static.known + static.exempt == html_rows.STATIC
    document = data(text)
    severities, statuses = document["severities"], document["statuses"]
    counted: Counter[object] = Counter()
    for cluster in document["clusters"]:
        assert isinstance(cluster, dict)
        for _, _, severity, _, flat in cluster["checks"]:
            counted.update((statuses[status], severities[severity]) for status in flat[::10])
    assert {s: counted["open", s] for s in wanted.open} == wanted.open
    total = sum(wanted.open.values())
    left = [int(n.replace(",", "")) for n in re.findall(r'<p class="left">([\d,]+) ', text)]
    assert sum(left) == total - html_rows.STATIC
    assert f"This file holds {total:,} findings. Without JavaScript the first 2,000" in text


def test_same_bytes() -> None:
    scan = replace(results.framed(), trend=results.trend("b", "a"))
    turned = ScanResult(
        scan.tool_version, scan.started_at, scan.finished_at, scan.clusters[::-1], trend=scan.trend[::-1]
    )
    assert page(scan) == page(turned)
