"""A live API server as a source: raw JSON pages, `continue` always followed, every refusal named.

Lists are paged without a resourceVersion (with resourceVersion=0 the server ignores `limit`). When a list
expires on the way (410) it is started again, so that one list is one state of the cluster. Secrets come as
metadata only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from pytest_kspec.cluster import redact, refusals
from pytest_kspec.cluster.discovery import discover
from pytest_kspec.cluster.http import DEFAULT_LIMITS, JSON, Answer, Connection, Limits
from pytest_kspec.errors import AccessDenied, NotServed, SourceError, SourceUnavailable
from pytest_kspec.model.resources import ClusterInfo, ResourceType

METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class _ListMeta(msgspec.Struct):
    continue_: str = msgspec.field(default="", name="continue")


class _Head(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    kind: str = ""


_HEAD = msgspec.json.Decoder(_Head)


def resource_path(
    resource_type: ResourceType, namespace: str = "", name: str = "", subresource: str = ""
) -> str:
    """`/apis/apps/v1/namespaces/default/deployments/web/status`; whatever a name holds stays one segment."""
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
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.ref = ref
        self.name = ref
        self._limits = limits
        self._connection = Connection(ref, kubeconfig=kubeconfig, in_cluster=in_cluster, limits=limits)

    @property
    def connection(self) -> Connection:
        """What `cluster.write` writes on: the same credentials, connections and patience."""
        return self._connection

    def api_client(self) -> Any:
        """The official client's `ApiClient` with this cluster's credentials, for the `kube` fixture."""
        return self._connection.client()

    def info(self) -> ClusterInfo:
        """`gitVersion`, and the UID of kube-system ("" where it may not be read)."""
        version = self._object("/version", JSON, "the API server's version").get("gitVersion")
        try:
            namespace = self._object("/api/v1/namespaces/kube-system", METADATA, "the namespace kube-system")
            metadata = namespace.get("metadata")
            uid = metadata.get("uid") if isinstance(metadata, dict) else None
        except (AccessDenied, NotServed):
            uid = None
        return ClusterInfo(
            self.name,
            self.kind,
            version if isinstance(version, str) else "",
            uid if isinstance(uid, str) else "",
        )

    def types(self) -> Sequence[ResourceType]:
        """What the server's discovery says. Raises SourceError."""
        return discover(self._connection.get, self.name)

    def pages(
        self, resource_type: ResourceType, *, namespace: str = "", label_selector: str = ""
    ) -> Iterator[bytes]:
        """All pages of one kind, as of one list; from all namespaces and of all objects unless said otherwise."""
        for _ in range(self._limits.list_restarts + 1):
            pages = self._list(resource_type, namespace, label_selector)
            if pages is not None:
                return iter(pages)
        raise SourceUnavailable(
            f"the list of {resource_type.resource} expired {self._limits.list_restarts + 1} times "
            "before its last page (410 Gone).",
            where=self.name,
            fix="The API server forgets faster than the list is read: run the scan nearer to it.",
        )

    def close(self) -> None:
        """Close connections."""
        self._connection.close()

    def _list(self, resource_type: ResourceType, namespace: str, label_selector: str) -> list[bytes] | None:
        """None if the list expired on the way."""
        path = resource_path(resource_type, namespace)
        is_secret = resource_type.kind == "Secret" and not resource_type.group
        pages: list[bytes] = []
        token = ""
        while True:
            query = {"limit": str(self._limits.page_limit)}
            if label_selector:
                query["labelSelector"] = label_selector
            if token:
                query["continue"] = token
            answer = self._connection.get(path, query, accept=METADATA_LIST if is_secret else JSON)
            if answer.status == 410 and token:
                return None
            if answer.status != 200:
                raise self._refused(answer, resource_type)
            try:
                head = _HEAD.decode(answer.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise SourceUnavailable(
                    f"the list of {resource_type.resource} is not valid JSON.", where=self.name
                ) from error
            pages.append(redact.secret_page(answer.body) if is_secret else answer.body)
            if not head.metadata.continue_:
                return pages
            if head.metadata.continue_ == token:
                raise SourceUnavailable(
                    f"the list of {resource_type.resource} does not end: its continue token comes back.",
                    where=self.name,
                )
            token = head.metadata.continue_

    def _object(self, path: str, accept: str, what: str) -> dict[str, Any]:
        answer = self._connection.get(path, accept=accept)
        if answer.status in (401, 403):
            reason = "unauthorized" if answer.status == 401 else "forbidden"
            raise AccessDenied(f"cannot get {what}: {reason}.", where=self.name, fix=answer.message)
        if answer.status == 404:
            raise NotServed(f"there is no {what}.", where=self.name)
        try:
            data = msgspec.json.decode(answer.body) if answer.status == 200 else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise SourceUnavailable(
                f"{path} answers with HTTP {answer.status}, not with {what}.", where=self.name
            )
        return data

    def _refused(self, answer: Answer, resource_type: ResourceType) -> SourceError:
        if answer.status == 401:
            return AccessDenied(
                f"cannot list {resource_type.resource}: unauthorized.",
                where=self.name,
                fix="Log in again: the API server does not accept these credentials.",
            )
        if answer.status == 403:
            reason = f"forbidden ({answer.message})" if answer.message else "forbidden"
            return refusals.access_denied(resource_type, self.name, reason=reason)
        if answer.status in (404, 405):
            return refusals.not_served(resource_type.kind, resource_type.group, self.name)
        detail = f": {answer.message}" if answer.message else ""
        return SourceUnavailable(
            f"cannot list {resource_type.resource}: HTTP {answer.status}{detail}.", where=self.name
        )
