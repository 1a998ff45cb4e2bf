"""Wildcards: long lists mean what short ones mean, and cost a text no more."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_kspec.kube import globs
from pytest_kspec.kube.globs import FEW, Globs, Pieces, linear, pieces_of
from pytest_kspec.kube.images import RegistryPattern, RegistryPatterns, parse_image

PATTERNS = st.lists(st.text("ab.*?\n", min_size=1, max_size=6), min_size=1, max_size=3 * FEW)


@given(PATTERNS, st.text("ab.\n\ud800", max_size=8))
@example(["a*"] * 20 + ["*\ud800*b"], "a\ud800b")
def test_a_long_list_matches_what_one_of_its_patterns_matches(patterns: list[str], text: str) -> None:
    one = any(re.fullmatch(linear(pattern), text, re.DOTALL) for pattern in patterns)
    assert Globs(patterns).match(text) is one
    filled = [*patterns, *(f"none-{index}-*" for index in range(FEW + 1))]
    assert Globs(filled).match(text) is one


SEGMENT = st.sampled_from(("a", "*", "team", "te*", "*-x", "library", "a.b"))
REGISTRIES = st.builds(
    lambda host, path: "/".join((host, *path)),
    st.sampled_from(
        ("*", "gcr.io", "*.gcr.io", "r*.io", "docker.io", "localhost:5000", "*.io:*", "team", "app")
    ),
    st.lists(SEGMENT, max_size=2),
)
IMAGES = st.sampled_from(
    ("nginx", "team/app", "gcr.io/a/te-x", "eu.gcr.io/team", "r1.io/a.b/c", "localhost:5000/library/a", "x.io:1/a/a",
     "evil.com/x.gcr.io/a", "docker.io/library/app:1", "app")
)  # fmt: skip


def read(text: str) -> RegistryPattern | None:
    try:
        return RegistryPattern.parse(text, wide=True)
    except ValueError:
        return None


@given(st.lists(REGISTRIES, min_size=FEW + 1, max_size=3 * FEW), IMAGES)
def test_the_first_of_many_registries(texts: list[str], image: str) -> None:
    patterns = [pattern for text in texts if (pattern := read(text)) is not None]
    found = parse_image(image)
    assert RegistryPatterns(patterns).first(found) is next((p for p in patterns if p.matches(found)), None)


@pytest.mark.parametrize("form", ["*.r{}-*.io", "r{}*", "*r{}", "a*b?r{}-*"])
def test_the_number_of_patterns_costs_a_text_nothing(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    plain = linear
    monkeypatch.setattr(globs, "linear", lambda pattern: compiled.append(pattern) or plain(pattern))
    known = Globs([form.format(index) for index in range(2000)])
    assert [known.match(f"ab.r{index}-x.io") for index in range(0, 2000, 400)].count(True) in (0, 5)
    assert len(set(compiled)) <= 25


def test_pieces() -> None:
    assert pieces_of("*a?b*c.d") == ["a", "b", "c.d"]
    many = Pieces([["common", "rare"], ["common"], [], ["common", "x" * 40]])
    assert list(many.candidates("common")) == [1, 2]
    assert list(many.candidates("rare and common")) == [0, 1, 2]
    assert list(many.candidates("x" * 16)) == [2, 3]
