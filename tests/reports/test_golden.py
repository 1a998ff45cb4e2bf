from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_kspec.reports import terminal, writer
from pytest_kspec.results.result import ScanResult
from tests.golden import Golden
from tests.reports import results
from tests.reports.counted import pdf_text

GOLDEN = Path(__file__).parent / "golden"
RESULTS = {
    "one": results.one(),
    "compliant": results.compliant(),
    "fleet": results.fleet(3, 12, 2),
    "empty": results.scan(),
}
SUFFIX = {
    "csv": "csv",
    "html": "html",
    "intoto": "intoto.json",
    "json": "json",
    "junit": "xml",
    "markdown": "md",
    "oscal": "oscal.json",
    "pdf": "pdf.txt",
    "pdf-full": "pdf-full.txt",
    "sarif": "sarif",
}
SHOWN = {"one": 80, "compliant": 80, "fleet": 80, "empty": 80, "narrow": 50, "ascii": 80}


def file_names() -> set[str]:
    reports = {f"one.{SUFFIX[name]}" for name in writer.FORMATS} | {
        f"fleet.{SUFFIX[name]}" for name in writer.FORMATS
    }
    return reports | {f"terminal-{name}.txt" for name in SHOWN}


@pytest.mark.parametrize("format_name", sorted(writer.FORMATS))
@pytest.mark.parametrize("name", ["one", "fleet"])
def test_report(name: str, format_name: str, golden: Golden) -> None:
    content = writer.render(RESULTS[name], format_name)
    if format_name == "html":  # style and script are files of their own: what matters here is the text
        content = re.sub(rb"(?s)<(style|script)>.*?</\1>|'sha256-[^']*'", b"", content)
    if format_name.startswith("pdf"):  # what is drawn; how it looks is looked at
        content = pdf_text(content).encode()
    golden(f"{name}.{SUFFIX[format_name]}", content)


@pytest.mark.parametrize(("name", "width"), sorted(SHOWN.items()))
def test_terminal(name: str, width: int, golden: Golden) -> None:
    result: ScanResult = RESULTS.get(name, RESULTS["one"])
    text = terminal.render(result, width, encoding="ascii" if name == "ascii" else "utf-8")
    golden(f"terminal-{name}.txt", text.encode())


def test_no_other_golden_files() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == file_names()
