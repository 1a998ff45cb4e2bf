"""What a finding may say and hand on."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec.results.finding import safe_fix


@pytest.mark.parametrize(
    ("fix", "kept"),
    [
        ({"spec": {"hostNetwork": None}}, True),
        ({"spec": {"containers": [{"name": "a", "image": "nginx@sha256:" + "0" * 64}]}}, True),
        ({"spec": {"containers": [{"name": "a", "env": [{"name": "PASSWORD", "value": "hunter2"}]}]}}, False),
        ({"spec": {"containers": [{"name": "a", "env": [{"name": "MODE", "value": "(redacted)"}]}]}}, False),
        ({"metadata": {"annotations": {"example.com/x": "a=(redacted) b"}}}, False),
        ({"spec": {"args": ["--quiet", "(redacted)"]}}, False),
        (None, True),
    ],
)
def test_a_fix_with_a_credential_or_with_what_stands_for_one_is_none(fix: Any, kept: bool) -> None:
    assert safe_fix(fix) == (fix if kept else None)
