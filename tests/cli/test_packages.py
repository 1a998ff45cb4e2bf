"""Commands where only what is always installed is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kspec.cli.main import COMMANDS
from pytest_kspec.cli.packages import missing
from tests.cli.conftest import ROOT

STRICT = str(ROOT / "examples/01-quickstart/strict.yaml")
RECORDED = str(ROOT / "examples/01-quickstart/prod-eu.tar.gz")
EXTRA = (
    *("alembic", "boto3", "cryptography", "fpdf", "httptools", "hvac", "obstore", "opentelemetry", "psycopg"),
    *("sigstore", "sqlalchemy", "starlette", "textual", "uvicorn", "uvloop", "xdist"),
)
NEEDS = {
    "alert": (["alert", "list", "--store=x.db"], "store"),
    "dashboard": (["dashboard", "--store=x.db"], "dashboard"),
    "dashboard --serve": (["dashboard", "--serve", "--store=x.db"], "dashboard"),
    "drift": (["drift", "history", "--store=x.db"], "store"),
    "fleet": (["fleet", "report"], "store"),
    "fleet scan": (["fleet", "scan", "-s", STRICT], "store"),
    "history": (["history", "--store=x.db"], "store"),
    "operator": (["operator"], "operator"),
    "scan --store": (["scan", STRICT, "--cluster", RECORDED, "--store=x.db"], "store"),
    "scan -n": (["scan", STRICT, "--cluster", RECORDED, "-n2"], "xdist"),
    "scan --report": (["scan", STRICT, "--cluster", RECORDED, "--report=pdf:x.pdf"], "pdf"),
    "verify": (["verify", "none", "--key=none"], "evidence"),
    "webhook": (["webhook", STRICT, "--cluster=none", "--self-signed=tls"], "webhook"),
}
WITHOUT = {
    "checks": ["checks"],
    "completion": ["completion", "bash"],
    "crds": ["crds"],
    "diff": ["diff", RECORDED, RECORDED],
    "enforce": ["enforce", STRICT, "--preview", "--cluster", RECORDED],
    "explain": ["explain", "kubernetes.version"],
    "fix": ["fix", STRICT, "--cluster", RECORDED],
    "frameworks": ["frameworks"],
    "init": ["init", "--cluster", RECORDED, "-o", "made.yaml"],
    "render": ["render", STRICT],
    "scan": ["scan", STRICT, "--cluster", RECORDED, "-q"],
    "schema": ["schema"],
    "validate": ["validate", STRICT],
    "version": ["version"],
}
WRONG = {
    "audit": ["audit", "verify", "none.log"],
    "cluster": ["cluster", "discover", "--kubeconfig=none"],
    "drift detect": ["drift", "detect", "-s", STRICT, "--cluster=none"],
    "evidence": ["evidence"],
    "report": ["report", "--from=none.json", "--to=csv:-"],
    "snapshot": ["snapshot", "--cluster=none", "-o", "s"],
}
PROGRAM = """
import contextlib, io, json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
from pytest_kspec.cli.main import main
for name, words in json.loads(sys.argv[2]):
    out, err = io.TextIOWrapper(io.BytesIO(), 'utf-8'), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    sys.__stdout__.write(json.dumps([name, code, err.getvalue()]) + chr(10))
"""


def test_every_command_says_what_it_needs_or_works_without(tmp_path: Path) -> None:
    asked = {name: words for name, (words, _) in NEEDS.items()} | WITHOUT | WRONG
    assert set(COMMANDS) <= {name.partition(" ")[0] for name in asked}
    words = list(asked.items())
    command = [sys.executable, "-c", PROGRAM, json.dumps(EXTRA), json.dumps(words)]
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    found = {name: (code, said) for name, code, said in map(json.loads, done.stdout.splitlines())}
    assert list(found) == [name for name, _ in words], done.stderr[-2000:]
    for name, (_, extra) in NEEDS.items():
        code, said = found[name]
        assert (code, f"pip install 'pytest-kspec[{extra}]'" in said) == (4, True), (name, said)
    for name in (*WITHOUT, *WRONG):
        code, said = found[name]
        assert (code in (0, 1), "pip install" in said) == (name in WITHOUT, False), (name, code, said)


@pytest.mark.parametrize("module", ["pytest_kspec.nothing", "json_of_nobody", "", None])
def test_a_defect_is_no_package_that_could_be_installed(module: str | None) -> None:
    assert missing(ModuleNotFoundError(name=module)) is None
