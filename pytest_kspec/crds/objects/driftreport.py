"""A DriftReport of one look: pure, from the fields of its events to the object that is sent.

An object of a cluster must stay small: events are cut worst first, and totals in the status are exact all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from pydantic import ValidationError

from pytest_kspec.crds.models.driftreport import DriftReportSpec
from pytest_kspec.crds.names import GROUP, LABEL_CLUSTER, LABEL_SPEC, LABEL_TYPE, NAMESPACE, VERSION
from pytest_kspec.crds.schema.structural import MAX_LENGTH, MAX_PROSE
from pytest_kspec.kube.objectnames import label_value, object_name
from pytest_kspec.results.finding import plain

API_VERSION = f"{GROUP}/{VERSION}"
KIND = "DriftReport"
LABEL_CONFIG = "kspec.io/drift-config"
MAX_BYTES = 256 << 10
MAX_EVENTS = 1000
MAX_VALUE = 1024
"""Bytes of JSON of an expected or actual value."""

ALL = "kspec drift detect -o json has all of them."


class About(NamedTuple):
    """What a report is about. config: namespace and name of the DriftConfig."""

    spec: str
    version: str
    generation: int
    cluster: str
    uid: str
    config: tuple[str, str]

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which its reports are found."""
        return {
            LABEL_CLUSTER: label_value(self.cluster),
            LABEL_SPEC: label_value(self.spec),
            LABEL_TYPE: "drift",
            LABEL_CONFIG: _config_label(*self.config),
        }


def config_selector(namespace: str, name: str) -> str:
    """A label selector of all reports of a DriftConfig."""
    return f"{LABEL_CONFIG}={_config_label(namespace, name)}"


def _config_label(namespace: str, name: str) -> str:
    return label_value(f"{namespace}.{name}")


def build(about: About, events: Sequence[Mapping[str, Any]], at: str, remediated: int) -> dict[str, Any]:
    """The object with its status, at most MAX_BYTES.

    events: as in the model, worst first. at: RFC 3339 in UTC. remediated: how many were corrected
    """
    shown = [_event(event) for event in events[:MAX_EVENTS]]
    low, high = 0, len(shown)
    while low < high:  # `low` events are known to fit, or none does
        middle = (low + high + 1) // 2
        if len(msgspec.json.encode(_object(about, shown[:middle], len(events), at, remediated))) <= MAX_BYTES:
            low = middle
        else:
            high = middle - 1
    return _object(about, shown[:low], len(events), at, remediated)


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two reports say the same, times and what was done aside."""
    return bool(_timeless(one) == _timeless(other))


def _timeless(obj: Mapping[str, Any]) -> Any:
    try:
        spec = DriftReportSpec.model_validate(obj.get("spec"))
    except ValidationError:
        return obj  # of another version
    told = spec.model_dump(exclude={"detection_time"})
    for event in told["events"]:
        event.pop("timestamp", None)
        if event.get("remediation"):
            event["remediation"].pop("applied_at", None)
    return told


def _object(
    about: About, events: Sequence[Mapping[str, Any]], total: int, at: str, remediated: int
) -> dict[str, Any]:
    stamp = re.sub(r"[^0-9TZ]", "", at).replace("T", "-").rstrip("Z")
    name = object_name(about.cluster, about.spec, *about.config, longest=220)
    spec: dict[str, Any] = {
        "clusterSpecRef": {
            "name": about.spec[:MAX_LENGTH],
            "version": about.version[:MAX_LENGTH],
            "generation": about.generation,
        },
        "clusterName": about.cluster[:MAX_LENGTH],
        "clusterUID": about.uid,
        "detectionTime": at,
        "driftDetected": total > 0,
        "events": list(events),
        "truncated": len(events) < total,
    }
    if events:
        spec["severity"] = events[0]["severity"]
    if len(events) < total:
        spec["fullReport"] = ALL
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": f"{name}-drift-{stamp}", "namespace": NAMESPACE, "labels": about.labels},
        "spec": spec,
        "status": {
            "phase": "Completed" if remediated == total else "Pending",
            "observedGeneration": 1,
            "totalEvents": total,
            "remediatedEvents": remediated,
            "pendingEvents": total - remediated,
        },
    }


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Texts and values cut to what the definition allows."""
    made = dict(plain(dict(event)))
    for key in ("expected", "actual"):
        if key in made:
            made[key] = _value(made[key])
    made["message"] = str(made["message"])[:MAX_PROSE]
    made["resource"] = {key: str(text)[:MAX_LENGTH] for key, text in made["resource"].items() if text}
    if "remediation" in made:
        texts = ("error", "details")
        made["remediation"] = {
            key: text[:MAX_PROSE] if key in texts else text
            for key, text in made["remediation"].items()
            if text
        }
    return made


def _value(value: Any) -> Any:
    encoded = msgspec.json.encode(value)
    return value if len(encoded) <= MAX_VALUE else encoded[:MAX_VALUE].decode(errors="ignore") + "…"
