"""What the objects of a run must say: a bucket is open to others, and what is no run must not be read as one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from pytest_kspec import typed
from pytest_kspec.errors import DamagedObject
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.storage.fleetrun import LONGEST_REASON, report_name
from pytest_kspec.storage.schema import plain_text

_Moment = Annotated[str, Meta(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]
_Place = Annotated[int, Meta(ge=0)]
_Seconds = Annotated[float, Meta(ge=0, le=1e9)]

_NAMES = {
    "outcomes": re.compile(r"(0|[1-9][0-9]{0,8})"),
    **dict.fromkeys(
        ("attempts", "returned", "forgiven"), re.compile(r"(0|[1-9][0-9]{0,8})/([0-9]{6,9})", re.ASCII)
    ),
    "moved": re.compile(r"(0|[1-9][0-9]{0,8})/([0-9]{6,9})-([0-9]{1,9})", re.ASCII),
    "clusters": re.compile(r"([0-9a-f]{32})/([0-9]{6,9})", re.ASCII),
}


class _Run(TypedDict):
    id: str
    started_at: _Moment
    finished_at: _Moment
    tool_version: str
    run_by: str


class _Target(TypedDict):
    position: _Place
    shard: _Place
    name: str
    ref: str
    labels: dict[str, str]
    expected: _Seconds | None


class _Head(TypedDict):
    head: _Run
    engine: str
    shards: Annotated[int, Meta(ge=1)]
    document: dict[str, Any]
    targets: Annotated[list[_Target], Meta(min_length=1)]


class _Document(TypedDict):
    asked: Annotated[list[tuple[str, str]], Meta(min_length=1)]
    place: str


class _Outcome(TypedDict):
    outcome: Outcome
    reason: str
    at: _Moment
    seconds: _Seconds
    specs: list[tuple[str, str]]
    report: str
    sha256: str
    of: NotRequired[str]


class _Holder(TypedDict):
    position: _Place
    cluster: str


class Part(NamedTuple):
    """What the name of an object says. of: a position, or the digest of a cluster."""

    kind: str
    of: str
    number: int = 0
    shard: int = 0


def parts(names: Mapping[str, str], clusters: int, shards: int) -> Iterator[tuple[str, Part]]:
    """Of those that kspec writes, of this many clusters. names: below the run → the whole."""
    for below, name in names.items():
        kind, _, rest = below.partition("/")
        found = _NAMES[kind].fullmatch(rest) if kind in _NAMES else None
        if found is None:
            continue
        of, *numbers = found.groups()
        part = Part(kind, of, *map(int, numbers))
        if (kind == "clusters" or int(of) < clusters) and part.shard < shards:
            yield name, part


def head(content: Mapping[str, Any], run: str, where: str) -> dict[str, Any]:
    """What a run was begun with, and nothing else. Raises DamagedObject."""
    found = _convert(content, _Head, where)
    _convert(found["document"], _Document, where)
    if found["head"]["id"] != run:
        raise _damaged("it is of another run", where)
    for position, target in enumerate(found["targets"]):
        if target["position"] != position or target["shard"] >= found["shards"]:
            raise _damaged("its clusters are not in order", where)
    return found


def outcome(
    content: Mapping[str, Any] | DamagedObject, of: Mapping[str, Any], position: int, where: str
) -> dict[str, Any]:
    """What became of a cluster, and nothing else. of: what its run was begun with. Raises DamagedObject."""
    found = _convert(content, _Outcome, where)
    document = of["document"]
    if sorted(map(tuple, found["specs"])) != _asked(of):
        raise _damaged("it is not of the specifications of its run", where)
    report = found["report"]
    if not report:
        if found["outcome"] == Outcome.SCANNED.value:
            raise _damaged("a cluster that was scanned has no report", where)
        return found
    name = report_name(of["head"]["id"], of["head"]["started_at"][:10], position, 0)
    begin, _, end = f"{document['place']}/{name}".rpartition("0.")
    if not re.fullmatch(re.escape(begin) + "[0-9]{1,9}" + re.escape(f".{end}"), report):
        raise _damaged("its report is not one of this cluster in this run", where)
    return found


def lost(of: Mapping[str, Any], why: DamagedObject, found: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The outcome of a cluster of which nobody can read what became of it. found: what is known of it."""
    known = found or {"at": of["head"]["started_at"], "seconds": 0.0, "specs": _asked(of)}
    reason = plain_text(str(why))[:LONGEST_REASON]
    return {**known, "outcome": Outcome.FAILED, "reason": reason, "report": "", "sha256": ""}


def _asked(of: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((plain_text(name), sha256) for name, sha256 in of["document"]["asked"])


def holder(content: Mapping[str, Any] | DamagedObject, of: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Who a cluster is scanned as, and nothing else. Raises DamagedObject."""
    found = _convert(content, _Holder, where)
    if found["position"] >= len(of["targets"]):
        raise _damaged("this cluster does not exist in the run", where)
    return found


def _convert(content: Any, form: Any, where: str) -> dict[str, Any]:
    """Of the fields of this form: what others wrote beside them goes nowhere."""
    if isinstance(content, DamagedObject):
        raise content
    try:
        found: dict[str, Any] = typed.convert(content, form)
        msgspec.json.encode(found)
    except UnicodeEncodeError as error:
        raise _damaged("it is not Unicode", where) from error
    except (msgspec.ValidationError, RecursionError) as error:
        raise _damaged(" ".join(str(error).split()), where) from error
    return found


def _damaged(why: str, where: str) -> DamagedObject:
    return DamagedObject(f"the object is damaged: {why}.", where=where)
