from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_kspec.errors import ReportError, UsageError
from pytest_kspec.reports import json as json_report
from pytest_kspec.reports import terminal, writer
from pytest_kspec.results.baseline import Baseline, load_baseline
from pytest_kspec.results.order import canonical
from pytest_kspec.results.result import ScanResult
from tests.effort import examples
from tests.reports import results
from tests.reports.counted import text_of


def without_surrogates(result: ScanResult) -> ScanResult:
    """UTF-8 has no lone surrogates: the file holds their escapes."""
    return ScanResult.from_wire(json.loads(json.dumps(result.to_wire()).replace("\\ud800", "\\\\ud800")))


@pytest.mark.parametrize(
    "result", [results.one(), results.compliant(), results.fleet(3, 20, 2), results.scan()]
)
def test_read_returns_what_was_written(result: ScanResult, tmp_path: Path) -> None:
    writer.write(result, writer.ReportFile("json", str(tmp_path / "scan.json")))
    assert json_report.read(tmp_path / "scan.json") == canonical(without_surrogates(result))


def test_document_is_the_one_of_the_model() -> None:
    result = canonical(results.fleet(4, 9, 3))
    assert json.loads(json_report.render(result)) == result.to_wire()


def test_a_finding_is_one_line() -> None:
    result = results.fleet(4, 9, 3)
    lines = json_report.render(canonical(result)).decode().splitlines()
    findings = sum(len(check.findings) for cluster in result.clusters for check in cluster.checks)
    assert sum(line.lstrip().startswith('{"resource":') for line in lines) == findings > 0


@pytest.mark.parametrize("format_name", sorted(writer.FORMATS))
def test_order_of_arrival_does_not_matter(format_name: str) -> None:
    expected = writer.render(results.fleet(4, 12, 5), format_name)
    for seed in range(3):
        chance = random.Random(seed)

        def shuffled(items: Any, chance: random.Random = chance) -> Any:
            return tuple(chance.sample(items, len(items)))

        result = results.fleet(4, 12, 5)
        clusters = (
            replace(
                cluster,
                checks=shuffled([replace(c, findings=shuffled(c.findings)) for c in cluster.checks]),
                exemptions=shuffled(cluster.exemptions),
                not_evaluated=shuffled(cluster.not_evaluated),
            )
            for cluster in shuffled(result.clusters)
        )
        assert writer.render(replace(result, clusters=tuple(clusters)), format_name) == expected


@pytest.mark.parametrize("format_name", sorted(writer.FORMATS))
@pytest.mark.parametrize(
    "actual",
    [
        float("nan"),
        2**80,
        {"a": {1, 2}},
        datetime(2026, 1, 1),
        b"x",
        {1: 2, "b": 3},
        object,
        "\ud800",
        {"\ud800": 1},
    ],
    ids=repr,
)
def test_an_odd_value_loses_no_report(actual: object, format_name: str) -> None:
    odd = results.finding(results.ref("Pod", "p"), "spec.x", actual, "data")
    check = results.check("acme.odd", "Odd", "low", "fail", findings=(odd,))
    content = writer.render(results.scan(results.cluster(checks=(check,))), format_name)
    assert "acme.odd" in text_of(content, format_name)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "could not be read: No such file or directory."),
        (b"<xml/>", "is not JSON"),
        (b"[]", "is not a ScanResult of kspec.io/v1alpha1."),
        (b'{"kind": "ScanResult", "apiVersion": "kspec.io/v9"}', "is not a ScanResult of kspec.io/v1alpha1."),
        (
            b'{"kind": "ScanResult", "apiVersion": "kspec.io/v1alpha1"}',
            "is not a complete ScanResult (KeyError",
        ),
        (
            b'{"kind":"ScanResult","apiVersion":"kspec.io/v1alpha1","tool":{"version":"1"},"startedAt":"","finishedAt":"",'
            b'"clusters":[3]}',
            "is not a complete ScanResult (TypeError",
        ),
        (b"[" * 100_000, "is not JSON: maximum recursion depth exceeded"),
        (b'{"kind": "\xff"}', "is not JSON: 'utf-8' codec can't decode"),
    ],
)
def test_read_says_what_is_wrong(content: bytes | None, what: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        json_report.read(path)
    assert str(caught.value).startswith(f"{path}: {what}")
    assert caught.value.fix == "Use a file that was written by --kspec-report json:FILE."


def test_a_device_and_a_file_without_end_are_not_read(tmp_path: Path) -> None:
    sparse = tmp_path / "scan.json"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    for path, said in ((Path("/dev/zero"), "it is a device"), (sparse, "it is larger than 2048 MiB")):
        with pytest.raises(UsageError, match=f"could not be read: {said}"):
            json_report.read(path)
        with pytest.raises(UsageError, match=f"could not be read: {said.replace('2048', '256')}"):
            load_baseline(path)


ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e300, 10**18, "", "x", "\0", "9999-99-99T99:99:99Z", "0001-01-01T00:00:00Z"),
    *([], ["x"], {}, {"a": [1]}, [[1]]),
)


def _places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield from _places(value, (*at, key))


def _at(places: Any) -> list[tuple[Any, ...]]:
    """One place of each kind: of lists, whatever is in them."""
    kinds = {tuple("*" if isinstance(key, int) else key for key in place): place for place in places}
    return list(kinds.values())


WHOLE: Any = json.loads(json_report.render(replace(results.one(), trend=results.trend("prod-eu", runs=2))))
PLACES = _at(_places(WHOLE))


@given(place=st.sampled_from(PLACES), odd=st.sampled_from(ODD), remove=st.integers(0, 9))
@effort(max_examples=examples(150), deadline=None)
def test_values_of_other_types_in_a_result_are_an_error_or_a_report(
    place: tuple[Any, ...], odd: Any, remove: int
) -> None:
    document: Any = odd
    if place:
        document = json.loads(json.dumps(WHOLE))
        *above, last = place
        inner = document
        for key in above:
            inner = inner[key]
        inner[last] = odd
        if remove == 0:
            del inner[last]
    try:
        result = json_report.parse(json.dumps(document).encode(), "scan.json")
    except UsageError:
        return
    for name in writer.FORMATS:
        if name not in ("pdf", "pdf-full"):
            with suppress(ReportError):
                writer.render(result, name)
    Baseline("known.json", (), ()).updated(result).render()
    terminal.render(result, 100)


def test_each_field_of_a_result_has_its_type() -> None:
    wrong = json.loads(json.dumps(WHOLE))
    wrong["clusters"][0]["checks"][0]["title"] = 3
    with pytest.raises(
        UsageError, match=r"Expected `str`, got `int` - at `\$.clusters\[0\].checks\[0\].title`"
    ):
        json_report.parse(json.dumps(wrong).encode(), "scan.json")
