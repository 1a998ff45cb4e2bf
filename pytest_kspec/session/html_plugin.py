"""A column in the page of pytest-html (`--html`); the findings stand in the text of each failure."""

from __future__ import annotations

from html import escape
from typing import Any

import pytest


class HtmlHooks:
    """A severity column. pytest-html takes HTML: everything is escaped here."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """A column for the severity."""
        cells.insert(2, '<th class="sortable">Severity</th>')

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        """The severity of a requirement."""
        wire = getattr(report, "kspec", None)
        if cells:
            cells.insert(2, f"<td>{escape(wire['result']['severity']) if wire else ''}</td>")
