"""AdmissionReview, bytes to data and back: what an API server asks and what it is told.

The objects stay raw JSON: of most reviews only the metadata and the raw pod spec are ever needed. An answer always
carries the uid of its request, also one that says that something went wrong: without it an API server takes the
answer for no answer at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pytest_kspec.cluster.objects.kinds import TEMPLATE_PATHS, type_of
from pytest_kspec.enforce.owners import admitted_owner
from pytest_kspec.errors import KspecError, Malformed
from pytest_kspec.kube.reference import ResourceRef

API_VERSION = "admission.k8s.io/v1"
WARNING_LENGTH = 250
"""Characters of one warning; of all warnings an API server cuts what is above 4,096 bytes."""
MESSAGE_LENGTH = 8_000
MAX_WARNINGS = 15

_NOTHING = msgspec.Raw(b"")
_NO_OBJECT = (b"", b"null")
_EVALUATED = frozenset({*TEMPLATE_PATHS, ("", "Service")})
_KINDS = {
    (group, type_of(f"{group}/v1".lstrip("/"), kind).plural): kind for group, kind in sorted(_EVALUATED)
}
"""(group, resource) → kind of what is evaluated."""
_OF_THE_KIND = frozenset({"", "status", "ephemeralcontainers", "resize"})
"""Subresources whose object is the whole object; others (scale, eviction, binding, exec) have kinds of their own."""


class NotAReview(KspecError):
    """The bytes are no AdmissionReview of admission.k8s.io/v1 with a request and a uid."""


class GroupKind(msgspec.Struct, frozen=True, gc=False):
    """`kind` of a request."""

    group: str = ""
    version: str = ""
    kind: str = ""

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


class GroupResource(msgspec.Struct, frozen=True, gc=False):
    """`resource` of a request."""

    group: str = ""
    resource: str = ""


class User(msgspec.Struct, frozen=True, gc=False):
    """Who asks."""

    username: str = ""


class _Owner(msgspec.Struct, frozen=True, gc=False):
    apiVersion: str = ""
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct, gc=False):
    name: str | None = None
    generateName: str | None = None
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    ownerReferences: list[_Owner] | None = None
    deletionTimestamp: str | None = None


class _TemplateMetadata(msgspec.Struct, gc=False):
    annotations: dict[str, str] | None = None


class _Template(msgspec.Struct, gc=False):
    spec: msgspec.Raw = _NOTHING
    metadata: _TemplateMetadata | None = None


class _WithTemplate(msgspec.Struct, gc=False):
    template: _Template


class _WithJobTemplate(msgspec.Struct, gc=False):
    spec: _WithTemplate


class _Typed(msgspec.Struct, gc=False, kw_only=True):
    apiVersion: str = ""
    kind: str = ""


class Pod(_Typed, gc=False, kw_only=True):
    """What is read of a pod, or of a Service. spec: raw JSON."""

    metadata: _Metadata
    spec: msgspec.Raw = _NOTHING


class AdmissionRequest(msgspec.Struct, rename="camel", frozen=True, gc=False, kw_only=True):
    """The request of a review."""

    uid: str
    kind: GroupKind
    resource: GroupResource = GroupResource()
    operation: str = ""
    namespace: str = ""
    name: str = ""
    sub_resource: str = ""
    user_info: User = User()
    dry_run: bool | None = None

    @property
    def new(self) -> msgspec.Raw | Pod | None:
        """The object to examine; None: a DELETE has none."""
        raise NotImplementedError

    @property
    def old(self) -> msgspec.Raw | None:
        """The object that is changed."""
        raise NotImplementedError


class AnyRequest(AdmissionRequest, rename="camel", frozen=True, gc=False, kw_only=True):
    """object, old_object: raw JSON, b"" or b"null" where there is none."""

    object: msgspec.Raw = _NOTHING
    old_object: msgspec.Raw = _NOTHING

    @property
    def new(self) -> msgspec.Raw | None:
        return self.object if _is_there(self.object) else None

    @property
    def old(self) -> msgspec.Raw | None:
        return self.old_object if _is_there(self.old_object) else None


class _PodRequest(AdmissionRequest, rename="camel", frozen=True, gc=False, kw_only=True):
    """For a pod that is created, which nearly all are: one pass reads request and object."""

    object: Pod
    old_object: None = None

    @property
    def new(self) -> Pod:
        return self.object

    @property
    def old(self) -> None:
        return None


def _is_there(raw: msgspec.Raw) -> bool:
    """Short objects are compared, long ones never copied: `[]`, `true` and `{}` are there, and wrong."""
    if raw is _NOTHING:
        return False
    return memoryview(raw).nbytes > len("null") or bytes(raw) not in _NO_OBJECT


class _Review(msgspec.Struct, gc=False):
    request: AnyRequest
    apiVersion: str
    kind: str


class _PodReview(msgspec.Struct, gc=False):
    request: _PodRequest
    apiVersion: str
    kind: str


_DECODE = msgspec.json.Decoder(_Review).decode
_DECODE_POD = msgspec.json.Decoder(_PodReview).decode
_POD = GroupKind("", "v1", "Pod")
_OF_A_POD, _CREATED, _FIRST = b'"kind":"Pod"}', b'"operation":"CREATE"', 2048
"""How an API server begins a review of a pod that is created."""
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_review(body: bytes) -> AdmissionRequest:
    """The request in an AdmissionReview. Raises NotAReview; its text repeats nothing of the body."""
    review = _of_pod(body)
    if review is None:
        try:
            review = _DECODE(body)
        except BROKEN as error:
            reason = str(error) if isinstance(error, msgspec.ValidationError) else "not valid JSON"
            raise NotAReview(f"the body is not an AdmissionReview: {reason}.") from error
    if review.kind != "AdmissionReview" or review.apiVersion != API_VERSION:
        raise NotAReview(f"the body is not an AdmissionReview of {API_VERSION}.")
    if not review.request.uid:
        raise NotAReview("the request has no uid.")
    return review.request


def _of_pod(body: bytes) -> _PodReview | _Review | None:
    """The review of a pod that is created; None where it may be anything else, or wrong."""
    if body.find(_OF_A_POD, 0, _FIRST) < 0 or body.find(_CREATED, 0, _FIRST) < 0:
        return None
    try:
        review = _DECODE_POD(body)
    except BROKEN:
        return None
    return review if review.request.kind == _POD else None


def impossible(request: AdmissionRequest, new: bool, old: bool) -> str:
    """What makes it a request that no API server sends; "" for nothing.

    What such a request is about nobody knows, so it must not pass for one that is about nothing.
    new, old: whether it has an object, and an old one
    """
    match request.operation:
        case "CREATE":
            wrong = "has no object" if not new else "has an oldObject" if old else ""
        case "UPDATE":
            wrong = "has no object" if not new else "" if old else "has no oldObject"
        case "DELETE":
            return "a DELETE has an object, which Kubernetes does not send" if new else ""
        case "CONNECT":
            wrong = "has an oldObject" if old else ""
        case _:
            return "the operation must be CREATE, UPDATE, DELETE or CONNECT"
    if wrong:
        return f"{_A[request.operation]} {wrong}, which Kubernetes does not send"
    kind, resource = (
        (request.kind.group, request.kind.kind),
        (request.resource.group, request.resource.resource),
    )
    if _KINDS.get(resource) == kind[1]:
        wrong = "Kubernetes connects only to its subresources" if request.operation == "CONNECT" else ""
        if kind in _EVALUATED and not request.namespace:
            wrong = "Kubernetes sends it with a namespace"
        return f"the kind is {kind[1]}, and {wrong}" if wrong else ""
    if kind in _EVALUATED or (resource in _KINDS and request.sub_resource in _OF_THE_KIND):
        named = "/".join(filter(None, (*resource, request.sub_resource)))
        return f"the kind is {cut(kind[1], 60)} and the resource {cut(named, 120)!r}: they do not belong together"
    return ""


_A = {"CREATE": "a CREATE", "UPDATE": "an UPDATE", "CONNECT": "a CONNECT"}
_START = b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":'
_ALLOWED = b',"allowed":true}}'
_encode = msgspec.json.Encoder().encode


def allow(uid: str) -> bytes:
    """The answer that most reviews get: allowed, nothing to say."""
    return b"".join((_START, _encode(uid), _ALLOWED))


def answer(uid: str, rest: bytes) -> bytes:
    """An AdmissionReview with a response. rest: of `rest_of_answer`, the same for any request."""
    return b"".join((_START, _encode(uid), rest))


def rest_of_answer(
    *,
    allowed: bool,
    message: str = "",
    warnings: Sequence[str] = (),
    more_warnings: int = 0,
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """What an answer says behind the uid. message: why it is denied; annotations: for the server's audit log.

    Warnings are cut to what an API server passes on; the last one then says how many there are, with the
    `more_warnings` that are not in the list.
    """
    response: dict[str, Any] = {"allowed": allowed}
    if not allowed:
        response["status"] = {"code": 403, "reason": "Forbidden", "message": cut(message, MESSAGE_LENGTH)}
    if warnings:
        response["warnings"] = _fitting(warnings, more_warnings)
    if annotations:
        response["auditAnnotations"] = dict(annotations)
    return b",%b}" % _encode(response)[1:]


def _fitting(warnings: Sequence[str], more: int) -> list[str]:
    shown = [cut(text, WARNING_LENGTH) for text in warnings[:MAX_WARNINGS]]
    more += len(warnings) - len(shown)
    return [*shown, f"kspec: and {more} more"] if more else shown


def cut(text: str, length: int) -> str:
    """One line of at most so many characters."""
    return shorten(" ".join(text.split()), length)


def shorten(text: str, length: int) -> str:
    """At most so many characters; line ends stay."""
    return text if len(text) <= length else text[: length - 1] + "…"


# -- the object ------------------------------------------------------------------------------------------------


class _PodTemplateObject(_Typed, gc=False, kw_only=True):
    metadata: _Metadata
    template: _Template


class _ControllerObject(_Typed, gc=False, kw_only=True):
    metadata: _Metadata
    spec: _WithTemplate


class _JobSpec(msgspec.Struct, gc=False):
    jobTemplate: _WithJobTemplate


class _CronJobObject(_Typed, gc=False, kw_only=True):
    metadata: _Metadata
    spec: _JobSpec


_TYPED = msgspec.json.Decoder(_Typed).decode
_OBJECT = msgspec.json.Decoder(Pod).decode
_TEMPLATED: dict[str, Any] = {
    "template.": msgspec.json.Decoder(_PodTemplateObject).decode,
    "spec.template.": msgspec.json.Decoder(_ControllerObject).decode,
    "spec.jobTemplate.spec.template.": msgspec.json.Decoder(_CronJobObject).decode,
}


class Subject(msgspec.Struct, frozen=True, gc=False):
    """One object of a request, as policies see it.

    name:          an object that has no name yet (`generateName`) is called by what its name will begin with
    template_path: prefix of pod paths: "" for a Pod, None for what has no pod in it
    spec:          raw JSON of the pod spec; where template_path is None, of the object's own `spec`
    annotations:   of the pod
    """

    kind: GroupKind
    namespace: str
    name: str
    metadata: _Metadata
    template_path: str | None
    spec: bytes
    annotations: Mapping[str, str]

    @property
    def ref(self) -> ResourceRef:
        """The object."""
        return ResourceRef(self.kind.api_version, self.kind.kind, self.namespace, self.name)

    @property
    def owner(self) -> ResourceRef:
        """Whose it is, as far as the object tells."""
        controller = None
        for found in self.metadata.ownerReferences or ():
            if found.controller:
                controller = ResourceRef(found.apiVersion, found.kind, self.namespace, found.name)
                break
        return admitted_owner(self.ref, self.labels, controller)

    @property
    def labels(self) -> Mapping[str, str]:
        """Of the object."""
        return self.metadata.labels or _NONE

    @property
    def deleting(self) -> bool:
        """It is marked for deletion."""
        return self.metadata.deletionTimestamp is not None


_NONE: Mapping[str, str] = {}


def is_evaluated(request: AdmissionRequest) -> bool:
    """Whether objects of this kind are evaluated: those that hold a pod, and Services."""
    return (request.kind.group, request.kind.kind) in _EVALUATED


def subject(request: AdmissionRequest, raw: msgspec.Raw | Pod) -> Subject:
    """The request's object, or its old one, of a kind that is evaluated.

    Raises Malformed where it is nothing that Kubernetes allows, or not of the request's kind, namespace and name.
    """
    kind = request.kind
    template_path = TEMPLATE_PATHS.get((kind.group, kind.kind))
    try:
        if not template_path:
            decoded = raw if isinstance(raw, Pod) else _OBJECT(raw)
            spec, annotations = decoded.spec, decoded.metadata.annotations
        else:
            decoded = _TEMPLATED[template_path](raw)
            template = _template(decoded, template_path)
            spec = template.spec
            annotations = template.metadata.annotations if template.metadata else None
    except BROKEN as error:
        raise Malformed(f"{kind.kind} could not be read: {error}.") from error
    _same_kind(request, decoded)
    metadata = decoded.metadata
    namespace = request.namespace
    if metadata.namespace is not None and metadata.namespace != namespace:
        raise Malformed("the namespace of the object differs from the namespace of the request.")
    if metadata.name and request.name and metadata.name != request.name:
        raise Malformed("the name of the object differs from the name of the request.")
    name = metadata.name or request.name or metadata.generateName or ""
    return Subject(kind, namespace, name, metadata, template_path, bytes(spec), annotations or _NONE)


def typed(request: AdmissionRequest, raw: msgspec.Raw | Pod) -> None:
    """See that an object that is not evaluated is of the request's kind. Raises Malformed."""
    try:
        _same_kind(request, raw if isinstance(raw, Pod) else _TYPED(raw))
    except BROKEN as error:
        raise Malformed(f"{cut(request.kind.kind, 60)} could not be read: {error}.") from error


def _same_kind(request: AdmissionRequest, found: _Typed) -> None:
    kind = request.kind
    if (found.apiVersion, found.kind) != (kind.api_version, kind.kind):
        there = cut(f"{found.apiVersion} {found.kind}", 120) or "nothing"
        said = cut(f"{kind.api_version} {kind.kind}", 120)
        raise Malformed(f"the kind of the object is {there}, but the request has {said}.")


def _template(decoded: Any, template_path: str) -> _Template:
    if template_path == "template.":
        holder = decoded
    else:
        holder = decoded.spec if template_path == "spec.template." else decoded.spec.jobTemplate.spec
    template: _Template = holder.template
    return template
