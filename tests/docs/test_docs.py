"""The pages are true: their commands run, their links lead somewhere, everything public has a heading."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.fixtures import FixtureFunctionDefinition

from pytest_kspec import plugin
from pytest_kspec.cli.main import COMMANDS
from pytest_kspec.extend import hookspecs
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.reference import checkdoc, specdoc
from pytest_kspec.reports.writer import FORMATS
from pytest_kspec.session import fixtures
from tests.controlplane.server import ControlPlane

from .pages import PAGES, ROOT, Command, Page

ALL = [Page(path) for path in PAGES]
DOCS = {page.path.name: page for page in ALL if page.path.parent == ROOT / "docs"}
by_name = pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
with_commands = pytest.mark.parametrize(
    "page", [page for page in ALL if any(not c.live for c in page.commands())], ids=lambda page: page.name
)
with_live_commands = pytest.mark.parametrize(
    "page", [page for page in ALL if any(c.live for c in page.commands())], ids=lambda page: page.name
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a reader has: the examples, in a folder to write in."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(command: Command, folder: Path, **env: str) -> None:
    """Run it as a reader would; an example's README leaves the exit code open between 0 and 1."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    foreign = ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_PLUGINS")
    ours = {name: value for name, value in os.environ.items() if name not in foreign}
    done = subprocess.run(
        ["/bin/bash", "-c", command.line],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=180,
        env=ours | {"PATH": path, "HOME": str(folder), "NO_COLOR": "1", "KUBECONFIG": ""} | env,
    )
    said = f"$ {command.line}\n{done.stdout}{done.stderr}"
    open_codes = (0, 1, 2) if command.live else (0, 1)
    assert done.returncode in (open_codes if command.exit_code is None else (command.exit_code,)), said


@with_commands
def test_commands_run(page: Page, clone: Path) -> None:
    for command in page.commands():
        if not command.live:
            run(command, clone)


@with_live_commands
def test_live_commands_run(page: Page, clone: Path, control_plane: ControlPlane) -> None:
    kubeconfig = control_plane.kubeconfig(path=clone / "kubeconfig", context="my-context")
    if page.path.name == "quickstart.md":
        made = Command("kspec init --cluster my-context -o prod-eu.yaml", 0, True)
        run(made, clone, KUBECONFIG=str(kubeconfig))
    for command in page.commands():
        if command.live:
            # What a bare API server lacks is not the page's concern; that the command works is.
            run(command._replace(exit_code=None), clone, KUBECONFIG=str(kubeconfig))


@by_name
def test_tables_are_whole(page: Page) -> None:
    """A row behind an empty line is shown as text."""
    lines = page.text.splitlines()
    first = [n for n, line in enumerate(lines) if line.startswith("|") and not lines[n - 1].startswith("|")]
    assert [n + 1 for n in first if not re.fullmatch(r"\|[\s:|-]+\|", lines[n + 1])] == []


@by_name
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links():
        file, _, anchor = link.partition("#")
        target = (page.path.parent / file) if file else page.path
        assert target.exists(), link
        if anchor:
            assert anchor in Page(target).anchors(), link


@by_name
def test_specifications_are_valid(page: Page, tmp_path: Path) -> None:
    for number, body in enumerate(page.blocks("yaml")):
        if body.startswith("apiVersion: kspec.dev/v1"):
            path = tmp_path / f"{number}.yaml"
            path.write_text(body, encoding="utf-8")
            run(Command(f"kspec validate {path}", 0, False), tmp_path)


BUDGET_TEST = """
from checks.test_disruption_budget import test_disruption_budget as budget
from pytest_kspec.testing import evaluate

META = {"namespace": "shop", "labels": {"app": "of-the-deployment"}}

def deployment(name, **labels):
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**META, "name": name},
            "spec": {"template": template}}

def test_budgets_select_pods_and_not_deployments():
    pdb = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "shop"},
           "spec": {"selector": {"matchLabels": {"app": "web"},
                                 "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["batch"]}]}}}
    (result,) = evaluate(
        budget, objects=[pdb, deployment("web", app="web"), deployment("jobs", app="web", tier="batch"),
                         deployment("other", app="of-the-deployment")],
    )
    assert [f.resource.name for f in result.findings] == ["jobs", "other"]
"""


def test_the_code_of_writing_checks_runs(tmp_path: Path) -> None:
    first, budget, second, ports, kind, test = DOCS["writing-checks.md"].blocks("python")
    checks = tmp_path / "checks"
    checks.mkdir()
    (checks / "test_team_label.py").write_text(first, encoding="utf-8")
    (checks / "test_disruption_budget.py").write_text(budget, encoding="utf-8")
    (checks / "test_host_network.py").write_text(second, encoding="utf-8")
    (checks / "test_ports.py").write_text(ports, encoding="utf-8")
    (tmp_path / "test_it.py").write_text(test, encoding="utf-8")
    (tmp_path / "test_budget.py").write_text(BUDGET_TEST, encoding="utf-8")
    run(Command("python -m pytest -q test_it.py test_budget.py", 0, False), tmp_path)
    run(Command("kspec explain acme.host-network --checks checks", 0, False), tmp_path)
    run(Command("kspec explain acme.ports --checks checks", 0, False), tmp_path)
    (checks / "test_name_length.py").write_text(kind, encoding="utf-8")
    head = "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: acme, version: 1.0.0}"
    spec = f"{head}\nspec: {{checks: [checks/test_name_length.py]}}"
    (tmp_path / "spec.yaml").write_text(spec, encoding="utf-8")
    run(Command("kspec enforce spec.yaml --mode audit -o policies.yaml", 0, False), tmp_path)
    assert "c.name.size() > 20" in (tmp_path / "policies.yaml").read_text(encoding="utf-8")


def test_generated_pages_are_fresh() -> None:
    assert DOCS["checks.md"].text == checkdoc.render(load_checks().checks), "run: make docs"
    assert DOCS["spec-reference.md"].text == specdoc.render_reference(), "run: make docs"


def test_every_option_has_a_heading() -> None:
    headings = DOCS["pytest-usage.md"].headings()
    assert [h for h in headings if h.startswith("--")] == [
        f"--kspec-{name}"
        for name in (
            *("spec", "cluster", "kubeconfig", "checks", "exemptions", "fail-on"),
            *("check-timeout", "allow-empty", "baseline", "report", "store", "store-reports", "alert"),
            "run-by",
        )
    ]
    assert {h for h in headings if h.startswith("--")} == {
        f"--kspec-{option[0]}" for option in plugin.OPTIONS
    }


def test_every_hook_has_a_heading() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("pytest_kspec_")}
    assert hooks <= set(DOCS["pytest-usage.md"].headings())


def test_every_fixture_has_a_heading() -> None:
    found = {
        value.name or name
        for name, value in vars(fixtures).items()
        if isinstance(value, FixtureFunctionDefinition) and not name.startswith(("_", "kspec_"))
    }
    assert found >= {"workloads", "findings"}
    assert found <= set(DOCS["writing-checks.md"].headings())


def test_every_command_and_format_has_a_heading() -> None:
    headings = DOCS["reports.md"].headings()
    assert [h for h in headings if h.startswith("kspec ")] == [f"kspec {name}" for name in COMMANDS]
    assert {*FORMATS, "terminal"} <= set(headings)


def test_every_page_is_reachable_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in Page(ROOT / "README.md").links()}
    assert {f"docs/{name}" for name in DOCS} <= linked
