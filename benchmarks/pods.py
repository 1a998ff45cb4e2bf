"""Writes a realistic PodList: what `kubectl get pods -A -o json` of a busy cluster looks like, 6.7 KB a pod.

One to three containers, status, managedFields, tolerations, probes; ReplicaSets of 1 to 40 pods, of which
about one in ten violates something. Deterministic: the same number gives the same bytes.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def write_pods(path: Path, count: int) -> int:
    """Write `count` pods to `path` as one JSON document. Returns its size in bytes."""
    rng = random.Random(count)
    encode = msgspec.json.Encoder().encode
    written = 0
    with path.open("wb") as out:
        out.write(b'{"apiVersion":"v1","kind":"PodList","metadata":{"resourceVersion":"1"},"items":[')
        while written < count:
            app = f"app-{written:05d}"
            template = _spec(rng, app)
            for _ in range(min(rng.choice((1, 2, 3, 5, 10, 20, 40)), count - written)):
                out.write(b"," if written else b"")
                out.write(encode(_pod(rng, app, template, written)))
                written += 1
        out.write(b"]}")
    return path.stat().st_size


def write_bare_pods(path: Path, count: int) -> int:
    """The same of pods that jobs make by hand: no two have the same labels, variables and arguments."""
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as out:
        out.write(b'{"apiVersion":"v1","kind":"List","items":[')
        for number in range(count):
            out.write(b"," if number else b"")
            out.write(encode(_bare_pod(number)))
        out.write(b"]}")
    return path.stat().st_size


def _bare_pod(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"job-{number}",
            "namespace": f"team-{number % 300}",
            "labels": {"app": f"app-{number % 2000}", "run": str(number)},
            "annotations": {"note": "x" * 200 + str(number)},
        },
        "spec": {
            "containers": [
                {
                    "name": "app",
                    "image": f"registry.example.com/app-{number % 5000}@sha256:{number % 5000:064x}",
                    "env": [{"name": f"OPTION_{i}", "value": str(number * i)} for i in range(5)],
                    "args": [str(number)],
                    "resources": {"limits": {"memory": f"{64 + number % 100}Mi"}},
                }
            ],
            "nodeName": f"node-{number % 1000}",
        },
    }


def _word(rng: random.Random, length: int) -> str:
    return "".join(rng.choice(_ALPHABET) for _ in range(length))


def _spec(rng: random.Random, app: str) -> dict[str, Any]:
    bad = rng.random() < 0.1
    containers = [
        _container(rng, f"{app}-{i}" if i else "app", bad and i == 0) for i in range(rng.choice((1, 1, 2, 3)))
    ]
    return {
        "serviceAccountName": app,
        "securityContext": {
            "runAsNonRoot": not bad,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        "initContainers": [_container(rng, "init", False)] if rng.random() < 0.3 else [],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{k}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            }
            for k in ("not-ready", "unreachable")
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "config", "configMap": {"name": app, "defaultMode": 420}},
        ],
    }


def _container(rng: random.Random, name: str, bad: bool) -> dict[str, Any]:
    probe = {
        "httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"},
        "initialDelaySeconds": 5,
        "periodSeconds": 10,
        "timeoutSeconds": 1,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    return {
        "name": name,
        "image": f"registry.example.com/team/{name}:1.{rng.randrange(40)}@sha256:{rng.getrandbits(256):064x}",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": f"OPTION_{i}", "value": _word(rng, 12)} for i in range(rng.randrange(3, 9))],
        "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": bad,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            **({"privileged": True} if bad else {}),
        },
        "livenessProbe": probe,
        "readinessProbe": probe,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "config", "mountPath": "/etc/app"}],
    }


def _pod(rng: random.Random, app: str, template: dict[str, Any], number: int) -> dict[str, Any]:
    suffix, token = f"{number:05d}", f"kube-api-access-{_word(rng, 5)}"
    node = f"node-{rng.randrange(200):03d}"
    mount = {"name": token, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    spec = {
        **template,
        "nodeName": node,
        "containers": [{**c, "volumeMounts": [*c["volumeMounts"], mount]} for c in template["containers"]],
        "volumes": [
            *template["volumes"],
            {
                "name": token,
                "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "token"}}]},
            },
        ],
    }
    now = "2026-01-01T00:00:00Z"
    fields: dict[str, Any] = {
        f"f:{name}": {"f:x": {}, "f:y": {".": {}, "f:z": {}}}
        for name in ("metadata", "spec", "status", "labels")
    }
    return {
        "metadata": {
            "name": f"{app}-7d9f6c5b4-{suffix}",
            "generateName": f"{app}-7d9f6c5b4-",
            "namespace": f"team-{sum(app.encode()) % 40:02d}",
            "uid": f"{rng.getrandbits(128):032x}",
            "resourceVersion": str(rng.randrange(10**8)),
            "creationTimestamp": now,
            "labels": {"app.kubernetes.io/name": app, "pod-template-hash": "7d9f6c5b4", "team": "one"},
            "annotations": {"checksum/config": f"{rng.getrandbits(256):064x}"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": f"{app}-7d9f6c5b4",
                    "uid": f"{sum(app.encode()):032x}",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
            "managedFields": [
                {
                    "manager": m,
                    "operation": "Update",
                    "apiVersion": "v1",
                    "time": now,
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {**fields, f"f:{m}": {f"k:{i}": {".": {}, "f:name": {}} for i in range(14)}},
                }
                for m in ("kube-controller-manager", "kubelet")
            ],
        },
        "spec": spec,
        "status": {
            "phase": "Running",
            "hostIP": f"10.0.{rng.randrange(256)}.{rng.randrange(256)}",
            "podIP": f"10.1.{rng.randrange(256)}.{rng.randrange(256)}",
            "qosClass": "Burstable",
            "startTime": now,
            "conditions": [
                {"type": t, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
                for t in (
                    "Initialized",
                    "Ready",
                    "ContainersReady",
                    "PodScheduled",
                    "PodReadyToStartContainers",
                )
            ],
            "containerStatuses": [
                {
                    "name": c["name"],
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "image": c["image"],
                    "imageID": c["image"],
                    "containerID": f"containerd://{rng.getrandbits(256):064x}",
                    "state": {"running": {"startedAt": now}},
                    "lastState": {},
                }
                for c in template["containers"]
            ],
        },
    }


def reviews(templates: int, count: int) -> list[bytes]:
    """AdmissionReviews of pods as they are created: 3 KB each, of so many templates, about one in ten bad."""
    rng = random.Random(templates)
    encode = msgspec.json.Encoder().encode
    made = []
    specs = []
    for number in range(templates):
        app = f"app-{number:05d}"
        spec = _spec(rng, app)
        spec["containers"] = [dict(_admitted(spec["containers"][0]))]
        spec["initContainers"] = []
        specs.append((app, spec))
    for number in range(count):
        app, spec = specs[number % templates]
        pod = _pod(rng, app, spec, number)
        pod["spec"].pop("nodeName")
        pod["metadata"].pop("uid")
        pod["metadata"].pop("managedFields")
        pod["status"] = {"phase": "Pending", "qosClass": "Burstable"}
        made.append(
            encode(
                {
                    "kind": "AdmissionReview",
                    "apiVersion": "admission.k8s.io/v1",
                    "request": {
                        "uid": f"{rng.getrandbits(128):032x}",
                        "kind": {"group": "", "version": "v1", "kind": "Pod"},
                        "resource": {"group": "", "version": "v1", "resource": "pods"},
                        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
                        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
                        "namespace": pod["metadata"]["namespace"],
                        "operation": "CREATE",
                        "userInfo": {
                            "username": "system:serviceaccount:kube-system:replicaset-controller",
                            "groups": ["system:serviceaccounts", "system:authenticated"],
                        },
                        "object": {"kind": "Pod", "apiVersion": "v1", **pod},
                        "oldObject": None,
                        "dryRun": False,
                        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
                    },
                }
            )
        )
    return made


def _admitted(container: dict[str, Any]) -> dict[str, Any]:
    """With the cpu limit that the strict specification asks for, so that most pods are admitted."""
    limits = {"memory": "256Mi", "cpu": "500m"}
    return container | {"resources": container["resources"] | {"limits": limits}}
