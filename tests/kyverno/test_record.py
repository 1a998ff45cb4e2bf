"""The recorded comparison says which policies it was of."""

from __future__ import annotations

import re

from pytest_kspec.enforce.engines import kyverno
from tests.kyverno import build, record


def test_the_record_is_true():
    text = record.PATH.read_text(encoding="utf-8")
    assert text == record.marked(text), (
        "run `make docs`, which marks it, or `make test-kyverno`, which renews it"
    )
    assert (record.CURRENT in text) != (record.OLDER in text)
    if record.CURRENT in text:
        assert f"| Kyverno | {build.version()}," in text


def test_nothing_differs():
    text = record.PATH.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| .+ \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert "validatingpolicy" in {row[0] for row in rows}
    assert {row[0] for row in rows} <= set(kyverno.APIS)
    for api in kyverno.APIS:
        assert any(row[0] == api for row in rows) != (f"Not compared: {api}." in text), api
    for _, specifications, verdicts, refused, agree, differ in rows:
        assert int(specifications) > 0
        assert int(verdicts) == int(agree)
        assert int(differ) == 0
        assert 0 < int(refused) < int(verdicts)


def test_other_policies_make_it_older():
    digest = record.digest()
    text = f"| Policies | `{digest}` |\n{record.CURRENT}\n"
    assert record.marked(text) == text
    other = text.replace(digest, "0" * 16)
    assert record.OLDER in record.marked(other)
    assert record.marked(other.replace("0" * 16, digest).replace(record.CURRENT, record.OLDER)) == text
