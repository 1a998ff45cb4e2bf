"""DriftReports of a DriftConfig: one on a change, and one when all drift is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pytest_kspec.alerts.routing import seconds as seconds_of
from pytest_kspec.cluster.watch.reflector import Object
from pytest_kspec.cluster.writing.naming import create_named
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.models.driftconfig import DriftRetention
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.objects import driftreport
from pytest_kspec.crds.objects.driftreport import About
from pytest_kspec.drift.events import DriftEvent, Status
from pytest_kspec.drift.report import report_event
from pytest_kspec.drift.words import STATUSES
from pytest_kspec.kube.objectnames import age_key
from pytest_kspec.operator import status
from pytest_kspec.operator.status import moment_of


class Told(NamedTuple):
    """What one run found of one specification. remediated: corrected events; whole: everything was compared."""

    events: Sequence[DriftEvent]
    remediated: int
    whole: bool


def report(writer: Writer, about: About, told: Told, retention: DriftRetention | None, now: datetime) -> bool:
    """Write a report if it says something else than the newest one, and delete those beyond the retention.

    Where not everything was compared, none says that anything is gone. Returns whether one says now that all is gone.
    Raises SourceError.
    """
    listed = writer.list(
        driftreport.API_VERSION, driftreport.KIND, namespace=NAMESPACE, label_selector=about.selector
    )
    known = sorted(listed, key=_age)
    newest = known[-1] if known else None
    was_drift = newest is not None and bool((newest.get("spec") or {}).get("driftDetected"))
    name = ""
    if told.events or (was_drift and told.whole):
        events = _since(told.events, newest)
        if not told.whole:
            events += _unseen(events, newest)
        made = driftreport.build(about, events, status.stamp(now), told.remediated)
        if newest is None or not driftreport.same(newest, made):
            name = _put(writer, made, [one["metadata"]["name"] for one in known])
    kept = [one for one in known if one["metadata"]["name"] != name]
    for old in _outlived(kept, retention, now, new=bool(name)):
        writer.delete(driftreport.API_VERSION, driftreport.KIND, old, namespace=NAMESPACE)
    return bool(name) and not told.events


def _put(writer: Writer, made: Object, taken: Sequence[str]) -> str:
    """Write a report and its status; its name. Two runs may end in one second: neither takes the other's place."""
    made = dict(made)
    sent = made.pop("status")
    metadata = {"name": create_named(writer, made, taken), "namespace": made["metadata"]["namespace"]}
    head = {key: made[key] for key in ("apiVersion", "kind")}
    writer.apply({**head, "metadata": metadata, "status": sent}, subresource="status")
    return str(metadata["name"])


def _since(events: Iterable[DriftEvent], newest: Object | None) -> list[Object]:
    """Events of a report; what the report before has, too, was first seen when that one says."""
    before = {}
    for one in ((newest or {}).get("spec") or {}).get("events") or ():
        with contextlib.suppress(KeyError, TypeError, AttributeError):
            before[_same(one)] = one["timestamp"]
    made = [report_event(event) for event in events]
    for one in made:
        one["timestamp"] = before.get(_same(one), one["timestamp"])
    return made


def _unseen(events: Sequence[Object], newest: Object | None) -> list[Object]:
    """What the report before has beside these: where not everything was compared, it is not gone."""
    there = {_same(one) for one in events}
    left = []
    for one in ((newest or {}).get("spec") or {}).get("events") or ():
        with contextlib.suppress(KeyError, TypeError, AttributeError):
            corrected = (one.get("remediation") or {}).get("status") == STATUSES[Status.REMEDIATED]
            if _same(one) not in there and "resource" in one and not corrected:
                left.append(one)
    return left


def _same(event: Mapping[str, Any]) -> tuple[str, ...]:
    resource = event.get("resource") or {}
    check = str(event.get("check") or "")
    names = ("kind", "namespace", "name", *(("path",) if check else ()))
    return (event["type"], event["driftType"], check, *(str(resource.get(name) or "") for name in names))


def _outlived(
    known: Sequence[Object], rules: DriftRetention | None, now: datetime, *, new: bool
) -> list[str]:
    """Names of reports beyond the retention; the newest stays. known: oldest first; new: one was just written."""
    most = (rules.max_reports if rules else 30) - new
    old = list(known[: max(0, len(known) - max(0, most))])
    if rules is not None and rules.max_age is not None:
        oldest = now - timedelta(seconds=min(seconds_of(rules.max_age), 3650 * 86400.0))
        rest = known[len(old) : None if new else -1]
        old += [one for one in rest if (at := moment_of(_age(one)[0])) is not None and at < oldest]
    return [one["metadata"]["name"] for one in old]


def _age(report: Mapping[str, Any]) -> tuple[str, int, str]:
    spec = report.get("spec")
    when = spec.get("detectionTime") if isinstance(spec, dict) else ""
    return age_key(str(when), str(report["metadata"]["name"]))
