"""Reading YAML: positions, scalar text, bounds; whatever comes in, SpecError is all that comes out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_kspec.cluster.objects.yamldocs import yaml_documents
from pytest_kspec.errors import SpecError
from pytest_kspec.spec.loading import load_spec, spec_from_text
from pytest_kspec.yamlfiles.reading import MAX_BYTES, Position, key_text, parse_document, read_document
from tests.effort import examples

STRICT = Path(__file__).parents[1] / "spec" / "data" / "specs" / "strict.yaml"


def error(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_document(text, "f")
    return str(caught.value)


def data(text: str) -> Any:
    return parse_document(text, "f").data


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("1.30", "1.30"), ("1", 1), ("-3", -3), ("0", 0), ("010", "010"), ("0x1F", "0x1F"),
        ("1_000", "1_000"), ("+5", "+5"), ("1e3", "1e3"), (".inf", ".inf"), ("9" * 30, "9" * 30),
        ("true", True), ("FALSE", False), ("yes", "yes"), ("on", "on"), ("No", "No"), ("'true'", "true"),
        ('"1"', "1"), ("!!str 1", "1"), ("! 1", "1"), ("'null'", "null"), ("''", ""), ("a b", "a b"),
        ("2027-03-31", "2027-03-31"), ("2027-03-31T10:00:00Z", "2027-03-31T10:00:00Z"),
        ("22:30", "22:30"), ("1:30:00", "1:30:00"), ("|\n  x\n  y\n", "x\ny\n"),
    ],
)  # fmt: skip
def test_scalars_keep_what_was_written(scalar: str, expected: Any) -> None:
    found = data(f"a: {scalar}")["a"]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("scalar", ["", "~", "null", "Null", "NULL"])
def test_keys_without_a_value_are_left_out_and_listed(scalar: str) -> None:
    document = parse_document(f"a: {scalar}\nb: 1\n", "f")
    assert (document.data, document.nulls) == ({"b": 1}, [("a",)])


def test_positions() -> None:
    document = parse_document("a:\n  - b: 1\n    c: [x,\n        y]\n", "f")
    assert document.key_position(("a", 0, "c")) == Position(3, 5)
    assert document.value_position(("a", 0, "c", 1)) == Position(4, 9)
    assert document.key_position(("a", 0)) == Position(2, 5)
    assert document.key_position(("a", 0, "nothing", "here")) == Position(2, 5)
    assert document.value_position(("nothing",)) == Position(1, 1)


def test_columns_count_characters_not_bytes() -> None:
    assert parse_document("ä: {ö: x}", "f").value_position(("ä", "ö")) == Position(1, 8)


def test_key_text() -> None:
    assert key_text(("spec", "checks", 0, "x")) == "spec.checks[0].x"
    assert key_text(("spec", "a\nb\x1b[31m")) == "spec.'a\\nb\\x1b[31m'"
    assert key_text(("k" * 100,)) == "k" * 59 + "…"


def test_anchors_and_merges() -> None:
    text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nuse: {<<: [*b, *m], x: 9}\nsame: *b\n"
    found = data(text)
    assert found["use"] == {"x": 9, "y": 2, "z": 4}
    assert found["same"] == {"x": 1, "y": 2}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert data("{'<<': {x: 1}}") == {"<<": {"x": 1}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: <<: x", "f:1:6: not valid YAML: mapping values are not allowed in this context."),
        ("a: *b", "f:1:4: alias *b refers to an undefined anchor."),
        ("a: &a [*a]", "f:1:8: alias *a refers to a value that contains it."),
        ("a: 1\n---\nb: 1", "f:2:1: a second document starts here: a file must contain one document."),
        ("a:\n\t- b", "f:2:1: not valid YAML: a tab is used for indentation; YAML allows only spaces."),
        ("a:\n  b: 1\n\tc: 1", "f:3:1: not valid YAML: a tab is used for indentation; YAML allows only spaces."),
        ("a: @b", "f:1:4: not valid YAML: while scanning for the next token,"
         " found character that cannot start any token."),
        ("a: 'b", "f:1:6: not valid YAML: while scanning a quoted scalar, found unexpected end of stream."),
        ("[" * 100_000, "f:1:66: nested deeper than 64 levels."),
        ("- " * 100_000, "f:1:131: nested deeper than 64 levels."),
        ("[" + "1," * 200_000 + "]", "f:1:200000: the file contains more than 100000 values."),
        ("a: \x00", "f:1: the file contains a control character: not a text file?"),
        ("a: \ud800", "f: not valid YAML: it contains characters that cannot be decoded."),
        ("a: !x!y z", "f:1:4: not valid YAML: while parsing a node, found undefined tag handle."),
        ("", "f: the file is empty."),
        ("---\n...\n", "f: the file is empty."),
    ],
)  # fmt: skip
def test_what_cannot_be_read(text: str, expected: str) -> None:
    assert error(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", [(Position(3, 1), ("a",), "this key is already defined at line 1.")]),
        ("{[x]: 1, ? {} : 2}", [(Position(1, 2), (), "a key must be a string."),
                                (Position(1, 12), (), "a key must be a string.")]),
        ("a: !!python/object:os.system ls", [
            (Position(1, 4), (), "tag !!python/object:os.system is not allowed.")]),
        ("a: !!binary aGk=", [(Position(1, 4), (), "tag !!binary is not allowed.")]),
        ("a: {<<: x}", [(Position(1, 5), ("a",), "'<<' must have a mapping or a list of mappings as its value.")]),
        ("a: {<<: {b: 1, b: 2}}", [(Position(1, 16), ("a", "b"), "this key is already defined at line 1.")]),
        ("a: &a {b: 1, b: 2}\nc: [{<<: *a}, {<<: *a}]", [
            (Position(1, 14), ("a", "b"), "this key is already defined at line 1.")]),
    ],
)  # fmt: skip
def test_problems_that_do_not_stop_the_reading(text: str, expected: list[Any]) -> None:
    assert parse_document(text, "f").problems == expected


MAPPINGS = st.recursive(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("uvw")), max_size=3, unique_by=lambda pair: pair[0]),
    lambda inner: st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abc"), st.sampled_from("uvw")),
            st.tuples(st.just("<<"), st.one_of(inner, st.lists(inner, min_size=1, max_size=3).map(tuple))),
        ),
        max_size=4,
        unique_by=lambda pair: pair[0] if pair[0] != "<<" else str(pair),
    ),
    max_leaves=8,
)  # fmt: skip


def flow(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return f"[{', '.join(map(flow, value))}]"
    return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value) + "}"


@given(MAPPINGS)
@example([("a", "u"), ("<<", [("a", "v")])])
@example([("<<", [("a", "v")]), ("a", "u")])
@example([("a", "u"), ("<<", ([("a", "v")], [("a", "w"), ("b", "w")]))])
@example([("<<", [("<<", [("a", "u")]), ("b", "v")])])
def test_merges_mean_what_they_mean_in_manifests(mapping: Any) -> None:
    text = f"top: {flow(mapping)}"
    (manifest,) = yaml_documents(text.encode(), "f")
    document = parse_document(text, "f")
    assert (document.problems, document.data) == ([], manifest.data)
    assert {path[1:] for path in document.keys if len(path) > 1} == {(key,) for key in manifest.data["top"]}


def test_a_null_that_replaces_a_value_unsets_it() -> None:
    document = parse_document("a: {b: 1, <<: {b: }}\nc: {<<: {d: }, d: 2}", "f")
    assert (document.data, document.nulls) == ({"a": {}, "c": {"d": 2}}, [("a", "b")])


def test_a_chain_of_merges_is_bounded() -> None:
    chain = "".join(f"m{i}: &m{i} {{<<: *m{i - 1}}}\n" for i in range(1, 2000))
    assert error("m0: &m0 {x: 1}\n" + chain) == "f: its aliases expand to more than 100000 values."


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(lines)


def test_an_alias_bomb_costs_little() -> None:
    started = time.process_time()
    assert error(bomb(40, 40)) == "f: its aliases expand to more than 100000 values."
    assert time.process_time() - started < 5


def test_a_merge_bomb_costs_little() -> None:
    started = time.process_time()
    wide = "a: &a {" + ", ".join(f"k{i}: 1" for i in range(5000)) + "}\n"
    text = wide + "".join(f"b{i}: {{<<: *a}}\n" for i in range(2000))
    assert error(text) == "f: its aliases expand to more than 100000 values."
    repeated = wide + "".join(f"b{i}: {{<<: [{', '.join(['*a'] * 200)}]}}\n" for i in range(200))
    assert error(repeated) == "f: its aliases expand to more than 100000 values."
    assert time.process_time() - started < 5


def test_json_is_yaml() -> None:
    assert data('{\n\t"a":\t"x\\/y",\r\n\t"b": [1, true, "1.30"]\n}') == {"a": "x/y", "b": [1, True, "1.30"]}


def test_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document = read_document(file)
    assert (document.data, document.keys[("a",)]) == ({"a": 1, "b": 2}, Position(1, 1))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: 1\nb: \xff\xfe", ":2: this is not a UTF-8 text file."),
        (b"\x89PNG\r\n\x1a\n\x00", ":1: this is not a UTF-8 text file."),
        (b"\x7fELF\x02", ":1: the file contains a control character: not a text file?"),
        (b"x" * (MAX_BYTES + 1), ": the file is larger than 1024 KiB."),
        (b"", ": the file is empty."),
    ],
)
def test_files_that_are_no_yaml(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        read_document(file)
    assert str(caught.value) == f"{file}{expected}"


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path, what in (
        (tmp_path / "no.yaml", "the file does not exist."),
        (tmp_path, "this is a folder, not a file."),
    ):
        with pytest.raises(SpecError) as caught:
            read_document(path)
        assert str(caught.value) == f"{path}: {what}"
    with pytest.raises(SpecError, match="could not be read: embedded null byte"):
        read_document("a\0b")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def says(text: str) -> list[str]:
    """The problems, none if it loads. Whatever else is raised fails the test."""
    try:
        spec_from_text(text, "f")
    except SpecError as error:
        return list(error.problems) or [str(error)]
    return []


def loads_or_says_why(text: str) -> None:
    for problem in says(text):
        assert problem.startswith("f:")
        assert problem.isprintable()


@given(st.text())
def test_any_text(text: str) -> None:
    loads_or_says_why(text)


@given(st.text(alphabet="abz01:-,[]{}&*!|>'\"#?<~% \n\t", max_size=60))
def test_any_yaml_like_text(text: str) -> None:
    loads_or_says_why(text)


@given(st.binary(max_size=200))
@settings(max_examples=examples(50))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("bytes") / "a.yaml"
    file.write_bytes(content)
    with pytest.raises(SpecError):
        load_spec(file)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        return found + [p for key in value for p in paths(value[key], (*path, key))]
    if isinstance(value, list):
        return found + [p for index in range(len(value)) for p in paths(value[index], (*path, index))]
    return found


VALID = read_document(STRICT).data


@given(st.data())
@settings(max_examples=examples(300))
def test_a_valid_specification_with_anything_anywhere(choice: st.DataObject) -> None:
    """Each part of the strict specification replaced by anything: valid, or every problem with a place."""
    changed = json.loads(json.dumps(VALID))
    *parents, last = choice.draw(st.sampled_from(paths(changed)))
    target = changed
    for key in parents:
        target = target[key]
    target[last] = choice.draw(JSON)
    loads_or_says_why(json.dumps(changed, ensure_ascii=False))
