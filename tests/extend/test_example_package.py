"""The package of docs/extending.md, built and installed: its check, report format and source work as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.alerts.receiving import Reply, http_receiver

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
OBJECTS = """\
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "x"}, "spec": {"containers": []}}
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b", "namespace": "x", "labels": {"team": "t"}}, "spec": SPEC}
""".replace('"containers": []', '"containers": [{"name": "c"}]').replace(
    "SPEC", '{"containers": [{"name": "c"}], "hostNetwork": true}'
)
SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: strict, version: 1.0.0}
spec:
  workloads: {containers: {forbidden: [{key: hostNetwork, value: true}]}}
"""
FOUND = """\
inventory acme.team-label Pod x/a
inventory workloads.containers.forbidden[hostNetwork] Pod x/b
"""


def _blocks() -> dict[str, str]:
    return {
        name: re.search(rf"`{re.escape(name)}`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)[1]  # type: ignore[index]
        for name in ("pyproject.toml", "acme_kspec.py")
    }


def _environment(installed: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(installed), "KUBECONFIG": "", "NO_COLOR": "1", "COLUMNS": "100"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the package is installed."""
    source, target = tmp_path_factory.mktemp("acme"), tmp_path_factory.mktemp("installed")
    parts = _blocks()
    for heading in ("Notifiers", "Secret stores"):
        section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        (code,), (entry,) = (
            re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("python", "toml")
        )
        parts["acme_kspec.py"] += f"\n\n{code}"
        parts["pyproject.toml"] += entry
    for name, text in parts.items():
        (source / name).write_text(text, encoding="utf-8")
    words = ["--no-deps", "--no-build-isolation", "--offline", "--target", str(target), str(source)]
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [uv, "pip", "install", "--python", sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inventory.jsonl").write_text(OBJECTS, encoding="utf-8")
    (tmp_path / "prod.yaml").write_text(SPEC, encoding="utf-8")
    return tmp_path


def _run(folder: Path, installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=_environment(installed),
    )


def test_it_is_short() -> None:
    assert sum(len(text.splitlines()) for text in _blocks().values()) < 60


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one", "workers"])
@pytest.mark.parametrize("shell", ["kspec", "pytest"])
def test_a_check_a_report_format_and_a_source(
    folder: Path, installed: Path, shell: str, workers: list[str]
) -> None:
    (words,) = [
        line.split() for line in PAGE.splitlines() if line.startswith((f"{shell} scan", f"{shell} --"))
    ]
    module = "pytest_kspec.cli.main" if shell == "kspec" else "pytest"
    done = _run(folder, installed, module, *words[1:], *workers)
    assert done.returncode == 1, done.stdout + done.stderr
    assert (folder / "findings.txt").read_text(encoding="utf-8") == FOUND
    assert "acme-list report: findings.txt" in done.stdout


def test_commands_know_what_is_installed(folder: Path, installed: Path) -> None:
    kspec = "pytest_kspec.cli.main"
    words = ("scan", "prod.yaml", "--cluster", "acme:inventory.jsonl")
    assert _run(folder, installed, kspec, *words, "-o", "acme-list").stdout == FOUND
    assert "acme.team-label" in _run(folder, installed, kspec, "checks").stdout
    assert "The pager reads this label" in _run(folder, installed, kspec, "explain", "acme.team-label").stdout
    done = _run(folder, installed, kspec, *words, "--report", "acme-lst:x")
    assert done.returncode == 4
    assert "Did you mean 'acme-list'?" in done.stderr
    done = _run(folder, installed, kspec, "scan", "prod.yaml", "--cluster", "acme:missing.jsonl")
    assert done.returncode == 4
    assert "the source 'acme' of the package acme-kspec 1.0 cannot be used: FileNotFoundError" in done.stderr
    assert done.stderr.endswith("Check what follows 'acme:', or repair the package.\n")


def _alerts(url: str) -> str:
    (text,) = re.findall(r"`alerts.yaml`, for .*?```yaml\n(.*?)```", PAGE, re.DOTALL)
    return text.replace("https://pager.example.com/v1", url)


def test_a_notifier_and_a_secret_store(
    folder: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "safe" / "pager").mkdir(parents=True)
    (folder / "safe" / "pager" / "token").write_text("hunter2-hunter2\n")
    monkeypatch.setenv("ACME_SAFE", str(folder / "safe"))
    words = ["pytest_kspec.cli.main", "scan", "prod.yaml", "--cluster", "acme:inventory.jsonl"]
    words += ["--alert", "alerts.yaml", "--store"]
    with http_receiver() as pager:
        (folder / "alerts.yaml").write_text(_alerts(f"{pager.url}/v1"))
        done = _run(folder, installed, *words, "1.db")
        assert done.returncode == 1, done.stdout + done.stderr
        (sent,) = pager.requests
        assert (sent.json["team"], sent.headers["authorization"]) == ("shop", "Bearer hunter2-hunter2")
        assert "inventory" in sent.body.decode()

        pager.answer = lambda _: Reply(400, b"not hunter2-hunter2 again")
        done = _run(folder, installed, *words, "2.db")
        assert done.returncode == 2
        assert "the notifier shop: it answers with HTTP 400: not … again." in done.stdout + done.stderr
        assert "hunter2" not in done.stdout + done.stderr

        (folder / "alerts.yaml").write_text(_alerts(f"{pager.url}/v1").replace("team: shop", "x: y"))
        done = _run(folder, installed, *words, "3.db")
        assert done.returncode == 2
        said = "its type 'acme-pager', of the package acme-kspec 1.0, failed with KeyError."
        assert f"the notifier shop: {said}" in done.stdout + done.stderr

        (folder / "safe" / "pager" / "token").unlink()
        done = _run(folder, installed, *words, "4.db")
        assert "acme-safe:pager#token: the safe does not contain this secret." in done.stdout + done.stderr
        assert done.returncode == 2

        (folder / "alerts.yaml").write_text(_alerts(pager.url).replace("acme-pager", "acme-page"))
        done = _run(folder, installed, *words, "5.db")
        assert "spec.custom[0].type: there is no type of notifier 'acme-page'." in done.stderr
        assert done.returncode == 4
