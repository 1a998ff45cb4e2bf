"""`kspec report`: every format from results that lie there, and what could not be read or written."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_kspec.reports import writer
from tests.reports import results

from .conftest import Kspec


@pytest.fixture
def result(tmp_path: Path) -> Path:
    path = tmp_path / "scan.json"
    writer.write(results.one(), writer.ReportFile("json", str(path)))
    return path


def test_every_format_as_the_scan_writes_it(kspec: Kspec, result: Path, tmp_path: Path) -> None:
    from pytest_kspec.reports import json

    targets = [f"{name}:{tmp_path / name}" for name in sorted(writer.FORMATS)]
    words = [word for target in targets for word in ("--to", target)]
    said = kspec("report", "--from", result, *words)
    assert said == (0, "".join(f"{t.partition(':')[0]} report: {t.partition(':')[2]}\n" for t in targets), "")
    for name in writer.FORMATS:
        assert (tmp_path / name).read_bytes() == writer.render(json.read(result), name)
    assert (tmp_path / "json").read_bytes() == result.read_bytes()


def test_without_a_target_it_is_shown(kspec: Kspec, result: Path) -> None:
    said = kspec("report", "--from", result)
    assert said.code == 0
    assert said.out.splitlines()[-2].startswith("✗ NOT COMPLIANT")


def test_standard_input_and_output(
    result: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(result.read_bytes())))
    from pytest_kspec.cli.main import main

    assert main(["report", "--from", "-", "--to", "json:-"]) == 0
    assert json.loads(capfdbinary.readouterr().out) == json.loads(result.read_bytes())


def test_results_of_parallel_jobs(kspec: Kspec, result: Path, tmp_path: Path) -> None:
    other = tmp_path / "us.json"
    writer.write(results.scan(results.cluster("prod-us")), writer.ReportFile("json", str(other)))
    said = kspec("report", "--from", result, "--from", other)
    assert "2 clusters · 26 requirements\n" in said.out
    assert kspec("report", "--from", result, "--from", result).err == (
        f"error: --from {result}: is given twice. Give each result once.\n"
    )


def test_what_cannot_be(kspec: Kspec, result: Path, tmp_path: Path) -> None:
    assert kspec("report").err == "error: kspec report: no result is given. Add --from RESULT.\n"
    missing = kspec("report", "--from", tmp_path / "none.json")
    assert (missing.code, missing.err) == (
        4,
        f"error: {tmp_path / 'none.json'}: could not be read: No such file or directory. "
        "Use a file that was written by --report json:FILE.\n",
    )
    unknown = kspec("report", "--from", result, "--to", "pfd:x")
    assert unknown.code == 4
    assert unknown.err.startswith("error: --to pfd:x: unknown report format 'pfd'. Did you mean 'pdf'? ")
    full = kspec("report", "--from", result, "--to", "csv:/dev/full", "--to", f"json:{tmp_path / 'x.json'}")
    assert full.code == 2
    assert "No space left on device" in full.err
    assert (tmp_path / "x.json").exists()
