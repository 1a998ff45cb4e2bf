"""A result and its replay: whatever is changed in one is found, but times and who ran it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_kspec.errors import EvidenceError
from pytest_kspec.evidence import document
from pytest_kspec.evidence.compare import MAY_DIFFER, differences
from pytest_kspec.reports import json as report
from pytest_kspec.results.baseline import Baseline
from tests.reports.results import cluster, scan

Path_ = tuple[str | int, ...]


def made() -> dict[str, Any]:
    result = scan(cluster("prod-eu"), cluster("prod-us"))
    known = Baseline("known.json", (), ()).updated(result)
    from msgspec.structs import replace

    clusters = tuple(replace(cluster, baseline=known.use(cluster)) for cluster in result.clusters)
    return document.read(report.render(replace(result, clusters=clusters)), "result.json", "here")


RESULT = made()


def leaves(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def lists(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    if isinstance(value, list) and value:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from lists(item, (*path, key))


def shape(path: Path_) -> str:
    return "".join("[]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def at(value: Any, path: Path_) -> Any:
    for part in path:
        value = value[part]
    return value


LEAVES, LISTS = list(leaves(RESULT)), list(lists(RESULT))
PARTS = [path for path in LEAVES if path]


def test_the_example_holds_every_part_of_a_result() -> None:
    """Else nothing of it would be changed below."""
    shapes = {shape(path) for path in LEAVES}
    for part in (
        "summary.score",
        "tool.version",
        "clusters[].summary.pass",
        "clusters[].spec.version",
        "clusters[].evidence.specSha256",
        "clusters[].checks[].title",
        "clusters[].checks[].severity",
        "clusters[].checks[].findings[].message",
        "clusters[].checks[].findings[].exemption.reason",
        "clusters[].exemptions[].state",
        "clusters[].notEvaluated[].reason",
        "clusters[].frameworks[].controls[].status",
        "clusters[].baseline.covered",
    ):
        assert part in shapes
    assert not list(differences(RESULT, copy.deepcopy(RESULT), {}))


other = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.text(max_size=3), st.just([]), st.just({}), st.just([1])
)


@given(st.sampled_from(PARTS), other, st.booleans())
def test_every_changed_value_is_found_by_its_path(path: Path_, value: Any, near: bool) -> None:
    forged = copy.deepcopy(RESULT)
    was = at(forged, path)
    if near and isinstance(was, str):
        value = was + "x"
    if near and isinstance(was, int | float):
        value = was + 1 if not isinstance(was, bool) else not was
    assume(json.dumps(value) != json.dumps(was))
    at(forged, path[:-1])[path[-1]] = value
    found = list(differences(forged, RESULT, {}))
    if shape(path) in MAY_DIFFER and MAY_DIFFER[shape(path)][1](value):
        assert found == []
        return
    named = next(part for part in reversed(path) if isinstance(part, str))
    assert any(str(named) in line for line in found), found


@given(st.sampled_from(PARTS))
def test_every_value_that_is_gone_or_new_is_found(path: Path_) -> None:
    forged = copy.deepcopy(RESULT)
    last = path[-1]
    assume(isinstance(last, str))
    del at(forged, path[:-1])[last]
    assert any(str(last) in line for line in differences(forged, RESULT, {}))
    assert any(str(last) in line for line in differences(RESULT, forged, {}))


@given(st.sampled_from(LISTS), st.data())
def test_every_entry_that_is_gone_doubled_or_moved_is_found(path: Path_, data: st.DataObject) -> None:
    named = next(part for part in reversed(path) if isinstance(part, str))
    entries = at(RESULT, path)
    index = data.draw(st.integers(0, len(entries) - 1))
    changed = [
        entries[:index] + entries[index + 1 :],
        entries[:index] + entries[index:][:1] + entries[index:],
        [],
    ]
    if len(entries) > 1 and entries[index] != entries[index - 1]:
        moved = list(entries)
        moved[index], moved[index - 1] = moved[index - 1], moved[index]
        changed.append(moved)
    for variant in changed:
        forged = copy.deepcopy(RESULT)
        at(forged, path[:-1])[path[-1]] = variant
        assert any(str(named) in line for line in differences(forged, RESULT, {})), variant


@pytest.mark.parametrize(
    ("was", "now"), [(True, 1), (0, False), (1, "1"), ({}, []), (None, False), ("", None)]
)
def test_values_of_another_type_are_other_values(was: Any, now: Any) -> None:
    assert list(differences({"a": was}, {"a": now}, {}))
    assert list(differences({"a": [was]}, {"a": [now]}, {}))


def test_one_and_one_point_zero_are_one_number() -> None:
    assert not list(differences({"a": 1}, {"a": 1.0}, {}))


PLACES = {"specs/prod.yaml": "files/prod.yaml"}


@pytest.mark.parametrize(
    ("was", "same"),
    [
        ("specs/prod.yaml:3:5", True),
        ("./specs/../specs/prod.yaml:3:5", True),
        ("specs/prod.yaml:3:6", False),
        ("prod.yaml:3:5", False),
        ("other/prod.yaml:3:5", False),
        ("specs/prod.yaml", False),
        ("", False),
    ],
)
def test_a_file_is_the_one_in_the_bundle(was: str, same: bool) -> None:
    recorded, replayed = (
        {"clusters": [{"checks": [{"id": "a", "location": text}]}]} for text in (was, "files/prod.yaml:3:5")
    )
    assert (not list(differences(recorded, replayed, PLACES))) is same


def test_what_it_says() -> None:
    forged = copy.deepcopy(RESULT)
    forged["clusters"][0]["checks"][0]["verdict"] = "pass\x1b[2J\n::error::x" * 20
    forged["clusters"][0]["checks"].append(forged["clusters"][0]["checks"][1])
    first, second = (check["id"] for check in RESULT["clusters"][0]["checks"][:2])
    name = f"{RESULT['clusters'][0]['name']}, {RESULT['clusters'][0]['spec']['name']}"
    verdict, doubled = differences(forged, RESULT, {})
    assert verdict.startswith(
        f'clusters[{name}].checks[{first}].verdict: the result has "pass\\u001b[2J\\n::error::xpass'
    )
    assert "\x1b" not in verdict
    assert "\n" not in verdict
    assert len(verdict) < 400
    assert doubled == f"clusters[{name}].checks[{second}]: only in the result, or duplicated"


def test_what_is_nested_deeply_is_compared_too() -> None:
    def deep(value: Any) -> Any:
        for _ in range(400):
            value = {"b": [value]}
        return value

    assert not list(differences({"a": deep(1)}, {"a": deep(1)}, {}))
    (line,) = differences({"a": deep(1)}, {"a": deep(2)}, {})
    assert line.endswith("a deeply nested value differs")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"a": 1, "a": 2}', 'an object has "a" twice'),
        (b'{"b": {"verdict": "fail", "verdict": "pass"}}', 'an object has "verdict" twice'),
        (b'{"score": NaN}', "NaN is not JSON"),
        (b'{"score": Infinity}', "Infinity is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "is not an object"),
        (b"\xff", "could not be read"),
        (b"{} {}", "could not be read"),
    ],
)
def test_two_readers_see_one_document(raw: bytes, why: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        document.read(raw, "its result", "e.tar.gz")
    assert why in str(caught.value)
