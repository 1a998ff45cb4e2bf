"""Selectors as they are typed."""

from __future__ import annotations

import pytest

from pytest_kspec.errors import UsageError
from pytest_kspec.kube.selectors import selects
from pytest_kspec.kube.selectortext import LONGEST_SELECTOR, parse_selector

PROD = {"env": "prod", "tier": "web", "kspec.io/group": "a", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        (" ", True),
        ("env=prod", True),
        ("env==prod,tier!=dev", True),
        ("env = prod , tier != dev", True),
        ("env=dev", False),
        ("env!=prod", False),
        ("legacy!=x", True),  # as in Kubernetes: what is not there is not x
        ("env in (dev, prod)", True),
        ("env notin (dev,prod)", False),
        ("legacy notin (a)", True),
        ("env", True),
        ("!env", False),
        ("!legacy", True),
        ("kspec.io/group=a", True),
        ("empty=", True),
        ("empty in ()", True),
        ("env in (prod),tier=web,!legacy", True),
        ("env in (prod),tier=db", False),
    ],
)
def test_selectors(text: str, expected: bool) -> None:
    assert selects(parse_selector(text), PROD) is expected


NOT_SELECTORS = [
    *(
        "=",
        "a=b,",
        ",a",
        "a b",
        "a=b=c",
        "a in b",
        "a in (b",
        "a=ä",
        "a b c",
        "-a",
        "a=-b",
        "a in (-b)",
        "(",
        "!",
    ),
    *("a,,b", "a=" + "b" * 64, "," * LONGEST_SELECTOR, "a," * LONGEST_SELECTOR + "a"),
]


@pytest.mark.parametrize("text", NOT_SELECTORS, ids=lambda text: text[:20])
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(UsageError, match=r"^-l: "):
        parse_selector(text)
