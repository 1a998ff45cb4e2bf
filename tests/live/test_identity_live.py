"""Who a real API server takes requests for: the same as kubectl's, in every command that talks to a cluster."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cli.main import main
from pytest_kspec.cluster.api.http import Connection
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import AccessDenied
from tests.controlplane.server import ControlPlane

KUBECTL = Path(sys.executable).with_name("kubectl")
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
NOBODY = "nobody@example.com"
SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: identity, version: 1.0.0}
spec:
  podSecurity: {enforce: baseline}
  network: {defaultDeny: true}
  workloads: {containers: {forbidden: [{key: securityContext.privileged, value: true}]}}
"""


def config(plane: ControlPlane, path: Path, **user: Any) -> Path:
    """A kubeconfig of the administrator with these fields beside the token; `token: None` takes that away."""
    data = yaml.safe_load(plane.kubeconfig(path=path, context="live").read_text())
    fields = {**data["users"][0]["user"], **user}
    data["users"][0]["user"] = {name: value for name, value in fields.items() if value is not None}
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize(
    "user",
    [
        {},
        {"as": NOBODY},
        {"as": NOBODY, "as-groups": ["one", "two", "with, comma"]},
        {"as": "Jürgen", "as-groups": ["größe"], "as-uid": "u-1"},
        {
            "as": NOBODY,
            "as-user-extra": {"example.com/Why": ["a", "b"], "scopes": ["x y"], "100%": ["z"], "ü": ["ü"]},
        },
        {"as": "system:serviceaccount:default:default"},
        {"tokenFile": "token"},
        {"as": NOBODY, "tokenFile": "token", "token": "wrong"},
    ],
)
def test_who_am_i(user: dict[str, Any], control_plane: ControlPlane, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(control_plane.tokens["admin"] + "\n")
    path = config(control_plane, tmp_path / "kubeconfig", **user)
    said = subprocess.run(
        [KUBECTL, "--kubeconfig", path, "auth", "whoami", "-o", "json"], check=True, capture_output=True
    )
    theirs = json.loads(said.stdout)["status"]["userInfo"]
    connection = Connection("live", kubeconfig=str(path))
    answer = connection.send("POST", REVIEWS, body=json.dumps(REVIEW).encode())
    assert answer.status == 201
    ours = json.loads(answer.body)["status"]["userInfo"]
    for who in (ours, theirs):  # of one request, not of who asks
        who.get("extra", {}).pop("authentication.kubernetes.io/credential-id", None)
    assert ours == theirs
    official = connection.client().call_api(
        "POST", connection.access().server + REVIEWS, {"Content-Type": "application/json"}, REVIEW
    )
    found = json.loads(official.read())["status"]["userInfo"]
    assert {**found, "extra": None} == {**theirs, "extra": None}
    connection.close()


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(
    control_plane: ControlPlane,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """kspec as an administrator who impersonates somebody without any right."""
    path = config(control_plane, tmp_path / "kubeconfig", **{"as": NOBODY, "as-groups": ["nobodies"]})
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)

    def run(*words: str) -> tuple[int, str]:
        code = main(list(words))
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


COMMANDS: list[tuple[str, ...]] = [
    ("scan", "spec.yaml", "--cluster", "live"),
    ("scan", "cr:identity", "--cluster", "live"),
    ("scan", "spec.yaml", "--cluster", "live", "--report", "policyreport"),
    ("snapshot", "-o", "out", "--cluster", "live"),
    ("init", "--cluster", "live"),
    ("diff", "-s", "spec.yaml", "live", "live"),
    ("fix", "spec.yaml", "--cluster", "live", "--apply", "--yes"),
    ("enforce", "spec.yaml", "--cluster", "live"),
    ("enforce", "spec.yaml", "--cluster", "live", "--dry-run"),
    ("enforce", "spec.yaml", "--cluster", "live", "--status"),
    ("enforce", "spec.yaml", "--cluster", "live", "--preview"),
    ("enforce", "spec.yaml", "--cluster", "live", "--remove"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_whom_the_kubeconfig_says(
    words: tuple[str, ...], run: Run, control_plane: ControlPlane
) -> None:
    since = control_plane.audit_position()
    code, said = run(*words)
    seen = [r for r in control_plane.requests_seen(since=since) if r.user_agent.startswith("pytest-kspec")]
    assert {request.user for request in seen} == {NOBODY}
    if "init" in words:  # says what it could not see
        assert code == 0
        assert f'User "{NOBODY}" cannot list resource "pods"' in said
    else:
        assert code == (4 if "cr:identity" in words else 2), said


OTHERS: list[tuple[str, ...]] = [
    ("drift", "detect", "-s", "spec.yaml", "--cluster", "live"),
    ("drift", "detect", "-s", "cr:identity", "--cluster", "live"),
    ("drift", "remediate", "-s", "spec.yaml", "--cluster", "live", "--yes"),
    ("fleet", "scan", "spec.yaml", "--all-contexts", "--store", "fleet.db"),
    ("fleet", "scan", "spec.yaml", "--all-contexts", "--store", "fleet.db", "--hub-reports", "--hub", "live"),
    ("fleet", "scan", "spec.yaml", "--source", "target", "--store", "fleet.db", "--hub", "live"),
    ("fleet", "scan", "spec.yaml", "--source", "argocd", "--store", "fleet.db", "--hub", "live"),
    ("fleet", "scan", "spec.yaml", "--source", "clusterprofile", "--store", "fleet.db", "--hub", "live"),
    ("fleet", "enforce", "spec.yaml", "--all-contexts", "--mode", "audit", "--yes"),
    ("fleet", "enforce", "spec.yaml", "--all-contexts", "--remove", "--yes"),
    ("cluster", "list", "--hub", "live"),
    ("cluster", "status", "--from", "contexts"),
    ("cluster", "add", "live", "--hub", "live", "--apply", "--yes"),
    ("cluster", "enable", "x", "--hub", "live", "--yes"),
    ("cluster", "rotate", "x", "--hub", "live", "--yes"),
    ("cluster", "remove", "x", "--hub", "live", "--yes"),
    ("cluster", "sync", "x", "-s", "spec.yaml", "--hub", "live", "--mode", "audit", "--yes"),
    ("dashboard", "--cluster", "live"),
]


@pytest.mark.parametrize("words", OTHERS, ids=" ".join)
def test_commands_of_fleets_and_drift_too(
    words: tuple[str, ...], run: Run, control_plane: ControlPlane
) -> None:
    since = control_plane.audit_position()
    code, said = run(*words)
    seen = [r for r in control_plane.requests_seen(since=since) if r.user_agent.startswith("pytest-kspec")]
    assert {request.user for request in seen} == {NOBODY}, said
    assert code or "status" in words, said


def test_the_kube_fixture_and_the_webhook_are_whom_the_kubeconfig_says(
    run: Run, control_plane: ControlPlane
) -> None:
    from kubernetes import client

    kubeconfig = os.environ["KUBECONFIG"]
    source = LiveSource("live", kubeconfig=kubeconfig)
    with pytest.raises(client.ApiException) as raised:
        client.CoreV1Api(source.api_client()).list_namespace()
    assert raised.value.status == 403
    with pytest.raises(AccessDenied, match=NOBODY):
        Writer(source).get("v1", "Namespace", "kube-system")
    source.close()
    with pytest.raises(AccessDenied, match=NOBODY):
        Access("live", kubeconfig).do(lambda writer: writer.get("v1", "Namespace", "kube-system"))
    fields = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}
    with pytest.raises(AccessDenied, match=NOBODY):
        Access("live", kubeconfig).do(lambda writer: writer.apply(fields))
