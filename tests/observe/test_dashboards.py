"""The dashboards as the files have them: what Grafana imports, without one. Their data: `test_live`."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pytest_kspec.observe.table import BY_NAME
from tests.docs.pages import ROOT
from tools import dashboards

FILES = sorted((ROOT / "config" / "monitoring" / "dashboards").glob("*.json"))
UNITS = {"percent", "percentunit", "short", "s", "ops", "reqps", "bool_yes_no"}
"""Ids of Grafana's formats of values that are in use."""

KINDS = {"stat", "timeseries", "table", "piechart"}
"""Panels that a Grafana of today has: v0.3 used `graph`, which was removed."""


def read(uid: str) -> dict[str, Any]:
    (path,) = [path for path in FILES if path.stem == uid]
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def variables(uid: str) -> list[tuple[str, str, str]]:
    """Name, selector and label of each variable that Prometheus is asked for."""
    found = []
    for one in read(uid)["templating"]["list"]:
        if one["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"])
            assert asked, one
            found.append((one["name"], asked[1], asked[2]))
    return found


def test_there_are_four() -> None:
    assert [path.stem for path in FILES] == sorted(dashboards.DASHBOARDS)
    assert len(FILES) == 4


@pytest.mark.parametrize("uid", sorted(dashboards.DASHBOARDS))
def test_every_panel_has_a_unit_a_title_and_queries(uid: str) -> None:
    document = read(uid)
    assert (document["uid"], document.get("id")) == (uid, None), "a file is imported as a new dashboard"
    found = panels(document)
    assert len(found) > 10
    titles = [panel["title"] for panel in found]
    assert len(set(titles)) == len(titles)
    for panel in found:
        assert panel["type"] in KINDS, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert panel["targets"], panel["title"]
    asked = [(panel["title"], target["expr"]) for panel in found for target in panel["targets"]]
    assert asked == [(title, query) for name, title, query in dashboards.queries() if name == uid]


@pytest.mark.parametrize("uid", sorted(dashboards.DASHBOARDS))
def test_variables_are_defined_before_they_are_used_and_all_is_all(uid: str) -> None:
    document = read(uid)
    names = [one["name"] for one in document["templating"]["list"]]
    assert names == ["datasource", "group", "cluster_name", "cluster_spec"]
    known: set[str] = set()
    for name, selector, label in variables(uid):
        assert set(re.findall(r"\$(\w+)", selector)) <= known, name
        metric = re.match(r"\w+", selector)
        assert metric
        assert label in BY_NAME[metric[0]].labels, name
        known.add(name)
    for one in document["templating"]["list"][1:]:
        assert (one["includeAll"], one["allValue"], one["multi"]) == (True, ".*", True)
    used = {
        name
        for panel in panels(document)
        for target in panel["targets"]
        for name in re.findall(r"\$(\w+)", target["expr"])
    }
    assert used <= {*names, "__rate_interval"}
    matched = re.findall(r"(\w+)(=~|=)\"\$(\w+)\"", json.dumps(document).replace('\\"', '"'))
    assert {operator for _, operator, _ in matched} == {"=~"}, "several values are a pattern"
