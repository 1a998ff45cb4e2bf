"""Regular expressions of specifications: linear in time, bounded, the same as in CEL. A hanging test is the failure."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec import Pattern
from pytest_kspec.errors import Malformed, SpecError
from pytest_kspec.kube.globs import Globs, linear
from pytest_kspec.kube.images import RegistryPattern, parse_image
from pytest_kspec.kube.patterns import MAX_LENGTH, MAX_TEXT
from pytest_kspec.spec.loading import load_spec

LONG = "a" * MAX_TEXT


@pytest.mark.parametrize(
    "text",
    ["(a+)+b", "(a|a)*b", "(a|aa)+$b", "(.*)*b", "(?:a?){50}a{50}b", "([a-z]+)*[0-9]", "a*a*a*a*a*a*b"],
)
def test_a_pattern_that_python_cannot_finish_is_done_at_once(text: str) -> None:
    assert not Pattern(text).fullmatch(LONG)
    assert not Pattern(text).search(LONG)


def test_the_whole_text_or_a_part_of_it() -> None:
    pattern = Pattern("kyverno-.*")
    assert pattern.fullmatch("kyverno-policy")
    assert not pattern.fullmatch("my-kyverno-policy")
    assert pattern.search("my-kyverno-policy")
    assert Pattern("a|ab").fullmatch("ab")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(?=a)b", "(?= (look-ahead is not supported)"),
        ("(?!a)b", "(?! (look-ahead is not supported)"),
        ("(?<=a)b", "(?<= (look-behind is not supported)"),
        ("(?<!a)b", "(?<! (look-behind is not supported)"),
        (r"(a)\1", r"\1 (backreferences are not supported)"),
        ("(?P<n>a)(?P=n)", "(?P (backreferences are not supported)"),
        ("(?>a)", "(?> (atomic groups are not supported, and not needed)"),
        ("a++", "++ (possessive quantifiers are not supported, and not needed)"),
        ("(a)(?(1)b|c)", "(?( (conditions are not supported)"),
        (r"a\Z", r"\Z (the end of the text is written \z)"),
        ("[", "missing ]: [."),
        ("a{1001}", "invalid repetition size: {1001}."),
        ("((a{100}){100}){100}", "invalid repetition size: {100}."),
        (r"\C", r"\C is not supported."),
        (r"\\\C", r"\C is not supported."),
        ("\ud800", "half of a surrogate pair."),
    ],
)
def test_what_cannot_be_a_pattern_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        Pattern(text)


def test_bounds_of_a_pattern_and_of_a_text() -> None:
    Pattern("a" * MAX_LENGTH)
    with pytest.raises(ValueError, match="has 1001 characters; a regular expression has at most 1000"):
        Pattern("a" * (MAX_LENGTH + 1))
    with pytest.raises(
        ValueError, match="is too large: 3004 instructions when compiled, at most 2000 are allowed"
    ):
        Pattern("a{1000}b{1000}c{1000}")
    with pytest.raises(Malformed, match="a text of 65537 characters is too long"):
        Pattern("a*").fullmatch(LONG + "a")


def test_errors_do_not_write_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="missing"):
        Pattern("(")
    assert capfd.readouterr() == ("", "")


def test_text_of_any_kind_is_compared() -> None:
    assert Pattern("caf.").fullmatch("café")
    assert not Pattern("a").fullmatch("\ud800")
    assert Pattern(r"\\C").fullmatch(r"\C")
    assert Pattern("a.b").fullmatch("a\x00b")


def test_a_pattern_crosses_processes() -> None:
    pattern = pickle.loads(pickle.dumps(Pattern("a+")))
    assert pattern == Pattern("a+")
    assert hash(pattern) == hash(Pattern("a+"))
    assert pattern.fullmatch("aa")


@given(st.from_regex(r"([a-c.|*+?()]|\[[a-c]{1,3}\]){1,12}", fullmatch=True), st.text("abc", max_size=8))
def test_patterns_without_constructs_of_one_engine_mean_what_they_mean_to_python(
    text: str, tried: Any
) -> None:
    try:
        ours = Pattern(text)
        theirs = re.compile(text)
    except (ValueError, re.error):
        return
    assert ours.fullmatch(tried) is (theirs.fullmatch(tried) is not None)
    assert ours.search(tried) is (theirs.search(tried) is not None)


def test_a_specification_says_line_and_reason(tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: s, version: 1.0.0}\nspec:\n"
        "  kubernetes: {minVersion: '1.28'}\n"
        "  admission:\n    required:\n    - {type: ValidatingAdmissionPolicy, namePattern: '(?=a)b'}\n"
        "  workloads:\n    images:\n      signatures:\n"
        "      - {identities: [{issuer: https://i.example, subjectRegExp: '(?<!x)y'}]}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(spec)
    assert [line.removeprefix(str(spec)) for line in caught.value.problems] == [
        ":8:54: spec.admission.required[0].namePattern: '(?=a)b' is not a regular expression (RE2 syntax): "
        "invalid perl operator: (?= (look-ahead is not supported).",
        ":12:66: spec.workloads.images.signatures[0].identities[0].subjectRegExp: '(?<!x)y' is not a regular "
        "expression (RE2 syntax): invalid perl operator: (?<! (look-behind is not supported).",
    ]


def test_the_engine_is_imported_with_the_first_pattern() -> None:
    code = (
        "import sys, pytest_kspec.spec.loading, pytest_kspec.kube.patterns as p\n"
        "assert 're2' not in sys.modules\np.Pattern('a')\nassert 're2' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Wildcards become expressions of Python's `re`, which must not look for the same thing twice.


def test_wildcards_do_not_hang() -> None:
    assert not Globs(["*a*a*a*a*a*a*a*a*b*c"]).match("a" * 2000)
    image = parse_image(f"gcr.io/{'a' * 200}")
    assert not RegistryPattern.parse("gcr.io/*a*a*a*a*a*a*a*a*a*ab").matches(image)
    host = parse_image(f"{'a' * 60}.{'a' * 60}.{'a' * 60}/x")
    assert not RegistryPattern.parse(f"{'*a' * 15}b.{'*a' * 15}b.*").matches(host)
    assert not RegistryPattern.parse(f"*.{'*a' * 15}b.{'*a' * 15}b").matches(host)


segments = st.text("ab*", min_size=1, max_size=8).filter(lambda text: "**" not in text)


@given(segments, st.text("ab", max_size=10))
def test_wildcards_match_what_backtracking_would_match(pattern: Any, text: str) -> None:
    naive = re.compile("[^/]*".join(map(re.escape, pattern.split("*"))))
    assert (re.compile(linear(pattern, "[^/]")).fullmatch(text) is None) is (naive.fullmatch(text) is None)


hosts = st.lists(segments, min_size=2, max_size=4).map(".".join)
names = st.lists(st.text("ab", min_size=1, max_size=4), min_size=2, max_size=4).map(".".join)


@given(hosts, names)
def test_wildcards_of_hosts_stay_in_a_label_here_and_for_cel(pattern: Any, host: Any) -> None:
    import re2

    made = RegistryPattern.parse(f"{pattern}/x").host
    ours = made.regex.fullmatch(host) is not None
    assert ours is (re2.fullmatch(made.expression, host) is not None)
    naive = "[^./:]*".join(map(re.escape, pattern.removeprefix("*.").split("*")))
    assert ours is (re.fullmatch(r"(?:[^/:]+\.)?" * pattern.startswith("*.") + naive, host) is not None)
