"""Where a result goes: files, and sinks (the scanned clusters, a store, what packages add). The one way to publish.

All is read before the scan, so that what cannot work is an error before an hour of it and not after. What cannot be
written afterwards is a problem of its own: nothing else is lost for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from msgspec import Struct, field

from pytest_kspec.errors import KspecError, UsageError
from pytest_kspec.extend.places import REPORTS, SINKS
from pytest_kspec.extend.registry import Entry
from pytest_kspec.reports.writer import STDOUT, ReportFile, parse_targets
from pytest_kspec.reports.writer import write as write_file
from pytest_kspec.results.result import ScanResult


class Published(Struct):
    """What was done with a result: one line of text for each step."""

    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Sink(Protocol):
    """What a sink is asked. It is made of an address before the scan: UsageError there ends the run."""

    def publish(self, result: ScanResult, files: Sequence[ReportFile]) -> Published:
        """Put a result where it belongs. files: the reports that are written as files beside it.

        A KspecError is a problem too; any other exception is one that names the package.
        """
        ...


IN_CLUSTERS = ("cr", "policyreport")
"""Sinks that write into the scanned clusters; named in errors beside the formats."""

MakeSink = Callable[..., Sink]


class NamedSink(NamedTuple):
    """A sink and the entry that made it."""

    entry: Entry
    sink: Sink


class Publication(Struct, frozen=True):
    """All that a run publishes."""

    files: tuple[ReportFile, ...] = ()
    sinks: tuple[NamedSink, ...] = ()

    def __repr__(self) -> str:
        return f"Publication(files={self.files!r})"  # addresses of sinks may hold passwords

    def publish(self, result: ScanResult) -> Published:
        """Files first, then sinks. Raises nothing that concerns only one of them."""
        all_of = Published()
        for target in self.files:
            _add(all_of, partial(_file, result, target), f"the report {target}")
        for entry, sink in self.sinks:
            _add(all_of, partial(sink.publish, result, self.files), _named(entry))
        return all_of


def read_publication(
    texts: Iterable[str],
    *,
    kubeconfig: str | None = None,
    store: str = "",
    store_reports: str = "",
    alerts: Iterable[str] = (),
    option: str = "--kspec-report",
    store_option: str = "--kspec-store",
    alert_option: str = "--kspec-alert",
) -> Publication:
    """What the options of a run say. Raises UsageError for what cannot be right. Writes and connects to nothing.

    texts: NAME:PATH, a report format and a file; or NAME or NAME:ADDRESS, a sink
    alerts: files with an AlertConfig each; what changed against the store is sent
    option, store_option, alert_option: their names, for errors
    """
    sinks: list[NamedSink] = []
    files: list[str] = []
    for text in texts:
        name, colon, address = text.partition(":")
        entry = None if name in REPORTS.builtin else SINKS.find(name)
        if entry is None:
            files.append(text)
            continue
        if any(one.entry.name == name for one in sinks) and not entry.package:
            raise UsageError(f"{name} is given twice.", where=f"{option} {text}")
        make: MakeSink = SINKS.load_entry(entry)
        given = address if colon else None
        sinks.append(NamedSink(entry, make(given, kubeconfig=kubeconfig, where=f"{option} {text}")))
    if store_reports and not store:
        raise UsageError(
            "full reports can only be kept together with a store.",
            where=f"{store_option}-reports",
            fix=f"Give {store_option} too.",
        )
    if store:
        entry = Entry("store", "")
        make = SINKS.load("store")
        sinks.append(NamedSink(entry, make(store, where=store_option, reports=store_reports)))
    configs: dict[str, str] = {}
    for path in alerts:  # after the store, which then has this run
        entry = Entry("alert", "")
        make = SINKS.load("alert")
        sink = make(path, where=f"{alert_option} {path}", store=store)
        name = getattr(sink, "config", path)
        if name in configs:  # the store knows by this name what receivers were told
            raise UsageError(
                f"{configs[name]} has the same name '{name}': alerts sent to its receivers "
                "would count as sent to these.",
                where=f"{alert_option} {path}",
                fix="Give each AlertConfig a metadata.name of its own.",
            )
        configs[name] = path
        sinks.append(NamedSink(entry, sink))
    return Publication(parse_targets(files, IN_CLUSTERS, option), tuple(sinks))


def _file(result: ScanResult, target: ReportFile) -> Published:
    write_file(result, target)
    return Published([f"{target.format} report: {target.path}"] if target.path != STDOUT else [])


def _add(all_of: Published, publish: Callable[[], Published], what: str) -> None:
    try:
        made = publish()
    except KspecError as error:
        all_of.problems.append(str(error))
    except Exception as error:  # noqa: BLE001 - code of others: one of them keeps no other from its report
        all_of.problems.append(f"{what} was not written: {type(error).__name__}: {error}")
    else:
        all_of.done += made.done
        all_of.problems += made.problems


def _named(entry: Entry) -> str:
    return f"{entry.name} of the package {entry.package}" if entry.package else entry.name
