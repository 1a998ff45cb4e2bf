from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pypdf
import pytest

from pytest_kspec.reports import writer
from pytest_kspec.reports.pdf import document as pdf
from pytest_kspec.reports.pdf import full as pdf_full
from pytest_kspec.results.evidence import Evidence
from pytest_kspec.results.result import ScanResult
from tests.reports import results
from tests.reports.counted import pdf_text

ROOT = Path(__file__).parents[2]


def reader(result: ScanResult, format_name: str = "pdf-full") -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(writer.render(result, format_name)))


def flat(result: ScanResult, format_name: str = "pdf-full") -> str:
    return " ".join(pdf_text(writer.render(result, format_name)).split())


@pytest.mark.parametrize(
    "result",
    [
        results.scan(),
        results.one(),
        results.fleet(12, 60, 40),
        results.framed(),
        results.fleet(300, 120, 1),
        results.scan(*(results.cluster(f"{'long-name-' * 12}{n}") for n in range(150))),
    ],
    ids=["empty", "one", "fleet", "framed", "hundreds", "long"],
)
def test_executives_get_ten_pages_at_most(result: ScanResult) -> None:
    assert len(reader(result, "pdf").pages) <= pdf.MOST_PAGES


def test_what_is_left_out_is_counted() -> None:
    result = results.fleet(300, 120, 1)
    text = flat(result, "pdf")
    named = len(set(re.findall(r"(?:prod|staging)-[a-z0-9-]+-\d+ strict 1.2.0", text)))
    left = re.search(r"… and (\d+) more clusters; see the reports pdf-full and json of this run", text)
    assert left is not None
    assert named + int(left[1]) == 300


def test_what_could_not_be_looked_at_comes_first_and_the_same_finding_once() -> None:
    """A cluster that answered nothing is not the worst of all, and twelve clusters do not say the same twelve times."""
    good, bad = results.checks()[9], results.checks()[0]
    lost = tuple(
        results.check(
            f"acme.c{n}", "T", "high", "error", reason=f"no answer on port {n % 2}. Look at the proxy."
        )
        for n in range(39)
    )
    part = (*lost[:27], *(results.check(f"acme.c{n}", "T", "high", "pass") for n in range(27, 39)))
    evidence = Evidence("a.tar.gz", "", "2026-11-20T05:00:00Z", "")
    later = Evidence("b.tar.gz", "", "2026-11-23T05:00:00Z", "")
    result = results.scan(
        *(results.cluster(f"c{n:02}", checks=(bad, good), exemptions=()) for n in range(10)),
        results.cluster("lost", checks=lost, exemptions=(), evidence=evidence),
        results.cluster("part", checks=part, exemptions=(), evidence=later),
    )
    text = flat(result, "pdf")
    assert "10 of 12 clusters are not compliant; 2 could not be fully evaluated" in text
    assert "Recorded 20 November 2026, 05:00 UTC to 23 November 2026, 05:00 UTC" in text
    assert "no answer on port 0. Look at the proxy. 34 lost, part" in text
    order = [
        text.index(said)
        for said in ("What could not be evaluated", "! lost", "! part", "× c00", "Frameworks")
    ]
    assert order == sorted(order)
    assert "0 of 39" in text
    assert "12 of 39" in text
    assert "10 of 10: c00, c01, c02 and 7 more" in text
    # Ten clusters have it: it is said once, with its clusters.
    assert flat(result).count(str(bad.open_findings[0].owner)) <= 2


def test_a_sentence_about_controls_is_said_once() -> None:
    assert flat(results.framed()).count("look at the file") <= 2


def test_metadata() -> None:
    meta = reader(results.one()).metadata
    assert meta is not None
    assert (meta.title, meta.author, meta.creator) == (
        "Kubernetes compliance report, 24 November 2026, 06:00 UTC",
        "pytest-kspec",
        "pytest-kspec 0.1.0",
    )
    assert meta.creation_date is not None
    assert meta.creation_date.isoformat() == "2026-11-24T06:00:07+00:00"


def test_pages_are_numbered_and_clusters_can_be_jumped_to() -> None:
    made = reader(results.fleet(5, 40, 3))
    count = len(made.pages)
    assert [page.extract_text().count(f"Page {n} of {count}") for n, page in enumerate(made.pages, 1)] == [
        1
    ] * count
    titles = [entry.title for entry in made.outline if not isinstance(entry, list)]
    assert titles[0] == "3 of 5 clusters are not compliant"
    links = [a.get_object() for page in made.pages for a in page.get("/Annots", ())]
    assert len([a for a in links if a["/Subtype"] == "/Link"]) == 5


def test_an_auditor_finds_evidence_frameworks_and_exemptions() -> None:
    evidence = Evidence("prod.tar.gz", "ab" * 32, "2026-11-24T05:00:00Z", "cd" * 32)
    text = flat(results.scan(results.cluster(source="snapshot", evidence=evidence)))
    for said in (
        "snapshot: prod.tar.gz",
        "ab" * 32,
        "cd" * 32,
        "Recorded 24 November 2026, 05:00 UTC",
        "may not list clusterrolebindings.rbac.authorization.k8s.io: 403 Forbidden",
        "CIS Kubernetes Benchmark 1.10.0",
        "partially met",
        "for manual review: whether the network plugin enforces them",
        "The log agent reads /var/log of its node (OPS-1423)",
        "j.doe@example.com",
        "Known from the baseline",
        "Required, but not evaluated by this version",
    ):
        assert said in text, said


def test_characters_without_a_glyph_are_seen() -> None:
    text = flat(results.one())
    assert "Ünïcode —" in text
    assert "\\u65e5\\u672c\\u8a9e" in text
    assert "are written as their code, such as \\u65e5" in text
    assert "are written as their code" not in flat(results.compliant())
    assert "Ω Ж ş ạ →" in flat(results.scan(results.cluster("Ω Ж ş ạ →")))


def test_too_many_findings_are_cut_evenly_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_full, "MOST_FINDINGS", 20)
    text = flat(results.one())
    assert "… and 12 more findings; see the JSON report of this run." in text
    assert "open 3 17 8 1 29 known" in text


def test_bytes_do_not_depend_on_the_time() -> None:
    script = (
        "import sys; from tests.reports import results; from pytest_kspec.reports import writer\n"
        "sys.stdout.buffer.write(writer.render(results.one(), 'pdf'))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}
    made = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, check=True)
    assert made.stdout == writer.render(results.one(), "pdf")


def test_nothing_leaves_the_page() -> None:
    """Words of any length are broken; what pdftotext sees lies within the margins."""
    content = writer.render(results.one(), "pdf")
    try:
        done = subprocess.run(
            ["pdftotext", "-bbox", "-", "-"], input=content, capture_output=True, check=True
        )
    except FileNotFoundError:
        pytest.fail("pdftotext is missing: apt-get install poppler-utils", pytrace=False)
    boxes = re.findall(rb'xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)"', done.stdout)
    assert len(boxes) > 500
    margin, width, height = 15 / 25.4 * 72, 595.28, 841.89
    for box in boxes:
        left, top, right, bottom = map(float, box)
        assert left >= margin - 1, box
        assert right <= width - margin + 1, box
        assert top >= 20, box
        assert bottom <= height - 20, box
