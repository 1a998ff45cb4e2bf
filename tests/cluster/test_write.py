"""Writing on bad days, over real HTTP: what is sent, what is sent again, and what an error says."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import (
    AccessDenied,
    Conflict,
    Malformed,
    NotFound,
    NotServed,
    Refused,
    SourceUnavailable,
)
from tests.cluster.api import Api, Reply, group_version, kubeconfig, status

QUICK = Limits(connect_timeout_s=2.0, read_timeout_s=0.5, retries=2, backoff_s=0.01, retry_after_max_s=0.2)
MAPS = "/api/v1/namespaces/a/configmaps"
MAP = f"{MAPS}/m"
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "a"}}
KINDS = {"/api/v1": group_version(("configmaps", "ConfigMap", True), ("namespaces", "Namespace", False))}

Start = Callable[..., tuple[Writer, Api]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(answers: dict[str, Any], **options: Any) -> tuple[Writer, Api]:
            api = stack.enter_context(Api({**KINDS, **answers}))
            source = LiveSource("prod", kubeconfig=kubeconfig(tmp_path, api.url), limits=QUICK)
            stack.callback(source.close)
            return Writer(source, **options), api

        yield run


def test_an_apply_is_one_patch(start: Start) -> None:
    writer, api = start({MAP: Reply(OBJECT)})
    made = writer.apply({**OBJECT, "metadata": {**OBJECT["metadata"], "managedFields": []}})  # type: ignore[dict-item]
    assert made == OBJECT
    (_, sent) = api.seen
    assert (sent.method, sent.path, sent.body) == ("PATCH", MAP, OBJECT)
    assert sent.query == {"fieldManager": "kspec", "fieldValidation": "Strict", "force": "true"}
    assert sent.headers["content-type"] == "application/apply-patch+yaml"
    writer.apply(OBJECT, field_manager="me", force=False, dry_run=True)
    assert api.seen[-1].query == {"fieldManager": "me", "fieldValidation": "Strict", "dryRun": "All"}
    api.answers[f"{MAP}/status"] = Reply(OBJECT)
    writer.replace(OBJECT, subresource="status")
    assert api.seen[-1].query == {"fieldManager": "kspec", "fieldValidation": "Warn"}


WRITES: dict[str, Callable[[Writer], object]] = {
    "apply": lambda writer: writer.apply(OBJECT),
    "dry run": lambda writer: writer.apply(OBJECT, dry_run=True),
    "create": lambda writer: writer.create(OBJECT),
    "replace": lambda writer: writer.replace(OBJECT),
    "patch": lambda writer: writer.patch("v1", "ConfigMap", "m", {}, namespace="a"),
    "delete": lambda writer: writer.delete("v1", "ConfigMap", "m", namespace="a"),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_write_that_is_not_allowed_any_more_is_not_sent(start: Start, what: str) -> None:
    allowed = [True]

    @contextmanager
    def gate() -> Iterator[None]:
        if not allowed[0]:
            raise Conflict("another one leads.")
        yield

    writer, api = start({MAP: Reply(OBJECT), MAPS: Reply(OBJECT)}, gate=gate)
    WRITES[what](writer)
    sent = len(api.seen)
    allowed[0] = False
    with pytest.raises(Conflict, match="another one leads"):
        WRITES[what](writer)
    assert len(api.seen) == sent
    assert writer.get("v1", "ConfigMap", "m", namespace="a") == OBJECT, "reading is"


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_what_may_happen_twice_is_tried_again(start: Start, code: int) -> None:
    writer, api = start({MAP: [status(code), Reply(OBJECT)]})
    assert writer.apply(OBJECT) == OBJECT
    assert [request.method for request in api.seen[1:]] == ["PATCH", "PATCH"]


@pytest.mark.parametrize(("code", "tries"), [(429, 3), (500, 1), (502, 1), (504, 1)])
def test_a_create_is_tried_again_only_where_nothing_happened(start: Start, code: int, tries: int) -> None:
    writer, api = start({MAPS: status(code, "not now")})
    with pytest.raises(
        SourceUnavailable, match=rf"^prod: cannot create ConfigMap a/m: HTTP {code}: not now\."
    ):
        writer.create(OBJECT)
    assert len(api.seen) == 1 + tries


def test_a_create_whose_answer_is_lost_is_not_repeated(start: Start) -> None:
    writer, api = start({MAPS: Reply(OBJECT, wait_s=2.0)})
    with pytest.raises(SourceUnavailable, match="does not answer"):
        writer.create(OBJECT)
    assert len(api.seen) == 2


def test_patience_ends(start: Start) -> None:
    writer, api = start({MAP: status(503, "etcd is away")})
    with pytest.raises(
        SourceUnavailable, match=r"^prod: cannot apply ConfigMap a/m: HTTP 503: etcd is away\."
    ):
        writer.apply(OBJECT)
    assert len(api.seen) == 4


def test_an_unknown_field_is_refused_at_once(start: Start) -> None:
    message = (
        "failed to create typed patch object (a/m; /v1, Kind=ConfigMap): .dta: field not declared in schema"
    )
    writer, api = start({MAP: status(500, message)})
    with pytest.raises(Refused, match=r"\.dta: field not declared in schema\.$"):
        writer.apply(OBJECT)
    assert len(api.seen) == 2


def test_a_dry_run_of_a_deletion_deletes_nothing(start: Start) -> None:
    writer, api = start({MAP: Reply(OBJECT)})
    assert writer.delete("v1", "ConfigMap", "m", namespace="a", dry_run=True)
    assert api.seen[-1].method == "DELETE"
    assert api.seen[-1].body["dryRun"] == ["All"]


def test_expired_credentials_are_loaded_anew(start: Start) -> None:
    writer, _ = start({MAP: [status(401), Reply(OBJECT), status(401)]})
    assert writer.apply(OBJECT) == OBJECT
    with pytest.raises(AccessDenied, match=r"^prod: cannot apply ConfigMap a/m: unauthorized\. Log in again"):
        writer.apply(OBJECT)


def test_warnings_of_the_server_are_heard(start: Start) -> None:
    heard: list[str] = []
    writer, _ = start(
        {MAP: Reply(OBJECT, headers={"Warning": r'299 - "v1 ConfigMap is \"old\""'})}, on_warning=heard.append
    )
    writer.apply(OBJECT)
    assert heard == ['v1 ConfigMap is "old"']


@pytest.mark.parametrize(
    ("body", "what"),
    [(b"[1]", "is not a JSON object"), (b"{", "is not valid JSON"), (b"\xff", "is not valid JSON")],
)
def test_an_answer_that_is_no_object(start: Start, body: bytes, what: str) -> None:
    writer, _ = start({MAP: Reply(body)})
    with pytest.raises(SourceUnavailable, match=f"cannot apply ConfigMap a/m: the answer {what}"):
        writer.apply(OBJECT)


@pytest.mark.parametrize(
    ("obj", "what"),
    [
        ({"kind": "ConfigMap", "metadata": {"name": "m"}}, "without apiVersion, kind and metadata.name"),
        ({**OBJECT, "metadata": {}}, "it has no metadata.name"),
        ({**OBJECT, "metadata": {"generateName": "m-"}}, "it has no metadata.name"),
        ({**OBJECT, "metadata": {"name": "m"}}, "it has no metadata.namespace"),
    ],
)
def test_an_object_that_cannot_be_addressed_is_not_sent(start: Start, obj: dict[str, Any], what: str) -> None:
    writer, api = start({})
    with pytest.raises(Malformed, match=what):
        writer.apply(obj)
    assert not [request for request in api.seen if request.method != "GET"]


@pytest.mark.parametrize(
    ("code", "body", "kind", "text"),
    [
        (
            403,
            {"message": 'configmaps "m" is forbidden: User "joe" cannot patch resource'},
            AccessDenied,
            r"forbidden \(configmaps .*\)\. Grant the verbs create and patch on configmaps to this user, in "
            r"namespace a\.$",
        ),
        (403, {}, AccessDenied, r"cannot apply ConfigMap a/m: forbidden\. Grant"),
        (403, {"message": 'denied by policy "x"'}, Refused, 'a/m: denied by policy "x"\\.$'),
        (404, {"details": {"name": "m"}}, NotFound, r"the ConfigMap a/m does not exist\.$"),
        (404, {"details": {"name": "a", "kind": "namespaces"}}, NotFound, "kubectl create namespace a$"),
        (
            404,
            {"message": "the server could not find the requested resource"},
            NotServed,
            "requested resource",
        ),
        (409, {"reason": "AlreadyExists"}, Conflict, r"a/m: it already exists\.$"),
        (409, {"message": "the object has been modified"}, Conflict, "Read it again and retry"),
        (
            409,
            {
                "details": {
                    "causes": [
                        {"field": ".data.x", "message": 'conflict with "helm" using v1'},
                        {"field": ".data.b", "message": 'conflict with "argo" using v1'},
                        {"field": ".data.a", "message": 'conflict with "helm" using v1'},
                    ]
                }
            },
            Conflict,
            r"conflict: argo owns data\.b; helm owns data\.a, data\.x\. Leave",
        ),
        (
            422,
            {"message": "m", "details": {"causes": [{"field": "data.x", "message": "Invalid value: 3"}]}},
            Refused,
            r"a/m: data\.x: Invalid value: 3\.$",
        ),
        (422, {"message": "no\n  way"}, Refused, r"a/m: no way\.$"),
        (422, {"message": "x" * 5000}, Refused, "x{1000}…"),
        (418, {}, SourceUnavailable, r"a/m: HTTP 418\.$"),
    ],
)
def test_what_an_error_says(
    start: Start, code: int, body: dict[str, Any], kind: type[Exception], text: str
) -> None:
    writer, _ = start({MAP: Reply({"kind": "Status", "code": code, **body}, code)})
    with pytest.raises(kind, match=text) as caught:
        writer.apply(OBJECT)
    assert type(caught.value) is kind
    assert str(caught.value).startswith("prod: cannot apply ConfigMap a/m: ")
    assert len(str(caught.value)) < 1400
    if isinstance(caught.value, Conflict) and "owns" in text:
        assert caught.value.managers == ("argo", "helm")


def test_a_page_of_causes_is_cut(start: Start) -> None:
    causes = [{"field": f"f{number}", "message": "bad"} for number in range(30)]
    writer, _ = start({MAP: Reply({"kind": "Status", "details": {"causes": causes}}, 422)})
    with pytest.raises(Refused, match="f19: bad; and 10 more") as caught:
        writer.apply(OBJECT)
    assert len(caught.value.causes) == 30


def test_a_name_stays_one_segment(start: Start) -> None:
    writer, api = start({})
    with pytest.raises(NotServed):
        writer.get("v1", "ConfigMap", "../x y", namespace="a")
    assert api.seen[-1].path == f"{MAPS}/..%2Fx%20y"


@pytest.mark.parametrize("name", [".", ".."])
def test_a_step_of_a_path_is_no_name(start: Start, name: str) -> None:
    writer, api = start({})
    assert writer.find("v1", "ConfigMap", name, namespace="a") is None
    assert writer.find("v1", "ConfigMap", "x", namespace=name) is None
    assert not writer.delete("v1", "ConfigMap", name, namespace="a")
    assert [one.method for one in api.seen if "configmaps" in one.path or one.method != "GET"] == []


def test_unknown_kinds_have_near_names(start: Start) -> None:
    writer, _ = start({})
    with pytest.raises(
        NotServed, match=r"the kind ConfigMaps in v1 is not served\. Did you mean ConfigMap\?"
    ):
        writer.list("v1", "ConfigMaps")
    with pytest.raises(NotServed, match=r"^prod: the kind X in a.io/v1 is not served\.$"):
        writer.apply({"apiVersion": "a.io/v1", "kind": "X", "metadata": {"name": "m"}})
