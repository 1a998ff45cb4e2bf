"""The webhook on clusters of a fleet: a Deployment of its own for each specification, registered once it answers.

One for each specification, so that nothing of one is shared with another: its rights, its certificate, its mode and
its image come and go with it, and `enforce.apply` prunes what has its label. Its files travel in a ConfigMap that is
named by its content: a change is a rollout, and pods that are older keep theirs until they are gone. Keys never leave
the cluster: the webhook makes its own authority there.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce import webhook_install
from pytest_kspec.enforce.apply import Change
from pytest_kspec.enforce.engines import Generated, InForce, Wanted
from pytest_kspec.enforce.engines import webhook as registration
from pytest_kspec.enforce.names import MODE_LABEL, metadata, object_name
from pytest_kspec.enforce.webhook_install import DEPLOYMENT, INSTALLED
from pytest_kspec.errors import AccessDenied, Conflict, KspecError, SourceError, SpecError, UsageError
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import TEMPLATE, LoadedSpec, load_spec

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.fleet.runs import Order  # with the library of stores, which few operators need

Object = dict[str, Any]

FOLDER = "/etc/kspec/files"
LARGEST = 900_000
"""Bytes of a specification with its files; an API server refuses ConfigMaps of more than 1 MiB."""
WAIT_S, STUCK_S, ANSWERS_S, _POLL_S = 180.0, 20.0, 15.0, 1.0
"""How long a rollout may take, and how long a pod that cannot start is waited for."""
_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Packed:
    """A specification with all its files. files: key of the ConfigMap → content in base64; paths: key → path.

    arguments: of `kspec webhook`, below FOLDER
    """

    files: Mapping[str, str]
    paths: Mapping[str, str]
    arguments: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Digest of the names and the content."""
        parts = [f"{self.paths[key]}\0{self.files[key]}" for key in sorted(self.files)]
        return hashlib.sha256("\n".join([*parts, *self.arguments]).encode()).hexdigest()[:10]


def packed(spec: LoadedSpec, checks: Sequence[str], exemptions: Sequence[str]) -> Packed:
    """Raises UsageError for what is too large or cannot be found again in the pod, SpecError."""
    from pytest_kspec.fleet.bundle import pack
    from pytest_kspec.fleet.runs import Order, absolute

    order = pack(Order((spec.path,), (), tuple(map(absolute, checks)), tuple(map(absolute, exemptions))))
    (path,) = order.specs
    if not path.startswith(TEMPLATE):
        _check(spec, order, path)
        path = f"{FOLDER}/{path}"
    size = sum(len(content) for content in order.files.values()) * 3 // 4
    if size > LARGEST:
        raise UsageError(
            f"with its files it has {size:,} bytes; {LARGEST:,} is the maximum.",
            where=spec.path,
            fix="Name the files of checks and not a whole folder.",
        )
    names = sorted(order.files)
    words = [f"--checks={FOLDER}/{one}" for one in order.checks]
    words += [f"--exemptions={FOLDER}/{one}" for one in order.exemptions]
    return Packed(
        {f"file-{number}": order.files[name] for number, name in enumerate(names)},
        {f"file-{number}": name for number, name in enumerate(names)},
        (path, *words),
    )


def _check(spec: LoadedSpec, order: Order, path: str) -> None:
    """That a pod finds the same. Raises UsageError."""
    from pytest_kspec.fleet.bundle import unpack

    with tempfile.TemporaryDirectory(prefix="kspec-") as folder:
        unpack(order, Path(folder))
        try:
            there = load_spec(Path(folder, path), Library())
        except SpecError as error:
            raise UsageError(
                f"a pod could not load all of its files: {error.what}",
                where=spec.path,
                fix="Keep bases in the folder of the specification.",
            ) from error
    if there.sha256 != spec.sha256:
        raise UsageError("it changed while it was read.", where=spec.path, fix="Try again.")


@dataclass
class Deployed:
    """The engine `webhook` of `kspec enforce`, with what it registers. See `enforce.engines.Engine`.

    image: by digest; "": that of the Deployment that is there, where nothing is applied
    files: of each specification, by its name
    """

    image: str
    files: Mapping[str, Packed]
    namespace: str = registration.NAMESPACE
    NAME: str = registration.NAME
    KINDS: Sequence[tuple[str, str]] = (*INSTALLED, *registration.KINDS)
    IF_NOT_SERVED: str = registration.IF_NOT_SERVED

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """None: those of the command."""

    def generate(self, wanted: Wanted) -> Generated:
        """The installation, then the registration."""
        spec = wanted.plan.spec
        name = object_name(spec, registration.NAME)
        made = registration.generate(replace(wanted, options=_Options(f"{self.namespace}/{name}")))
        if not made.manifests:
            return made
        files = self.files[spec.name]
        settings = webhook_install.Installation(
            image=self.image,
            namespace=self.namespace,
            service=name,
            reader=f"{name}-reader",
            secret=f"{name}-tls",
            arguments=(
                *files.arguments,
                f"--mode={wanted.mode}",
                f"--cluster-name={wanted.cluster_name}",
                "--any-cluster",  # who enforces it on a fleet says where
            ),
            configurations=(name,),
            mounts=({"name": "files", "mountPath": FOLDER, "readOnly": True},),
            volumes=(
                {
                    "name": "files",
                    "configMap": {
                        "name": f"{name}-{files.digest}",
                        "items": [{"key": key, "path": path} for key, path in sorted(files.paths.items())],
                    },
                },
            ),
        )
        config_map: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{name}-{files.digest}", "namespace": self.namespace},
            "immutable": True,
            "binaryData": dict(files.files),
        }
        head = metadata(spec, registration.NAME, engine=self.NAME, mode=wanted.mode, boundary=None)
        objects = sorted(
            (*webhook_install.objects(settings), config_map),
            key=lambda one: INSTALLED.index((one["apiVersion"], one["kind"])),
        )
        (registered,) = made.manifests
        notes = registered["metadata"]["annotations"]
        notes[registration.READ_BY] = settings.reader
        notes.pop(registration.INJECT, None)  # the certificate is the webhook's own
        ours = [_labelled(one, head) for one in objects]
        return made._replace(manifests=(*ours, registered))

    def in_force(self, objects: Sequence[Object], writer: Writer) -> list[InForce]:
        """The registration, as the webhook behind it answers, and the Deployment."""
        found = registration.in_force(objects, writer)
        for item in objects:
            if item["kind"] == DEPLOYMENT[1]:
                problems = tuple(_not_rolled_out(item))
                mode = item["metadata"]["labels"].get(MODE_LABEL, "")
                up = (item.get("status") or {}).get("availableReplicas")
                found.append(InForce(DEPLOYMENT[1], item["metadata"]["name"], mode if up else "", problems))
        return found

    def as_there(self, objects: Sequence[Object]) -> Deployed:
        """With the image of the Deployment among these, where none was given."""
        images = [
            one["spec"]["template"]["spec"]["containers"][0]["image"]
            for one in objects
            if one["kind"] == DEPLOYMENT[1]
        ]
        return replace(self, image=images[0]) if images and not self.image else self

    # -- doing it --------------------------------------------------------------------------------------------

    def planned(
        self, spec: LoadedSpec, manifests: Sequence[Object], writer: Writer, *, dry_run: bool
    ) -> list[Change]:
        """What has to be done. Without a dry run, namespace and Secret are there afterwards. Raises SourceError."""
        if not dry_run:
            applying.check_allowed(writer)
        if writer.find("v1", "Namespace", self.namespace) is None:
            if dry_run:
                return [Change("create", *_key(one)[:3], one, namespace=_key(one)[3]) for one in manifests]
            _create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}, writer)
        if not dry_run and manifests:
            # Empty: the webhook fills it with an authority that is its own, also where cert-manager is.
            head = metadata(spec, registration.NAME, engine=self.NAME, mode=_mode(manifests), boundary=None)
            name = {"name": self._secret(spec), "namespace": self.namespace, "labels": head["labels"]}
            _create({"apiVersion": "v1", "kind": "Secret", "metadata": name}, writer)
        return applying.changes(spec, self, manifests, writer)

    def carry_out(self, spec: LoadedSpec, planned: Sequence[Change], writer: Writer) -> None:
        """The installation, its rollout, the registration; what is no longer wanted goes last.

        Removed is in the other order: first the registration, so that nothing calls what is no longer there.
        Raises SourceError: what was done stays done, and the next time goes on.
        """
        kept = [one for one in planned if one.what != "remove"]
        if not kept:
            for one in planned:
                self._apply(one, writer)
            try:
                writer.delete("v1", "Secret", self._secret(spec), namespace=self.namespace)
            except AccessDenied:
                if planned:
                    raise
            return
        for one in kept:
            if one.kind != registration.KIND:
                self._apply(one, writer)
        deadline = time.monotonic() + WAIT_S
        self._rolled_out(spec, writer, deadline)
        for change in kept:
            if change.kind == registration.KIND:
                self._register(change, writer, deadline)
        for one in planned:
            if one.what == "remove":
                self._apply(one, writer)

    def _secret(self, spec: LoadedSpec) -> str:
        return f"{object_name(spec, registration.NAME)}-tls"

    def _rolled_out(self, spec: LoadedSpec, writer: Writer, deadline: float) -> None:
        name = object_name(spec, registration.NAME)
        stuck = time.monotonic() + STUCK_S
        while True:
            deployment = writer.get(*DEPLOYMENT, name, namespace=self.namespace)
            problems = list(_not_rolled_out(deployment))
            if not problems:
                return
            now = time.monotonic()
            reason = next(self._stuck(deployment, writer), "") if now > stuck or now > deadline else ""
            if reason or now > deadline:
                raise SourceError(
                    f"the webhook did not start ({reason or problems[0]}); its registration was not changed.",
                    where=f"{writer.source.name}, Deployment {self.namespace}/{name}",
                    fix="Run 'kubectl describe' for its pods to see details.",
                )
            time.sleep(_POLL_S)

    def _stuck(self, deployment: Object, writer: Writer) -> Iterator[str]:
        """Why pods of the newest template cannot start; nothing where they may need more time."""
        from pytest_kspec.fleet.job import never_starts

        for condition in (deployment.get("status") or {}).get("conditions") or ():
            if (condition.get("type"), condition.get("status")) == ("ReplicaFailure", "True"):
                yield " ".join(str(condition.get("message", "")).split())[:300]
        label = f"app.kubernetes.io/name={deployment['metadata']['name']}"
        for pod in writer.list("v1", "Pod", namespace=self.namespace, label_selector=label):
            if reason := never_starts(pod):
                yield reason

    def _register(self, change: Change, writer: Writer, deadline: float) -> None:
        """With failure policy Ignore until the webhook is seen to serve it through its certificate."""
        manifest = change.manifest
        if manifest is None or change.what == "keep":
            return
        wanted, id = str(manifest["metadata"]["labels"][MODE_LABEL]), _id(manifest)
        while (mode := _served(manifest, id, writer)) != wanted:
            if time.monotonic() > deadline:
                raise SourceError(
                    f"the webhook does not serve it in mode {wanted} ({mode}); its registration was not changed.",
                    where=f"{writer.source.name}, {change.object}",
                )
            time.sleep(_POLL_S)
        careful = registration.cautious(manifest, change.before, served=False)
        if careful != manifest and change.whole is None:
            self._apply(change._replace(manifest=careful), writer)
            if not self._answers(change.name, writer, deadline):
                return  # read back and said as it is: it stays with Ignore, and the next time goes on
        self._apply(change, writer)
        self._answers(change.name, writer, time.monotonic() + ANSWERS_S)

    def _answers(self, name: str, writer: Writer, deadline: float) -> bool:
        """Wait until it can be called: its certificate is in the registration a moment after that is there."""
        while self._problems(name, writer):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _apply(self, change: Change, writer: Writer) -> None:
        for _ in applying.carry_out([change], writer):
            pass

    def _problems(self, name: str, writer: Writer) -> bool:
        there = writer.get(registration.API_VERSION, registration.KIND, name)
        there |= {"apiVersion": registration.API_VERSION, "kind": registration.KIND}
        return any(entry.problems for entry in registration.in_force([there], writer))


class _Options:
    """As of the command `kspec enforce`."""

    def __init__(self, service: str) -> None:
        self.webhook_service = service


def checked_image(image: str, where: str = "--image") -> str:
    """Raises UsageError for one that may be another tomorrow."""
    if not _DIGEST.fullmatch(image):
        what = "no image of the webhook is given." if not image else f"the image {image} has no digest."
        raise UsageError(what, where=where, fix="Give one by digest: registry.example.com/kspec@sha256:…")
    return image


def _labelled(item: Object, head: Mapping[str, Any]) -> Object:
    own = item["metadata"]
    labels = {**own.get("labels", {}), **head["labels"]}
    return {**item, "metadata": {**own, "labels": labels, "annotations": dict(head["annotations"])}}


def _not_rolled_out(deployment: Object) -> Iterator[str]:
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        yield "its Deployment is not processed yet; is kube-controller-manager running?"
        return
    for name, text in (("updatedReplicas", "new"), ("availableReplicas", "available")):
        if status.get(name, 0) < wanted:
            yield f"{status.get(name, 0)} of {wanted} replicas are {text}"
            return
    if status.get("replicas", 0) > wanted:
        yield f"{status['replicas'] - wanted} replicas of the previous version still exist"


def _served(manifest: Object, id: str, writer: Writer) -> str:
    """The mode in which the webhook serves it, or why that is not known."""
    try:
        return registration.serves(manifest, writer).get(id, "it does not know the specification")
    except KspecError as error:
        return error.what


def _create(item: Object, writer: Writer) -> None:
    try:
        writer.create(item)
    except Conflict:
        return


def _id(manifest: Object) -> str:
    return str(manifest["webhooks"][0]["clientConfig"]["service"]["path"]).rpartition("/")[2]


def _mode(manifests: Sequence[Object]) -> Any:
    return manifests[0]["metadata"]["labels"][MODE_LABEL]


def _key(item: Object) -> tuple[str, str, str, str]:
    own = item["metadata"]
    return item["apiVersion"], item["kind"], own["name"], own.get("namespace", "")
