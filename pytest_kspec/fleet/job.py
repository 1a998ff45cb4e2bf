"""The engine `job`: a run as one Indexed Job of Kubernetes, which retries, limits and places its workers.

What became of a cluster is read from the store alone. The Job is asked why there is no outcome, and whether there will
be one: its own conditions say too little, and pods go with it.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.cluster.sources.open import IN_CLUSTER
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import Conflict, NotFound, SourceError, UsageError
from pytest_kspec.fleet.local import Failed
from pytest_kspec.fleet.targets.hub import VARIABLE as HUB
from pytest_kspec.observe import tracing
from pytest_kspec.observe.spans import TRACEPARENT

Object = dict[str, Any]

API_VERSION, KIND = "batch/v1", "Job"
RUN = "kspec.io/run"
QUEUE = "kueue.x-k8s.io/queue-name"
_JOB_NAME = "batch.kubernetes.io/job-name"
_INDEX = "batch.kubernetes.io/job-completion-index"

CLUSTERS = 10
"""Clusters of a shard, where nothing else is said."""
MOST_SHARDS = 500
MOST_AT_ONCE = 20
TRIES = 2
"""How often Kubernetes starts a shard again."""
SHARD_S = 3600
"""How long one worker may take."""
KEPT_S = 3600
"""How long the Job is kept after its end; all that counts is in the store."""
GRACE_S = 60
WAITING_S, REFUSED_S = 45.0, 120.0
"""How long a pod may wait for its image before the run is given up."""
POLL_S = 2.0
HUB_S = 600.0
"""How long a hub is asked again that does not answer, or does not accept the credentials any more."""
_KUBECONFIG = "/etc/kspec"
_NEVER = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
    }
)
_VERSION = re.compile(r"@sha256:[0-9a-f]{64}$|^[^@]+:\w[\w.-]*$")
FIELD_MANAGER = "kspec-fleet"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the Job looks.

    image: by digest, or by a tag that is not `latest`
    store_secret: a Secret of the namespace whose keys become variables: KSPEC_STORE, and credentials of the reports
    kubeconfig_secret: a Secret with the key `kubeconfig`, for clusters that are contexts; "": none
    queue: of Kueue, which starts the Job; "": it starts at once
    """

    image: str
    store_secret: str
    namespace: str = NAMESPACE
    service_account: str = ""
    kubeconfig_secret: str = ""
    queue: str = ""
    parallelism: int = MOST_AT_ONCE
    cpu: str = "250m"
    memory: str = "256Mi"
    memory_limit: str = "1Gi"
    words: tuple[str, ...] = ()

    def problem(self) -> str:
        """What is wrong with it, or ""."""
        if not self.image or not self.store_secret:
            return "a Job needs an image and the Secret of a store"
        if self.image.endswith(":latest") or not _VERSION.search(self.image):
            return f"the image {self.image} has no digest and no version"
        return ""


def shards_for(clusters: int) -> int:
    """How many a run has where nothing is said."""
    return max(1, min(MOST_SHARDS, -(-clusters // CLUSTERS)))


def job_name(run: str) -> str:
    """The same for one run, whoever creates it: created twice, it is there once."""
    return f"kspec-scan-{hashlib.sha256(run.encode()).hexdigest()[:16]}"


def manifest(run: str, shards: int, settings: Settings, *, by_index: bool = True) -> Object:
    """The Job of a run. by_index: the API server limits the retries of each shard (Kubernetes 1.29 and later)."""
    labels = {"app.kubernetes.io/name": "kspec", "app.kubernetes.io/component": "fleet"}
    retries: Object = {"backoffLimit": TRIES * shards}
    rules: list[Object] = [
        # Drained, preempted, a spot machine taken away: not the fault of the shard.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
    if by_index:
        retries = {"backoffLimitPerIndex": TRIES, "podReplacementPolicy": "Failed"}
        wrong = {"containerName": "kspec", "operator": "In", "values": [4]}
        rules.append(
            {"action": "FailIndex", "onExitCodes": wrong}
        )  # the order is wrong: once more does not help
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": job_name(run),
            "namespace": settings.namespace,
            "labels": labels | ({QUEUE: settings.queue} if settings.queue else {}),
            "annotations": {RUN: run},
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": shards,
            "parallelism": max(1, min(settings.parallelism, shards)),
            **retries,
            "podFailurePolicy": {"rules": rules},
            "ttlSecondsAfterFinished": KEPT_S,
            **({"suspend": True} if settings.queue else {}),
            "template": {
                "metadata": {"labels": labels, "annotations": {RUN: run}},
                "spec": _pod(run, settings),
            },
        },
    }


def _pod(run: str, settings: Settings) -> Object:
    mounts: list[Object] = [{"name": "tmp", "mountPath": "/tmp"}]
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]
    env = [{"name": "HOME", "value": "/tmp"}]
    if parent := tracing.handed_on(os.environ):
        env.append({"name": TRACEPARENT, "value": parent})
    if settings.kubeconfig_secret:
        mounts.append({"name": "kubeconfig", "mountPath": _KUBECONFIG, "readOnly": True})
        volumes.append({"name": "kubeconfig", "secret": {"secretName": settings.kubeconfig_secret}})
        env.append({"name": "KUBECONFIG", "value": f"{_KUBECONFIG}/kubeconfig"})
    elif settings.service_account:
        env.append({"name": HUB, "value": IN_CLUSTER})  # whose objects name the clusters
    spec: Object = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": SHARD_S,
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": bool(settings.service_account),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "kspec",
                "image": settings.image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["kspec", "fleet", "work"],
                "args": [f"--run={run}", *settings.words],
                "env": env,
                "envFrom": [{"secretRef": {"name": settings.store_secret}}],
                "resources": {
                    "requests": {"cpu": settings.cpu, "memory": settings.memory},
                    "limits": {"memory": settings.memory_limit},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
    if settings.service_account:
        spec["serviceAccountName"] = settings.service_account
    return spec


def submit(
    access: Access, run: str, shards: int, settings: Settings, *, anew: Callable[[], None] = lambda: None
) -> str:
    """Create the Job of a run, once; its name. Raises UsageError, SourceError.

    anew: called before it is created: no worker of an earlier one is left
    """
    if problem := settings.problem():
        raise UsageError(f"{problem}.", where="kspec fleet scan --engine job")

    def create(writer: Writer) -> str:
        made = manifest(run, shards, settings)
        name = str(made["metadata"]["name"])
        there = writer.find(API_VERSION, KIND, name, namespace=settings.namespace)
        if there is None:
            try:  # the trial too meets what another one creates meanwhile
                tried = writer.create(made, field_manager=FIELD_MANAGER, dry_run=True)
                if tried["spec"].get("backoffLimitPerIndex") is None:
                    # An older server drops what it does not know.
                    made = manifest(run, shards, settings, by_index=False)
                anew()
                writer.create(made, field_manager=FIELD_MANAGER)
                return name
            except Conflict:
                there = writer.find(API_VERSION, KIND, name, namespace=settings.namespace)
        theirs = ((there or {}).get("metadata") or {}).get("annotations") or {}
        if theirs.get(RUN) != run:
            raise UsageError(f"the Job {name} exists, and belongs to another run.", where=settings.namespace)
        return name

    return access.do(create)


class State(NamedTuple):
    """Where a Job is. ended: no pod of it will run any more; why: for people; reasons: of shards that failed."""

    ended: bool
    why: str = ""
    reasons: Mapping[int, str] = {}


@dataclass
class Watch:
    """The Job of a run, asked again and again."""

    access: Access
    run: str
    namespace: str
    _stuck_since: float | None = field(default=None, init=False)

    def state(self, moment: float) -> State:
        """moment: time.monotonic(). Raises SourceError."""
        name = job_name(self.run)

        def ask(writer: Writer) -> tuple[Object | None, list[Object]]:
            job = writer.find(API_VERSION, KIND, name, namespace=self.namespace)
            selector = f"{_JOB_NAME}={name}"
            return job, writer.list("v1", "Pod", namespace=self.namespace, label_selector=selector)

        job, pods = self.access.do(ask)
        if job is None:
            return State(True, "its Job was deleted")
        status = _map(job.get("status"))
        reasons = {index: _ended(pod) for index, pod in _by_index(pods)}
        for one in status.get("conditions") or ():
            if one.get("type") in ("Complete", "Failed") and one.get("status") == "True":
                why = " ".join(filter(None, (one.get("reason"), one.get("message"))))
                return State(True, why, reasons)
        if not pods and not _map(job.get("spec")).get("suspend"):
            return self._without_pods(name, moment)
        return self._stuck(pods, reasons, moment)

    def _without_pods(self, name: str, moment: float) -> State:
        """A quota, a limit range or a policy of the namespace may refuse every pod: the Job goes on trying for ever."""
        self._stuck_since = self._stuck_since or moment
        if moment - self._stuck_since < REFUSED_S:
            return State(False)
        return State(True, self.access.do(lambda writer: _refused(writer, self.namespace, name)))

    def _stuck(self, pods: list[Object], reasons: Mapping[int, str], moment: float) -> State:
        """A pod whose image does not come would wait for an hour."""
        waiting = [why for pod in pods if (why := never_starts(pod))]
        runs = any(_map(pod.get("status")).get("phase") == "Running" for pod in pods)
        if not waiting or runs:  # on another node the image is there: what works there is not to end
            self._stuck_since = None
            return State(False, "", reasons)
        self._stuck_since = self._stuck_since or moment
        if moment - self._stuck_since < WAITING_S:
            return State(False, "", reasons)
        return State(True, waiting[0], reasons)


def _refused(writer: Writer, namespace: str, name: str) -> str:
    """Why no pod of a Job could be created, as its Events say, where they may be read."""
    asked = {"fieldSelector": f"involvedObject.name={name},reason=FailedCreate", "limit": "20"}
    answer = writer.source.connection.get(f"/api/v1/namespaces/{namespace}/events", asked)
    told = ""
    if answer.status == 200:
        try:
            items = msgspec.json.decode(answer.body)["items"] or [{}]
            told = " ".join(str(_map(items[-1]).get("message") or "").split())[:300]
        except (msgspec.DecodeError, KeyError, TypeError, IndexError):
            told = ""
    return f"no pod could be created{f': {told}' if told else ''}"


def wait(
    watch: Watch,
    shards: int,
    done: Callable[[], bool],
    *,
    tick: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> list[Failed]:
    """Wait until every cluster has an outcome, or no worker will come any more; then why, for each shard.

    done: whether all have one. A hub that cannot be asked is asked again, for a while: workers go on without us, and
    so does a Job of which nothing is known any more. Its shards are not failed for good then.
    """
    asked = now()
    while not done():
        tick()
        try:
            state = watch.state(now())
            asked = now()
        except SourceError as error:
            if now() - asked > HUB_S:
                reason = f"the hub did not answer for {HUB_S / 60:.0f} minutes: {error}"
                return [Failed(shard, reason, final=False) for shard in range(shards)]
            sleep(POLL_S)
            continue
        if state.ended:
            if done():  # what was stored between the two questions
                return []
            return [
                Failed(shard, f"shard {shard} failed: {state.reasons.get(shard) or state.why}", final=True)
                for shard in range(shards)
            ]
        sleep(POLL_S)
    return []


def delete(access: Access, run: str, namespace: str) -> None:
    """End the Job with its pods; one that is gone is no error. Raises SourceError."""

    def work(writer: Writer) -> None:
        try:
            writer.delete(API_VERSION, KIND, job_name(run), namespace=namespace)
        except NotFound:
            return

    access.do(work)


def _by_index(pods: list[Object]) -> Iterator[tuple[int, Object]]:
    """The newest pod of each shard comes last."""
    for pod in sorted(pods, key=lambda pod: str(_map(pod.get("metadata")).get("creationTimestamp"))):
        index = str(_map(_map(pod.get("metadata")).get("annotations")).get(_INDEX, ""))
        if index.isdecimal():
            yield int(index), pod


def _ended(pod: Object) -> str:
    """`exit code 4`, `OOMKilled`, `DeadlineExceeded`, or ""."""
    status = _map(pod.get("status"))
    for one in status.get("containerStatuses") or ():
        ended = _map(_map(one.get("state")).get("terminated"))
        if ended.get("exitCode"):
            reason = ended.get("reason") or ""
            code = f"exit code {ended['exitCode']}"
            return code if reason in ("", "Error") else f"{reason} ({code})"
    return " ".join(filter(None, (status.get("reason"), status.get("message"))))


def never_starts(pod: Object) -> str:
    """Why a container of a pod will not run, such as an image that cannot be had; or ""."""
    for one in _map(pod.get("status")).get("containerStatuses") or ():
        waiting = _map(_map(one.get("state")).get("waiting"))
        if waiting.get("reason") in _NEVER:
            message = " ".join(str(waiting.get("message") or "").split())[:300]
            return f"{waiting['reason']}: {message}" if message else str(waiting["reason"])
    return ""


def _map(value: Any) -> Object:
    return value if isinstance(value, dict) else {}
