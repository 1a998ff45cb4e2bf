"""DriftReports of a DriftConfig: one on a change, and one when all drift is gone.

They go with their DriftConfig, which owns them, and with the specification that they are about: nobody would ever say
that what they name is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pytest_kspec.cluster.watch.reflector import Object
from pytest_kspec.cluster.writing.naming import create_named
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.models.base import seconds as seconds_of
from pytest_kspec.crds.models.driftconfig import DriftRetention
from pytest_kspec.crds.names import LABEL_SPEC, NAMESPACE
from pytest_kspec.crds.objects import driftreport
from pytest_kspec.crds.objects.driftreport import About
from pytest_kspec.crds.objects.owners import is_of_another
from pytest_kspec.drift.events import DriftEvent, Status
from pytest_kspec.drift.report import report_event
from pytest_kspec.drift.words import STATUSES
from pytest_kspec.kube.objectnames import age_key, label_value
from pytest_kspec.operator import status
from pytest_kspec.operator.status import moment_of

_LONGEST_AGE_S = 100 * 366 * 86400.0  # nothing is older


class Told(NamedTuple):
    """What one run found of one specification. remediated: corrected events; whole: everything was compared."""

    events: Sequence[DriftEvent]
    remediated: int
    whole: bool


def of_config(writer: Writer, config: Object) -> list[Object]:
    """All reports of a DriftConfig. Raises SourceError."""
    selector = driftreport.config_selector(config["metadata"]["namespace"], config["metadata"]["name"])
    return list(
        writer.list(driftreport.API_VERSION, driftreport.KIND, namespace=NAMESPACE, label_selector=selector)
    )


def forget(writer: Writer, listed: Iterable[Object], specs: Collection[str]) -> None:
    """Delete reports of specifications that are not there any more. specs: the names of all. Raises SourceError."""
    labels = {label_value(name) for name in specs}
    for one in listed:
        if (one["metadata"].get("labels") or {}).get(LABEL_SPEC) not in labels:
            name = one["metadata"]["name"]
            writer.delete(driftreport.API_VERSION, driftreport.KIND, name, namespace=NAMESPACE)


class Kept(NamedTuple):
    """listed: all reports of the DriftConfig; owner: an ownerReference to it; retention: as it says"""

    listed: Sequence[Object]
    owner: Object
    retention: DriftRetention | None = None


def report(writer: Writer, about: About, told: Told, kept: Kept, now: datetime) -> bool:
    """Write a report if it says something else than the newest one, and delete those beyond the retention.

    Where not everything was compared, none says that anything is gone. Returns whether one says now that all is gone.
    Raises SourceError.
    """
    labels = about.labels.items()
    listed = [one for one in kept.listed if labels <= (one["metadata"].get("labels") or {}).items()]
    listed = [one for one in listed if not is_of_another(one, kept.owner)]
    known = sorted(listed, key=_age)
    newest = known[-1] if known else None
    was_drift = newest is not None and bool((newest.get("spec") or {}).get("driftDetected"))
    name = ""
    if told.events or (was_drift and told.whole):
        events = _since(told.events, newest)
        if not told.whole:
            events += _unseen(events, newest)
        made = driftreport.build(about, events, status.stamp(now), told.remediated)
        made["metadata"]["ownerReferences"] = [kept.owner]
        if newest is None or not driftreport.same(newest, made):
            name = _put(writer, made, [one["metadata"]["name"] for one in kept.listed])
    old_ones = [one for one in known if one["metadata"]["name"] != name]
    for old in _outlived(old_ones, kept.retention, now, new=bool(name)):
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
        oldest = now - timedelta(seconds=min(seconds_of(rules.max_age), _LONGEST_AGE_S))
        rest = known[len(old) : None if new else -1]
        old += [one for one in rest if (at := moment_of(_age(one)[0])) is not None and at < oldest]
    return [one["metadata"]["name"] for one in old]


def _age(report: Mapping[str, Any]) -> tuple[str, int, str]:
    spec = report.get("spec")
    when = spec.get("detectionTime") if isinstance(spec, dict) else ""
    return age_key(str(when), str(report["metadata"]["name"]))
