from __future__ import annotations

import json
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pytest_kspec.errors import UsageError
from pytest_kspec.reports import json as json_report
from pytest_kspec.reports import writer
from pytest_kspec.results.order import canonical
from pytest_kspec.results.result import ScanResult
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
