from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kspec.errors import EXIT_NOT_EVALUATED, ReportError, UsageError
from pytest_kspec.reports import writer
from pytest_kspec.reports.writer import ReportFile, parse_target, parse_targets
from tests.hostile.text import obeyed
from tests.reports import results

FORMATS = "csv, html, intoto, json, junit, markdown, oscal, pdf, pdf-full, sarif"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("json:scan.json", ReportFile("json", "scan.json")),
        ("junit:build/new/junit.xml", ReportFile("junit", "build/new/junit.xml")),
        ("html:a:b.html", ReportFile("html", "a:b.html")),
        ("json:-", ReportFile("json", "-")),
        ("json:/dev/null", ReportFile("json", "/dev/null")),
    ],
)
def test_parse_target(text: str, target: ReportFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_target(text) == target
    assert str(target) == text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "jsn:x",
            f"unknown report format 'jsn'. Did you mean 'json'? Formats: {FORMATS}; write FORMAT:FILE.",
        ),
        (
            "JUnit:x",
            f"unknown report format 'JUnit'. Did you mean 'junit'? Formats: {FORMATS}; write FORMAT:FILE.",
        ),
        ("report", f"unknown report format 'report'. Formats: {FORMATS}; write FORMAT:FILE."),
        ("", f"unknown report format ''. Formats: {FORMATS}; write FORMAT:FILE."),
        ("json", "no file is given. Write json:FILE, or json:- for standard output."),
        ("json:", "no file is given. Write json:FILE, or json:- for standard output."),
        ("json:folder/", "is a folder. Name a file in it: json:folder/FILE."),
        ("json:.", "is a folder. Name a file in it: json:./FILE."),
        ("json:file/x/scan.json", "{tmp}/file is a file, not a folder. Use another path."),
    ],
)
def test_targets_that_cannot_be(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as caught:
        parse_target(text)
    assert str(caught.value) == f"--kspec-report {text}: {message}".replace("{tmp}", str(tmp_path))


def test_an_impossible_path() -> None:
    with pytest.raises(UsageError, match="cannot be written: embedded null byte"):
        parse_target("json:a\0b")
    with pytest.raises(UsageError, match="File name too long"):
        parse_target("json:" + "x" * 5000)


def test_two_reports_for_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_targets(["json:a", "html:b"]) == (ReportFile("json", "a"), ReportFile("html", "b"))
    for second in ("html:./a", f"json:{tmp_path}/a"):
        with pytest.raises(UsageError, match="json:a writes the same file"):
            parse_targets(["json:a", second])
    with pytest.raises(UsageError, match="json:- writes the same file"):
        parse_targets(["json:-", "junit:-"])
    assert len(parse_targets(["json:/dev/null", "html:/dev/null"])) == 2


def test_write_creates_folders_and_honours_umask(tmp_path: Path) -> None:
    path = tmp_path / "build" / "deep" / "scan.json"
    before = os.umask(0o027)
    try:
        writer.write(results.one(), ReportFile("json", str(path)))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in path.parent.iterdir()] == ["scan.json"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    link = tmp_path / "link.json"
    for target in (tmp_path / "victim", tmp_path / "absent", Path("/dev/null"), tmp_path):
        link.symlink_to(target)
        said = "is a folder" if target == tmp_path else "it is a symbolic link: name the file itself"
        with pytest.raises(UsageError, match=said):
            parse_target(f"json:{link}")
        with pytest.raises(ReportError, match="it is a symbolic link: name the file itself"):
            writer.write(results.one(), ReportFile("json", str(link)))
        link.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]
    assert (tmp_path / "victim").read_text() == "kept"


def test_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    writer.write(results.one(), ReportFile("json", "-"))
    written = capfdbinary.readouterr().out
    assert json.loads(written) == json.loads(writer.render(results.one(), "json"))
    assert obeyed(written.decode()) == []


@pytest.mark.parametrize("before", [None, b"the old report"])
def test_full_disk_leaves_no_half_file(before: bytes | None, tmp_path: Path) -> None:
    # A limit on file size is a disk that is full after so many bytes.
    script = (
        "import resource, signal\n"
        "from pytest_kspec.errors import ReportError\n"
        "from pytest_kspec.reports import writer\n"
        "from tests.reports import results\n"
        "writer.render(results.one(), 'html')\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "before = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))\n"
        "try:\n"
        "    writer.write(results.one(), writer.ReportFile('html', 'report.html'))\n"
        "except ReportError as error:\n"
        "    print(error, error.exit_code)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, before)\n"
    )
    if before:
        (tmp_path / "report.html").write_bytes(before)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (
        "report.html: the html report could not be written: File too large. No partial file is left. "
        f"Free disk space or use another path, and run again. {EXIT_NOT_EVALUATED}\n",
        "",
    )
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == ({"report.html": before} if before else {})


def test_a_device_is_written_to_directly() -> None:
    writer.write(results.one(), ReportFile("json", "/dev/null"))
    with pytest.raises(ReportError, match="No space left on device"):
        writer.write(results.one(), ReportFile("json", "/dev/full"))
    assert Path("/dev/full").is_char_device()


def test_formats_are_imported_when_asked_for() -> None:
    script = (
        "import sys, pytest_kspec.reports.writer, pytest_kspec.reports.terminal\n"
        "print(sorted({'jinja2', 'xml.etree', 'rich', 'pydantic', 'fpdf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_a_format_needs_is_said_before_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(writer.EXTRAS, "pdf", ("pdf", ("fpdf", "no_such_module")))
    with pytest.raises(UsageError) as caught:
        parse_target("pdf:report.pdf")
    assert str(caught.value) == (
        "--kspec-report pdf:report.pdf: the pdf report needs the package 'no_such_module', which is not installed. "
        "Install it with: pip install 'pytest-kspec[pdf]'"
    )


def test_extras_name_modules_that_they_install() -> None:
    from importlib.util import find_spec

    assert [m for _, modules in writer.EXTRAS.values() for m in modules if find_spec(m) is None] == []
