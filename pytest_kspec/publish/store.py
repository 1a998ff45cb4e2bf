"""Puts the result of a run into a store, for the plugin and for `kspec scan`: the controller only, when all has run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from pytest_kspec.publish.sinks import Published
from pytest_kspec.reports.writer import ReportFile
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage.address import parse_address
from pytest_kspec.storage.objects import check_place


class Store:
    """The sink `store`: results over time. address: a file, or a URL of PostgreSQL; reports: where full reports go."""

    def __init__(
        self, address: str | None, *, kubeconfig: str | None = None, where: str = "", reports: str = ""
    ) -> None:
        """Raises UsageError for addresses that cannot be right. Connects to nothing."""
        self._address, self._reports, self._option = address or "", reports, where
        parse_address(self._address, option=where)
        if reports:
            check_place(reports, option=f"{where}-reports")

    def publish(self, result: ScanResult, files: Sequence[ReportFile]) -> Published:
        """Store it; a result that is stored already is there once."""
        return Published([keep(result, self._address, self._reports, option=self._option)])


def keep(result: ScanResult, url: str, place: str, *, option: str = "--kspec-store") -> str:
    """Store a result; returns a line that says where. Raises UsageError, StoreError."""
    from pytest_kspec.reports import json
    from pytest_kspec.reports.shared.text import printable
    from pytest_kspec.results.order import canonical
    from pytest_kspec.storage.engine import open_store
    from pytest_kspec.storage.write import store_result

    ordered = canonical(result)
    with closing(open_store(url, option=option, create=True)) as store:
        where = check_place(place, option=f"{option}-reports") if place else ""
        stored = store_result(store, ordered, json.render(ordered), where)
        line = f"stored as run {stored.run[:12]} in {store.address}"
        if stored.twice:
            names = ", ".join(map(printable, stored.twice))
            line += f"; left out, since another name of the same cluster is stored: {names}"
        return line
