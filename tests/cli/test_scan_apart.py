"""What is wrong with one cluster does not reach another: all others have their results, and the reports are there."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from urllib3 import Retry

from pytest_kspec.cli.main import main
from pytest_kspec.cluster.sources.live import LiveSource
from tests.cluster.api import PODS, Api, page
from tests.cluster.objects import pod
from tests.cluster.socks import SocksServer
from tests.controlplane.certificates import Authority

SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: apart, version: 1.0.0}
spec: {podSecurity: {enforce: baseline}}
"""
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"hostPID": True, "containers": [{"name": "app", "image": "x"}]},
}
AT = "https://127.0.0.1:1"
Verdicts = dict[str, tuple[set[str], str]]
Scan = Callable[..., Verdicts]


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scan:
    """Scan these contexts and two good folders of manifests: cluster → verdicts and the first reason."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Retry, "sleep", lambda *_: None)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    Path("spec.yaml").write_text(SPEC)
    for folder in ("a-good", "z-good"):
        Path(folder).mkdir()
        Path(folder, "pod.json").write_text(json.dumps(POD))

    def run(config: dict[str, Any], *contexts: str) -> Verdicts:
        Path("config").write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
        monkeypatch.setenv("KUBECONFIG", "config")
        words = [f"--cluster={name}" for name in ("./a-good", *contexts, "./z-good")]
        reports = ["--report=json:out.json", "--report=junit:out.xml", "--report=html:out.html"]
        code = main(["scan", "spec.yaml", *words, *reports])
        said = capsys.readouterr()
        assert code == 2
        assert "Traceback" not in said.out + said.err
        assert "s3cret" not in said.out + said.err + Path("out.json").read_text()
        assert Path("out.xml").exists()
        assert Path("out.html").exists()
        clusters = json.loads(Path("out.json").read_text())["clusters"]
        found = {c["name"]: c["checks"] for c in clusters}
        assert {name: {v["verdict"] for v in found.pop(name)} for name in ("a-good", "z-good")} == {
            "a-good": {"fail", "pass", "skip"},
            "z-good": {"fail", "pass", "skip"},
        }
        return {name: ({c["verdict"] for c in checks}, checks[0]["reason"]) for name, checks in found.items()}

    return run


def kubeconfig(*entries: tuple[str, Any, Any]) -> dict[str, Any]:
    """(name, cluster, user) of each context."""
    return {
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name, _, _ in entries],
        "clusters": [{"name": name, "cluster": cluster} for name, cluster, _ in entries],
        "users": [{"name": name, "user": user} for name, _, user in entries],
    }


TOKEN = {"token": "s3cret"}
NO_PEM = base64.b64encode(b"s3cret").decode()
ODD: dict[str, tuple[Any, Any, str]] = {
    "socks": ({"server": AT, "proxy-url": "socks5://me:s3cret@127.0.0.1:1"}, TOKEN, "does not answer"),
    "ftp": ({"server": AT, "proxy-url": "ftp://me:s3cret@x"}, TOKEN, "`ftp:` is not"),
    "no-scheme": ({"server": AT, "proxy-url": "me:s3cret@x:1"}, TOKEN, "its scheme must be"),
    "garbage": ({"server": AT, "proxy-url": "http://[s3cret"}, TOKEN, "it is not a URL"),
    "port": (
        {"server": AT, "proxy-url": "http://x:99999"},
        TOKEN,
        "it is not a URL with a valid host and port",
    ),
    "five": ({"server": 5}, TOKEN, "server is a number, not text. Quote it."),
    "list": ({"server": ["s3cret"]}, TOKEN, "server is a list, not text."),
    "cluster-list": (["s3cret"], TOKEN, "it is a list, not a mapping."),
    "cluster-null": (None, TOKEN, "the cluster has no `server`."),
    "user-null": ({"server": AT}, None, "the user of the context has no credentials."),
    "user-text": ({"server": AT}, "s3cret", "it is text, not a mapping."),
    "extra": ({"server": AT}, {"as": "x", "as-user-extra": {"a": "s3cret"}}, "is text, not a list."),
    "base64": ({"server": AT, "certificate-authority-data": "s3cret"}, TOKEN, "is not base64"),
    "pem": (
        {"server": AT, "certificate-authority-data": NO_PEM},
        TOKEN,
        "does not contain certificates in PEM format",
    ),
    "file": ({"server": AT, "certificate-authority": "nowhere\0"}, TOKEN, "this is not a path"),
    "folder": ({"server": AT, "certificate-authority": "a-good"}, TOKEN, "it is not a regular file"),
    "host": ({"server": "https://ü..ü"}, TOKEN, "its host is not a valid name"),
    "emoji": ({"server": "https://😀.invalid"}, TOKEN, "its host is not a valid name"),
    "label": ({"server": f"https://{'a' * 64}.invalid"}, TOKEN, "its host is not a valid name"),
    "url": ({"server": "https://\u2100.invalid"}, TOKEN, "it is not a URL"),
    "unknown": ({"server": AT, "proxyUrl": "http://s3cret"}, TOKEN, "unknown field `proxyUrl`. Did you mean"),
    "surrogate": ({"server": AT}, {"token": "s3cret\ud800"}, "the user 'surrogate' is malformed."),
    "line": ({"server": AT}, {"token": "s3cret\u2028x"}, "not allowed in a header"),
    "as": ({"server": AT}, {**TOKEN, "as": "\ud800"}, "the user 'as' is malformed."),
    "plugin": (
        {"server": AT},
        {"exec": {"command": "\0", "apiVersion": "client.authentication.k8s.io/v1beta1"}},
        "the program was not found",
    ),
    "arguments": (
        {"server": AT},
        {
            "exec": {
                "command": "true",
                "args": ["\0s3cret"],
                "apiVersion": "client.authentication.k8s.io/v1beta1",
            }
        },
        "it cannot be started",
    ),
}


def test_odd_entries(scan: Scan) -> None:
    config = kubeconfig(*((name, cluster, user) for name, (cluster, user, _) in ODD.items()))
    config["contexts"] += [
        {"name": "no-cluster", "context": {"cluster": "nowhere", "user": "ftp"}},
        {"name": "no-context", "context": None},
        {"name": "context-list", "context": ["s3cret"]},
        {"name": "twice", "context": {"cluster": "ftp", "user": "ftp"}},
        {"name": "twice", "context": {"cluster": "five", "user": "ftp"}},
        5,
        {"name": 5},
    ]
    config["clusters"] += [None, {"name": None}]
    expected = {name: message for name, (_, _, message) in ODD.items()} | {
        "no-cluster": "the cluster 'nowhere' is not in the kubeconfig",
        "no-context": "the context does not name a cluster",
        "context-list": "it is a list, not a mapping",
        "twice": "is in config twice",
    }
    found = scan(config, *expected)
    assert {name: verdicts for name, (verdicts, _) in found.items()} == {name: {"error"} for name in expected}
    assert {name for name, (_, reason) in found.items() if expected[name] not in reason} == set(), found


def test_whatever_a_source_raises_is_its_own(scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, *_: object, **__: object) -> Any:
        raise TypeError("s3cret")

    monkeypatch.setattr(LiveSource, "info", broken)
    monkeypatch.setattr(LiveSource, "types", broken)
    found = scan(kubeconfig(("odd", {"server": AT}, TOKEN), ("other", {"server": AT}, TOKEN)), "odd", "other")
    assert {name: verdicts for name, (verdicts, _) in found.items()} == {"odd": {"error"}, "other": {"error"}}
    assert found["odd"][1].startswith("odd: the cluster could not be read: TypeError in test_scan_apart.py:")


def test_a_scan_through_socks(scan: Scan, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server", hosts=["api.invalid"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    with Api({PODS: page(pod("a"))}, tls) as api, SocksServer() as socks:
        at = f"https://api.invalid:{api.url.rpartition(':')[2]}"
        cluster = {
            "server": at,
            "certificate-authority": "ca.crt",
            "proxy-url": f"socks5://127.0.0.1:{socks.port}",
        }
        found = scan(kubeconfig(("far", cluster, TOKEN), ("down", {"server": AT}, TOKEN)), "far", "down")
        assert "pass" in found["far"][0]
        assert found["down"][0] == {"error"}
        assert set(socks.asked) == {at.removeprefix("https://")}
