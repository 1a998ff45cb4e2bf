"""Who a real API server takes requests for: the same as kubectl's, in every command that talks to a cluster."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cli import main as main_module
from pytest_kspec.cli.arguments import Parser
from pytest_kspec.cli.main import main
from pytest_kspec.cluster.api.http import Connection
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import AccessDenied
from tests.controlplane.process import GUARD
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


def ours(plane: ControlPlane, since: int) -> list[Any]:
    """What kspec asked for since then."""
    return [r for r in plane.requests_seen(since=since) if r.user_agent.startswith("pytest-kspec")]


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
    seen = ours(control_plane, since)
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
    ("cluster", "add", "live", "--hub", "live", "--apply"),
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
    seen = ours(control_plane, since)
    assert {request.user for request in seen} == {NOBODY}, said
    assert code or "status" in words, said


SERVING: list[tuple[str, ...]] = [
    ("drift", "watch", "-s", "spec.yaml", "--cluster", "live"),
    ("operator", "--cluster=live", "--leader-elect=false", "--metrics-bind-address=0",
     "--health-probe-bind-address=0"),
    ("webhook", "--from-cluster", "--cluster=live", "--self-signed=tls", "--host=127.0.0.1", "--port=0",
     "--read-port=0"),
    ("dashboard", "--serve", "--cluster=live", "--port=0"),
]  # fmt: skip


@pytest.mark.parametrize("words", SERVING, ids=" ".join)
def test_what_goes_on_until_it_is_ended_too(
    words: tuple[str, ...], run: Run, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """run: for its environment."""
    since = control_plane.audit_position()
    program = (sys.executable, "-m", "pytest_kspec.cli.main")
    with (tmp_path / "log").open("wb") as log:
        serving = subprocess.Popen([*program, *words], stdout=log, stderr=log, start_new_session=True)
    GUARD.add(serving.pid, tmp_path / "none")
    try:
        deadline = time.monotonic() + 120
        while not (seen := ours(control_plane, since)) and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        serving.kill()
        serving.wait(30)
        GUARD.remove(serving.pid)
    assert {request.user for request in seen} == {NOBODY}, (tmp_path / "log").read_text()


def test_a_worker_of_a_fleet_too(run: Run, control_plane: ControlPlane) -> None:
    """Of a run that another process began."""
    words = ("--all-contexts", "--store", "fleet.db", "--no-wait")
    _, said = run("fleet", "scan", "spec.yaml", *words)
    made = said.partition("--run ")[2].split()[0]
    since = control_plane.audit_position()
    _, said = run("fleet", "work", f"--run={made}", "--index=0", "--store", "fleet.db")
    assert {request.user for request in ours(control_plane, since)} == {NOBODY}, said


NO_CLUSTER = {
    "validate", "render", "report", "evidence", "verify", "audit verify", "checks", "explain", "frameworks", "schema",
    "crds", "completion", "version", *(f"history {word}" for word in ("show", "add", "get", "prune", "rewrap")),
    "alert test", "alert list", "drift history", "fleet report", "fleet status", "fleet list", "cluster discover",
}  # fmt: skip
"""Those that read files, a store, or addresses that are no cluster's."""
ELSEWHERE = {"cluster disable"}
"""Those that go the way of another: `enable` and `disable` differ in a value."""


def test_every_command_that_talks_to_a_cluster_is_tried_as_somebody_else() -> None:
    tried = {" ".join(words[:count]) for words in (*COMMANDS, *OTHERS, *SERVING) for count in (1, 2)}
    there: set[str] = set()
    for name in main_module.COMMANDS:
        actions: list[str] = []
        if name != "version":
            parser = Parser(name, description="", examples="")
            import_module(f"pytest_kspec.cli.commands.{name}").add_arguments(parser)
            actions = [
                word
                for action in parser._actions
                if not action.option_strings and action.choices and name != "completion"
                for word in action.choices
            ]
        there |= {f"{name} {word}" for word in actions} or {name}
    assert there - tried - {"fleet work"} == NO_CLUSTER | ELSEWHERE


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
