"""AdmissionReview, bytes to data and back: what an API server asks and what it is told.

The objects stay raw JSON: of most reviews only the metadata and the raw pod spec are ever needed. An answer always
carries the uid of its request, also one that says that something went wrong: without it an API server takes the
answer for no answer at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pytest_kspec.cluster.kinds import TEMPLATE_PATHS
from pytest_kspec.enforce.owners import admitted_owner
from pytest_kspec.errors import KspecError, Malformed
from pytest_kspec.model.finding import ResourceRef

API_VERSION = "admission.k8s.io/v1"
WARNING_LENGTH = 250
"""Characters of one warning; of all warnings an API server cuts what is above 4,096 bytes."""
MESSAGE_LENGTH = 8_000
MAX_WARNINGS = 15

_NOTHING = msgspec.Raw(b"")


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


class User(msgspec.Struct, frozen=True, gc=False):
    """Who asks."""

    username: str = ""


class AdmissionRequest(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """The request of a review. object, old_object: raw JSON, b"" or b"null" where there is none."""

    uid: str
    kind: GroupKind
    operation: str = ""
    namespace: str = ""
    name: str = ""
    sub_resource: str = ""
    user_info: User = User()
    dry_run: bool | None = None
    object: msgspec.Raw = _NOTHING
    old_object: msgspec.Raw = _NOTHING

    @property
    def has_object(self) -> bool:
        """Whether there is an object to examine; a DELETE has none."""
        return memoryview(self.object).nbytes > len("null")

    @property
    def has_old_object(self) -> bool:
        """Whether an object is changed."""
        return memoryview(self.old_object).nbytes > len("null")


class _Review(msgspec.Struct, gc=False):
    request: AdmissionRequest
    apiVersion: str
    kind: str


_DECODE = msgspec.json.Decoder(_Review).decode
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_review(body: bytes) -> AdmissionRequest:
    """The request in an AdmissionReview. Raises NotAReview; its text repeats nothing of the body."""
    try:
        review = _DECODE(body)
    except BROKEN as error:
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "not valid JSON"
        raise NotAReview(f"the body is no AdmissionReview: {reason}.") from error
    if review.kind != "AdmissionReview" or review.apiVersion != API_VERSION:
        raise NotAReview(f"the body is no AdmissionReview of {API_VERSION}.")
    if not review.request.uid:
        raise NotAReview("the request has no uid.")
    return review.request


_START = b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":'
_ALLOWED = b',"allowed":true}}'
_encode = msgspec.json.Encoder().encode


def allow(uid: str) -> bytes:
    """The answer that most reviews get: allowed, nothing to say."""
    return b"".join((_START, _encode(uid), _ALLOWED))


def write_answer(
    uid: str,
    *,
    allowed: bool,
    message: str = "",
    warnings: Sequence[str] = (),
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """An AdmissionReview with a response. message: why it is denied; annotations: for the server's audit log.

    Warnings are cut to what an API server passes on; the last one then says how many there are.
    """
    response: dict[str, Any] = {"uid": uid, "allowed": allowed}
    if not allowed:
        response["status"] = {"code": 403, "reason": "Forbidden", "message": cut(message, MESSAGE_LENGTH)}
    if warnings:
        response["warnings"] = _fitting(warnings)
    if annotations:
        response["auditAnnotations"] = dict(annotations)
    return b"".join((_START[: -len(b'{"uid":')], _encode(response), b"}"))


def _fitting(warnings: Sequence[str]) -> list[str]:
    shown = [cut(text, WARNING_LENGTH) for text in warnings[:MAX_WARNINGS]]
    more = len(warnings) - len(shown)
    return [*shown, f"kspec: and {more} more"] if more else shown


def cut(text: str, length: int) -> str:
    """One line of at most so many characters."""
    return shorten(" ".join(text.split()), length)


def shorten(text: str, length: int) -> str:
    """At most so many characters; line ends stay."""
    return text if len(text) <= length else text[: length - 1] + "…"


# -- the object ------------------------------------------------------------------------------------------------


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


class _Object(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: msgspec.Raw = _NOTHING


class _PodTemplateObject(msgspec.Struct, gc=False):
    metadata: _Metadata
    template: _Template


class _ControllerObject(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _WithTemplate


class _JobSpec(msgspec.Struct, gc=False):
    jobTemplate: _WithJobTemplate


class _CronJobObject(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _JobSpec


_OBJECT = msgspec.json.Decoder(_Object).decode
_TEMPLATED: dict[str, Any] = {
    "template.": msgspec.json.Decoder(_PodTemplateObject).decode,
    "spec.template.": msgspec.json.Decoder(_ControllerObject).decode,
    "spec.jobTemplate.spec.template.": msgspec.json.Decoder(_CronJobObject).decode,
}


class Subject(msgspec.Struct, frozen=True, gc=False):
    """One object of a request, as policies see it.

    ref:           an object that has no name yet (`generateName`) is called by what its name will begin with
    owner:         whose it is, as far as the object tells
    template_path: prefix of pod paths: "" for a Pod, None for what has no pod in it
    spec:          raw JSON of the pod spec; where template_path is None, of the object's own `spec`
    annotations:   of the pod
    deleting:      it is marked for deletion
    """

    ref: ResourceRef
    owner: ResourceRef
    labels: Mapping[str, str]
    template_path: str | None
    spec: bytes
    annotations: Mapping[str, str]
    deleting: bool


_NONE: Mapping[str, str] = {}


def subject(request: AdmissionRequest, raw: msgspec.Raw) -> Subject:
    """The request's object, or its old one. Raises Malformed where it is nothing that Kubernetes allows."""
    kind = request.kind
    template_path = TEMPLATE_PATHS.get((kind.group, kind.kind))
    try:
        if not template_path:
            decoded = _OBJECT(raw)
            spec, annotations = decoded.spec, decoded.metadata.annotations
        else:
            decoded = _TEMPLATED[template_path](raw)
            template = _template(decoded, template_path)
            spec = template.spec
            annotations = template.metadata.annotations if template.metadata else None
    except BROKEN as error:
        raise Malformed(f"{kind.kind} cannot be read: {error}.") from error
    metadata = decoded.metadata
    namespace = request.namespace or metadata.namespace or ""
    name = metadata.name or request.name or metadata.generateName or ""
    ref = ResourceRef(kind.api_version, kind.kind, namespace, name)
    labels = metadata.labels or _NONE
    controller = None
    for reference in metadata.ownerReferences or ():
        if reference.controller:
            controller = ResourceRef(reference.apiVersion, reference.kind, namespace, reference.name)
            break
    return Subject(
        ref=ref,
        owner=admitted_owner(ref, labels, controller),
        labels=labels,
        template_path=template_path,
        spec=bytes(spec),
        annotations=annotations or _NONE,
        deleting=metadata.deletionTimestamp is not None,
    )


def _template(decoded: Any, template_path: str) -> _Template:
    if template_path == "template.":
        holder = decoded
    else:
        holder = decoded.spec if template_path == "spec.template." else decoded.spec.jobTemplate.spec
    template: _Template = holder.template
    return template
