"""Regular expressions that are compiled late: each of ours is one, and is used as any other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import pytest_kspec
from pytest_kspec.regexes import _Later, regex

ROOT = Path(pytest_kspec.__file__).parent
USERS = sorted(
    "pytest_kspec." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if "from pytest_kspec.regexes import" in path.read_text(encoding="utf-8")
)


def _of(value: Any) -> Iterator[_Later]:
    if isinstance(value, _Later):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _of(part)


@pytest.mark.parametrize("module", USERS)
def test_each_is_a_regular_expression(module: str) -> None:
    """A wrong one would be noticed when it is used, by whoever uses it."""
    found = [one for value in vars(import_module(module)).values() for one in _of(value)]
    assert found
    for one in found:
        assert callable(one.search)


def test_it_is_as_one_that_is_compiled() -> None:
    """Of text and of bytes, with flags and groups; compiled once."""
    late, bytes_too = regex(r"(?P<a>b)c", re.IGNORECASE), regex(rb"\d+")
    assert (late.pattern, late.groups, dict(late.groupindex)) == (r"(?P<a>b)c", 1, {"a": 1})
    found = late.fullmatch("Bc")
    assert found is not None
    assert found["a"] == "B"
    assert late.sub("x", "abc bC") == "ax x"
    assert [match[0] for match in bytes_too.finditer(b"1 22")] == [b"1", b"22"]
    assert late.search is late.search


def test_a_wrong_one_raises_when_it_is_used() -> None:
    """Not where it is written."""
    late = regex("(")
    with pytest.raises(re.error, match="unterminated"):
        late.search("x")
