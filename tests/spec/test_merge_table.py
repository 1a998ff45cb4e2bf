"""docs/policies.md and the code say the same about every list; both know only keys that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pytest_kspec.spec.merge import NOT_INHERITED, RULES
from pytest_kspec.spec.problems import model_at, model_of
from pytest_kspec.spec.sections import ClusterSpecification
from pytest_kspec.spec.twins import twin_model

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")


def test_the_page_has_the_same_table() -> None:
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| (\w+) \| (.*?)\|$", PAGE, re.MULTILINE)
    found = {key: (kind, tuple(re.findall(r"`(\w+)`", keys))) for key, kind, keys in rows}
    assert found == {key: (rule.kind, rule.keys) for key, rule in RULES.items()}


@pytest.mark.parametrize("key", RULES)
def test_keys_exist(key: str) -> None:
    *above, last = key.replace("[]", "").split(".")
    model = model_at(twin_model(ClusterSpecification), tuple(above))
    assert model is not None
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    assert last in fields
    inner = model_of(fields[last].annotation)
    for name in RULES[key].keys:
        assert inner is not None
        assert name in {field.alias or name for name, field in inner.model_fields.items()}


def lists(model: type[BaseModel], path: str = "") -> list[str]:
    """Lists that a specification may hold, but for those inside entries and wholes, which are compared as they are."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        here = f"{path}.{field.alias or name}".lstrip(".")
        inner: Any = model_of(field.annotation)
        is_list = "list[" in str(field.annotation)
        if is_list:
            found.append(here)
        if inner is not None and (not is_list or (here in RULES and RULES[here].kind == "tree")):
            found += lists(inner, f"{here}[]" if is_list else here)
    return [f for f in found if not any(f == w or f.startswith(f"{w}.") for w in wholes())]


def wholes() -> list[str]:
    return [*NOT_INHERITED, "policyTemplate", "policyInheritance"]


def test_every_list_was_thought_of() -> None:
    """A list without a line in the table is one value: say that it is, or what else."""
    assert [key for key in lists(twin_model(ClusterSpecification)) if key not in RULES] == []
