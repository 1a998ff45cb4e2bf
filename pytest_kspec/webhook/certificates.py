"""Where the served certificate comes from, and that API servers trust it.

Three ways: files that somebody else writes (cert-manager's Secret as a volume), a Secret that all replicas
share, a folder. In the last two the webhook is its own authority (`authority.advance`), unless cert-manager
writes that Secret. No step of a rotation is made before the bundle of the step before is published.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
from filelock import FileLock

from pytest_kspec import typed
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.engines import webhook
from pytest_kspec.enforce.names import ENGINE_LABEL, GENERATED_LABEL
from pytest_kspec.errors import Conflict, KspecError, Malformed
from pytest_kspec.files import write_whole
from pytest_kspec.serving.authority import CertificateError, Material, Periods, advance, verify
from pytest_kspec.serving.tls import AUTHORITY_KEY, BUNDLE, CERTIFICATE, KEY, ServerTls

log = logging.getLogger("kspec.webhook")

STATE = "authority.json"
MAX_STATE_BYTES = 256 << 10
LOCK_S = 10.0
"""How long another process may hold the folder; the next tick tries again."""
_REMOVE = "Find out who wrote it, and remove it: the webhook then creates a new authority."
CERT_MANAGER = ("cert-manager.io", "Certificate")
_MANAGED = "cert-manager.io/certificate-name"


class Keeper(Protocol):
    """Keeps the served certificate right."""

    def tick(self, tls: ServerTls) -> None:
        """Look, and do what is due. Raises KspecError, OSError; the next tick tries again."""
        ...


class Files:
    """`tls.crt` and `tls.key` in a folder that somebody else writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tick(self, tls: ServerTls) -> None:
        """Serve what is there now."""
        try:
            certificate = (self._folder / CERTIFICATE).read_bytes()
            key = (self._folder / KEY).read_bytes()
        except FileNotFoundError as error:
            raise CertificateError(f"{error.filename} does not exist yet.") from error
        if tls.serve(certificate, key):
            log.info("certificate of %s, valid until %s", self._folder, tls.expires)


class Store(Protocol):
    """Keeps the material of an authority for all who serve by it."""

    def update(self, change: Callable[[Material | None], Material | None]) -> Material | None:
        """Read, change, write; what is stored then. `change` gives the same object back for no change, and
        None where somebody else has to write it first.

        Raises Conflict where another was faster, KspecError, OSError.
        """
        ...


class SelfSigned:
    """An authority of our own. publish: makes the bundle known to API servers, raises KspecError."""

    def __init__(
        self,
        store: Store,
        hosts: Sequence[str],
        publish: Callable[[bytes], None],
        *,
        periods: Periods = Periods(),  # noqa: B008 - frozen
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._store = store
        self._hosts = tuple(hosts)
        self._publish = publish
        self._periods = periods
        self._now = now

    def tick(self, tls: ServerTls) -> None:
        """Publish, advance, publish, serve. What is stored is served also while it cannot be published."""
        failed: list[KspecError] = []

        def publish(bundle: bytes) -> bool:
            try:
                self._publish(bundle)
            except KspecError as error:
                failed.append(error)
            return not failed

        def change(material: Material | None) -> Material | None:
            if material is not None:
                verify(material)
            if material is not None and not publish(material.bundle):
                return material
            return advance(material, self._hosts, self._now(), self._periods)

        try:
            material = self._store.update(change)
        except Conflict:
            return  # another replica made the step; the next tick takes it over
        if material is None:
            raise CertificateError("cert-manager has not written the certificate yet.")
        if not failed:
            publish(material.bundle)
        if tls.serve(material.certificate, material.key):
            log.info("certificate valid until %s", tls.expires)
        if failed:
            raise failed[0]


class Folder:
    """One file, written whole; beside it `ca.crt`, for whoever registers the webhook by hand."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def update(self, change: Callable[[Material | None], Material | None]) -> Material | None:
        """See `Store`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / STATE
        with FileLock(self._folder / f"{STATE}.lock", timeout=LOCK_S, mode=0o600):
            try:
                before = _material(_read_own(path))
            except FileNotFoundError:
                before = None
            try:
                after = change(before)
            except CertificateError as error:
                raise CertificateError(error.what, where=str(path), fix=_REMOVE) from error
            if after is not None and after is not before:
                write_whole(path, json.dumps(_fields(after)).encode(), private=True)
                write_whole(self._folder / BUNDLE, after.bundle, private=True)
        return after


def _read_own(path: Path) -> dict[str, str]:
    """What this user stored. Raises CertificateError for a file that somebody else made, or may have changed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        shared = 0o022 if found.st_gid not in (os.getegid(), *os.getgroups()) else 0o002
        wrong = ""
        if not stat.S_ISREG(found.st_mode):
            wrong = "it is not a file."
        elif found.st_uid != os.geteuid():
            wrong = "it belongs to another user."
        elif found.st_mode & shared:
            wrong = "other users may write to it."
        elif found.st_size > MAX_STATE_BYTES:
            wrong = f"it is larger than {MAX_STATE_BYTES >> 10} KiB."
        if wrong:
            raise CertificateError(wrong, where=str(path), fix=_REMOVE)
        fields = json.loads(file.read(MAX_STATE_BYTES))
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise CertificateError("it contains values that are not strings.", where=str(path), fix=_REMOVE)
    return fields


class Secret:
    """A Secret of the type kubernetes.io/tls, with `ca.crt` and `ca.key` beside the usual keys.

    Where cert-manager is in the cluster the Secret is its own: it is read and never written.
    """

    def __init__(self, access: Access, namespace: str, name: str) -> None:
        self._access = access
        self._namespace = namespace
        self._name = name

    def update(self, change: Callable[[Material | None], Material | None]) -> Material | None:
        """See `Store`."""
        return self._access.do(lambda writer: self._update(writer, change))

    def _update(
        self, writer: Writer, change: Callable[[Material | None], Material | None]
    ) -> Material | None:
        found = writer.find("v1", "Secret", self._name, namespace=self._namespace)
        data = (found or {}).get("data") or {}
        if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
            raise Malformed(f"the Secret {self._namespace}/{self._name} contains data that is not a string.")
        fields = {key: base64.b64decode(value).decode() for key, value in data.items()}
        annotations = (found or {}).get("metadata", {}).get("annotations") or {}
        # `kspec fleet enforce` makes an empty one: then the authority is always our own.
        ours = GENERATED_LABEL in ((found or {}).get("metadata", {}).get("labels") or {})
        waits = AUTHORITY_KEY not in fields and not ours and writer.served(*CERT_MANAGER)
        if _MANAGED in annotations or waits:
            # Its injector writes the caBundle: an empty bundle is not published.
            return _material({**fields, AUTHORITY_KEY: "", BUNDLE: ""}) if CERTIFICATE in fields else None
        before = _material(fields) if AUTHORITY_KEY in fields else None
        after = change(before)
        if after is None or after is before:
            return after
        secret: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "stringData": _fields(after),
        }
        if found is None:
            writer.create(secret)
        else:
            metadata = found["metadata"]
            secret["metadata"] = {
                key: metadata[key]
                for key in ("name", "namespace", "labels", "annotations", "resourceVersion")
                if key in metadata
            }
            secret["type"] = found.get("type", secret["type"])
            writer.replace(secret)
        return after


class _Registered(msgspec.Struct):
    name: str
    clientConfig: dict[str, Any]


class Publisher:
    """Keeps `caBundle` of our webhooks right, and nothing else: in every ValidatingWebhookConfiguration that
    `kspec enforce --engine webhook` made, and in that of this name, if there is one.

    It owns that one field (server-side apply), so whoever applies the rest does not take it away.

    service: (namespace, name) of its own Service: a registration that calls another one has another certificate
    """

    def __init__(
        self, access: Access, configuration: str = "", service: tuple[str, str] | None = None
    ) -> None:
        self._access = access
        self._name = configuration
        self._service = service

    def __call__(self, bundle: bytes) -> None:
        """Write it where it is not right. Raises KspecError."""
        if bundle:
            self._access.do(lambda writer: self._publish(writer, base64.b64encode(bundle).decode()))

    def _publish(self, writer: Writer, bundle: str) -> None:
        selector = f"{GENERATED_LABEL}=true,{ENGINE_LABEL}={webhook.NAME}"
        found = writer.list(webhook.API_VERSION, webhook.KIND, label_selector=selector)
        named = writer.find(webhook.API_VERSION, webhook.KIND, self._name) if self._name else None
        mine = [item for item in found if self._is_mine(item)]
        for item in [*mine, *([named] if named is not None else [])]:
            if webhook.INJECT not in (item["metadata"].get("annotations") or {}):
                self._apply(writer, item, bundle)

    def _is_mine(self, item: dict[str, Any]) -> bool:
        called = [one.clientConfig.get("service") for one in _registered(item)]
        services = {(one.get("namespace"), one.get("name")) for one in called if isinstance(one, dict)}
        return self._service is None or not services or self._service in services

    def _apply(self, writer: Writer, item: dict[str, Any], bundle: str) -> None:
        name = item["metadata"]["name"]
        webhooks = _registered(item)
        if all(one.clientConfig.get("caBundle") == bundle for one in webhooks):
            return
        writer.apply(
            {
                "apiVersion": webhook.API_VERSION,
                "kind": webhook.KIND,
                "metadata": {"name": name},
                "webhooks": [{"name": one.name, "clientConfig": {"caBundle": bundle}} for one in webhooks],
            },
            field_manager=webhook.CA_MANAGER,
        )
        log.info("caBundle of %s %s written", webhook.KIND, name)


def _registered(item: dict[str, Any]) -> list[_Registered]:
    try:
        return typed.convert(item.get("webhooks") or [], list[_Registered])
    except msgspec.ValidationError as error:
        name = item["metadata"]["name"]
        raise Malformed(f"{webhook.KIND} {name} could not be read: {error}.") from error


def nowhere(_bundle: bytes) -> None:
    """For a webhook that is registered by hand: nothing to publish to."""


_NAMES = {
    BUNDLE: "bundle",
    AUTHORITY_KEY: "authority_key",
    CERTIFICATE: "certificate",
    KEY: "key",
}


def _fields(material: Material) -> dict[str, str]:
    return {name: getattr(material, attribute).decode() for name, attribute in _NAMES.items()}


def _material(fields: dict[str, str]) -> Material:
    try:
        return Material(**{attribute: fields[name].encode() for name, attribute in _NAMES.items()})
    except KeyError as error:
        raise CertificateError(f"the stored data has no {error.args[0]}.", fix="Remove it.") from error


Errors = (KspecError, OSError, ValueError)
"""What a tick may raise: the cluster, the disk, a state that is no JSON."""
