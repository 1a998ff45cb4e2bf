"""Credentials in objects: each is taken out, and counted; what rules read stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pytest_kspec.redaction.marker import REDACTED
from pytest_kspec.redaction.objects import redact_at, redact_object

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
        ({"args": ["serve", "wJalrXUtnFEMIK7MDENGbPxRfiCYzEXAMPLEKEY123k="]}, {"args": ["serve", X]}, "arguments"),
        ({"command": ["wJalrXUtnFEMIK7MDENGbPxRfiCYzEXAMPLEKEY1=="]}, {"command": [X]}, "arguments"),
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


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"azureFile": {"shareName": "a?sig=hunter2"}}, {"azureFile": {"shareName": f"a?sig={X}"}}),
        ({"iscsi": {"targetPortal": "a:hunter2@10.0.0.1:3260"}}, {"iscsi": {"targetPortal": f"a:{X}@10.0.0.1:3260"}}),
        ({"rbd": {"monitors": ["a:hunter2@m"], "image": "x"}}, {"rbd": {"monitors": [f"a:{X}@m"], "image": "x"}}),
        ({"cephfs": {"path": "/a?secret=hunter2"}}, {"cephfs": {"path": f"/a?secret={X}"}}),
        ({"gitRepo": {"repository": "https://u:hunter2@h/x"}}, {"gitRepo": {"repository": f"https://u:{X}@h/x"}}),
        ({"flexVolume": {"options": {"x": "//u:hunter2@h/s"}}}, {"flexVolume": {"options": {"x": f"//u:{X}@h/s"}}}),
        ({"passwords": {"bob": "hunter2", "name": "x"}}, {"passwords": {"bob": X, "name": "x"}}),
        ({"tokens": ["hunter2"]}, {"tokens": [X]}),
        ({"users": [{"user": {"client-key-data": "hunter2"}}]}, {"users": [{"user": {"client-key-data": X}}]}),
        ({"values": {"db": {"password": "hunter2"}}}, {"values": {"db": {"password": X}}}),
        ({"manifests": [{"apiVersion": "v1", "kind": "Secret", "data": {"a": "aHVudGVyMg=="}}]},
         {"manifests": [{"apiVersion": "v1", "kind": "Secret", "data": X}]}),
        ({"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "hunter2"}}]},
         {"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": X}}]}),
        ({"valuesFrom": [{"kind": "Secret", "name": "db", "valuesKey": "x"}]},
         {"valuesFrom": [{"kind": "Secret", "name": "db", "valuesKey": "x"}]}),
        ({"involvedObject": {"apiVersion": "v1", "kind": "Secret", "name": "db", "namespace": "shop"}},
         {"involvedObject": {"apiVersion": "v1", "kind": "Secret", "name": "db", "namespace": "shop"}}),
        ({"secrets": {"enabled": True, "name": "db", "mode": "{{ mode }}"}},
         {"secrets": {"enabled": True, "name": "db", "mode": "{{ mode }}"}}),
    ],
)  # fmt: skip
def test_in_other_kinds(given: dict[str, Any], kept: dict[str, Any]) -> None:
    raw = {"apiVersion": "example.com/v1", "kind": "Thing", "spec": copy.deepcopy(given)}
    redact_object(raw)
    assert raw["spec"] == kept
    assert redact_at("spec", copy.deepcopy(given), "Thing") == kept


def test_of_kinds_that_make_secrets_the_data_of_templates_is_taken_out() -> None:
    raw = {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "spec": {"target": {"template": {"data": {"plain": "hunter2", "from": "{{ .password }}"}}}},
    }
    redact_object(raw)
    assert raw["spec"]["target"]["template"]["data"] == {"plain": X, "from": "{{ .password }}"}  # type: ignore[index]


@pytest.mark.parametrize("kind", ["List", "ConfigMapList", "SecretList"])
def test_lists_of_objects(kind: str) -> None:
    """As an API server answers: what stands in a list of one kind does not say which it is."""
    item: dict[str, Any] = {"metadata": {"name": "x"}, "data": {"a": "hunter2"}}
    if kind == "List":
        item |= {"apiVersion": "v1", "kind": "ConfigMap"}
    raw: dict[str, Any] = {"apiVersion": "v1", "kind": kind, "items": [item]}
    redact_object(raw)
    assert raw["items"][0]["data"] == (X if kind == "SecretList" else {"a": X})


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_fields_that_there_are_not_hold_nothing_either(kind: str) -> None:
    raw = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": "x"},
        "Data": {"a": "hunter2"},
        "kubeconfig": "hunter2",
    }
    redact_object(raw)
    assert raw == {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": "x"},
        "Data": X if kind == "Secret" else {"a": X},
        "kubeconfig": X,
    }


def test_addresses_of_webhooks() -> None:
    raw = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "webhooks": [
            {"name": "token.example.com", "clientConfig": {"url": "https://u:hunter2@h/x?token=hunter3"}}
        ],
    }
    redact_object(raw)
    assert raw["webhooks"] == [
        {"name": "token.example.com", "clientConfig": {"url": f"https://u:{X}@h/x?token={X}"}}
    ]
