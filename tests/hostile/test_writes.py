"""An answer to a write, or to a read of one object, that is something else; and what the webhook makes of it."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.access import PATIENCE, Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.engines import webhook as engine
from pytest_kspec.enforce.engines import webhook_client
from pytest_kspec.errors import KspecError, Malformed, SourceUnavailable
from pytest_kspec.webhook.certificates import Publisher, Secret
from pytest_kspec.webhook.namespaces import NamespaceLabels
from tests.cluster.api import Api, Reply, group_version, kubeconfig, listing, status
from tests.controlplane.certificates import Authority
from tests.hostile import acts
from tests.hostile.conftest import SMALL

MAPS = "/api/v1/namespaces/a/configmaps"
MAP = f"{MAPS}/m"
OBJECT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "m", "namespace": "a"},
}
GROUP, VERSION = engine.API_VERSION.split("/")
HOOKS = f"/apis/{GROUP}/{VERSION}/validatingwebhookconfigurations"
SECRET = "/api/v1/namespaces/a/secrets/s"
KINDS: dict[str, Any] = {
    "/api/v1": group_version(
        ("configmaps", "ConfigMap", True), ("namespaces", "Namespace", False), ("secrets", "Secret", True)
    ),
    f"/apis/{GROUP}/{VERSION}": group_version(("validatingwebhookconfigurations", engine.KIND, False)),
}


@pytest.fixture
def api() -> Iterator[Api]:
    with Api(KINDS) as made:
        yield made


@pytest.fixture
def writer(api: Api, tmp_path: Path) -> Iterator[Writer]:
    source = LiveSource("prod", kubeconfig=kubeconfig(tmp_path, api.url), limits=SMALL)
    yield Writer(source)
    source.close()


def meta(**changes: Any) -> dict[str, Any]:
    return OBJECT | {"metadata": OBJECT["metadata"] | changes}


NOT_THE_OBJECT: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "is an object without a kind, not a ConfigMap of v1"),
    "a success": ({"kind": "Status", "apiVersion": "v1", "status": "Success"}, "is a Status of v1, not a ConfigMap"),
    "a failure": ({"kind": "Status", "apiVersion": "v1", "status": "Failure"}, "is a Status of v1, not a ConfigMap"),
    "another kind": (OBJECT | {"kind": "Secret"}, "is a Secret of v1, not a ConfigMap of v1"),
    "another version": (OBJECT | {"apiVersion": "v2"}, "is a ConfigMap of v2, not a ConfigMap of v1"),
    "another name": (meta(name="n"), "is the ConfigMap n"),
    "another namespace": (meta(namespace="b"), "is a ConfigMap in the namespace b"),
    "no namespace": (meta(namespace=None), "is a ConfigMap in the namespace None"),
    "no metadata": (OBJECT | {"metadata": None}, "has no valid name"),
    "metadata a list": (OBJECT | {"metadata": []}, "has no valid name"),
    "a name of no text": (meta(name=5), "has no valid name"),
    "labels a list": (meta(labels=["a"]), "has metadata.labels with values that are not strings"),
    "annotations of numbers": (meta(annotations={"a": 1}), "has metadata.annotations with values that are not strings"),
    "a UID of no text": (meta(uid={}), "has a metadata.uid that is not a string"),
    "a list": (listing("ConfigMap", OBJECT).body, "is a ConfigMapList of v1"),
    "an array": ([OBJECT], "is not a JSON object"),
    "empty": (b"", "is not valid JSON"),
    "HTML": (Reply(b"<html>", headers={"Content-Type": "text/html"}), "has content type 'text/html'"),
    "too deep": (b'{"a":' * 10**5, "is not valid JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_THE_OBJECT)
def test_an_answer_that_is_another_object(name: str, api: Api, writer: Writer) -> None:
    body, what = NOT_THE_OBJECT[name]
    reply = body if isinstance(body, Reply) else Reply(body)
    api.answers |= {MAP: reply, MAPS: reply}
    place = ("v1", "ConfigMap", "m")
    doubt = " It is not known whether the change was made."
    for verb, call in {
        "apply": lambda: writer.apply(OBJECT),
        "create": lambda: writer.create(OBJECT),
        "replace": lambda: writer.replace(OBJECT, dry_run=True),
        "patch": lambda: writer.patch(*place, {"data": {}}, namespace="a"),
        "get": lambda: writer.get(*place, namespace="a"),
        "find": lambda: writer.find(*place, namespace="a"),
    }.items():
        with pytest.raises(SourceUnavailable) as raised:
            call()
        done = verb.replace("find", "get")
        assert str(raised.value).startswith(f"prod: cannot {done} ConfigMap a/m: the answer {what}")
        assert str(raised.value).endswith(doubt) == (done != "get")


@pytest.mark.parametrize(
    ("body", "gone"),
    [
        ({"kind": "Status", "apiVersion": "v1", "status": "Success"}, True),
        (OBJECT, True),
        ({"kind": "Status", "apiVersion": "v1", "status": "Failure"}, False),
        ({"kind": "Status"}, False),
        ({}, False),
        (meta(name="n"), False),
    ],
)
def test_a_deletion_is_confirmed(body: Any, gone: bool, api: Api, writer: Writer) -> None:
    api.answers[MAP] = Reply(body)
    if gone:
        assert writer.delete("v1", "ConfigMap", "m", namespace="a")
    else:
        with pytest.raises(SourceUnavailable, match="cannot delete ConfigMap a/m: the answer "):
            writer.delete("v1", "ConfigMap", "m", namespace="a")


@pytest.mark.parametrize(
    "reply",
    [
        Reply({}),
        listing("Secret"),
        listing("ConfigMap", {}),
        listing("ConfigMap", meta(labels=[])),
        status(200),
    ],
)
def test_a_list_to_be_written_by_is_that_list(reply: Reply, api: Api, writer: Writer) -> None:
    api.answers["/api/v1/configmaps"] = reply
    with pytest.raises(Malformed, match=r"^prod: .*list of configmaps"):
        writer.list("v1", "ConfigMap")


@pytest.mark.parametrize(
    "reply", [Reply({}), Reply({"kind": "APIResourceList", "groupVersion": "v2"}), Reply(b"")]
)
def test_kinds_are_not_taken_from_something_else(reply: Reply, api: Api, writer: Writer) -> None:
    api.answers["/api/v1"] = reply
    with pytest.raises(KspecError, match=r"^prod: /api/v1 "):
        writer.apply(OBJECT)
    assert not [one for one in api.seen if one.method != "GET"]


@pytest.mark.parametrize("part", acts.WITHOUT_END)
def test_an_answer_to_a_write_without_end(part: str, api: Api, writer: Writer) -> None:
    api.answers[MAPS] = acts.WITHOUT_END[part]
    with pytest.raises(SourceUnavailable):
        writer.create(OBJECT)
    assert len([one for one in api.seen if one.method == "POST"]) == 1


@pytest.fixture
def access(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Access]:
    """The webhook's, with its own bounds but for less patience."""
    quick = PATIENCE._replace(
        read_timeout_s=0.5, request_s=0.5, list_s=1.0, backoff_s=0.01, retry_after_max_s=0.1
    )
    monkeypatch.setattr("pytest_kspec.cluster.writing.access.PATIENCE", quick)
    with ExitStack() as stack:
        made = Access("prod", kubeconfig(tmp_path, api.url))
        stack.callback(made.do, lambda writer: writer.source.close())
        yield made


NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"team": "x"}}}
ODD: list[Any] = [
    {}, [], None, status(200), acts.WITHOUT_END["body"], acts.WITHOUT_END["headers"], acts.SLOW["body"],
    NAMESPACE | {"metadata": {"name": "b", "labels": {"team": "x"}}},
    NAMESPACE | {"metadata": {"name": "a", "labels": ["team"]}},
    NAMESPACE | {"metadata": {"name": "a", "labels": {"team": 1}}},
    NAMESPACE | {"kind": "Pod"},
]  # fmt: skip


@pytest.mark.parametrize("answer", ODD)
def test_labels_of_a_namespace_that_cannot_be_read_are_unknown(answer: Any, api: Api, access: Access) -> None:
    """Not empty: what selects by them is denied or warned about, and never passes."""
    labels = NamespaceLabels(access)
    api.answers["/api/v1/namespaces/a"] = answer if isinstance(answer, Reply) else Reply(answer)
    assert asyncio.run(labels.of("a")) is None
    api.answers["/api/v1/namespaces/a"] = Reply(NAMESPACE)
    assert asyncio.run(labels.of("a")) == {"team": "x"}
    labels.close()


@pytest.mark.parametrize("data", [[1], "x", {"tls.crt": 5}, {"tls.crt": "a"}, {"tls.crt": "/w=="}])
def test_a_secret_that_is_none_ends_no_keeper(data: Any, api: Api, access: Access) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "a"}, "data": data}
    api.answers[SECRET] = Reply(secret)
    with pytest.raises((KspecError, ValueError)):  # what a keeper tries again
        Secret(access, "a", "s").update(lambda before: before)
    assert not [one for one in api.seen if one.method != "GET"]


@pytest.mark.parametrize(
    "webhooks", ["x", [5], [{}], [{"name": 5}], [{"name": "a", "clientConfig": None}], {"name": "a"}]
)
def test_a_configuration_that_is_none_ends_no_publisher(webhooks: Any, api: Api, access: Access) -> None:
    found = {"metadata": {"name": "c"}, "webhooks": webhooks}
    api.answers[HOOKS] = listing(engine.KIND, found, api_version=engine.API_VERSION)
    with pytest.raises(Malformed, match=f"{engine.KIND} c could not be read"):
        Publisher(access)(base64.b64encode(b"authority"))
    assert not [one for one in api.seen if one.method != "GET"]


@pytest.mark.parametrize("part", ["body", "headers", "interim answers", "gzip bomb"])
def test_a_webhook_that_is_asked_directly_is_bounded(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kspec enforce --status` asks the address of a registration, which may be anybody's."""
    authority = Authority(tmp_path)
    pair = authority.issue("webhook")
    monkeypatch.setattr(webhook_client, "service_account_token", lambda *_: "t0ken")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    with Api({webhook_client.PATH: acts.WITHOUT_END[part]}, tls) as asked:
        client = {"url": asked.url, "caBundle": base64.b64encode(authority.bundle).decode()}
        source = LiveSource("prod", kubeconfig=kubeconfig(tmp_path, asked.url), limits=SMALL)
        with pytest.raises(SourceUnavailable, match=r"abandoned: |does not answer|Connection aborted"):
            webhook_client.served(client, source, "kspec-system", int(asked.url.rpartition(":")[2]))
