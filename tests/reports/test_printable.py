"""No text of a result reaches a reader of a report as characters that mislead: HTML, XML and JSON are read first."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import re
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pytest_kspec.reports import writer
from tests.reports import results

MISLEADING = "\u202e"
# What a result says by words of its own, or what has a form: times, digests, versions.
OF_ITS_OWN = re.compile("_at$|_sha256$|version|uid|^source$|^state$|^date$|^expires$")


def misleading(what: Any, field: str = "") -> Any:
    """The same with such a character, and the name of the field, at the end of each text of others."""
    if isinstance(what, msgspec.Struct):
        return replace(what, **{f: misleading(getattr(what, f), f) for f in what.__struct_fields__})
    if dataclasses.is_dataclass(what) and not isinstance(what, type):
        names = [f.name for f in dataclasses.fields(what) if f.init]
        return dataclasses.replace(what, **{name: misleading(getattr(what, name), name) for name in names})
    if isinstance(what, tuple) and hasattr(what, "_fields"):
        return type(what)(*(misleading(getattr(what, f), f) for f in what._fields))
    if isinstance(what, list | tuple):
        return type(what)(misleading(one, field) for one in what)
    if isinstance(what, dict):
        return {key: misleading(one, field) for key, one in what.items()}
    if type(what) is str and what and not OF_ITS_OWN.search(field):
        return f"{what} {MISLEADING}{field}"
    return what


def texts(what: Any) -> list[str]:
    if isinstance(what, dict):
        return [text for pair in what.items() for one in pair for text in texts(one)]
    if isinstance(what, list):
        return [text for one in what for text in texts(one)]
    return [what] if isinstance(what, str) else []


def read(format_name: str, document: str) -> list[str]:
    """Texts as a reader sees them."""
    if format_name in ("sarif", "oscal"):
        return texts(json.loads(document))
    if format_name == "csv":
        return [cell for row in csv.reader(io.StringIO(document)) for cell in row]
    if format_name == "html":
        scripts = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', document, re.DOTALL)
        assert scripts
        shown = [text for script in scripts for text in texts(json.loads(script))]
        return [html.unescape(re.sub(r"<script.*?</script>", "", document, flags=re.DOTALL)), *shown]
    return [html.unescape(document)]


@pytest.mark.parametrize("format_name", ["html", "junit", "csv", "markdown", "sarif", "oscal"])
def test_no_text_of_a_result_misleads(format_name: str) -> None:
    document = writer.render(misleading(results.one()), format_name).decode("utf-8")
    shown = read(format_name, document)
    # Addresses within a page have `_` for the space.
    assert [at for text in shown for at in re.findall(f".{{0,60}} {MISLEADING}.*", text)] == []
    assert any("\\u202e" in text for text in shown)
