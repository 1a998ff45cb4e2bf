"""Credentials in objects: each is taken out, and counted; what rules read stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pytest_kspec.redaction.objects import redact_at, redact_object
from pytest_kspec.redaction.text import REDACTED

X = REDACTED
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "auth-token",
        "labels": {"token": "blue", "password": "x-1"},
        "annotations": {
            "container.apparmor.security.beta.kubernetes.io/auth-token": "runtime/default",
            "kspec.io/exempt.workloads.automountServiceAccountToken": "until the rewrite; until=2030-01-01",
            "checksum/secret": "ab" * 32,
        },
    },
    "spec": {
        "serviceAccountName": "token-reader",
        "nodeSelector": {"secret": "zone"},
        "tolerations": [{"key": "token", "value": "yes-1", "operator": "Equal"}],
        "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_fastopen_key", "value": "aa-bb"}]},
        "imagePullSecrets": [{"name": "pull-secret"}],
        "containers": [
            {
                "name": "auth-token",
                "image": "registry.example.com/secret/token:Aa1Bb2Cc3Dd4Ee5Ff6Gg7Hh8",
                "command": ["kube-apiserver", "--audit-log-path=/var/log/a", "--token-auth-file=/etc/t"],
                "args": ["--anonymous-auth=false", "--profiling", "-p", "8080"],
                "env": [
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                    {"name": "MODE", "value": "fast"},
                ],
                "envFrom": [{"secretRef": {"name": "token"}, "prefix": "SECRET_"}],
                "volumeMounts": [{"name": "token", "mountPath": "/run/Aa1Bb2Cc3Dd4Ee5Ff6Gg7Hh8"}],
                "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}, "privileged": False},
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
            }
        ],
        "volumes": [
            {"name": "token", "secret": {"secretName": "token", "items": [{"key": "tls.key", "path": "x"}]}},
            {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "a"}}]}},
        ],
    },
}  # fmt: skip


def test_what_rules_read_stays() -> None:
    given = copy.deepcopy(POD)
    counts: dict[str, int] = {}
    redact_object(given, counts)
    assert given == POD
    assert counts == {}


@pytest.mark.parametrize(
    ("container", "kept", "what"),
    [
        ({"args": ["--password", "hunter2"]}, {"args": ["--password", X]}, "arguments"),
        ({"args": ["mysql", "-phunter2"]}, {"args": ["mysql", f"-p{X}"]}, "arguments"),
        ({"args": ["-p", "hunter2"]}, {"args": ["-p", X]}, "arguments"),
        ({"args": ["config", "requirepass", "hunter2"]}, {"args": ["config", "requirepass", X]}, "arguments"),
        ({"args": ["--password", "-hunter2"]}, {"args": ["--password", X]}, "arguments"),
        ({"command": ["sh", "-c", "TOKEN=hunter2 x"]}, {"command": ["sh", "-c", f"TOKEN={X} x"]}, "arguments"),
        ({"env": [{"name": "AUTH", "value": "hunter"}]}, {"env": [{"name": "AUTH", "value": X}]}, "environment"),
        (
            {"livenessProbe": {"httpGet": {"httpHeaders": [{"name": "X-Api-Key", "value": "hunter2"}]}}},
            {"livenessProbe": {"httpGet": {"httpHeaders": [{"name": "X-Api-Key", "value": X}]}}},
            "headers",
        ),
        (
            {"readinessProbe": {"httpGet": {"path": "/x?token=hunter2"}}},
            {"readinessProbe": {"httpGet": {"path": f"/x?token={X}"}}},
            "other",
        ),
        (
            {"lifecycle": {"preStop": {"exec": {"command": ["curl", "-u", "a:hunter2"]}}}},
            {"lifecycle": {"preStop": {"exec": {"command": ["curl", "-u", f"a:{X}"]}}}},
            "arguments",
        ),
        ({"image": "bob:hunter2@reg.example/x:1"}, {"image": f"bob:{X}@reg.example/x:1"}, "other"),
    ],
)  # fmt: skip
def test_in_containers(container: dict[str, Any], kept: dict[str, Any], what: str) -> None:
    for name in ("containers", "initContainers", "ephemeralContainers"):
        given = {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "spec": {"template": {"spec": {name: [container]}}},
        }
        given = copy.deepcopy(given)
        counts: dict[str, int] = {}
        redact_object(given, counts)
        assert given["spec"]["template"]["spec"][name] == [kept]  # type: ignore[index]
        assert counts == {what: 1}


@pytest.mark.parametrize(
    ("volume", "kept"),
    [
        (
            {"csi": {"volumeAttributes": {"share_key": "hunter2"}}},
            {"csi": {"volumeAttributes": {"share_key": X}}},
        ),
        ({"flexVolume": {"options": {"password": "hunter2"}}}, {"flexVolume": {"options": {"password": X}}}),
        ({"rbd": {"keyring": "/etc/ceph/keyring"}}, {"rbd": {"keyring": "/etc/ceph/keyring"}}),
        ({"nfs": {"server": "a:hunter2@nfs"}}, {"nfs": {"server": f"a:{X}@nfs"}}),
    ],
)
def test_in_volumes(volume: dict[str, Any], kept: dict[str, Any]) -> None:
    given = {"kind": "Pod", "apiVersion": "v1", "spec": {"volumes": [{"name": "v", **volume}]}}
    redact_object(given)
    assert given["spec"] == {"volumes": [{"name": "v", **kept}]}


def test_of_config_maps_only_keys_are_kept() -> None:
    given = {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "data": {"a": "x", "empty": ""},
        "binaryData": {"b": "eA=="},
    }
    counts: dict[str, int] = {}
    redact_object(given, counts)
    assert (given["data"], given["binaryData"]) == ({"a": X, "empty": ""}, {"b": X})
    assert counts == {"configMapData": 2}


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("spec.containers[a].env[DB_PASSWORD].value", "hunter2", X),
        ("spec.containers[a].env[DB_PASSWORD]", "hunter2", X),
        ("spec.containers[a].command[--api-token]", "hunter2", X),
        ("spec.containers[a].args", ["--password", "hunter2"], ["--password", X]),
        ("metadata.annotations[example.com/password]", "hunter2", X),
        ("metadata.annotations[container.apparmor.security.beta.kubernetes.io/token]", "unconfined", "unconfined"),
        ("metadata.labels[token]", "blue", "blue"),
        ("spec.password", "hunter2", X),
        ("spec.containers[token].image", "bob:hunter2@reg/x", f"bob:{X}@reg/x"),
        ("spec.containers[token].securityContext.privileged", True, True),
        ("spec.containers[token].ports[0].hostPort", 8080, 8080),
        ("spec.securityContext.sysctls[net.ipv4.tcp_fastopen_key]", "net.ipv4.x_key", "net.ipv4.x_key"),
        ("", {"password": "hunter2", "a": 1}, {"password": X, "a": 1}),
        ("", "PASSWORD=hunter2", f"PASSWORD={X}"),
    ],
)  # fmt: skip
def test_at_a_path_of_a_finding(path: str, value: Any, shown: Any) -> None:
    assert redact_at(path, copy.deepcopy(value)) == shown
    assert redact_at(path, copy.deepcopy(shown)) == shown


def test_data_of_a_config_map_in_a_finding() -> None:
    assert redact_at("data[a]", "anything", "ConfigMap") == X
