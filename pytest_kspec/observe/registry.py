"""Counts and values of one process, and how Prometheus reads them.

prometheus_client would do this, but for speed: 1,000 clusters with 5 specifications each are 190,000 samples, for which
it takes 1.7 s of CPU a scrape and 240 MB (`benchmarks.metrics` compares). Its parser reads our text in the tests, and
Prometheus does.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import inf, isnan
from typing import Any

from pytest_kspec.observe.table import ROWS, Row

log = logging.getLogger("kspec.metrics")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_SERIES = 50_000
"""Of one metric: 5,000 specifications on clusters, ten series each. What is beyond is counted, not exposed."""

LONGEST_VALUE = 256
"""Characters of a label: a longer one is cut."""

_DROPPED = "kspec_metric_series_dropped_total"

Labels = tuple[str, ...]


class _Family:
    """One metric: values by the labels that identify a series; of a histogram, its sum and the count of each bucket."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.series: dict[Labels, Any] = {}
        self.full: dict[Labels, Labels] = {}
        """All labels, where some are information."""
        self.identity = [i for i, label in enumerate(row.labels) if label not in row.info]
        pairs = ",".join(f'{label}="%s"' for label in row.labels)
        self.head = f"# HELP {row.name} {_help(row.help)}\n# TYPE {row.name} {row.kind}\n"
        self.line = f"{row.name}{{{pairs}}} %s\n" if pairs else f"{row.name} %s\n"
        comma = pairs + "," if pairs else ""
        self.buckets = [
            f'{row.name}_bucket{{{comma}le="{bound}"}} %d\n' for bound in (*map(_number, row.buckets), "+Inf")
        ]
        braces = f"{{{pairs}}}" if pairs else ""
        self.sum, self.count = f"{row.name}_sum{braces} %s\n", f"{row.name}_count{braces} %d\n"

    def key(self, labels: Labels) -> Labels:
        """What identifies the series of these labels."""
        return labels if not self.row.info else tuple(labels[i] for i in self.identity)

    def clear(self, key: Labels) -> None:
        self.series.pop(key, None)
        self.full.pop(key, None)

    def lines(self) -> Iterator[str]:
        for key, value in self.series.items():
            labels = self.full.get(key, key)
            if isinstance(value, list):
                total = 0
                for line, count in zip(self.buckets, value[1:], strict=True):
                    total += int(count)
                    yield line % (*labels, total)
                yield self.sum % (*labels, _number(value[0]))
                yield self.count % (*labels, total)
            else:
                yield self.line % (*labels, _number(value))


class Series:
    """One series, looked up once: for what is counted thousands of times a second."""

    __slots__ = ("_bounds", "_key", "_lock", "_row", "_series")

    def __init__(self, family: _Family, key: Labels, lock: threading.Lock) -> None:
        self._row, self._series, self._bounds = family.row, family.series, family.row.buckets
        self._key, self._lock = key, lock

    def inc(self, by: float = 1.0) -> None:
        """A counter grows."""
        with self._lock:
            self._series[self._key] = self._series.get(self._key, 0.0) + by

    def observe(self, seconds: float) -> None:
        """A histogram has one more observation."""
        with self._lock:
            series = self._series.get(self._key)
            if series is None:
                series = self._series[self._key] = _empty(self._row)
            series[0] += seconds
            series[1 + bisect_left(self._bounds, seconds)] += 1


class Together:
    """Counters that grow by one with each observation of a histogram, all of one registry."""

    __slots__ = ("_counters", "_histogram")

    def __init__(self, histogram: Series, *counters: Series) -> None:
        self._histogram, self._counters = histogram, counters

    def observe(self, seconds: float) -> None:
        """One more, under one lock: each of its own costs as much as to count."""
        histogram = self._histogram
        with histogram._lock:
            for one in self._counters:
                one._series[one._key] = one._series.get(one._key, 0.0) + 1.0
            series = histogram._series.get(histogram._key)
            if series is None:
                series = histogram._series[histogram._key] = _empty(histogram._row)
            series[0] += seconds
            series[1 + bisect_left(histogram._bounds, seconds)] += 1


class Registry:
    """Metrics of one emitter (`table.OPERATOR`, `table.WEBHOOK`). Thread-safe.

    leads: whether this process exposes what the leader alone does
    most: series of one metric

    Labels are given in the order of the table. A name that it does not have, or another number of labels, is a fault
    of the caller: KeyError, ValueError.
    """

    def __init__(
        self, emitter: str, leads: Callable[[], bool] = lambda: True, most: int = MOST_SERIES
    ) -> None:
        self._leads = leads
        self._most = most
        self._lock = threading.Lock()
        self._families = {row.name: _Family(row) for row in ROWS if emitter in row.emitters}
        self._reads: list[Callable[[], None]] = []
        self._told: set[str] = set()
        for family in self._families.values():
            for labels in _known(family.row):
                self._start(family, labels)

    def set(self, name: str, labels: Sequence[str], value: float) -> None:
        """A gauge has this value, or a counter that is kept elsewhere.

        A series that differs in information only is replaced.
        """
        with self._lock:
            family, full = self._family(name, labels)
            if (key := self._room(family, full)) is not None:
                family.series[key] = value

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """A counter grows."""
        with self._lock:
            family, full = self._family(name, labels)
            if (key := self._room(family, full)) is not None:
                family.series[key] += by

    def start(self, name: str, *labels: str) -> None:
        """A counter or histogram is there, so that its first change is seen as one."""
        with self._lock:
            self._room(*self._family(name, labels))

    def series(self, name: str, *labels: str) -> Series:
        """One counter or histogram, of labels that are few."""
        with self._lock:
            family, full = self._family(name, labels)
            self._room(family, full)
            return Series(family, family.key(full), self._lock)

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """A histogram has one more observation."""
        with self._lock:
            family, full = self._family(name, labels)
            if (key := self._room(family, full)) is not None:
                series = family.series[key]
                series[0] += seconds
                series[1 + bisect_left(family.row.buckets, seconds)] += 1

    def replace(self, name: str, values: Mapping[Labels, float]) -> None:
        """All series of a gauge: those that are not given vanish."""
        with self._lock:
            family = self._families[name]
            family.series.clear()
            family.full.clear()
        for labels, value in values.items():
            self.set(name, labels, value)

    def drop(self, name: str, labels: Sequence[str]) -> None:
        """One series, if there is one: its value is not known any more."""
        with self._lock:
            family, full = self._family(name, labels)
            family.clear(family.key(full))

    def forget(self, metrics: Iterable[str] = (), **labels: str) -> None:
        """Every series that has all these labels, of these metrics, or of all that have labels of these names."""
        with self._lock:
            for family in [self._families[name] for name in metrics] or self._families.values():
                names = family.row.labels
                if not all(name in names for name in labels):
                    continue
                places = [(names.index(name), _escaped(value)) for name, value in labels.items()]
                gone = [
                    key
                    for key in family.series
                    if all(family.full.get(key, key)[place] == value for place, value in places)
                ]
                for key in gone:
                    family.clear(key)

    def read(self, action: Callable[[], None]) -> None:
        """Call this before each exposition: it sets what is known at that moment only."""
        self._reads.append(action)

    def value(self, name: str, *labels: str) -> float | None:
        """Of one series; of a histogram, its number of observations."""
        with self._lock:
            family, full = self._family(name, labels)
            value = family.series.get(family.key(full))
        return sum(value[1:]) if isinstance(value, list) else value

    def expose(self) -> Iterator[bytes]:
        """Prometheus text, one part a metric."""
        for action in self._reads:
            action()
        leads = self._leads()
        for family in self._families.values():
            if family.row.leader and not leads:
                continue
            with self._lock:
                text = "".join(family.lines())
            if text:
                yield (family.head + text).encode("utf-8", "replace")

    def text(self) -> bytes:
        """All of it."""
        return b"".join(self.expose())

    # -- inside --------------------------------------------------------------------------------------------

    def _family(self, name: str, labels: Sequence[str]) -> tuple[_Family, Labels]:
        family = self._families[name]
        if len(labels) != len(family.row.labels):
            raise ValueError(f"{name} has the labels {family.row.labels}, given were {labels!r}")
        return family, tuple(map(_escaped, labels))

    def _room(self, family: _Family, full: Labels) -> Labels | None:
        """The key of a series that is there or has room; None: there is none."""
        key = family.key(full)
        if key in family.series:
            if family.row.info and family.full[key] != full:
                self._start(family, full)
            return key
        if len(family.series) >= self._most:
            dropped = self._families.get(_DROPPED)
            if dropped is not None:
                one = (family.row.name,)
                dropped.series[one] = dropped.series.get(one, 0.0) + 1.0
            if family.row.name not in self._told:
                self._told.add(family.row.name)
                log.warning("%s has %d series: further ones are not exposed", family.row.name, self._most)
            return None
        self._start(family, full)
        return key

    @staticmethod
    def _start(family: _Family, full: Labels) -> None:
        key = family.key(full)
        family.series[key] = _empty(family.row) if family.row.kind == "histogram" else 0.0
        if family.row.info:
            family.full[key] = full


def _known(row: Row) -> Iterator[Labels]:
    """Labels of all series of a counter or histogram, where they are few: these begin at 0."""
    if row.kind != "gauge" and all(label in row.values for label in row.labels):
        yield from product(*(row.values[label] for label in row.labels))


def _empty(row: Row) -> list[float]:
    return [0.0] * (len(row.buckets) + 2)


def _escaped(text: str) -> str:
    text = text[:LONGEST_VALUE]
    if "\\" in text or '"' in text or "\n" in text:
        text = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    if isnan(value):
        return "NaN"
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
