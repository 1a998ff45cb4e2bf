"""A credential in every place that may hold one: no command and no format shows it. Its letters are no known format."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.memory import MemorySource

CANARY = "hunter2canary"
BASE64 = "aHVudGVyMmNhbmFyeQ"
KSPEC = ("-m", "pytest_kspec.cli.main")
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
    ]
    spec = {"containers": [container("app")], "initContainers": [container("init")], "volumes": volumes}
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
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"plain": CANARY, "x": BASE64}},
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
    ]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaks")
    (folder / "manifests").mkdir()
    (folder / "manifests" / "all.yaml").write_text(yaml.safe_dump_all(objects()))
    (folder / "test_checks.py").write_text(CHECKS)
    spec = {
        "apiVersion": "kspec.dev/v1",
        "kind": "ClusterSpecification",
        "metadata": {"name": "leaks", "version": "1.0.0"},
        "spec": {
            "podSecurity": {"enforce": "restricted"},
            "workloads": {
                "containers": {"forbidden": [{"key": "args"}, {"key": "env"}, {"key": "command"}]},
                "images": {"allowedRegistries": ["other.example.com"]},
            },
        },
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return folder


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
    for file in folder.rglob("*"):
        if file.is_file() and "manifests" not in file.parts:
            content = file.read_bytes()
            content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            assert CANARY.encode() not in content, file
            assert BASE64.encode() not in content, file
    return done.returncode, text


def test_a_snapshot_holds_none_and_counts_them(tmp_path: Path) -> None:
    made = record(MemorySource(objects()), tmp_path / "s")
    record(MemorySource(objects()), tmp_path / "s.tar.gz")
    files = list((tmp_path / "s").iterdir())
    for file in files:
        assert CANARY not in file.read_text(), file.name
        assert BASE64 not in file.read_text(), file.name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "s.tar.gz").stat().st_mode) == 0o600
    assert CANARY.encode() not in gzip.decompress((tmp_path / "s.tar.gz").read_bytes())
    assert made.redacted.keys() == {
        "annotations", "arguments", "configMapData", "environment", "headers", "other"
    }  # fmt: skip
    assert made.redacted["configMapData"] == 2
    assert made.redacted["environment"] == 12
    assert json.loads((tmp_path / "s" / "snapshot.json").read_text())["redacted"] == made.redacted


FORMATS = ("csv", "html", "json", "junit", "markdown", "oscal", "sarif")


def test_no_report_of_a_scan_shows_one(place: Path) -> None:
    reports = [word for form in FORMATS for word in ("--report", f"{form}:out.{form}")]
    more = ("--store", "store.db", "--store-reports", "kept")
    code, text = said(
        place,
        *KSPEC,
        "scan",
        "spec.yaml",
        "--checks",
        "test_checks.py",
        "--cluster",
        "manifests",
        *reports,
        *more,
    )
    assert code == 2, text
    found = json.loads((place / "out.json").read_text())
    for check in found["clusters"][0]["checks"]:
        if check["id"] in ("acme.env", "acme.data", "workloads.images"):
            assert check["findings"], check
            assert "(redacted)" in json.dumps(check["findings"])
    assert stat.S_IMODE((place / "store.db").stat().st_mode) == 0o600
    kept = list((place / "kept").rglob("*"))
    assert kept
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place / "kept", *kept) if path.is_dir()} == {0o700}
    said(place, *KSPEC, "history", "--store", "store.db", "--findings", "-o", "json")
    said(place, *KSPEC, "diff", "out.json", "out.json", "-o", "json")


@pytest.mark.parametrize(
    "words", [("-v", "-l"), ("-vv", "-rA", "-s", "-k", "not asserts"), ("-n", "2", "-l")]
)
def test_pytest_shows_none(place: Path, words: tuple[str, ...]) -> None:
    asked = ("--kspec-spec", "spec.yaml", "--kspec-cluster", "manifests", "--kspec-checks", "test_checks.py")
    code, text = said(place, "-m", "pytest", "-p", "no:cacheprovider", *asked, *words)
    assert code == 1, text
    assert "acme.raises" in text


@pytest.mark.parametrize(
    "words",
    [
        ("fix", "spec.yaml", "--cluster", "manifests"),
        ("enforce", "spec.yaml", "--cluster", "manifests", "--preview"),
        ("diff", "manifests", "manifests", "-s", "spec.yaml"),
    ],
)
def test_other_commands_show_none(place: Path, words: tuple[str, ...]) -> None:
    said(place, *KSPEC, *words)
