"""A 200 answer that is not the list that was asked for is an error: for a scan, for a snapshot, and read from one."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.objects.answers import Wrong, check_list, split_list
from pytest_kspec.cluster.objects.items import items_of
from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.errors import KspecError, Malformed, SourceError, SourceUnavailable
from pytest_kspec.kube.resources import ResourceType
from tests.cluster.api import PODS, Reply, group_version, listing, page, status
from tests.cluster.objects import pod
from tests.hostile.conftest import Start

META: dict[str, Any] = {"resourceVersion": "1"}
ROLE = {"metadata": {"name": "r", "namespace": "x"}, "rules": []}
ROLES = "/apis/rbac.authorization.k8s.io/v1/roles"
RBAC = {
    "/apis": Reply(
        {
            "kind": "APIGroupList",
            "groups": [{"name": "rbac.authorization.k8s.io", "versions": [{"version": "v1"}]}],
        }
    ),
    "/apis/rbac.authorization.k8s.io/v1": group_version(("roles", "Role", True)),
}
VERSION = "rbac.authorization.k8s.io/v1"


def roles(**changes: Any) -> dict[str, Any]:
    """A list of one role; a change of `...` takes the key away."""
    made = {"kind": "RoleList", "apiVersion": VERSION, "metadata": META, "items": [ROLE], **changes}
    return {key: value for key, value in made.items() if value is not ...}


def text(**changes: Any) -> bytes:
    return json.dumps(roles(**changes)).encode()


def after(name: str, more: bytes) -> bytes:
    """The list with something put behind a key's value."""
    whole = text()
    value = json.dumps(roles()[name]).encode()
    return whole.replace(value, value + more, 1)


FAILURE = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "code": 403,
    "message": "no",
}
TABLE = {
    "kind": "Table",
    "apiVersion": "meta.k8s.io/v1",
    "metadata": META,
    "columnDefinitions": [],
    "rows": [],
}

NOT_THE_LIST: dict[str, tuple[Any, str]] = {
    "nothing in it": ({}, "is an object without a kind without `items`"),
    "a failure": (FAILURE, "is a Status of v1 without `items`"),
    "a success": (FAILURE | {"status": "Success"}, "is a Status of v1 without `items`"),
    "a table": (TABLE, "is a Table of meta.k8s.io/v1 without `items`"),
    "a large table": (TABLE | {"columnDefinitions": ["x" * 100_000]}, "is a Table of meta.k8s.io/v1 without `items`"),
    "an object": (ROLE | {"kind": "Role", "apiVersion": VERSION}, f"is a Role of {VERSION} without `items`"),
    "another kind": (roles(kind="PodList", apiVersion="v1"), f"is a PodList of v1, not a RoleList of {VERSION}"),
    "another kind of the group": (roles(kind="ClusterRoleList"), "is a ClusterRoleList of"),
    "kind without List": (roles(kind="Role"), "is a Role of"),
    "List": (roles(kind="List", apiVersion="v1"), "is a List of v1"),
    "metadata only": (roles(kind="PartialObjectMetadataList", apiVersion="meta.k8s.io/v1"), "is a PartialObject"),
    "another version": (roles(apiVersion="rbac.authorization.k8s.io/v1beta1"), "is a RoleList of rbac"),
    "another group": (roles(apiVersion="v1"), "is a RoleList of v1"),
    "no kind": (roles(kind=...), "is an object without a kind, not"),
    "no apiVersion": (roles(apiVersion=...), "is a RoleList, not"),
    "kind null": (roles(kind=None), "an apiVersion or a kind that is not a string"),
    "no items": (roles(items=...), "without `items`"),
    "Items": (roles(items=..., Items=[ROLE]), "without `items`"),
    "Items beside items": (roles(Items=[ROLE]), "is not valid JSON"),
    "iteMs behind": (after("items", b',"iteMs":null'), "has a key that is not allowed in a list: iteMs"),
    "items escaped": (text().replace(b'"items"', b'"item\\u0073"'), "without `items`"),
    "items an object": (roles(items={}), "has `items` that are not a list"),
    "items text": (roles(items="none"), "has `items` that are not a list"),
    "items a number": (roles(items=0), "has `items` that are not a list"),
    "items false": (roles(items=False), "has `items` that are not a list"),
    "items twice": (after("items", b',"items":[]'), "is not valid JSON"),
    "items twice, null": (after("items", b',"items":null'), "has the key 'items' twice"),
    "items twice, before": (text().replace(b'"items"', b'"items":[],"items"'), "is not valid JSON"),
    "items twice, escaped": (after("items", b',"item\\u0073":[]'), "is not valid JSON"),
    "kind twice": (after("kind", b',"kind":"PodList"'), "has the key 'kind' twice"),
    "kind twice, behind": (after("items", b',"kind":"PodList"'), "has the key 'kind' twice"),
    "metadata twice": (after("metadata", b',"metadata":{}'), "has the key 'metadata' twice"),
    "continue twice": (
        text().replace(b'"resourceVersion"', b'"continue":"x","continue":"","resourceVersion"'),
        "without `items`",
    ),
    "no metadata": (roles(metadata=...), "has no metadata"),
    "metadata null": (roles(metadata=None), "has `metadata` that are not an object"),
    "metadata a list": (roles(metadata=[]), "has `metadata` that are not an object"),
    "more items remain": (roles(metadata=META | {"remainingItemCount": 100}), "is incomplete: 100 more items remain"),
    "less than none remain": (roles(metadata=META | {"remainingItemCount": -1}), "is incomplete"),
    "a remainder in words": (roles(metadata=META | {"remainingItemCount": "100"}), "is incomplete"),
    "a token that is no text": (roles(metadata=META | {"continue": 5}), "has a continue token that is not valid"),
    "a token that is null": (roles(metadata=META | {"continue": None}), "has a continue token that is not valid"),
    "a token without end": (roles(metadata=META | {"continue": "x" * 20_000}), "has a continue token that is not"),
    "an item that is no object": (roles(items=[ROLE, 5]), "item 1 in the list of roles.rbac.authorization.k8s.io"),
    "an item that is null": (
        roles(items=[None]),
        "item 0 in the list of roles.rbac.authorization.k8s.io is not an object",
    ),
    "an item of another kind": (roles(items=[ROLE | {"kind": "Pod"}]), "is of Pod None"),
    "an item of another group": (roles(items=[ROLE | {"kind": "Role", "apiVersion": "a/v1"}]), "is of Role a/v1"),
    "an item with a kind of no text": (roles(items=[ROLE | {"kind": 5}]), "is of 5 None"),
    "an item without a name": (roles(items=[{"metadata": {}}]), "has no valid name"),
    "an item without metadata": (roles(items=[{}]), "has no valid name"),
    "an item with a path for a name": (roles(items=[{"metadata": {"name": "../x"}}]), "has no valid name"),
    "empty": (b"", "is empty"),
    "blank": (b" \n ", "is empty"),
    "HTML": (b"<html><body>Log in</body></html>", "is not a JSON object"),
    "text": (b'"items"', "is not a JSON object"),
    "a list of items": (b"[]", "is not a JSON object"),
    "null": (b"null", "is not a JSON object"),
    "cut in the items": (text()[:-30], "is not one complete JSON document"),
    "cut at the end": (text()[:-1], "is not one complete JSON document"),
    "cut at the start": (text()[:20], "without `items`"),
    "something behind": (text() + b"{}", "is not one complete JSON document"),
    "two lists": (text() + text(), "is not valid JSON"),
    "a comma too many": (text()[:-1] + b",}", "is not one complete JSON document"),
    "BOM": (b"\xef\xbb\xbf" + text(), "is not a JSON object"),
    "UTF-16": (text().decode().encode("utf-16"), "is not a JSON object"),
    "NaN": (text(items=[ROLE | {"x": float("nan")}]), "is not valid JSON"),
    "NaN in metadata": (text(metadata=META | {"x": float("nan")}), "without `items`"),
    "infinite": (text(items=[ROLE | {"x": float("inf")}]), "is not valid JSON"),
    "no UTF-8": (text().replace(b'"r"', b'"\xff"'), "can't decode byte 0xff"),
    "nested too deeply": (text().replace(b'"rules": []', b'"rules": ' + b"[" * 10**5 + b"]" * 10**5), "nested too"),
    "nested too deeply before": (b'{"metadata":' + b'{"a":' * 9000 + b"1" + b"}" * 9000 + b"}", "without `items`"),
    "single quotes": (text().replace(b'"', b"'"), "without `items`"),
    "a comment": (text().replace(b'"items"', b'/* */ "items"'), "without `items`"),
    "wrong content type": (Reply(roles(), headers={"Content-Type": "text/html"}), "has content type 'text/html'"),
    "YAML": (Reply(roles(), headers={"Content-Type": "application/yaml"}), "has content type 'application/yaml'"),
    "Protobuf": (
        Reply(b"k8s\0", headers={"Content-Type": "application/vnd.kubernetes.protobuf"}),
        "has content type 'application/vnd.kubernetes.protobuf'",
    ),
    "another character set": (
        Reply(roles(), headers={"Content-Type": "application/json; charset=utf-16"}),
        "has character set 'utf-16'",
    ),
}  # fmt: skip
ENCODINGS: dict[str, tuple[bytes, str]] = {
    "br": (text(), "br"),
    "deflate": (text(), "deflate"),
    "gzip twice": (gzip.compress(gzip.compress(text())), "gzip, gzip"),
    "no gzip": (text(), "gzip"),
    "gzip cut": (gzip.compress(text())[:-4], "gzip"),
    "gzip members": (gzip.compress(text()) + gzip.compress(b" "), "gzip"),
    "gzip and more": (gzip.compress(text()) + b"\0", "gzip"),
    "gzip damaged": (gzip.compress(text())[:-8] + b"\0" * 8, "gzip"),
}


def reply(body: Any) -> Reply:
    return body if isinstance(body, Reply) else Reply(body)


@pytest.mark.parametrize("name", NOT_THE_LIST)
def test_an_answer_that_is_not_the_list(name: str, start: Start, tmp_path: Path) -> None:
    """For the kind that it is about; what else the cluster has is read, and recorded."""
    body, what = NOT_THE_LIST[name]
    source, _ = start(
        {**RBAC, ROLES: reply(body), PODS: page(pod("a")), "/api/v1/secrets": listing("Secret")}
    )
    inventory = Inventory(source)
    with pytest.raises(SourceError) as raised:
        inventory.list("Role")
    assert str(raised.value).startswith("prod: ")
    shown = (
        str(raised.value)
        .replace("malformed", "is not valid JSON")
        .replace("Invalid UTF-8", "is not valid JSON")
    )
    assert what in shown.replace("is malformed", "is not valid JSON")
    assert [one.name for one in inventory.pods()] == ["a"]
    made = record(source, tmp_path / "s")
    assert [(one.kind, one.error) for one in made.errors] == [("Role", type(raised.value).__name__)]
    again = Inventory(open_source(str(tmp_path / "s")))
    assert [one.name for one in again.pods()] == ["a"]
    with pytest.raises(type(raised.value)):
        again.list("Role")


@pytest.mark.parametrize("name", ENCODINGS)
def test_an_encoding_that_is_not_what_it_says(name: str, start: Start) -> None:
    body, encoding = ENCODINGS[name]
    source, _ = start({**RBAC, ROLES: Reply(body, headers={"Content-Encoding": encoding})})
    with pytest.raises(
        SourceUnavailable, match=r"does not answer \(ProtocolError\): .*(gzip stream|encoded as)"
    ):
        Inventory(source).list("Role")


WELL = {
    "null": text(items=None),
    "a null between": text(items=None, metadata=META).replace(b"null", b"null "),
    "no items": text(items=[]),
    "one": text(),
    "as kubectl sorts it": json.dumps(roles(), sort_keys=True, indent=4).encode(),
    "metadata last": b'{"kind":"RoleList","apiVersion":"%s","items":[],"metadata":{"x":["]"]}}'
    % VERSION.encode(),
    "items first": b'{"items":null,"kind":"RoleList","apiVersion":"%s","metadata":{}} \n' % VERSION.encode(),
    "items that say what they are": text(items=[ROLE | {"kind": "Role", "apiVersion": VERSION}]),
    "nothing remains": text(metadata=META | {"remainingItemCount": 0}),
    "an empty token": text(metadata=META | {"continue": ""}),
    "braces in text": text(items=[ROLE | {"x": '],"items":[]}'}]),
}


@pytest.mark.parametrize("name", WELL)
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", ""])
def test_a_list_may_be_written_in_many_ways(name: str, content_type: str, start: Start) -> None:
    source, _ = start({**RBAC, ROLES: Reply(WELL[name], headers={"Content-Type": content_type})})
    assert len(Inventory(source).list("Role")) == WELL[name].count(b'"rules"')


def test_all_pages_are_of_one_state(start: Start) -> None:
    first = Reply(roles(metadata={"resourceVersion": "1", "continue": "t"}))
    other = Reply(roles(metadata={"resourceVersion": "2"}))
    source, _ = start({**RBAC, ROLES: [first, other, first, Reply(roles())]})
    assert len(Inventory(source).list("Role")) == 2
    source, _ = start({**RBAC, ROLES: lambda request: other if "continue" in request.query else first})
    with pytest.raises(SourceUnavailable, match="expired 4 times before its last page"):
        Inventory(source).list("Role")


@pytest.mark.parametrize(
    "second", [status(200), Reply({}), Reply(roles(kind="PodList", apiVersion="v1")), Reply(b"")]
)
def test_the_second_page_is_the_list_too(second: Reply, start: Start) -> None:
    source, _ = start({**RBAC, ROLES: [Reply(roles(metadata=META | {"continue": "t"})), second]})
    with pytest.raises(Malformed, match=r"^prod: the list of roles\.rbac\.authorization\.k8s\.io "):
        Inventory(source).list("Role")


@pytest.mark.parametrize(
    ("items", "what"),
    [
        ([{"kind": "Deployment"}], "item 0 in the list of pods is of Deployment "),
        ([{"apiVersion": "a/v1"}], "is of"),
    ],
)
def test_pods_are_pods(items: list[dict[str, Any]], what: str, start: Start) -> None:
    """They are decoded in a way of their own."""
    for more in ({}, {"spec": 5}):
        source, _ = start({PODS: page(*({**pod("a"), **item, **more} for item in items))})
        with pytest.raises(Malformed, match=what):
            Inventory(source).pods()


def test_a_custom_resource_names_its_list_itself(start: Start) -> None:
    """`spec.names.listKind` of its definition is believed, and nothing else."""
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/mice.example.com"
    groups = [{"name": "example.com", "versions": [{"version": "v1"}]}]
    answers = {
        "/apis": Reply({"kind": "APIGroupList", "groups": groups}),
        "/apis/example.com/v1": group_version(("mice", "Mouse", False)),
        "/apis/example.com/v1/mice": listing(
            "Mice", {"metadata": {"name": "m"}}, api_version="example.com/v1"
        ),
    }
    source, api = start(answers)
    with pytest.raises(Malformed, match=r"is a MiceList of example\.com/v1, not a MouseList"):
        Inventory(source).list("Mouse")
    api.answers[definition] = Reply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "mice.example.com"},
            "spec": {"names": {"listKind": "MiceList"}},
        }
    )
    assert [one.name for one in Inventory(source).list("Mouse")] == ["m"]


@pytest.mark.parametrize(
    "body",
    [{}, {"gitVersion": ""}, {"gitVersion": 5}, {"GitVersion": "v1.30.0"}, FAILURE, [], None, b"", b"<html>"],
)
def test_a_version_that_is_none(body: Any, start: Start) -> None:
    source, _ = start({"/version": Reply(body)})
    with pytest.raises(SourceError, match=r"^prod: /version "):
        _ = Inventory(source).info


@pytest.mark.parametrize("body", [{}, FAILURE, TABLE, listing("Namespace").body, {"metadata": {"uid": "u"}}])
def test_a_namespace_that_is_none(body: Any, start: Start) -> None:
    source, _ = start({"/api/v1/namespaces/kube-system": Reply(body)})
    with pytest.raises(
        Malformed, match=r"^prod: the request was for the Namespace kube-system, but the answer is a"
    ):
        _ = Inventory(source).info


GROUPS = {"kind": "APIGroupList", "groups": [{"name": "apps", "versions": [{"version": "v1"}]}]}
RESOURCE = {"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": ["list"]}
LISTABLE = {"resource": "pods", "responseKind": {"kind": "Pod"}, "scope": "Namespaced", "verbs": ["list"]}


def resources(*found: Any, **changes: Any) -> Reply:
    return Reply({"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": list(found), **changes})


def aggregated(resource: Any, version: Any = "v1", group: Any = "") -> Reply:
    versions = [{"version": version, "resources": [resource]}]
    return Reply(
        {"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": group}, "versions": versions}]}
    )


@pytest.mark.parametrize(
    "answers",
    [
        {"/api": Reply({})},
        {"/api": Reply(FAILURE)},
        {"/api": Reply({"kind": "APIVersions", "versions": []})},
        {"/api": Reply({"kind": "APIVersions", "versions": ["../../etc"]})},
        {"/apis": Reply({})},
        {"/apis": Reply(FAILURE)},
        {"/apis": Reply(listing("Pod").body)},
        {"/apis": Reply({"kind": "APIGroupList", "groups": {}})},
        {"/apis": Reply({"kind": "APIGroupList", "groups": [5]})},
        {"/apis": Reply({"kind": "APIGroupList", "groups": [{"name": 5}]})},
        {"/apis": Reply(GROUPS), "/apis/apps/v1": Reply({})},
        {"/apis": Reply(GROUPS), "/apis/apps/v1": Reply(FAILURE)},
        {"/apis": Reply(GROUPS), "/apis/apps/v1": resources(RESOURCE, groupVersion="batch/v1")},
        {"/apis": Reply(GROUPS), "/apis/apps/v1": resources(RESOURCE | {"kind": None})},
        {"/apis": Reply(GROUPS), "/apis/apps/v1": resources(RESOURCE | {"name": "../../../etc/cron"})},
        {"/apis": Reply(GROUPS), "/apis/apps/v1": resources(RESOURCE | {"name": "Deployments"})},
        {"/apis": Reply(GROUPS), "/apis/apps/v1": resources(RESOURCE | {"kind": "A\nB"})},
        {"/apis": Reply(GROUPS), "/apis/apps/v1": resources(RESOURCE | {"namespaced": "yes"})},
        {"/apis": Reply(GROUPS), "/apis/apps/v1": resources(RESOURCE | {"verbs": "list"})},
        {"/apis": Reply(GROUPS), "/apis/apps/v1": status(404)},
        {"/apis": aggregated(5)},
        {"/apis": aggregated(LISTABLE | {"resource": "../x"}, group="apps")},
        {"/apis": aggregated(LISTABLE | {"resource": ".."}, group="apps")},
        {"/apis": aggregated(LISTABLE | {"responseKind": None}, group="apps")},
        {"/apis": aggregated(LISTABLE | {"scope": "Galaxy"}, group="apps")},
        {"/apis": aggregated(LISTABLE, version="v1/../../", group="apps")},
        {"/apis": Reply({"kind": "APIGroupDiscoveryList", "items": "none"})},
        {"/apis": Reply(GROUPS, headers={"Content-Type": "text/html"})},
    ],
)
def test_a_discovery_that_is_none_hides_no_kinds(answers: Any, start: Start, tmp_path: Path) -> None:
    source, _ = start(answers)
    inventory = Inventory(source)
    for call in (inventory.types, inventory.workloads, lambda: record(source, tmp_path / "made" / "s")):
        with pytest.raises(SourceError, match=r"^prod: /api"):
            call()
    assert not (tmp_path / "made").exists()


def test_what_a_foreign_service_says_wrongly_costs_its_own_kinds(start: Start) -> None:
    named = {"name": "metrics.example.com", "versions": [{"version": "v1"}]}
    body = {"kind": "APIGroupList", "groups": [named]}
    for wrong in (Reply({}), resources(RESOURCE), status(503)):
        source, _ = start({"/apis": Reply(body), "/apis/metrics.example.com/v1": wrong})
        assert [one.plural for one in source.types()] == ["pods", "secrets"]
    for group, resource in (("metrics.example.com", "../x"), ("../../x", "pods")):
        source, _ = start({"/apis": aggregated(LISTABLE | {"resource": resource}, group=group)})
        assert [one.plural for one in source.types()] == ["pods", "secrets"]


def rewrite(folder: Path, body: bytes) -> None:
    """Put another list of roles into a snapshot, with a digest that fits."""
    name = "roles.rbac.authorization.k8s.io.json"
    (folder / name).write_bytes(body)
    index = json.loads((folder / "snapshot.json").read_bytes())
    index["files"][name]["sha256"] = hashlib.sha256(body).hexdigest()
    (folder / "snapshot.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, (body, _) in NOT_THE_LIST.items()
        if not isinstance(body, Reply) and "metadata" not in name
    ],
)
def test_a_recorded_list_that_is_not_that_list(name: str, tmp_path: Path) -> None:
    body, _ = NOT_THE_LIST[name]
    record(MemorySource([pod("a")]), tmp_path / "s")
    rewrite(tmp_path / "s", body if isinstance(body, bytes) else json.dumps(body).encode())
    inventory = Inventory(open_source(str(tmp_path / "s")))
    with pytest.raises(SourceError):
        inventory.list("Role")
    assert [one.name for one in inventory.pods()] == ["a"]


def test_a_recorded_list_is_not_one_page_of_several(tmp_path: Path) -> None:
    record(MemorySource([]), tmp_path / "s")
    rewrite(tmp_path / "s", text(metadata=META | {"continue": "t"}))
    with pytest.raises(Malformed, match="is one page of several"):
        Inventory(open_source(str(tmp_path / "s"))).list("Role")


TYPE = ResourceType("rbac.authorization.k8s.io", "v1", "Role", "roles", True)
KEYS = st.sampled_from(["kind", "apiVersion", "metadata", "items", "x", "Items"])
VALUES = st.recursive(
    st.sampled_from([None, True, 0, 1.5, "", "]", '"]}', VERSION, "RoleList", "é", META, ROLE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
ENCODERS: list[Callable[[Any], str]] = [
    json.dumps,
    lambda value: json.dumps(value, indent=1),
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
]


@given(
    st.lists(st.tuples(KEYS, VALUES), max_size=5),
    st.booleans(),
    st.sampled_from(ENCODERS),
    st.sampled_from(["", " ", "}", ",", "]"]),
)
def test_a_list_is_read_as_one_that_reads_all_of_it_reads_it(
    pairs: list[tuple[str, Any]], whole: bool, encode: Callable[[Any], str], tail: str
) -> None:
    """The referee decodes the whole document and sees each key; what it does not know for a list is refused."""
    if whole:
        pairs = [("kind", "RoleList"), ("apiVersion", VERSION), ("metadata", META), *pairs]
    written = "{" + ",".join(f"{json.dumps(key)}:{encode(value)}" for key, value in pairs) + "}" + tail
    keys = [key for key, _ in pairs]
    said = dict(pairs)
    items = said.get("items", ...)
    right = (
        not tail.strip()
        and len(set(keys)) == len(keys)
        and set(keys) <= {"kind", "apiVersion", "metadata", "items"}
        and (said.get("kind"), said.get("apiVersion")) == ("RoleList", VERSION)
        and isinstance(said.get("metadata", {}), dict)
        and said.get("metadata", {}).get("remainingItemCount", 0) == 0
        and (items is None or (isinstance(items, list) and all(item == ROLE for item in items)))
    )
    try:
        head = split_list(written.encode())
        check_list(head, VERSION, "RoleList")
        found: Any = items_of(head.items, TYPE, "x")
    except (Wrong, KspecError, ValueError):
        assert not right
    else:
        assert right
        assert found == (items or [])
