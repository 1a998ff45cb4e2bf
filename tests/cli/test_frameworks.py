"""`kspec frameworks`, and what `kspec validate` and a scan say about frameworks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kspec.frameworks.catalog import catalogs

from .conftest import EXAMPLES, ROOT, Kspec


def test_the_list_fits_80_columns_and_has_every_framework(kspec: Kspec) -> None:
    said = kspec("frameworks")
    assert said.code == 0
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line and not line.startswith(" ")][:-1] == list(catalogs())
    assert "  130 controls: 26 covered by checks, 5 partially, 99 for manual review" in lines


@pytest.mark.parametrize("name", catalogs())
def test_one_fits_80_columns_and_has_every_control(kspec: Kspec, name: str) -> None:
    said = kspec("frameworks", name)
    lines = said.out.splitlines()
    assert (said.code, max(map(len, lines)) <= 80) == (0, True)
    heads = [line.split("  ")[0] for line in lines if line.endswith(("  full", "  partial", "  manual"))]
    assert heads == [control.id for control in catalogs()[name].controls]


def test_a_control_says_checks_and_what_a_person_looks_at(kspec: Kspec) -> None:
    out = kspec("frameworks", "CIS").out
    lines = out[out.index("\n5.5.1  ") :].splitlines()
    assert lines[1:8] == [
        "5.5.1  partial",
        "  Images come from where they should",
        "    check: workloads.images.allowedRegistries",
        "    also:  workloads.images.blockedRegistries,",
        "      workloads.images.requireDigests, workloads.images.requireSignatures",
        "    person: that images are signed, where the specification does not require",
        "      it, and that admission verifies by whom",
    ]


def test_as_json(kspec: Kspec) -> None:
    (found,) = json.loads(kspec("frameworks", "soc2", "--json").out)
    assert (found["id"], len(found["controls"])) == ("soc2", 14)
    assert [entry["id"] for entry in json.loads(kspec("frameworks", "--json").out)] == list(catalogs())


def test_an_unknown_framework(kspec: Kspec) -> None:
    said = kspec("frameworks", "nist-800-35")
    assert said.code == 4
    assert "unknown framework 'nist-800-35'." in said.err
    assert "nist-800-53" in said.err


def test_validate_says_which_mappings_name_no_check(kspec: Kspec, write_spec: Callable[..., Path]) -> None:
    path = write_spec(
        "compliance: {frameworks: [{name: R, controls: [{id: R-1, mappings: [{check: network.policies}]}]}]}"
    )
    said = kspec("validate", path)
    assert said.code == 0
    assert (
        "compliance.frameworks[0].controls[0].mappings[0].check: not evaluated: control R-1: 'network.policies': "
        "no check has this id."
    ) in said.out
    assert f"{path}:5:" in said.out


def test_the_page_shows_what_a_scan_says(run_kspec: Kspec) -> None:
    page = (ROOT / "docs" / "frameworks.md").read_text(encoding="utf-8")
    shown = [line for line in page.splitlines() if line.startswith("   · ")]
    said = run_kspec("scan", EXAMPLES / "01-quickstart" / "strict.yaml").out
    assert len(shown) == len(catalogs())
    assert "\n".join(shown) in said, "run the scan, and bring HEAD of reference/frameworkdoc.py up to date"
