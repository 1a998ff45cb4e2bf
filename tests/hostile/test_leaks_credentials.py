"""A canary as every kind of credential of a target: in no output, log, report, traceback and message of a worker.

The clusters quote the credentials that they were sent, as proxies that help with debugging do.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.api import Api, Reply, Request
from tests.controlplane.certificates import Authority
from tests.fleet.targets.conftest import b64
from tests.hostile.canary import CANARY, KSPEC, said

CHECKS = '''\
from pytest_kspec import check

@check(id='acme.lists', title='a title', severity='high', remediation='mend it')
def test_lists(cluster):
    """Lists what the cluster refuses."""
    seen = cluster
    assert cluster.list('Pod') == []

@check(id='acme.kube', title='a title', severity='high', remediation='mend it')
def test_kube(kube):
    """Asks with the official client."""
    raise ValueError(kube, kube.configuration.__dict__)
'''
SPEC = {
    "apiVersion": "kspec.dev/v1",
    "kind": "ClusterSpecification",
    "metadata": {"name": "leaks", "version": "1.0.0"},
    "spec": {"podSecurity": {"enforce": "restricted"}, "checks": ["test_checks.py"]},
}


def echoing(code: int) -> Any:
    def answer(request: Request) -> Reply:
        sent = request.headers.get("authorization", "")
        text = f"no {sent}, nobody is called {sent.partition(' ')[2]}"
        kind = {"Warning": f'299 - "{text}"', "Content-Type": "application/json"}
        return Reply({"kind": "Status", "code": code, "message": text}, code, kind)

    return answer


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig whose current context is a hub with targets of every kind, whose clusters echo."""
    authority = Authority(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.issue("server", hosts=("127.0.0.1",))
    tls.load_cert_chain(pair.certificate, pair.key)
    codes = {"/version": 401, "/api": 403, "/apis": 400, "/api/v1/nodes": 403}
    refusing: Any = {path: echoing(code) for path, code in codes.items()}
    listing: Any = {path: echoing(422) for path in ("/api/v1/pods", "/api/v1/namespaces", "/api/v1/nodes")}
    folder = tmp_path / "manifests"  # what has the canary on purpose
    folder.mkdir()
    helper, token = folder / "helper", folder / "token"
    token.write_text(CANARY)
    said_by = (
        '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"%s"}}'
    )
    helper.write_text(f"#!/bin/sh\necho {CANARY} >&2\ncat <<'X'\n{said_by % CANARY}\nX\n")
    helper.chmod(0o700)
    providers = [
        {"name": "file", "tokenFile": str(token), "servers": ["127.0.0.1"]},
        {"name": "program", "exec": {"command": str(helper)}, "servers": ["127.0.0.1"]},
    ]
    (folder / "providers.yaml").write_text(yaml.safe_dump({"providers": providers}))
    with Api(refusing, tls) as one, Api(listing, tls) as other:
        hub_answers = _hub({"refuses": one.url, "lists": other.url}, b64(authority.bundle))
        with Api(hub_answers) as hub:
            user = {"name": "hub", "user": {"token": "unused"}}
            cluster = {"name": "hub", "cluster": {"server": hub.url}}
            context = {"name": "hub", "context": {"cluster": "hub", "user": "hub"}}
            config = {"current-context": "hub", "contexts": [context], "clusters": [cluster], "users": [user]}
            (folder / "config").write_text(yaml.safe_dump(config))
            work = tmp_path / "work"
            work.mkdir()
            (work / "test_checks.py").write_text(CHECKS)
            (work / "spec.yaml").write_text(yaml.safe_dump(SPEC))
            yield work


def _hub(servers: dict[str, str], authority: str) -> Any:
    """Answers of an API server that has ClusterTargets and their Secrets."""
    secrets = {
        "good": {"token": CANARY, "kubeconfig": "{}"},
        "odd": {
            "token": f"{CANARY}\n{CANARY}",
            "kubeconfig": f"{{{CANARY}: [",
            "tls.crt": CANARY,
            "tls.key": CANARY,
        },
    }
    answers: Any = {
        "/api/v1": Reply(_resources("v1", ("secrets", "Secret"))),
        "/apis/kspec.io/v1alpha1": Reply(
            _resources("kspec.io/v1alpha1", ("clustertargets", "ClusterTarget"))
        ),
    }
    for name, data in secrets.items():
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "kspec-system"}}
        encoded = {key: b64(value) for key, value in data.items()}
        answers[f"/api/v1/namespaces/kspec-system/secrets/{name}"] = Reply({**body, "data": encoded})
    for where, server in servers.items():
        common = {"apiServerURL": server, "caData": authority}
        kinds: dict[str, Any] = {
            "token": {"authMode": "token", "tokenSecretRef": {"name": "good"}},
            "account": {"authMode": "serviceAccount", "serviceAccountSecretRef": {"name": "good"}},
            "odd-token": {"authMode": "token", "tokenSecretRef": {"name": "odd"}},
            "odd-key": {"authMode": "token", "tokenSecretRef": {"name": "good", "key": "none"}},
            "kubeconfig": {"authMode": "kubeconfig", "kubeconfigSecretRef": {"name": "odd"}},
            "certificate": {"authMode": "clientCertificate", "clientCertificateSecretRef": {"name": "odd"}},
            "file": {"authMode": "provider", "credentialProvider": {"name": "file"}},
            "program": {"authMode": "provider", "credentialProvider": {"name": "program"}},
        }
        for kind, spec in kinds.items():
            name = f"{where}-{kind}"
            metadata = {"name": name, "namespace": "kspec-system", "uid": name}
            head = {"apiVersion": "kspec.io/v1alpha1", "kind": "ClusterTarget", "metadata": metadata}
            path = f"/apis/kspec.io/v1alpha1/namespaces/kspec-system/clustertargets/{name}"
            answers[path] = Reply({**head, "spec": {**common, **spec}})
    items = [answer.body for path, answer in answers.items() if "/clustertargets/" in path]
    listed = {
        "apiVersion": "kspec.io/v1alpha1",
        "kind": "ClusterTargetList",
        "metadata": {"resourceVersion": "1"},
    }
    answers["/apis/kspec.io/v1alpha1/clustertargets"] = Reply({**listed, "items": items})
    return answers


def _resources(version: str, *kinds: tuple[str, str]) -> dict[str, Any]:
    found = [
        {"name": name, "kind": kind, "namespaced": True, "verbs": ["get", "list"]} for name, kind in kinds
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": found}


KINDS = ("token", "account", "odd-token", "odd-key", "kubeconfig", "certificate", "file", "program")
NAMES = [
    *(f"target:refuses-{kind}" for kind in KINDS),
    *(f"target:lists-{kind}" for kind in ("token", "file", "program")),
]


def test_no_command_shows_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = place.parent / "manifests"
    monkeypatch.setenv("KSPEC_CREDENTIAL_PROVIDERS", str(manifests / "providers.yaml"))
    config = f"--kubeconfig={manifests / 'config'}"
    for output in ("wide", "json"):
        code, text = said(place, *KSPEC, "cluster", "status", config, "-o", output)
        assert code == 2, text
        assert "refuses-program" in text
    assert said(place, *KSPEC, "cluster", "list", config, "-o", "yaml")[0] == 0
    clusters = [word for name in NAMES for word in ("--cluster", name)]
    reports = [f"--report={name}:out.{name}" for name in ("json", "html", "junit", "sarif", "markdown")]
    code, text = said(place, *KSPEC, "scan", "spec.yaml", "--allow-empty", config, *clusters, *reports)
    assert code == 2, text
    assert "the token is empty or contains characters" in (place / "out.json").read_text()


def test_a_run_over_them_does_not_show_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers, their processes, the store with its full reports, and every report of it."""
    manifests = place.parent / "manifests"
    monkeypatch.setenv("KSPEC_CREDENTIAL_PROVIDERS", str(manifests / "providers.yaml"))
    common = ("--store=r.db", f"--kubeconfig={manifests / 'config'}")
    words = (
        "fleet",
        "scan",
        "spec.yaml",
        "--source=target",
        "--allow-empty",
        "--report=html:f.html",
        *common,
    )
    code, text = said(place, *KSPEC, *words)
    assert code == 2, text
    assert f"{2 * len(KINDS)} clusters" in text
    code, text = said(place, *KSPEC, "fleet", "report", "--store=r.db", "-o", "json", "--report=json:f.json")
    assert code == 2, text
    assert "the API server does not accept the credentials" in text, "it echoed them"
    assert said(place, *KSPEC, "fleet", "status", "--store=r.db")[0] == 0


def test_policies_of_a_fleet_do_not_show_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = place.parent / "manifests"
    monkeypatch.setenv("KSPEC_CREDENTIAL_PROVIDERS", str(manifests / "providers.yaml"))
    common = (
        *KSPEC,
        "fleet",
        "enforce",
        "spec.yaml",
        "--source=target",
        f"--kubeconfig={manifests / 'config'}",
    )
    for engine in ("vap", "kyverno", "webhook"):
        code, text = said(place, *common, f"--engine={engine}", "--status", "-o", "json")
        assert code == 2, text
        assert "refuses-program" in text
    image = f"--image=registry.example/kspec@sha256:{'0' * 64}"
    assert said(place, *common, "--engine=webhook", image, "--mode=audit", "--yes")[0] == 4
    assert said(place, *common, "--engine=webhook", "--remove", "--yes")[0] == 4, "none allows it"


def test_a_key_of_the_store_is_not_shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that is none, nor one that stands where a reference belongs."""
    key = place.parent / "manifests" / "key"
    key.write_text(CANARY)
    (place / "pod.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: b}}")
    (place / "spec.yaml").write_text(
        yaml.safe_dump({**SPEC, "spec": {"podSecurity": {"enforce": "baseline"}}})
    )
    words = (*KSPEC, "scan", "spec.yaml", "--cluster=pod.yaml", "--store=r.db", "--store-reports=kept")
    for reference in (f"file:{key}", CANARY, f"vault:{CANARY} {CANARY}"):
        monkeypatch.setenv("KSPEC_STORE_KEY", reference)
        code, text = said(place, *words)
        assert code == 2, text
        assert "KSPEC_STORE_KEY" in text
    assert not (place / "kept").exists()


def test_pytest_shows_it_with_no_option_and_from_no_worker(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = place.parent / "manifests"
    monkeypatch.setenv("KSPEC_CREDENTIAL_PROVIDERS", str(manifests / "providers.yaml"))
    words = ["-m", "pytest", "-p", "no:cacheprovider", "-v", "-l", "-rA", "--tb=long"]
    words += ["--log-level=DEBUG", "--junitxml=j.xml", "--kspec-spec=spec.yaml"]
    words += [f"--kspec-kubeconfig={manifests / 'config'}"]
    words += [f"--kspec-cluster=target:{name}" for name in ("refuses-token", "lists-token", "lists-program")]
    for more in ((), ("-n", "2")):
        code, text = said(place, *words, *more)
        assert code == 1, text
        assert "acme.kube" in text
