"""A canary as every kind of credential of a kubeconfig, of Argo CD and of the inventory: no command shows it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.api import Api, Reply
from tests.controlplane.certificates import Authority
from tests.fleet.targets.conftest import b64
from tests.hostile.canary import CANARY, KSPEC, said
from tests.hostile.test_leaks_credentials import CHECKS, SPEC, _resources, echoing

V1 = "client.authentication.k8s.io/v1"
PEM = f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"
ARGO = "/api/v1/namespaces/argocd/secrets"
PROFILES = "/apis/multicluster.x-k8s.io/v1alpha1"


class Place:
    """work: where commands run. manifests: what has the canary on purpose, beside it."""

    def __init__(self, root: Path) -> None:
        self.work, self.manifests = root / "work", root / "manifests"
        for folder in (self.work, self.manifests):
            folder.mkdir()
        (self.work / "test_checks.py").write_text(CHECKS)
        (self.work / "spec.yaml").write_text(yaml.safe_dump(SPEC))

    def helper(self, name: str, *lines: str) -> str:
        path = self.manifests / name
        path.write_text("\n".join(("#!/bin/sh", *lines, "")))
        path.chmod(0o700)
        return str(path)

    def kubeconfig(self, contexts: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> str:
        """Of clusters and users by the names of their contexts; the first one is current."""
        document = {
            "current-context": next(iter(contexts)),
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in contexts],
            "clusters": [{"name": name, "cluster": cluster} for name, (cluster, _) in contexts.items()],
            "users": [{"name": name, "user": user} for name, (_, user) in contexts.items()],
        }
        path = self.manifests / "config"
        path.write_text(yaml.safe_dump(document))
        return f"--kubeconfig={path}"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """How a cluster is reached that quotes what it was sent: `apiServerURL` and the authority."""
    authority = Authority(tmp_path)
    pair = authority.issue("server", hosts=("127.0.0.1",))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    codes = {"/version": 401, "/api": 403, "/apis": 400, "/api/v1/nodes": 403}
    answers: Any = {path: echoing(code) for path, code in codes.items()}
    with Api(answers, tls) as api:
        yield {"server": api.url, "certificate-authority-data": b64(authority.bundle)}


def contexts(place: Place, server: dict[str, Any]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    token = place.manifests / "token"
    token.write_text(CANARY)
    key = place.manifests / "key.pem"
    key.write_text(PEM)
    spoken = json.dumps({"kind": "ExecCredential", "apiVersion": V1, "status": {"token": CANARY}})
    paired = {"clientCertificateData": PEM, "clientKeyData": PEM}
    of_pair = json.dumps({"kind": "ExecCredential", "apiVersion": V1, "status": paired})
    beta = spoken.replace("/v1", "/v1beta1")

    def program(name: str, *lines: str, **more: Any) -> dict[str, Any]:
        told = {"command": place.helper(name, *lines), "apiVersion": V1, "interactiveMode": "Never", **more}
        return {"exec": told}

    users: dict[str, dict[str, Any]] = {
        "token": {"token": CANARY},
        "odd-token": {"token": f"{CANARY}\x00{CANARY}"},
        "token-file": {"tokenFile": str(token)},
        "password": {"username": "admin", "password": CANARY},
        "half-password": {"password": CANARY},
        "key-data": {"client-certificate-data": b64(PEM), "client-key-data": b64(PEM)},
        "no-base64": {"client-certificate-data": CANARY + "!", "client-key-data": CANARY + "!"},
        "key-file": {"client-certificate": str(key), "client-key": str(key)},
        "provider": {"auth-provider": {"name": "oidc", "config": {"client-secret": CANARY, "id-token": CANARY}}},
        "extra": {"token": "t", "as": "bob", "as-user-extra": {"token": [CANARY]}},
        "two": {"token": CANARY, "username": "a", "password": CANARY},
        "program": program("says", f"cat <<'X'\n{spoken}\nX"),
        "program-pair": program("pair", f"cat <<'X'\n{of_pair}\nX"),
        "program-beta": program("beta", f"cat <<'X'\n{beta}\nX"),
        "program-odd": program("odd", f"echo '{{{CANARY}'"),
        "program-fails": program("fails", f"echo {CANARY}", "exit 3"),
        "program-told": program("told", 'echo "$SECRET $1" >&2', "exit 1", args=[f"--secret={CANARY}"],
                                env=[{"name": "SECRET", "value": CANARY}]),
        "program-none": {"exec": {"command": f"/none/{'x'}", "apiVersion": V1, "interactiveMode": "Never",
                                  "args": [f"--token={CANARY}"], "env": [{"name": "A", "value": CANARY}]}},
    }  # fmt: skip
    found = {name: (server, user) for name, user in users.items()}
    host = server["server"].removeprefix("https://")
    found["address"] = ({**server, "server": f"https://bob:{CANARY}@{host}"}, {"token": "t"})
    found["query"] = ({**server, "server": f"https://{host}/?token={CANARY}"}, {"token": "t"})
    found["proxy"] = ({**server, "proxy-url": f"http://bob:{CANARY}@127.0.0.1:9"}, {"token": "t"})
    return found


def test_contexts_of_a_kubeconfig(place: Place, server: dict[str, Any]) -> None:
    made = contexts(place, server)
    config = place.kubeconfig(made)
    assert said(place.work, *KSPEC, "cluster", "discover", config)[0] == 0
    for output in ("wide", "json", "yaml"):
        code, text = said(place.work, *KSPEC, "cluster", "status", "--from=contexts", config, "-o", output)
        assert code == 2, text
    assert all(f"name: {name}\n" in text for name in made)
    code, text = said(place.work, *KSPEC, "cluster", "add", *made, config)
    assert code == 2, "none is proven, so none is printed"
    clusters = [word for name in made for word in ("--cluster", name)]
    reports = [f"--report={name}:out.{name}" for name in ("json", "html", "junit", "sarif", "csv")]
    code, text = said(place.work, *KSPEC, "scan", "spec.yaml", "--allow-empty", config, *clusters, *reports)
    assert code == 2, text
    store = "--store=r.db"
    code, text = said(place.work, *KSPEC, "fleet", "scan", "spec.yaml", "--all-contexts", config, store)
    assert code == 2, text
    assert f"{len(made)} clusters" in text
    assert said(place.work, *KSPEC, "fleet", "status", store, "-o", "json")[0] == 0
    words = ("fleet", "enforce", "spec.yaml", "--all-contexts", "--status", config)
    assert said(place.work, *KSPEC, *words)[0] == 2


def argo(server: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Cluster Secrets by name."""
    tls = {"caData": server["certificate-authority-data"]}
    pair = {"certData": b64(PEM), "keyData": b64(PEM)}
    program = {"command": "argocd-k8s-auth", "args": ["--secret", CANARY], "env": {"SECRET": CANARY}}
    configs: dict[str, Any] = {
        "bearer": {"bearerToken": CANARY, "tlsClientConfig": tls},
        "pair": {"tlsClientConfig": {**tls, **pair}},
        "both": {"bearerToken": CANARY, "tlsClientConfig": {**tls, **pair}},
        "password": {"username": "a", "password": CANARY, "tlsClientConfig": tls},
        "program": {"execProviderConfig": program, "tlsClientConfig": tls},
        "aws": {"awsAuthConfig": {"clusterName": "x", "profile": CANARY}, "tlsClientConfig": tls},
        "proxy": {"bearerToken": "t", "proxyUrl": f"http://u:{CANARY}@127.0.0.1:9", "tlsClientConfig": tls},
        "odd": {"bearerToken": [CANARY], "tlsClientConfig": {"keyData": CANARY + "!"}},
        "no-base64": {"tlsClientConfig": {"keyData": CANARY + "!", "certData": CANARY + "!"}},
    }
    found = {
        name: {"name": name, "server": server["server"], "config": json.dumps(config)}
        for name, config in configs.items()
    }
    found["no-json"] = {
        "name": "no-json",
        "server": server["server"],
        "config": f'{{"bearerToken": "{CANARY}',
    }
    address = server["server"].replace("https://", f"https://bob:{CANARY}@")
    found["address"] = {"name": "address", "server": address, "config": '{"bearerToken": "t"}'}
    return found


def hub_answers(server: dict[str, Any]) -> dict[str, Any]:
    resources = _resources("v1", ("secrets", "Secret"))
    answers: dict[str, Any] = {"/api/v1": Reply(resources)}
    items = []
    for name, data in argo(server).items():
        labels = {"argocd.argoproj.io/secret-type": "cluster", "env": "prod"}
        metadata = {"name": name, "namespace": "argocd", "uid": name, "labels": labels}
        encoded = {key: b64(value) for key, value in data.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}
        answers[f"{ARGO}/{name}"] = Reply(body)
        items.append(body)
    head = {"metadata": {"resourceVersion": "1"}}
    answers[ARGO] = Reply({"apiVersion": "v1", "kind": "SecretList", **head, "items": items})
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"secret": CANARY}}
    access = {"server": server["server"], "extensions": [extension]}
    access["certificate-authority-data"] = server["certificate-authority-data"]
    accesses: dict[str, list[dict[str, Any]]] = {
        "program": [{"name": "program", "cluster": access}],
        "proxy": [{"name": "program", "cluster": {**access, "proxy-url": f"http://u:{CANARY}@127.0.0.1:9"}}],
        "foreign": [{"name": CANARY[:4], "cluster": access}],
    }
    kind = {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ClusterProfile"}
    profiles: list[dict[str, Any]] = [
        {**kind, "metadata": {"name": name, "namespace": "inventory", "uid": name},
         "status": {"accessProviders": given, "properties": [{"name": "secret", "value": "x"}]}}
        for name, given in accesses.items()
    ]  # fmt: skip
    group = {
        "name": "multicluster.x-k8s.io",
        "versions": [{"groupVersion": kind["apiVersion"], "version": "v1alpha1"}],
    }
    answers["/apis"] = Reply({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})
    answers[PROFILES] = Reply(_resources(kind["apiVersion"], ("clusterprofiles", "ClusterProfile")))
    listed = {"apiVersion": kind["apiVersion"], "kind": "ClusterProfileList", **head, "items": profiles}
    answers[f"{PROFILES}/clusterprofiles"] = Reply(listed)
    for one in profiles:
        name = one["metadata"]["name"]
        answers[f"{PROFILES}/namespaces/inventory/clusterprofiles/{name}"] = Reply(one)
    return answers


def test_objects_of_others_in_a_hub(
    place: Place, server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = json.dumps({"kind": "ExecCredential", "apiVersion": V1, "status": {"token": CANARY}})
    helper = place.helper("helper", 'echo "$KUBERNETES_EXEC_INFO" >&2', f"cat <<'X'\n{spoken}\nX")
    program = {
        "name": "program",
        "servers": ["127.0.0.1"],
        "exec": {"command": helper, "passClusterInfo": True},
    }
    providers = place.manifests / "providers.yaml"
    providers.write_text(yaml.safe_dump({"providers": [program]}))
    monkeypatch.setenv("KSPEC_CREDENTIAL_PROVIDERS", str(providers))
    with Api(hub_answers(server)) as hub:
        config = place.kubeconfig({"hub": ({"server": hub.url}, {"token": "unused"})})
        for source, count, kind in (
            ("argocd", len(argo(server)), "argocd"),
            ("clusterprofiles", 3, "clusterprofile"),
        ):
            for output in ("wide", "json"):
                words: tuple[str, ...] = ("cluster", "status", f"--from={source}", config, "-o", output)
                code, text = said(place.work, *KSPEC, *words)
                assert code == 2, text
            found = [one["ref"] for one in json.JSONDecoder().raw_decode(text)[0]]
            assert len(found) == count
            clusters = [word for ref in found for word in ("--cluster", ref)]
            words = ("scan", "spec.yaml", "--allow-empty", config, *clusters, "--report=json:out.json")
            code, text = said(place.work, *KSPEC, *words)
            assert code == 2, text
            words = ("fleet", "scan", "spec.yaml", f"--source={kind}", config, f"--store={kind}.db")
            code, text = said(place.work, *KSPEC, *words)
            assert code == 2, text
            assert f"{count} clusters" in text
        code, text = said(place.work, *KSPEC, "cluster", "add", "--from-argocd", config)
        assert code == 2, text
