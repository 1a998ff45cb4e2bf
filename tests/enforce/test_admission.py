"""What is read of an object, and what an answer holds: exactly, since an API server and every policy go by it."""

import json
from typing import Any

import msgspec
import pytest

from pytest_kspec.enforce.admission import (
    MAX_WARNINGS,
    MESSAGE_LENGTH,
    WARNING_LENGTH,
    AdmissionRequest,
    Pod,
    Subject,
    allow,
    answer,
    read_review,
    rest_of_answer,
    subject,
    typed,
)
from pytest_kspec.errors import Malformed
from pytest_kspec.kube.reference import ResourceRef
from tests.webhook.reviewing import GROUPS, body, deployment, pod, request, response

UID = "705ab4f5-6393-11e8-b7cc-42010a800002"
SPEC: dict[str, Any] = {"containers": []}
NOTED = {"metadata": {"annotations": {"of": "the pod"}}, "spec": SPEC}


def read(asked: AdmissionRequest) -> Subject:
    assert asked.new is not None
    return subject(asked, asked.new)


def of(kind: str, api_version: str, **rest: Any) -> Subject:
    metadata = {
        "name": "web",
        "namespace": "shop",
        "labels": {"app": "web"},
        "annotations": {"of": "the object"},
    }
    return read(request({"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}))


def write_answer(uid: str, **said: Any) -> bytes:
    return answer(uid, rest_of_answer(**said))


# -- the answer -------------------------------------------------------------------------------------------------


def test_an_answer_has_what_was_said_and_nothing_else() -> None:
    assert response(allow(UID)) == {"uid": UID, "allowed": True}
    assert response(write_answer(UID, allowed=True, message="why")) == {"uid": UID, "allowed": True}
    full = write_answer(UID, allowed=False, message="why", warnings=("a", "b"), annotations={"k": "v"})
    assert response(full) == {
        "uid": UID,
        "allowed": False,
        "status": {"code": 403, "reason": "Forbidden", "message": "why"},
        "warnings": ["a", "b"],
        "auditAnnotations": {"k": "v"},
    }


def test_messages_are_one_line_of_bounded_length() -> None:
    said = response(write_answer(UID, allowed=False, message="a\n b\t" + "x" * MESSAGE_LENGTH))
    assert said["status"]["message"] == "a b " + "x" * (MESSAGE_LENGTH - 5) + "…"
    whole = "x" * MESSAGE_LENGTH
    assert response(write_answer(UID, allowed=False, message=whole))["status"]["message"] == whole


@pytest.mark.parametrize(
    ("number", "more", "last"),
    [
        (MAX_WARNINGS, 0, None),
        (MAX_WARNINGS + 1, 0, "kspec: and 1 more"),
        (MAX_WARNINGS + 2, 5, "kspec: and 7 more"),
        (2, 3, "kspec: and 3 more"),
    ],
)
def test_warnings_are_bounded_and_the_last_one_counts_the_others(
    number: int, more: int, last: str | None
) -> None:
    texts = [f"w{i} " + "y" * WARNING_LENGTH for i in range(number)]
    shown = response(write_answer(UID, allowed=True, warnings=texts, more_warnings=more))["warnings"]
    listed = shown[:-1] if last else shown
    assert listed == [f"{text[: WARNING_LENGTH - 1]}…" for text in texts[:MAX_WARNINGS]]
    assert last is None or shown[-1] == last


# -- the object -------------------------------------------------------------------------------------------------


def test_a_pod_is_read_with_its_own_annotations() -> None:
    made = of("Pod", "v1", spec=SPEC)
    assert (made.template_path, made.annotations) == ("", {"of": "the object"})
    assert (made.labels, msgspec.json.decode(made.spec), made.deleting) == ({"app": "web"}, SPEC, False)
    assert made.ref == made.owner == ResourceRef("v1", "Pod", "shop", "web")


@pytest.mark.parametrize(
    ("kind", "api_version", "rest", "path"),
    [
        ("Deployment", "apps/v1", {"spec": {"template": NOTED}}, "spec.template."),
        ("Job", "batch/v1", {"spec": {"template": NOTED}}, "spec.template."),
        (
            "CronJob",
            "batch/v1",
            {"spec": {"jobTemplate": {"spec": {"template": NOTED}}}},
            "spec.jobTemplate.spec.template.",
        ),
        ("PodTemplate", "v1", {"template": NOTED}, "template."),
    ],
)
def test_of_a_controller_the_template_is_read_with_its_annotations(
    monkeypatch: pytest.MonkeyPatch, kind: str, api_version: str, rest: dict[str, Any], path: str
) -> None:
    monkeypatch.setitem(GROUPS, "PodTemplate", "")
    made = of(kind, api_version, **rest)
    assert (made.template_path, made.annotations) == (path, {"of": "the pod"})
    assert msgspec.json.decode(made.spec) == SPEC
    assert made.labels == {"app": "web"}


def test_a_template_without_metadata_and_a_pod_without_labels_have_none() -> None:
    made = read(request(deployment(SPEC)))
    assert (made.annotations, made.labels) == ({}, {})
    bare = deployment(SPEC)
    del bare["spec"]["template"]["metadata"]
    assert read(request(bare)).annotations == {}


def test_a_service_holds_no_pod() -> None:
    made = of("Service", "v1", spec={"type": "NodePort"})
    assert (made.template_path, msgspec.json.decode(made.spec)) == (None, {"type": "NodePort"})


def test_an_object_without_a_name_is_called_by_what_its_name_begins_with() -> None:
    unnamed = pod() | {"metadata": {"generateName": "web-", "namespace": "shop"}}
    assert read(request(unnamed)).ref.name == "web-"
    assert read(request(unnamed, name="given")).ref.name == "given"
    assert read(request(pod() | {"metadata": {"namespace": "shop"}})).ref.name == ""
    assert read(request(pod(), name="")).ref.name == "web"


def test_the_namespace_of_the_request_counts_where_the_object_has_none() -> None:
    bare = pod() | {"metadata": {"name": "web"}}
    assert read(request(bare, namespace="shop")).ref == ResourceRef("v1", "Pod", "shop", "web")


def test_the_owner_is_the_one_that_controls_it() -> None:
    refs = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "beside"},
        {"apiVersion": "batch/v1", "kind": "Job", "name": "other", "controller": False},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": True},
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "late", "controller": True},
    ]
    owned = pod()
    owned["metadata"] = owned["metadata"] | {"ownerReferences": refs}
    assert read(request(owned)).owner == ResourceRef("apps/v1", "StatefulSet", "shop", "db")
    owned["metadata"]["ownerReferences"] = refs[:2]
    assert read(request(owned)).owner == ResourceRef("v1", "Pod", "shop", "web")


def test_a_mark_for_deletion_is_read() -> None:
    going = pod()
    going["metadata"] = going["metadata"] | {"deletionTimestamp": "2026-06-01T00:00:00Z"}
    assert read(request(going)).deleting


def test_what_is_wrong_with_an_object_is_said_in_bounded_words() -> None:
    wrong = msgspec.structs.replace(request(pod()).kind, kind="K" * 90)
    asked = msgspec.structs.replace(request(pod()), kind=wrong)
    with pytest.raises(Malformed) as raised:
        typed(asked, msgspec.Raw(b"[]"))
    assert raised.value.what == f"{'K' * 59}… could not be read: Expected `object`, got `array`."
    with pytest.raises(Malformed) as raised:
        typed(asked, msgspec.Raw(b"{}"))
    assert raised.value.what == f"the kind of the object is nothing, but the request has v1 {'K' * 90}."
    long = msgspec.Raw(msgspec.json.encode({"apiVersion": "v1", "kind": "L" * 200}))
    with pytest.raises(Malformed) as raised:
        typed(asked, long)
    assert raised.value.what.startswith(f"the kind of the object is v1 {'L' * 116}…, but")
    longer = msgspec.structs.replace(asked, kind=msgspec.structs.replace(wrong, kind="K" * 118))
    with pytest.raises(Malformed) as raised:
        typed(longer, msgspec.Raw(b"{}"))
    assert raised.value.what.endswith(f"but the request has v1 {'K' * 116}….")


def test_a_review_of_another_version_is_none() -> None:
    raw = body(pod())
    assert read_review(raw).uid == UID
    for old, new in (
        (b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1"),
        (b"AdmissionReview", b"Admission"),
    ):
        with pytest.raises(Exception, match=r"not an AdmissionReview of admission.k8s.io/v1"):
            read_review(raw.replace(old, new, 1))
    with pytest.raises(Exception, match=r"the body is not an AdmissionReview: not valid JSON\."):
        read_review(b"{")
    with pytest.raises(Exception, match=r"^the request has no uid\.$"):
        read_review(body(pod(), uid=""))


def compact(raw: bytes) -> bytes:
    """As an API server writes it."""
    return json.dumps(json.loads(raw), separators=(",", ":")).encode()


def test_a_pod_is_read_at_once_and_nothing_else_is_taken_for_one() -> None:
    made = compact(body(pod(), requestKind={"group": "", "version": "v1", "kind": "Pod"}))
    assert isinstance(read_review(made).new, Pod)
    for other in (
        compact(body(deployment(SPEC), requestKind={"group": "", "version": "v1", "kind": "Pod"})),
        compact(body(pod(), pod())),
    ):
        assert b'"kind":"Pod"}' in other
        found = read_review(other)
        assert isinstance(found.new, msgspec.Raw)
