"""An answer of an API server to a review that is not the answer to this review decides nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing import reviewing
from pytest_kspec.cluster.writing.reviewing import User
from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.kube.resources import ResourceType
from tests.cluster.api import Api, Reply, Request, kubeconfig
from tests.hostile.conftest import SMALL

AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io/v1", "authorization.k8s.io/v1"
JANE = User("jane", "u-1", ["devs"], {"scopes": ["a"]})
PODS = ResourceType("", "v1", "Pod", "pods", namespaced=True)
Ask = Callable[[LiveSource], Any]

# kind → (path, what is asked, a status that says yes)
ASKED: dict[str, tuple[str, Ask, dict[str, Any]]] = {
    "TokenReview": (
        f"/apis/{AUTHENTICATION}/tokenreviews",
        lambda source: reviewing.user_of(source, "t0ken", ["kspec"]),
        {"authenticated": True, "user": {"username": "jane"}, "audiences": ["kspec"]},
    ),
    "SubjectAccessReview": (
        f"/apis/{AUTHORIZATION}/subjectaccessreviews",
        lambda source: reviewing.may_do(source, JANE, "get", PODS, "a"),
        {"allowed": True},
    ),
    "SelfSubjectAccessReview": (
        f"/apis/{AUTHORIZATION}/selfsubjectaccessreviews",
        lambda source: reviewing.may_i(source, "list", "", "pods"),
        {"allowed": True},
    ),
    "SelfSubjectReview": (
        f"/apis/{AUTHENTICATION}/selfsubjectreviews",
        reviewing.who_am_i,
        {"userInfo": {"username": "jane"}},
    ),
    "TokenRequest": (
        "/api/v1/namespaces/a/serviceaccounts/reader/token",
        lambda source: reviewing.service_account_token(source, "a", "reader", "kspec", 600),
        {"token": "t0ken"},
    ),
}


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as made:
        yield made


@pytest.fixture
def source(api: Api, tmp_path: Path) -> Iterator[LiveSource]:
    made = LiveSource("prod", kubeconfig=kubeconfig(tmp_path, api.url), limits=SMALL)
    yield made
    made.close()


def answering(api: Api, kind: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Answers as an API server does, which repeats what it was asked, with this change."""
    path, _, status = ASKED[kind]

    def answer(request: Request) -> Reply:
        sent = request.body if isinstance(request.body, dict) else json.loads(request.body)
        made = change(json.loads(json.dumps({**sent, "metadata": {}, "status": status})))
        return made if isinstance(made, Reply) else Reply(made, 201)

    api.answers[path] = answer


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda answer: {name: value for name, value in answer.items() if name != key}


def other_question(answer: dict[str, Any]) -> Any:
    if (spec := answer.get("spec")) is None:
        return answer | {"kind": "Other"}  # it asks nothing
    for key in ("token", "user", "audiences", "resourceAttributes"):
        if key in spec:
            spec[key] = {"verb": "get", "resource": "nodes"} if key == "resourceAttributes" else ["other"]
            return answer
    raise AssertionError(spec)


def other_attribute(answer: dict[str, Any]) -> Any:
    if (attributes := answer.get("spec", {}).get("resourceAttributes")) is None:
        return answer | {"kind": "Other"}
    del attributes["resource"]
    return answer


NOT_THE_ANSWER: dict[str, Callable[[dict[str, Any]], Any]] = {
    "other version": lambda answer: answer | {"apiVersion": "authorization.k8s.io/v1beta1"},
    "other group": lambda answer: answer | {"apiVersion": "example.com/v1"},
    "no version": without("apiVersion"),
    "version that is no text": lambda answer: answer | {"apiVersion": ["v1"]},
    "other kind": lambda answer: answer | {"kind": "LocalSubjectAccessReview"},
    "no kind": without("kind"),
    "other question": other_question,
    "other attribute": other_attribute,
    "question that is text": lambda answer: answer | {"spec": "x"},
    "no status": without("status"),
    "status null": lambda answer: answer | {"status": None},
    "status a list": lambda answer: answer | {"status": [answer["status"]]},
    "status text": lambda answer: answer | {"status": "Success"},
    "Status": lambda _: {"apiVersion": "v1", "kind": "Status", "status": "Success", "code": 201},
    "list": lambda answer: [answer],
    "null": lambda _: Reply(b"null", 201),
    "empty": lambda _: Reply(b"", 201),
    "twice": lambda answer: Reply(json.dumps(answer).encode() * 2, 201),
    "status twice": lambda answer: Reply(
        json.dumps(answer)[:-1].encode() + b', "status": ' + json.dumps(answer["status"]).encode() + b"}", 201
    ),
    "UTF-16": lambda answer: Reply(json.dumps(answer).encode("utf-16"), 201),
    "deep": lambda answer: Reply(b'{"status": ' * 10**4, 201),
    "YAML": lambda answer: Reply(
        json.dumps(answer).encode(), 201, headers={"Content-Type": "application/yaml"}
    ),
    "No Content": lambda answer: Reply(answer, 202),
}


@pytest.mark.parametrize("kind", ASKED)
def test_the_answer_itself(kind: str, api: Api, source: LiveSource) -> None:
    for change in (dict, without("spec"), without("metadata")):
        answering(api, kind, change)
        assert ASKED[kind][1](source)


@pytest.mark.parametrize("name", NOT_THE_ANSWER)
@pytest.mark.parametrize("kind", ASKED)
def test_another_answer(kind: str, name: str, api: Api, source: LiveSource) -> None:
    answering(api, kind, NOT_THE_ANSWER[name])
    with pytest.raises(SourceUnavailable, match=f"the answer to a {kind} "):
        ASKED[kind][1](source)


def test_what_a_server_may_change(api: Api, source: LiveSource) -> None:
    """It leaves out what is empty, adds fields of its own, and shortens the time of a token."""

    def change(answer: dict[str, Any]) -> Any:
        attributes = answer["spec"]["resourceAttributes"]
        answer["spec"]["resourceAttributes"] = {k: v for k, v in attributes.items() if v} | {"version": "v1"}
        return answer

    for kind in ("SubjectAccessReview", "SelfSubjectAccessReview"):
        answering(api, kind, change)
        assert ASKED[kind][1](source)
    answering(
        api,
        "TokenRequest",
        lambda a: a | {"spec": a["spec"] | {"expirationSeconds": 60, "boundObjectRef": None}},
    )
    assert ASKED["TokenRequest"][1](source)
