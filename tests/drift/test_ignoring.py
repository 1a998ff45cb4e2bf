"""What `ignore` may not say: that nothing is drift."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pytest_kspec.crds.models.driftconfig import DriftConfigSpec

EVERY_LETTER = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.mark.parametrize(
    "entries",
    [
        [{"name": "*"}],
        [{"name": "?*"}],
        [{"namespace": "**"}],
        [{"name": "*", "namespace": "*?*"}],
        [{"namespace": f"{letter}*"} for letter in EVERY_LETTER],
        [{"kind": "Role"}, {"name": "*", "namespace": "?*"}],
    ],
    ids=str,
)
def test_patterns_that_match_everything_are_refused(entries: list[dict[str, Any]]) -> None:
    with pytest.raises(
        ValidationError, match="its patterns match every name, so this would ignore everything"
    ):
        DriftConfigSpec.model_validate({"ignore": entries})


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "kspec-*"},
        {"name": "*", "namespace": "shop"},
        {"name": "*", "kind": "Role"},
        {"name": "*", "fields": ["metadata.labels"]},
    ],
    ids=str,
)
def test_patterns_that_are_limited_are_not(entry: dict[str, Any]) -> None:
    assert DriftConfigSpec.model_validate({"ignore": [entry]}).ignore
