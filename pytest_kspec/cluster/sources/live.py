"""A live API server as a source: raw JSON pages, `continue` always followed, every refusal named.

Lists are paged without a resourceVersion (with resourceVersion=0 the server ignores `limit`). When a list
expires on the way (410), or its pages turn out to be of several states of the cluster, it is started again, so that one
list is one state. An answer that is not the list, or the object, that was asked for is an error. Secrets come as
metadata only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import msgspec

from pytest_kspec.cluster.api.auth import Credentials
from pytest_kspec.cluster.api.discovery import discover
from pytest_kspec.cluster.api.http import JSON, Answer, Connection
from pytest_kspec.cluster.api.kubeconfig import read_kubeconfig
from pytest_kspec.cluster.limits import Limits, default_limits
from pytest_kspec.cluster.objects import redact, refusals
from pytest_kspec.cluster.objects.answers import Buffer, ListHead, Wrong, check_list, check_object, split_list
from pytest_kspec.cluster.objects.items import BROKEN_JSON
from pytest_kspec.cluster.objects.redact import METADATA_ONLY
from pytest_kspec.cluster.sources.source import Pages
from pytest_kspec.errors import (
    AccessDenied,
    Malformed,
    NotFound,
    NotServed,
    SourceError,
    SourceUnavailable,
    UsageError,
)
from pytest_kspec.kube.resources import ClusterInfo, ResourceType

_NAMESPACE = ResourceType("", "v1", "Namespace", "namespaces", False)
IN_CLUSTER = "in-cluster"
_KUBE_SYSTEM = "kube-system"
_DEFINITION = ResourceType(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False
)
METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


def resource_path(
    resource_type: ResourceType, namespace: str = "", name: str = "", subresource: str = ""
) -> str:
    """`/apis/apps/v1/namespaces/default/deployments/web/status`; whatever a name holds stays one segment.

    Raises NotFound for `.` and `..`, which no object is called and which a client would take for steps of the path.
    """
    for part in (namespace, name):
        if part in (".", ".."):
            raise NotFound(f"'{part}' is not the name of an object.")
    head = ["apis", resource_type.group] if resource_type.group else ["api"]
    scope = ["namespaces", namespace] if namespace else []
    tail = [resource_type.plural, name, subresource]
    return "/" + "/".join(
        quote(part, safe=":") for part in (*head, resource_type.version, *scope, *tail) if part
    )


class LiveSource:
    """A context of the kubeconfig, or the cluster that this process runs in. name: the context's."""

    kind = "live"

    def __init__(
        self,
        ref: str,
        *,
        kubeconfig: str | None = None,
        in_cluster: bool = False,
        limits: Limits | None = None,
        credentials: Credentials | None = None,
        name: str = "",
        no_policies: str = "",
    ) -> None:
        """credentials: as for `Connection`. name: of the cluster, where it is not `ref`.

        no_policies: why no policies may be applied to it; "": they may
        """
        self.no_policies = no_policies
        self.ref = ref
        self.name = name or ref
        self._uid: str | None = None
        self._limits = limits = limits or default_limits()
        context = ref if credentials is None else self.name
        self._connection = Connection(
            context, kubeconfig=kubeconfig, in_cluster=in_cluster, limits=limits, credentials=credentials
        )

    @property
    def connection(self) -> Connection:
        """What `cluster.write` writes on: the same credentials, connections and patience."""
        return self._connection

    def api_client(self) -> Any:
        """The official client's `ApiClient` with this cluster's credentials, for the `kube` fixture."""
        return self._connection.client()

    def info(self) -> ClusterInfo:
        """`gitVersion`, and the UID of kube-system ("" where it may not be read). Raises SourceError."""
        what = "the API server's version"
        version = self._document("/version", JSON, what).get("gitVersion")
        if not isinstance(version, str) or not version:
            raise Malformed(f"/version does not answer with {what}: gitVersion is missing.", where=self.name)
        return ClusterInfo(self.name, self.kind, version, self.uid())

    def uid(self) -> str:
        """Which cluster answers now: the UID of kube-system, "" where it may not be read. Raises SourceError."""
        try:
            path = resource_path(_NAMESPACE, name=_KUBE_SYSTEM)
            uid = self._object(path, METADATA, _NAMESPACE, _KUBE_SYSTEM)["metadata"].get("uid")
        except (AccessDenied, NotServed):
            uid = None
        self._uid = uid if isinstance(uid, str) else ""
        return self._uid

    def known_uid(self) -> str:
        """What `uid` answered last; asked now where it was not; "" where that fails. For what is only noted."""
        if self._uid is None:
            with suppress(SourceError):
                self.uid()
        return self._uid or ""

    def types(self) -> Sequence[ResourceType]:
        """What the server's discovery says. Raises SourceError."""
        with self._connection.one_list("the discovery"):
            return discover(self._connection.get, self.name)

    def pages(
        self,
        resource_type: ResourceType,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> Pages:
        """One list, of all namespaces and all objects unless said otherwise, with its resourceVersion."""
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        selected = {name: text for name, text in selectors.items() if text}
        with self._connection.one_list(f"the list of {resource_type.resource}"):
            for _ in range(self._limits.list_restarts + 1):
                pages = self._list(resource_type, namespace, selected)
                if pages is not None:
                    return pages
        raise SourceUnavailable(
            f"the list of {resource_type.resource} expired {self._limits.list_restarts + 1} times "
            "before its last page (410 Gone, or another resourceVersion).",
            where=self.name,
            fix="The list takes longer to read than the API server keeps it: run the scan closer to the API server.",
        )

    def bound(self, limits: Limits) -> None:
        """Go on with other limits: whoever asked briefly whether the cluster is there reads it all now."""
        self._limits = limits
        self._connection.bound(limits)

    def renew(self) -> None:
        """Begin another look at the cluster: what it may cost is counted anew, and a dead server is tried again."""
        self._connection.renew()

    def close(self) -> None:
        """Close connections."""
        self._connection.close()

    def _list(self, resource_type: ResourceType, namespace: str, selected: Mapping[str, str]) -> Pages | None:
        """None if the list expired on the way, or the cluster changed between two of its pages."""
        path = resource_path(resource_type, namespace)
        is_secret = redact.is_secret(resource_type)
        query = {"limit": str(self._limits.page_limit), **selected}
        pages: list[Buffer] = []
        tokens: set[str] = set()
        version: str | None = None
        while True:
            answer = self._connection.get(path, query, accept=METADATA_LIST if is_secret else JSON)
            if answer.status == 410 and tokens:
                return None
            if answer.status != 200:
                raise self._refused(answer, resource_type, namespace)
            try:
                head = self._head(answer, resource_type)
                token = head.token
                pages.append(redact.secret_page(head.items) if is_secret else head.items)
            except (Wrong, *BROKEN_JSON) as error:
                reason = str(error) if isinstance(error, Wrong) else "is not valid JSON"
                raise Malformed(f"the list of {resource_type.resource} {reason}.", where=self.name) from None
            of_page = str(head.metadata.get("resourceVersion", ""))
            if version not in (None, of_page):
                return None
            version = of_page
            if not token:
                return Pages(pages, version)
            if token in tokens or len(pages) >= self._limits.list_pages:
                reason = (
                    "a continue token is repeated"
                    if token in tokens
                    else f"it has more than {self._limits.list_pages:,} pages"
                )
                raise SourceUnavailable(
                    f"the list of {resource_type.resource} does not end: {reason}.", where=self.name
                )
            tokens.add(token)
            query["continue"] = token

    def _head(self, answer: Answer, resource_type: ResourceType) -> ListHead:
        """The list that was asked for. Raises Wrong."""
        head = split_list(answer.json())
        api_version, list_kind = resource_type.api_version, f"{resource_type.kind}List"
        if redact.is_secret(resource_type) and head.kind == f"{METADATA_ONLY[1]}List":
            api_version, list_kind = METADATA_ONLY[0], head.kind
        elif head.kind != list_kind and head.kind.endswith("List") and "." in resource_type.group:
            list_kind = self._list_kind(resource_type) or list_kind
        check_list(head, api_version, list_kind)
        if not head.has_metadata:
            raise Wrong("has no metadata")
        return head

    def _list_kind(self, resource_type: ResourceType) -> str:
        """What the author of a custom resource calls its list; "" where that could not be read."""
        name = f"{resource_type.plural}.{resource_type.group}"
        try:
            found = self._object(resource_path(_DEFINITION, name=name), JSON, _DEFINITION, name)
            list_kind = found["spec"]["names"]["listKind"]
        except (SourceError, KeyError, TypeError):
            return ""
        return list_kind if isinstance(list_kind, str) else ""

    def _object(self, path: str, accept: str, resource_type: ResourceType, name: str) -> dict[str, Any]:
        what = f"the {resource_type.kind} {name}"
        data = self._document(path, accept, what)
        api_version, kind = resource_type.api_version, resource_type.kind
        if accept == METADATA and data.get("kind") == METADATA_ONLY[1]:
            api_version, kind = METADATA_ONLY
        try:
            check_object(data, api_version, kind, name)
        except Wrong as wrong:
            raise Malformed(f"the request was for {what}, but the answer {wrong}.", where=self.name) from None
        return data

    def _document(self, path: str, accept: str, what: str) -> dict[str, Any]:
        answer = self._connection.get(path, accept=accept)
        if answer.status in (401, 403):
            reason = "unauthorized" if answer.status == 401 else "forbidden"
            raise AccessDenied(f"cannot get {what}: {reason}.", where=self.name, fix=answer.message)
        if answer.status == 404:
            raise NotServed(f"{what} does not exist.", where=self.name)
        try:
            data = msgspec.json.decode(answer.json()) if answer.status == 200 else None
        except (Wrong, *BROKEN_JSON):
            data = None
        if not isinstance(data, dict):
            raise SourceUnavailable(
                f"{path} answers with HTTP {answer.status}, not with {what}.", where=self.name
            )
        return data

    def _refused(self, answer: Answer, resource_type: ResourceType, namespace: str) -> SourceError:
        if answer.status == 401:
            return AccessDenied(
                f"cannot list {resource_type.resource}: unauthorized.",
                where=self.name,
                fix="Log in again: the API server does not accept these credentials.",
            )
        if answer.status == 403:
            reason = f"forbidden ({answer.message})" if answer.message else "forbidden"
            return refusals.access_denied(resource_type, self.name, reason=reason, namespace=namespace)
        if answer.status in (404, 405):
            return refusals.not_served(resource_type.kind, resource_type.group, self.name)
        detail = f": {answer.message}" if answer.message else ""
        return SourceUnavailable(
            f"cannot list {resource_type.resource}: HTTP {answer.status}{detail}.", where=self.name
        )


def open_context(name: str, *, kubeconfig: str | None = None) -> LiveSource:
    """A context of the kubeconfig; "in-cluster", where none is called so, is the cluster that this process runs in.

    Raises UsageError where there is no such context.
    """
    known = name in read_kubeconfig(kubeconfig).contexts
    if not known and name != IN_CLUSTER:
        raise UsageError(f"'{name}' is not a kubeconfig context.", where=f"context:{name}")
    return LiveSource(name, kubeconfig=kubeconfig, in_cluster=not known)
