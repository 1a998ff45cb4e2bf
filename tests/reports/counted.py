"""The totals of a report, read back from the file alone: what its reader sees, not what the model says."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pypdf

SEVERITIES = ("critical", "high", "medium", "low")
VERDICTS = ("error", "fail", "pass", "skip")


class Counted(NamedTuple):
    """Requirements by verdict, open findings by severity, how many are known and exempt.

    accepted: those by (status, severity), where the format tells them apart, else None
    """

    requirements: dict[str, int]
    open: dict[str, int]
    known: int
    exempt: int
    accepted: dict[tuple[str, str], int] | None = None

    @classmethod
    def of(cls, verdicts: Iterable[str], findings: Iterable[tuple[str, str]]) -> Counted:
        """findings: (status, severity), each."""
        found, requirements = Counter(findings), Counter(verdicts)
        return cls(
            {verdict: requirements[verdict] for verdict in VERDICTS},
            {severity: found["open", severity] for severity in SEVERITIES},
            sum(found["known", s] for s in SEVERITIES),
            sum(found["exempt", s] for s in SEVERITIES),
            {(status, s): found[status, s] for status in ("known", "exempt") for s in SEVERITIES},
        )


def from_json(content: bytes) -> Counted:
    checks = [check for cluster in json.loads(content)["clusters"] for check in cluster["checks"]]
    return Counted.of(
        (check["verdict"] for check in checks),
        (
            ("exempt" if f["exemption"] else "known" if f["known"] else "open", check["severity"])
            for check in checks
            for f in check["findings"]
        ),
    )


def from_csv(content: bytes) -> Counted:
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))
    requirements = {(row["result"], row["requirement"]): row["verdict"] for row in rows}
    return Counted.of(
        requirements.values(), ((row["status"], row["severity"]) for row in rows if row["status"])
    )


def from_sarif(content: bytes) -> Counted:
    (run,) = json.loads(content)["runs"]
    totals = run["properties"]["totals"]
    said = Counted.of(
        (verdict for verdict, n in totals["requirements"].items() for _ in range(n)),
        (
            (status, severity)
            for status, by_severity in totals["findings"].items()
            for severity, n in by_severity.items()
            for _ in range(n)
        ),
    )
    if not run["properties"]["truncated"]:
        results = [result["properties"] for result in run["results"]]
        counted = Counted.of((), ((p["status"], p["severity"]) for p in results if "status" in p))
        assert counted._replace(requirements=said.requirements) == said
        assert sum("status" not in p for p in results) == said.requirements["error"]
    assert run["invocations"][0]["executionSuccessful"] == (said.requirements["error"] == 0)
    return said


def from_intoto(content: bytes) -> Counted:
    totals = json.loads(content)["subject"][0]["annotations"]["totals"]
    return Counted.of(
        (verdict for verdict, n in totals["requirements"].items() for _ in range(n)),
        (
            (status, severity)
            for status, by_severity in totals["findings"].items()
            for severity, n in by_severity.items()
            for _ in range(n)
        ),
    )


def from_oscal(content: bytes) -> Counted:
    verdicts, findings, states = [], [], Counter[str]()
    satisfied = 0
    for result in json.loads(content)["assessment-results"]["results"]:
        status: dict[str, str] = {}  # of the observations, to find those that only a baseline lets pass
        for observation in result.get("observations", ()):
            props = {prop["name"]: prop["value"] for prop in observation["props"]}
            if observation["types"] == ["control-objective"]:
                verdicts.append(props["verdict"])
            else:
                findings.append((props["status"], props["severity"]))
                status[observation["uuid"]] = props["status"]
        for finding in result.get("findings", ()):
            props = {prop["name"]: prop["value"] for prop in finding["props"]}
            if "framework" not in props:
                states[finding["target"]["status"]["state"]] += 1
                seen = {status.get(link["observation-uuid"]) for link in finding["related-observations"]}
                satisfied += props["verdict"] == "pass" and "known" not in seen
    assert states["satisfied"] == satisfied
    assert states["satisfied"] + states["not-satisfied"] == len(verdicts) - verdicts.count("skip")
    return Counted.of(verdicts, findings)


def from_markdown(content: bytes) -> Counted:
    text = content.decode()
    rows = {
        words[0]: words[1:]
        for line in text.splitlines()
        if line.startswith("| ") and (words := [cell.strip() for cell in line.strip("|").split(" | ")])
    }
    numbers = {name: [int(n.replace(",", "")) for n in rows[name]] for name in ("open", "known", "exempted")}
    for by_severity in numbers.values():
        assert sum(by_severity[:4]) == by_severity[4]
    found = {
        ("exempt" if k == "exempted" else k): dict(zip(SEVERITIES, v, strict=False))
        for k, v in numbers.items()
    }
    # One cluster has one row, several have a last one for all.
    total = rows.get("**all**") or next(
        (v for k, v in rows.items() if k[:1] in "❌⚠✅⚪"), ["", "", *"00000"]
    )
    counts = [int(n.replace(",", "")) for n in total[2:7]]
    assert counts[4] == numbers["open"][4]
    return Counted(
        dict(zip(VERDICTS, counts, strict=False)),
        found["open"],
        numbers["known"][4],
        numbers["exempted"][4],
        {(status, s): found[status][s] for status in ("known", "exempt") for s in SEVERITIES},
    )


def pdf_text(content: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)


def from_pdf(content: bytes) -> Counted:
    text = " ".join(pdf_text(content).split())
    n = r"([\d,]+)"
    tiles = re.search(rf"{n} could not be evaluated {n} failed {n} passed {n} skipped", text)
    five = " ".join([n] * 5)
    table = re.search(rf" all open {five} known {five} exempted {five} ", text)
    assert tiles is not None
    assert table is not None
    cells = [int(cell.replace(",", "")) for cell in table.groups()]
    for start in (0, 5, 10):
        assert sum(cells[start : start + 4]) == cells[start + 4]
    return Counted(
        dict(zip(VERDICTS, (int(cell.replace(",", "")) for cell in tiles.groups()), strict=True)),
        dict(zip(SEVERITIES, cells[:4], strict=True)),
        cells[9],
        cells[14],
        {
            (status, s): cells[start + index]
            for status, start in (("known", 5), ("exempt", 10))
            for index, s in enumerate(SEVERITIES)
        },
    )


class _Findings(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.verdicts: list[str] = []
        self.findings: list[tuple[str, str]] = []
        self._severity = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: text or "" for name, text in attrs}
        classes = have.get("class", "").split()
        if tag == "details" and "check" in classes:
            self.verdicts.append(have["data-v"])
            self._severity = have["data-s"]
        if tag == "div":
            self._open.append(next((c for c in classes if c in ("exempted", "known")), ""))
        if tag == "li" and "finding" in classes:
            inside = [name for name in self._open if name]
            status = {"exempted": "exempt"}.get(inside[-1], inside[-1]) if inside else "open"
            self.findings.append((status, self._severity))

    def handle_endtag(self, tag: str) -> None:
        if tag == "div":
            self._open.pop()


def from_html(content: bytes) -> Counted:
    page = _Findings(content.decode())
    return Counted.of(page.verdicts, page.findings)


def from_junit(content: bytes) -> Counted:
    verdicts, found, accepted = [], Counter[str](), Counter[str]()
    for case in ElementTree.fromstring(content).iter("testcase"):
        outcome = next((child for child in case if child.tag != "system-out"), None)
        verdicts.append(
            {"failure": "fail", "error": "error", "skipped": "skip"}[outcome.tag]
            if outcome is not None
            else "pass"
        )
        said = (outcome.text if outcome is not None else "") or ""
        if outcome is not None and (count := re.search(r"^(\S+) findings?:$", said, re.MULTILINE)):
            found[outcome.attrib["type"]] += int(count[1].replace(",", ""))
        for line in (case.findtext("system-out") or "").splitlines():
            if count := re.fullmatch(r"(\S+) findings? (known from the baseline|exempted):", line):
                accepted[count[2]] += int(count[1].replace(",", ""))
    counted = Counted.of(verdicts, ())
    return Counted(
        counted.requirements,
        {severity: found[severity] for severity in SEVERITIES},
        accepted["known from the baseline"],
        accepted["exempted"],
    )


def from_terminal(text: str) -> Counted:
    """Of `terminal.render(…, details=0)`: a line for each requirement that is not met."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if match := re.fullmatch(r" [!✗] (?:ERROR|FAIL ) (\w+) +.*?(?: ×([\d,]+))?", line):
            found[match[1]] += int((match[2] or "0").replace(",", ""))
    last = text[text.rindex("requirement") :]
    counts = {word: int(n.replace(",", "")) for n, word in re.findall(r"([\d,]+) ([a-z]+)", last)}
    words = {"error": "errors", "fail": "failed", "pass": "passed", "skip": "skipped"}
    requirements = {verdict: counts.get(word, 0) for verdict, word in words.items()}
    requirements["error"] += counts.get("error", 0)
    return Counted(
        requirements, {s: found[s] for s in SEVERITIES}, counts.get("known", 0), counts.get("exempted", 0)
    )


COUNT: dict[str, Callable[[bytes], Counted]] = {
    "csv": from_csv,
    "html": from_html,
    "intoto": from_intoto,
    "json": from_json,
    "junit": from_junit,
    "markdown": from_markdown,
    "oscal": from_oscal,
    "pdf": from_pdf,
    "pdf-full": from_pdf,
    "sarif": from_sarif,
}


def text_of(content: bytes, format_name: str) -> Any:
    """The file as text; that of a PDF is compressed and drawn."""
    return pdf_text(content) if format_name.startswith("pdf") else content.decode()
