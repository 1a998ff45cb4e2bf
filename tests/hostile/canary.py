"""A credential in every place that may hold one. Its letters are no known format."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.reports.counted import pdf_text

CANARY = "hunter2canary"
BASE64 = "aHVudGVyMmNhbmFyeQ"
CHECKS = '''\
import pytest
from pytest_kspec import check

def asks(id):
    return check(id=id, title='a title', severity='high', remediation='mend it')

@asks('acme.env')
def test_env(findings, pods):
    """Values that a check reports."""
    for pod in pods:
        for container in pod.containers:
            for field in ('env', 'args', 'command', 'livenessProbe', 'lifecycle'):
                findings.add(pod, path=f'{container.path}.{field}', actual=container.raw.get(field), expected='less')
            for one in container.raw.get('env', ()):
                where = f"{container.path}.env[{one['name']}].value"
                findings.add(pod, path=where, actual=one.get('value'), message=f"it has {one.get('value')}")
        findings.add(pod, path='spec.volumes', actual=pod.spec.get('volumes'), expected='none')
        for name, value in pod.annotations.items():
            findings.add(pod, path=f'metadata.annotations[{name}]', actual=value, expected='none')

@asks('acme.data')
def test_data(findings, cluster):
    """Data of ConfigMaps, and of other kinds."""
    for one in cluster.list('ConfigMap'):
        findings.add(one, path='data', actual=one.raw.get('data'), expected='none')
        findings.add(one, path='data[plain]', actual=one.raw['data']['plain'], expected='none')
        findings.add(one, actual=one.raw, expected='none')

@asks('acme.asserts')
def test_asserts(pods):
    """An assertion, with what pytest says of it."""
    seen = [one for pod in pods for c in pod.containers for one in c.raw.get('env', ())]
    print(seen)
    assert seen == []

@pytest.fixture
def broken(pods):
    seen = [one for pod in pods for c in pod.containers for one in c.raw.get('env', ())]
    print(seen)
    raise ValueError(seen)

@asks('acme.setup')
def test_setup(broken):
    """A fixture that cannot be made."""
    assert broken

@pytest.fixture
def left(pods, record_property):
    seen = [one for pod in pods for c in pod.containers for one in c.raw.get('env', ())]
    record_property('seen', str(seen))
    yield
    print(seen)
    raise ValueError(seen)

@asks('acme.teardown')
def test_teardown(findings, left):
    """A fixture that cannot be taken down."""
    findings.examined(1)

@asks('acme.skips')
def test_skips(pods):
    """A reason with a value."""
    pytest.skip(str([c.raw.get('env') for pod in pods for c in pod.containers]))

@asks('acme.raises')
def test_raises(pods):
    """An exception, with the variables of its frame."""
    seen = [one for pod in pods for c in pod.containers for one in c.raw.get('env', ())]
    raise ValueError(seen)
'''


def container(name: str) -> dict[str, Any]:
    probe = {
        "httpGet": {
            "path": f"/health?token={CANARY}",
            "port": 80,
            "httpHeaders": [{"name": "Authorization", "value": f"Bearer {CANARY}"}],
        }
    }
    return {
        "name": name,
        "image": f"bob:{CANARY}@registry.example.com/app:1",
        "command": ["sh", "-c", f"PASSWORD={CANARY} run --api-key {CANARY} postgres://u:{CANARY}@db/x"],
        "args": ["--password", CANARY, f"--token={CANARY}", "-p", CANARY, f"--set=db.password={CANARY}"],
        "env": [
            {"name": "DB_PASSWORD", "value": CANARY},
            {"name": "URL", "value": f"amqp://u:{CANARY}@mq"},
            {"name": "DSN_LIST", "value": f"Server=x;Password={CANARY};"},
        ],
        "livenessProbe": probe,
        "readinessProbe": {"exec": {"command": ["redis-cli", "-a", CANARY]}},
        "lifecycle": {"preStop": {"exec": {"command": ["curl", "-u", f"a:{CANARY}", "http://x"]}}},
        "securityContext": {"privileged": True},
    }


def objects() -> list[dict[str, Any]]:
    annotations = {
        "example.com/password": CANARY,
        "example.com/config": json.dumps({"auth": {"password": CANARY}}),
        "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"data": CANARY}),
    }
    meta = {"name": "web", "namespace": "shop", "annotations": annotations}
    volumes = [
        {"name": "a", "csi": {"driver": "x", "volumeAttributes": {"password": CANARY}}},
        {"name": "b", "flexVolume": {"driver": "x", "options": {"secretToken": CANARY}}},
        {"name": "c", "nfs": {"server": "x", "path": f"/x?password={CANARY}"}},
        {"name": "d", "hostPath": {"path": f"/x?password={CANARY}"}},
        {"name": "e", "azureFile": {"secretName": "s", "shareName": f"share?sig={CANARY}"}},
        {
            "name": "f",
            "iscsi": {
                "targetPortal": f"chap:{CANARY}@10.0.0.1:3260",
                "iqn": "iqn.2001-04.com.example:x",
                "lun": 0,
            },
        },
        {"name": "g", "rbd": {"monitors": [f"admin:{CANARY}@10.0.0.1:6789"], "image": f"x?secret={CANARY}"}},
        {"name": "h", "cephfs": {"monitors": [f"admin:{CANARY}@10.0.0.1"], "path": f"/a?secret={CANARY}"}},
        {"name": "i", "gitRepo": {"repository": f"https://u:{CANARY}@git.example.com/x"}},
    ]
    spec = {
        "containers": [container("app")],
        "initContainers": [container("init")],
        "ephemeralContainers": [container("debug")],
        "volumes": volumes,
    }
    template = {"metadata": {"annotations": annotations}, "spec": spec}
    webhook = {"url": f"https://u:{CANARY}@hook.example.com/x"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "annotations": annotations}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"plain": CANARY, "x": BASE64},
         "binaryData": {"b": BASE64}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"p": BASE64}, "stringData": {"a": CANARY}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": {}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": {"podSelector": {}}},
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "hook", "annotations": annotations},
            "webhooks": [{"name": "a.b.c", "clientConfig": webhook}],
        },
        {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": meta, "spec": {"password": CANARY}},
        {
            "apiVersion": "example.com/v1",
            "kind": "Bundle",
            "metadata": meta,
            "spec": {"objects": [{"apiVersion": "v1", "kind": "Secret", "data": {"p": BASE64}}],
                     "passwords": {"bob": CANARY}},
        },
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": meta,
            "involvedObject": {"kind": "Pod", "name": "web", "namespace": "shop"},
            "message": f"Failed to pull: Authorization: Bearer {CANARY}, https://u:{CANARY}@registry.example.com",
        },
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": "web", "annotations": annotations},
            "spec": {"signerName": "example.com/x", "request": "LS0t", "extra": {"token": [CANARY]}},
        },
    ]  # fmt: skip


KSPEC = ("-m", "pytest_kspec.cli.main")


def said(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and all output; no command writes the canary into any file either."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        timeout=300,
        env=os.environ | {"NO_COLOR": "1", "HOME": str(folder), "KUBECONFIG": ""},
    )
    text = (done.stdout + done.stderr).decode()
    assert CANARY not in text, [line for line in text.splitlines() if CANARY in line][:3]
    assert BASE64 not in text
    files_hold_none(folder)
    return done.returncode, text


def files_hold_none(folder: Path) -> None:
    """But the manifests themselves."""
    for file in folder.rglob("*"):
        if file.is_file() and "manifests" not in file.parts:
            content = file.read_bytes()
            if content.startswith(b"\x1f\x8b"):
                content = gzip.decompress(content)
            elif content.startswith(b"%PDF"):
                content = pdf_text(content).encode()
            assert CANARY.encode() not in content, file
            assert BASE64.encode() not in content, file
