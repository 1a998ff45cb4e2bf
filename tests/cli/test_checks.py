"""`kspec checks`, `explain` and `schema`."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pytest_kspec.checks.check import Check
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.reference.asked import asked_by, example_id

from .conftest import EXAMPLES, Kspec

OWN = EXAMPLES / "02-custom-checks" / "checks"
CHECKS = load_checks().checks


def test_list_fits_80_columns_and_has_every_check(kspec: Kspec) -> None:
    said = kspec("checks")
    assert said.code == 0
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    listed = [line.split()[1] for line in lines if line.startswith("  ") and not line.startswith("    ")]
    assert listed == [check.id for check in CHECKS]
    assert lines[-1] == f"{len(CHECKS)} checks. 'kspec explain ID' explains one."


def test_own_checks_are_listed_among_them(kspec: Kspec) -> None:
    listed: list[dict[str, Any]] = json.loads(kspec("checks", "--json", "--checks", OWN).out)
    ids = [entry["id"] for entry in listed]
    assert ids == sorted([*(check.id for check in CHECKS), "acme.node-count", "acme.team-label"])
    own = next(entry for entry in listed if entry["id"] == "acme.team-label")
    assert own == {
        "id": "acme.team-label",
        "title": "Every workload names its team",
        "severity": "low",
        "controls": {"acme": ["OPS-7"]},
        "remediation": "Add the label team=<name> to the workload.",
        "why": "The pager reads this label; a workload without it pages nobody.",
    }


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_check_is_explained(kspec: Kspec, check: Check) -> None:
    said = kspec("explain", check.id)
    assert said.code == 0
    for part in (check.title, check.severity.value, "Why", "What", "Source:", "Fix", "required by   "):
        assert part in said.out
    assert asked_by(check), "no specification asks for it"
    assert load_checks().find(example_id(check)) is not None


def test_explain_by_requirement_and_by_mistake(kspec: Kspec) -> None:
    by_check = kspec("explain", "workloads.containers.required")
    assert kspec("explain", "workloads.containers.required[resources.limits.memory]") == by_check
    said = kspec("explain", "rbac.forbidenRules")
    assert said == (
        4,
        "",
        "error: no check has the id 'rbac.forbidenRules'. Did you mean 'rbac.forbiddenRules'?\n",
    )


def test_explain_own_check(kspec: Kspec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    said = kspec("explain", "acme.team-label", "--checks", "02-custom-checks/checks")
    assert "required by   every specification" in said.out
    assert "Defined at 02-custom-checks/checks/test_team_label.py:" in said.out


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["schema"], [*EXAMPLES.glob("specs/[!e]*.yaml"), EXAMPLES / "specs" / "every-key.yaml"]),
        (["schema", "--exemptions"], [EXAMPLES / "specs" / "exemptions.yaml"]),
    ],
)
def test_schema_accepts_the_examples(kspec: Kspec, words: list[str], files: list[Path]) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(kspec(*words).out))
    assert len(files) > 0
    for file in files:
        document = yaml.load(file.read_text(), Loader=yaml.BaseLoader)
        bad = [
            e.message for e in validator.iter_errors(_typed(document)) if "is not of type" not in e.message
        ]
        assert bad == []


def _typed(value: Any) -> Any:
    """Plain scalars as an editor's YAML reads them, dates as text."""
    if isinstance(value, dict):
        return {key: _typed(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_typed(entry) for entry in value]
    if value in ("true", "false"):
        return value == "true"
    return int(value) if isinstance(value, str) and value.isdigit() else value
