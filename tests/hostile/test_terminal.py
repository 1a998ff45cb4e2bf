"""Every command with a hostile cluster, specification and checks: no line of any output is obeyed."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.hostile import cluster
from tests.hostile.text import PAYLOADS, obeyed

KSPEC = ("-m", "pytest_kspec.cli.main")
PYTEST = ("-p", "no:cacheprovider", "--kspec-cluster=b.tar.gz", "--kspec-exemptions=e.yaml")
ASKED = ("spec.yaml", "--checks", "checks", "--exemptions", "e.yaml")


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of it, and what a scan wrote."""
    folder = tmp_path_factory.mktemp("hostile")
    cluster.snapshot(folder / "before.tar.gz")
    cluster.snapshot(folder / "b.tar.gz", more=True)
    cluster.snapshot(folder / "names.tar.gz", more=True, names=True)
    cluster.snapshot(folder / "other.tar.gz", more=True, title=f"::other::{cluster.TITLE}")
    cluster.specification(folder / "spec.yaml")
    cluster.exemptions(folder / "e.yaml")
    cluster.checks(folder / "checks")
    for name in ("before", "b"):
        words = ("scan", *ASKED, "--cluster", f"{name}.tar.gz", "--report", f"json:{name}.json")
        _checked(folder, *KSPEC, *words, "--store", "store.db")
    return folder


def _checked(folder: Path, *words: str, **env: str) -> Said:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        timeout=300,
        env=os.environ | {"NO_COLOR": "1", "HOME": str(folder), "KUBECONFIG": ""} | env,
    )
    said = Said(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in said.err
    assert obeyed(said.out) == []
    assert obeyed(said.err) == []
    return said


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("scan", *ASKED, "--cluster", "b.tar.gz"), 2),
        (("scan", *ASKED, "--cluster", "b.tar.gz", "-n", "2"), 2),
        (("scan", *ASKED, "--cluster", "names.tar.gz"), 2),
        (("scan", *ASKED, "--cluster", "names.tar.gz", "-q"), 2),
        (("scan", *ASKED, "--cluster", "names.tar.gz", "--cluster", "other.tar.gz"), 2),
        (("diff", "b.tar.gz", "names.tar.gz"), 2),
        (("scan", "spec.yaml", "--cluster", "::error::no ##[x]\x1b"), 4),
        (("scan", "::error::no\n::x.yaml"), 4),
        (("scan", *ASKED, "--cluster", "b.tar.gz", "--report", "\n::error::##[x]"), 4),
        (("scan", "spec.yaml", "-k", "\n::x", "--cluster", "b.tar.gz"), 4),
        (("validate", *ASKED[:3]), 0),
        (("validate", "broken.yaml"), 4),
        (("render", "spec.yaml"), 0),
        (("render", "spec.yaml", "-o", "json"), 0),
        (("init", "--cluster", "b.tar.gz", "-o", "-"), 4),
        (("diff", "before.json", "b.json"), 2),
        (("diff", "before.json", "b.json", "-o", "markdown"), 2),
        (("diff", "before.json", "b.json", "-o", "json"), 2),
        (("diff", "before.tar.gz", "b.tar.gz"), 1),
        (("fix", "--from", "b.json"), 2),
        (("fix", "spec.yaml", "--cluster", "b.tar.gz"), 0),
        (("enforce", "spec.yaml", "--exemptions", "e.yaml", "--mode", "audit", "-o", "-"), 0),
        (("enforce", "spec.yaml", "--cluster", "b.tar.gz", "--preview"), 1),
        (("history", "--store", "store.db"), 0),
        (("history", "--store", "store.db", "--findings"), 0),
        (("history", "--store", "store.db", "--findings", "-o", "json"), 0),
        (("evidence", "--from", "\n::error::x", "--key", "##[x]\x1b", "-o", "e.tar.gz"), 4),
        (("evidence", "--from", "b.json", "--key", "\n::error::##[x]\x1b", "-o", "e.tar.gz"), 4),
        (("verify", "\n::error::##[x]\x1b", "--key", "\n::key"), 4),
        (("verify", "b.tar.gz", "--key", "\n::key"), 4),
        (("crds", "\n::error::##[x]\x1b"), 4),
        (("crds", "--list"), 0),
        (("frameworks", "\n::error::##[x]\x1b"), 4),
        (("snapshot", "--cluster", "\n::error::##[x]\x1b", "-o", "s.tar.gz"), 4),
        (("snapshot", "--cluster", "x", "--kubeconfig", "\n::error::##[x]\x1b", "-o", "s.tar.gz"), 4),
        (("webhook", "spec.yaml", "--self-signed", "tls", "--cluster", "\n::error::##[x]\x1b"), 4),
        (("webhook", "spec.yaml", "--manifests", "\n::error::##[x]\x1b"), 0),
        (("operator", "--cluster", "\n::error::##[x]\x1b"), 4),
        (("checks", "--checks", "checks"), 0),
        (("checks", "--checks", "checks", "--json"), 0),
        (("explain", "acme.prints", "--checks", "checks"), 0),
        (("explain", "\n::error::x"), 4),
        (("\x1b[2J::x",), 4),
    ],
    ids=lambda value: " ".join(value).encode("unicode_escape").decode() if isinstance(value, tuple) else "",
)
def test_commands(place: Path, words: tuple[str, ...], code: int) -> None:
    (place / "broken.yaml").write_text('spec: {"::error::##[x]\\e": 1}\n"\\n::x": {}\n')
    assert _checked(place, *KSPEC, *words).code == code


FLEET = ("--kubeconfig", "fleet.kubeconfig")


@pytest.fixture(scope="module")
def fleet(place: Path) -> Path:
    """Contexts of a kubeconfig whose names are commands, and what a run over them left in a store."""
    names = [f"{payload}-{number}" for number, payload in enumerate(PAYLOADS)]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in names],
    }
    (place / "fleet.kubeconfig").write_text(yaml.safe_dump(document))
    (place / "alerts.yaml").write_text('spec: {"::error::##[x]\\e": 1}\n')
    (place / "audit.log").write_text("\n::error::##[x]\x1b\n")
    words = ("fleet", "scan", "spec.yaml", *FLEET, "--all-contexts", "--store", "fleet.db")
    assert _checked(place, *KSPEC, *words).code == 2
    return place


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("fleet", "report", "--store", "fleet.db"), 2),
        (("fleet", "status", "--store", "fleet.db"), 0),
        (("fleet", "list", "--store", "fleet.db"), 0),
        (("fleet", "report", "--store", "store.db"), 4),
        (("fleet", "scan", "spec.yaml", *FLEET, "--context", "\n::error::##[x]\x1b", "--store", "x.db"), 4),
        (("fleet", "enforce", "spec.yaml", *FLEET, "--all-contexts", "--mode", "audit", "--yes"), 2),
        (("cluster", "discover", *FLEET), 0),
        (("cluster", "list", *FLEET, "--from", "contexts"), 0),
        (("cluster", "status", *FLEET, "--from", "contexts"), 2),
        (("cluster", "add", *FLEET, "\n::error::##[x]\x1b"), 4),
        (("dashboard", "--store", "store.db"), 0),
        (("dashboard", "--store", "store.db", "-o", "json"), 0),
        (("dashboard", "--store", "fleet.db"), 0),
        (("dashboard", "--store", "\n::error::##[x]\x1b"), 2),
        (("drift", "detect", "-s", "spec.yaml", *FLEET, "--cluster", f"{PAYLOADS[0]}-0"), 2),
        (("drift", "history", "-s", "spec.yaml", "--store", "store.db"), 0),
        (("alert", "list", "--store", "store.db"), 0),
        (("alert", "test", "alerts.yaml"), 4),
        (("audit", "verify", "audit.log"), 1),
        (("audit", "verify", "\n::error::##[x]\x1b"), 4),
    ],
    ids=lambda value: " ".join(value).encode("unicode_escape").decode() if isinstance(value, tuple) else "",
)
def test_commands_of_fleets(fleet: Path, words: tuple[str, ...], code: int) -> None:
    assert _checked(fleet, *KSPEC, *words).code == code


@pytest.mark.parametrize("form", ["csv", "html", "json", "junit", "markdown", "oscal", "sarif"])
def test_reports_on_standard_output_say_the_same_where_their_format_can(place: Path, form: str) -> None:
    out = _checked(place, *KSPEC, "report", "--from", "b.json", "--to", f"{form}:-").out
    _checked(place, *KSPEC, "report", "--from", "b.json", "--to", f"{form}:file")
    kept = (place / "file").read_text()
    if form in ("json", "oscal", "sarif"):
        assert json.loads(out) == json.loads(kept)
    elif form == "junit":
        assert _texts(ET.fromstring(out)) == _texts(ET.fromstring(kept))
    elif form == "csv":
        assert [len(row) for row in csv.reader(io.StringIO(out))] == [
            len(row) for row in csv.reader(io.StringIO(kept))
        ]


def _texts(element: ET.Element) -> list[object]:
    return [(one.tag, one.attrib, one.text) for one in element.iter()]


def test_patches_on_standard_output_are_those_of_the_file(place: Path) -> None:
    out = _checked(place, *KSPEC, "fix", "spec.yaml", "--cluster", "b.tar.gz").out
    found = list(yaml.safe_load_all(out))
    assert found
    assert "##[error]x" in json.dumps(found)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("-rA", "-v"),
        ("-n", "2", "-v", "-rA"),
        ("--collect-only",),
        ("--collect-only", "-q"),
        ("-s", "-k", "not prints"),
        ("--tb=long", "-vv", "--durations=3", "-x"),
        ("-W", "error"),
        ("--color=yes",),
    ],
    ids=lambda words: " ".join(words),
)
def test_pytest(place: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PYTEST, "--kspec-spec=spec.yaml", "--kspec-checks=checks", *words],
        cwd=place,
        capture_output=True,
        timeout=300,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
    )
    assert done.returncode in (0, 1, 2)
    assert obeyed(done.stdout.decode(), colours="--color=yes" in words) == []
    assert obeyed(done.stderr.decode()) == []


def test_names_of_files(place: Path) -> None:
    name = "x\x1b ##vso\n:error.yaml"
    (place / name).write_text((place / "spec.yaml").read_text())
    for words in (
        (*KSPEC, "scan", name, "--cluster", "b.tar.gz"),
        (*KSPEC, "validate", name),
        ("-m", "pytest", "--collect-only", *PYTEST, f"--kspec-spec={name}"),
    ):
        _checked(place, *words)
