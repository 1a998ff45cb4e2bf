"""The public names of the package: one list, a stub that follows it, types of fixtures among them, a cheap import."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.fixtures import FixtureFunctionDefinition

import pytest_kspec
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.session import fixtures
from tools import public_names

ROOT = Path(__file__).parents[1]
TYPES = {
    "cluster": "Cluster",
    "containers": "Containers",
    "exemptions": "Exemptions",
    "findings": "Findings",
    "namespaces": "Namespaces",
    "network_policies": "NetworkPolicies",
    "nodes": "Nodes",
    "pods": "Pods",
    "rbac": "Rbac",
    "requirement": "Requirement",
    "resources": "ResourceLister",
    "services": "Services",
    "signatures": "Signatures",
    "spec": "ClusterSpecification",
    "workloads": "Workloads",
}


def test_the_stub_is_fresh() -> None:
    assert public_names.STUB.read_text(encoding="utf-8") == public_names.render(), "run: make docs"


def test_a_name_is_itself_and_no_other() -> None:
    for home, names in pytest_kspec._NAMES.items():
        module = importlib.import_module(f"pytest_kspec.{home}")
        for name in names:
            assert getattr(pytest_kspec, name) is getattr(module, name)
    with pytest.raises(AttributeError, match="no attribute 'Findigs'"):
        _ = pytest_kspec.Findigs  # type: ignore[attr-defined]


def test_each_fixture_has_a_public_type() -> None:
    """`kube` has that of the official client, which is no name of ours."""
    found = {
        name: str(inspect.signature(fixture._get_wrapped_function()).return_annotation)
        for name, fixture in vars(fixtures).items()
        if isinstance(fixture, FixtureFunctionDefinition) and name not in ("kspec_context", "kube")
    }
    assert found == TYPES
    assert set(found.values()) <= set(vars(pytest_kspec)["__all__"])


@pytest.mark.parametrize(
    "paths", [[], [ROOT / "examples" / "02-custom-checks" / "checks"]], ids=["built-in", "example"]
)
def test_checks_ask_for_fixtures_by_their_types(paths: list[Path]) -> None:
    wrong = [
        (entry.check.id, name, str(parameter.annotation))
        for entry in load_checks(paths).entries.values()
        for name, parameter in inspect.signature(entry.check.func).parameters.items()
        if name in TYPES
        and not hasattr(entry.check.func, "__wrapped__")
        and parameter.annotation not in (TYPES[name], getattr(pytest_kspec, TYPES[name]))
    ]
    assert wrong == []


def test_each_class_and_function_says_what_it_is() -> None:
    silent = []
    for name in vars(pytest_kspec)["__all__"]:
        value = getattr(pytest_kspec, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        members = [(name, value)]
        if inspect.isclass(value):
            members += [
                (f"{name}.{key}", member)
                for key, member in vars(value).items()
                if not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
            ]
        silent += [key for key, member in members if not (member.__doc__ or "").strip()]
    assert silent == []


def test_each_constant_and_alias_says_what_it_is() -> None:
    silent = []
    for home, names in pytest_kspec._NAMES.items():
        file = ROOT / "pytest_kspec" / f"{home.replace('.', '/')}.py"
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for statement, after in itertools.pairwise([*body, ast.Pass()]):
            if not isinstance(statement, ast.Assign | ast.AnnAssign):
                continue
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(target, ast.Name) and target.id in names and not said:
                silent.append(target.id)
    assert silent == []


def test_importing_the_package_imports_the_standard_library_only() -> None:
    code = "import sys; before = set(sys.modules); import pytest_kspec; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    foreign = {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    assert foreign == {"pytest_kspec"}
