"""A list and watches of an API server on bad days: what is held is what is there; nothing is waited for without end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.watch.reflector import Bounds, Reflector
from pytest_kspec.kube.resources import ResourceType
from tests.cluster.api import Answer, Api, Reply, Request, Wire, kubeconfig, listing, status

MAPS = "/api/v1/configmaps"
KIND = ResourceType("", "v1", "ConfigMap", "configmaps", True)
LIMIT_S = 20.0
QUICK = Bounds(first_s=0.02, longest_s=0.05, watch_s=1.0, grace_s=0.5)
ONCE = Limits(retries=0, connect_timeout_s=2.0)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def config_map(name: str, version: str = "1", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "a", "resourceVersion": version}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def event(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def stream(*parts: bytes, hold_s: float = 0.0, end: bool = True) -> Reply:
    """A watch that sends these bytes, a chunk each. hold_s: how long it is silent then; end: with a proper end."""

    def act(wire: Wire) -> None:
        wire.send(HEAD)
        for part in parts:
            wire.send(chunk(part))
        wire.wait(hold_s)
        if end:
            wire.send(b"0\r\n\r\n")

    return Reply(act=act)


def serve(lists: list[Reply], watches: list[Reply]) -> Answer:
    """Lists and watches one after the other; the last of each stays."""

    def answer(request: Request) -> Reply:
        replies = watches if "watch" in request.query else lists
        return replies.pop(0) if len(replies) > 1 else replies[0]

    return answer


class Seen:
    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []

    def __call__(self, key: tuple[str, str], before: Any, now: Any) -> None:
        what = "gone" if now is None else "new" if before is None else "changed"
        self.changes.append((key[1], what))


@contextmanager
def reflecting(
    folder: Path, lists: list[Reply], watches: list[Reply], bounds: Bounds = QUICK
) -> Iterator[tuple[Api, Reflector, Seen]]:
    seen = Seen()
    with Api({MAPS: serve(lists, watches)}) as api:
        config = kubeconfig(folder, api.url)
        made = Reflector(
            lambda: LiveSource("prod", kubeconfig=config, limits=ONCE), KIND, seen, bounds=bounds
        )
        thread = threading.Thread(target=made.run, daemon=True)
        thread.start()
        yield api, made, seen
        made.stop()
        thread.join(LIMIT_S)
        assert not thread.is_alive(), "it ends when it is told to, also while it waits for an event"


def until(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def watches_of(api: Api) -> list[str]:
    return [query["resourceVersion"] for query in api.paths(MAPS) if "watch" in query]


def lists_of(api: Api) -> int:
    return sum("watch" not in query for query in api.paths(MAPS))


HELD = stream(hold_s=LIMIT_S)
TWO = listing("ConfigMap", config_map("x"), config_map("y"), resourceVersion="5")


def test_events_follow_the_list(tmp_path: Path) -> None:
    half = event("MODIFIED", config_map("x", "7", a="1"))
    events = stream(
        event("ADDED", config_map("z", "6")) + half[:20],
        half[20:],
        event("DELETED", config_map("y", "8")),
        event("BOOKMARK", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"resourceVersion": "99"}}),
    )
    with reflecting(tmp_path, [TWO], [events, HELD]) as (api, made, seen):
        until(lambda: watches_of(api) == ["5", "99"])  # an ordinary end: no second list
        assert sorted(made.objects) == [("a", "x"), ("a", "z")]
        assert made.objects["a", "x"]["data"] == {"a": "1"}
        assert made.problem == ""
        assert (sorted(seen.changes[:2]), seen.changes[2:]) == (
            [("x", "new"), ("y", "new")],
            [("z", "new"), ("x", "changed"), ("y", "gone")],
        )
        assert lists_of(api) == 1
        (query, *_) = [query for query in api.paths(MAPS) if "watch" in query]
        assert query["allowWatchBookmarks"] == "true"


GONE = event("ERROR", {"kind": "Status", "apiVersion": "v1", "code": 410, "message": "too old"})
BROKEN = {
    "410 in the stream": stream(GONE),
    "410 as the answer": status(410, "expired"),
    "an error in the stream": stream(event("ERROR", {"kind": "Status", "code": 500, "message": "etcd"})),
    "an error as the answer": status(503, "busy"),
    "silence without an end": stream(hold_s=LIMIT_S, end=False),
    "a broken connection": stream(event("ADDED", config_map("z", "6"))[:-9], end=False),
    "half an event": stream(event("ADDED", config_map("z", "6"))[:-9]),
    "no JSON": stream(b"<html>\n"),
    "no events": stream(b"[1]\n", b"{}\n"),
    "another kind": stream(event("ADDED", {**config_map("z", "6"), "kind": "Secret"})),
    "no version": stream(event("ADDED", config_map("z", ""))),
    "an unknown event": stream(event("RENAMED", config_map("z", "6"))),
    "an endless event": stream(*[b"x" * 65536] * 64),
    "not JSON at all": Reply(b"hello", headers={"Content-Type": "text/html"}),
}


@pytest.mark.parametrize("how", BROKEN)
def test_whatever_a_watch_does_the_list_is_read_again(tmp_path: Path, how: str) -> None:
    later = listing("ConfigMap", config_map("y", "9"), config_map("n", "9"), resourceVersion="9")
    bounds = QUICK._replace(event_bytes=1 << 20)
    with reflecting(tmp_path, [TWO, later], [BROKEN[how], HELD], bounds) as (api, made, seen):
        until(lambda: watches_of(api) == ["5", "9"])
        assert sorted(made.objects) == [("a", "n"), ("a", "y")]
        assert made.problem == ""
        assert sorted(seen.changes[2:]) == [("n", "new"), ("x", "gone"), ("y", "changed")]


def test_an_object_that_changes_is_never_gone_for_others(tmp_path: Path) -> None:
    """It is exchanged in its place, so that a thread that reads meanwhile sees one or the other."""
    changes = stream(event("MODIFIED", config_map("x", "6", a="b")), hold_s=LIMIT_S)
    with reflecting(tmp_path, [TWO], [changes]) as (_, made, seen):
        until(lambda: ("x", "changed") in seen.changes)
        assert [name for _, name in made.objects] == ["x", "y"]


def test_a_watch_that_says_nothing_is_given_up_within_75_seconds() -> None:
    usual = Bounds()
    assert usual.watch_s + usual.grace_s + usual.first_s <= 75


def test_a_kind_that_is_not_served_yet_is_waited_for(tmp_path: Path) -> None:
    with reflecting(tmp_path, [status(404), status(403, "no"), TWO], [HELD]) as (api, made, _):
        until(lambda: made.problem == "")
        assert len(made.objects) == 2
        assert lists_of(api) == 3


def test_what_was_held_stays_while_the_server_is_away(tmp_path: Path) -> None:
    with reflecting(tmp_path, [TWO, status(500)], [stream(GONE)]) as (api, made, seen):
        until(lambda: "HTTP 500" in made.problem and lists_of(api) > 3)
        assert len(made.objects) == 2
        assert len(seen.changes) == 2


def test_a_server_that_ends_each_watch_at_once_is_not_asked_all_the_time(tmp_path: Path) -> None:
    bounds = QUICK._replace(first_s=60.0)
    with reflecting(tmp_path, [TWO], [stream()], bounds) as (api, _, _):
        until(lambda: watches_of(api))
        time.sleep(0.3)
        assert len(watches_of(api)) == 1


@pytest.mark.parametrize(
    "how", ["410 in the stream", "410 as the answer", "an error as the answer", "no JSON"]
)
def test_where_only_watches_fail_lists_become_rarer(tmp_path: Path, how: str) -> None:
    bounds = QUICK._replace(first_s=0.1, longest_s=60.0)
    with reflecting(tmp_path, [TWO], [BROKEN[how]], bounds) as (api, _, _):
        until(lambda: watches_of(api))
        time.sleep(1.0)
        assert lists_of(api) <= 7, "after waits of at least 0.05, 0.1, 0.2, 0.4 and 0.8 s"


def test_more_objects_than_can_be_held(tmp_path: Path) -> None:
    bounds = QUICK._replace(objects=2)
    with reflecting(tmp_path, [TWO], [stream(event("ADDED", config_map("z", "6")))], bounds) as (_, made, _):
        until(lambda: "more than 2 configmaps" in made.problem)
        assert len(made.objects) <= 2
