"""The recorded comparison says which policies it was of."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kspec.enforce.engines import kyverno
from tests.kyverno import build, record


def test_the_record_is_true() -> None:
    text = record.PATH.read_text(encoding="utf-8")
    assert text == record.marked(text), (
        "run `make docs`, which marks it, or `make test-kyverno`, which renews it"
    )
    assert (record.CURRENT in text) != (record.OLDER in text)
    if record.CURRENT in text:
        assert f"| Kyverno | {build.version()}," in text


def test_everything_was_compared() -> None:
    rows = record.read(record.PATH.read_text(encoding="utf-8"))
    assert sorted(rows) == sorted((api, what) for api in kyverno.APIS for what in record.PARTS.values())
    for _, _, specifications, verdicts, refused, _ in rows.values():
        assert int(specifications) > 0
        assert 0 < int(refused) <= int(verdicts)


def test_a_part_is_renewed_and_what_is_of_other_policies_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "PATH", tmp_path / "RESULT.md")
    first, second = (record.Compared("clusterpolicy", what, 1, 5, 2) for what in ("a", "b"))
    record.write([first, second], kubernetes="v1", day="2026-01-01")
    record.write([first._replace(verdicts=7)], kubernetes="v1", day="2026-01-02")
    rows = record.read(record.PATH.read_text())
    assert rows[("clusterpolicy", "a")] == ("clusterpolicy", "a", "1", "7", "2", "2026-01-02")
    assert rows[("clusterpolicy", "b")] == ("clusterpolicy", "b", "1", "5", "2", "2026-01-01")
    record.write([first], kubernetes="v2", day="2026-01-03")
    assert list(record.read(record.PATH.read_text())) == [("clusterpolicy", "a")]


def test_other_policies_make_it_older() -> None:
    digest = record.digest()
    text = f"| Policies | `{digest}` |\n{record.CURRENT}\n"
    assert record.marked(text) == text
    other = text.replace(digest, "0" * 16)
    assert record.OLDER in record.marked(other)
    assert record.marked(other.replace("0" * 16, digest).replace(record.CURRENT, record.OLDER)) == text
