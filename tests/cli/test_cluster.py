"""`kspec cluster discover | add | list | status` as users run it, on real API servers."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.fleet.targets.proof import READ
from pytest_kspec.reports.shared.text import width_of
from tests.cli.conftest import Kspec
from tests.cluster.api import Api, kubeconfig
from tests.controlplane.server import ControlPlane
from tests.fleet.targets.conftest import CANARY, HubCluster, b64, hub, hub_cluster

__all__ = ["hub", "hub_cluster"]

ARN = "arn:aws:eks:eu-central-1:111122223333:cluster/prod"
KUBECTL = Path(sys.executable).with_name("kubectl")


def contexts(folder: Path, **users: dict[str, Any]) -> Path:
    """A kubeconfig with a context for each user, all of one server that is not there."""
    path = folder / "config"
    cluster = {"server": "https://127.0.0.1:1"}
    data = {
        "contexts": [{"name": name, "context": {"cluster": "c", "user": name}} for name in users],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": name, "user": user} for name, user in users.items()],
    }
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def beside(hub: HubCluster, path: Path) -> Path:
    """This kubeconfig with the entries of the hub added."""
    data = yaml.safe_load(path.read_text())
    own = yaml.safe_load(hub.plane.kubeconfig().read_text())
    for part in ("contexts", "clusters", "users"):
        data[part] += own[part]
    path.write_text(yaml.safe_dump(data))
    return path


def minted(seconds: int, *, age: int = 0) -> str:
    now = int(time.time()) - age
    return jwt.encode({"sub": CANARY, "iat": now, "exp": now + seconds}, "k" * 32, algorithm="HS256")


def test_discover_lists_contexts_in_the_words_of_v03(kspec: Kspec, tmp_path: Path) -> None:
    program = {"command": "x", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    path = contexts(
        tmp_path,
        **{  # type: ignore[arg-type]
            "kind-dev": {"token": CANARY},
            ARN: {"exec": program},
            "a@b": {"tokenFile": "x"},
            "odd": {"tokn": 1},
        },
    )
    said = kspec("cluster", "discover", "--kubeconfig", path)
    assert (said.code, said.err) == (0, "")
    lines = [line.split() for line in said.out.splitlines()]
    assert lines[0] == ["Discovered", "4", "cluster(s)"]
    assert lines[2:] == [
        ["NAME", "CONTEXT", "API", "SERVER", "AUTH"],
        ["a-at-b-7508d8b5", "a@b", "https://127.0.0.1:1", "token"],
        ["arn-aws-eks-eu-central-1-111122223333-cluster-prod-9e573f8b", ARN, "https://127.0.0.1:1", "exec"],
        ["kind-dev", "kind-dev", "https://127.0.0.1:1", "token"],
        ["odd", "odd", "unknown", "unknown"],
    ]
    found = json.loads(kspec("cluster", "discover", "--kubeconfig", path, "-o", "json").out)
    assert [one["auth"] for one in found] == ["token", "exec", "token", "unknown"]
    names = kspec("cluster", "discover", "--kubeconfig", path, "-o", "name").out.split()
    assert names == [one["name"] for one in found]


def test_added_clusters_are_listed_and_answer(
    kspec: Kspec, hub: HubCluster, second_control_plane: ControlPlane, tmp_path: Path
) -> None:
    """The way of the guide: add, kubectl apply, list, status."""
    plane = second_control_plane
    said = kspec("cluster", "add", plane.name, "--kubeconfig", plane.kubeconfig(), "--label", "env=prod")
    assert said.code == 0, said.err
    assert f"{plane.name}: v1." in said.err
    assert "as admin: everything that a scan reads may be listed" in said.err
    assert "it is not known when its token expires" in said.err
    assert plane.token not in said.out + said.err
    objects = list(yaml.safe_load_all(said.out))
    assert [one["kind"] for one in objects] == ["Secret", "ClusterTarget"]
    for one in objects:
        hub.track(one)
    config = hub.plane.kubeconfig()
    applied = subprocess.run(
        [KUBECTL, "--kubeconfig", config, "apply", "-f", "-"],
        input=said.out, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert applied.returncode == 0, applied.stderr
    at_hub = ("--kubeconfig", config, "-l", "env=prod")
    listed = kspec("cluster", "list", *at_hub)
    assert [line.split() for line in listed.out.splitlines()] == [
        ["NAME", "API", "SERVER", "REACHABLE", "VERSION", "PLATFORM", "NODES", "ENFORCE"],
        [plane.name, plane.url, "unknown", "<none>", "<none>", "unknown", "no"],
    ]
    status = kspec("cluster", "status", *at_hub, "-o", "json")
    assert (status.code, status.err) == (0, "")
    (row,) = json.loads(status.out)
    assert (row["reachable"], row["credentialsValid"], row["nodes"]) == (True, True, 0)
    assert row["uid"] == plane.request("GET", "/api/v1/namespaces/kube-system").body["metadata"]["uid"]
    assert plane.token not in status.out


def test_two_names_of_one_cluster_are_one(kspec: Kspec, control_plane: ControlPlane, tmp_path: Path) -> None:
    data = yaml.safe_load(control_plane.kubeconfig().read_text())
    data["contexts"].append({**data["contexts"][0], "name": "another"})
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(data))
    said = kspec("cluster", "status", "--from", "contexts", "--kubeconfig", path, "-o", "json")
    assert said.code == 0, said.err
    assert {row["name"]: row["sameAs"] for row in json.loads(said.out)} == {
        "another": "",
        control_plane.name: "another",
    }


def test_a_dead_cluster_is_an_error_and_the_others_are_shown(
    kspec: Kspec, control_plane: ControlPlane, tmp_path: Path
) -> None:
    data = yaml.safe_load(control_plane.kubeconfig().read_text())
    data["clusters"].append({"name": "dead", "cluster": {"server": "https://127.0.0.1:1"}})
    user = data["users"][0]["name"]
    data["contexts"].append({"name": "dead", "context": {"cluster": "dead", "user": user}})
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(data))
    said = kspec("cluster", "status", "--from", "contexts", "--kubeconfig", path)
    assert said.code == 2
    rows = {line.split()[0]: line.split()[1:3] for line in said.out.splitlines()}
    assert rows == {
        "NAME": ["REACHABLE", "CREDENTIALS"], "dead": ["no", "unknown"], control_plane.name: ["yes", "yes"],
    }  # fmt: skip
    assert "dead: dead: the API server does not answer" not in said.err
    assert "dead: the API server does not answer" in said.err


@pytest.mark.parametrize(
    ("seconds", "age", "message"),
    [
        (8760 * 3600, 0, "its credentials are valid for 365 days"),
        (86400, 0, "its credentials expire at"),
        (86400, 90000, "its credentials expired at"),
    ],
    ids=["year", "day", "expired"],
)
def test_the_life_of_a_token_is_said(
    kspec: Kspec, tmp_path: Path, seconds: int, age: int, message: str
) -> None:
    path = contexts(tmp_path, dev={"token": minted(seconds, age=age)})
    said = kspec("cluster", "add", "dev", "--kubeconfig", path, "--no-proof")
    assert f"dev: {message}" in said.err
    assert said.code == (2 if age else 0)
    assert bool(said.out) is not bool(age)


def test_what_cannot_be_stored_is_refused_and_the_others_are_written(kspec: Kspec, tmp_path: Path) -> None:
    program = {"command": "x", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    path = contexts(
        tmp_path,
        plugin={"exec": program},
        basic={"username": "a", "password": CANARY},
        file={"tokenFile": str(tmp_path / "token")},
        fine={"token": "t0ken"},
    )
    said = kspec("cluster", "add", "plugin", "basic", "file", "fine", "--kubeconfig", path, "--no-proof")
    assert said.code == 2
    assert "plugin: its credentials come from a program (x)" in said.err
    assert "basic: its credentials cannot be stored" in said.err
    assert "file: the file of `tokenFile` could not be read" in said.err
    assert CANARY not in said.out + said.err
    assert [one["metadata"]["name"] for one in yaml.safe_load_all(said.out)] == ["fine-kubeconfig", "fine"]
    (tmp_path / "token").write_text(CANARY)
    said = kspec("cluster", "add", "file", "--kubeconfig", path, "--no-proof", "-o", "json")
    secret, target = json.loads(said.out)["items"]
    stored = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
    assert stored["users"] == [{"name": "file", "user": {"token": CANARY}}]
    assert target["spec"]["authMode"] == "kubeconfig"


def test_credentials_in_addresses_and_names_with_line_ends_are_not_shown(
    kspec: Kspec, tmp_path: Path
) -> None:
    """Of a server, they are refused; of a proxy, they go into a Secret only."""
    path = contexts(tmp_path, dev={"token": "t"}, **{"two\nlines": {"token": "t"}})
    data = yaml.safe_load(path.read_text())
    data["clusters"][0]["cluster"]["server"] = f"https://me:{CANARY}@127.0.0.1:1"
    path.write_text(yaml.safe_dump(data))
    for words in (("discover",), ("discover", "-o", "json"), ("status", "--from", "contexts", "-o", "json")):
        said = kspec("cluster", *words, "--kubeconfig", path)
        assert CANARY not in said.out + said.err
    assert [line.partition(": ")[0] for line in said.err.splitlines()] == ["dev", "two\\nlines"]
    said = kspec("cluster", "add", "dev", "--no-proof", "--kubeconfig", path)
    assert (said.code, said.out) == (2, "")
    assert "`server` contains a user name or a password" in said.err
    data["clusters"][0]["cluster"] = {
        "server": "https://127.0.0.1:1",
        "proxy-url": f"http://me:{CANARY}@127.0.0.1:2",
    }
    path.write_text(yaml.safe_dump(data))
    said = kspec("cluster", "add", "dev", "--no-proof", "--provider", "eks", "--kubeconfig", path)
    assert (said.code, said.out) == (2, "")
    assert "its `proxy-url` has a user name or a password" in said.err
    said = kspec("cluster", "add", "dev", "--no-proof", "--kubeconfig", path)
    assert said.code == 0
    assert CANARY not in said.out + said.err


def test_a_provider_instead_of_credentials(kspec: Kspec, tmp_path: Path) -> None:
    program = {"command": "x", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    path = contexts(tmp_path, **{ARN: {"exec": program}})
    words = ("cluster", "add", ARN, "--kubeconfig", path, "--no-proof", "--provider", "eks")
    said = kspec(*words, "--parameter", "clusterName=prod")
    (target,) = yaml.safe_load_all(said.out)
    assert target["spec"] == {
        "apiServerURL": "https://127.0.0.1:1",
        "authMode": "provider",
        "credentialProvider": {"name": "eks", "parameters": {"clusterName": "prod"}},
    }
    assert target["metadata"]["annotations"] == {"kspec.io/context": ARN}


def test_a_provider_does_not_take_the_place_of_whom_a_context_impersonates(
    kspec: Kspec, tmp_path: Path
) -> None:
    path = contexts(tmp_path, dev={"token": "t0ken", "as": "auditor", "as-groups": ["auditors"]})
    words = ("cluster", "add", "dev", "--kubeconfig", path, "--no-proof", "-o", "json")
    said = kspec(*words, "--provider", "eks")
    assert (said.code, said.out) == (2, "")
    assert "dev: `as` cannot be kept with the credentials of a provider" in said.err
    secret, _ = json.loads(kspec(*words).out)["items"]
    stored = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))["users"][0]["user"]
    assert stored == {"token": "t0ken", "as": "auditor", "as-groups": ["auditors"]}


def test_a_cluster_that_does_not_let_itself_be_scanned_is_not_added(
    kspec: Kspec, control_plane_factory: Any
) -> None:
    plane = control_plane_factory(users={"nobody": ()})
    said = kspec("cluster", "add", plane.name, "--kubeconfig", plane.kubeconfig("nobody"))
    assert (said.code, said.out) == (2, "")
    assert "a scan as nobody would lack the permissions: " in said.err
    assert "list pods" in said.err
    assert "get namespaces/kube-system" in said.err


def test_a_cluster_that_is_away_is_not_added(kspec: Kspec, tmp_path: Path) -> None:
    said = kspec("cluster", "add", "dev", "--kubeconfig", contexts(tmp_path, dev={"token": CANARY}))
    assert (said.code, said.out) == (2, "")
    assert "dev: the API server does not answer" in said.err


def test_apply_writes_to_the_hub(kspec: Kspec, hub: HubCluster, tmp_path: Path) -> None:
    path = beside(hub, contexts(tmp_path, dev={"token": CANARY}))
    words = ("cluster", "add", "dev", "--kubeconfig", path, "--no-proof", "--apply", "--hub", hub.plane.name)
    said = kspec(*words, "--dry-run")
    assert said.out.splitlines()[0] == f"ClusterTarget {NAMESPACE}/dev would be applied"
    assert hub.writer.find("kspec.io/v1alpha1", "ClusterTarget", "dev", namespace=NAMESPACE) is None
    said = kspec(*words)
    assert (said.code, said.out) == (
        0,
        f"ClusterTarget {NAMESPACE}/dev applied\nSecret {NAMESPACE}/dev-kubeconfig applied\n",
    )
    assert CANARY not in said.err
    for kind, name in (("Secret", "dev-kubeconfig"), ("ClusterTarget", "dev")):
        version = "v1" if kind == "Secret" else "kspec.io/v1alpha1"
        hub.track(hub.writer.get(version, kind, name, namespace=NAMESPACE))


def test_a_name_that_is_taken_is_not_taken_over(kspec: Kspec, hub: HubCluster, tmp_path: Path) -> None:
    """Two people may call two clusters the same; and other programs, too, call a Secret NAME-kubeconfig."""
    path = contexts(tmp_path, prod={"token": CANARY}, other={"token": CANARY})
    data = yaml.safe_load(path.read_text())
    own = yaml.safe_load(hub.plane.kubeconfig().read_text())
    for part in ("contexts", "clusters", "users"):
        data[part] += own[part]
    path.write_text(yaml.safe_dump(data))
    hub.target(
        "prod",
        apiServerURL="https://127.0.0.1:2",
        authMode="kubeconfig",
        kubeconfigSecretRef={"name": "prod-kubeconfig"},
    )
    hub.secret("prod-kubeconfig", labels={"kspec.io/cluster-target": "prod"}, kubeconfig="theirs")
    hub.secret("other-kubeconfig", value="of another program")
    words = ("cluster", "add", "--kubeconfig", path, "--no-proof", "--apply", "--hub", hub.plane.name)
    said = kspec(*words, "prod")
    assert (said.code, said.out) == (4, "")
    assert "it exists, and is the cluster at https://127.0.0.1:2, not at https://127.0.0.1:1" in said.err
    said = kspec(*words, "other")
    assert (said.code, said.out) == (4, "")
    assert f"Secret {NAMESPACE}/other-kubeconfig: it exists, and was not created by" in said.err
    for name in ("prod-kubeconfig", "other-kubeconfig"):
        assert set(hub.writer.get("v1", "Secret", name, namespace=NAMESPACE)["data"]) <= {
            "kubeconfig",
            "value",
        }
    assert hub.writer.find("kspec.io/v1alpha1", "ClusterTarget", "other", namespace=NAMESPACE) is None
    # The same cluster again is what renews its credentials.
    hub.target(
        "prod",
        apiServerURL="https://127.0.0.1:1/",
        authMode="kubeconfig",
        kubeconfigSecretRef={"name": "prod-kubeconfig"},
    )
    assert "applied" in kspec(*words, "prod", "--dry-run").out


def test_clusters_of_argo_cd_become_targets(
    kspec: Kspec, hub: HubCluster, second_control_plane: ControlPlane, tmp_path: Path
) -> None:
    """One that answers, one of a cloud, one that names a program, Argo CD's own, and two names that are none."""
    plane = second_control_plane
    config = hub.plane.kubeconfig()

    def argo(name: str, server: str, text: dict[str, Any], **labels: str) -> None:
        mark = {"argocd.argoproj.io/secret-type": "cluster", **labels}
        hub.secret(f"argo-{name}", labels=mark, name=name, server=server, config=json.dumps(text))

    tls = {"caData": b64(plane.authority.bundle)}
    argo("good", plane.url, {"bearerToken": plane.token, "tlsClientConfig": tls}, env="prod")
    aws = {"clusterName": "prod", "roleARN": "arn:aws:iam::1:role/x"}
    argo("cloud", "https://127.0.0.1:1", {"awsAuthConfig": aws, "tlsClientConfig": tls}, env="prod")
    argo("program", "https://127.0.0.1:1", {"execProviderConfig": {"command": "sh"}}, env="prod")
    argo("password", "https://127.0.0.1:1", {"username": "a", "password": CANARY}, env="prod")
    argo("own", "https://kubernetes.default.svc", {}, env="test")
    words = ("cluster", "add", "--from-argocd", "--argocd-namespace", NAMESPACE, "--kubeconfig", config)
    said = kspec(*words, "-l", "env=prod", "-o", "json", "--no-proof", "--label", "from=argo")
    assert said.code == 2
    assert "execProviderConfig" in said.err
    assert "a user name and a password" in said.err
    assert CANARY not in said.out + said.err
    items = {(one["kind"], one["metadata"]["name"]): one for one in json.loads(said.out)["items"]}
    assert set(items) == {
        ("Secret", "good-kubeconfig"),
        ("ClusterTarget", "good"),
        ("ClusterTarget", "cloud"),
    }
    good, cloud = items["ClusterTarget", "good"], items["ClusterTarget", "cloud"]
    assert good["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "kspec",
        "env": "prod",
        "from": "argo",
    }
    assert good["metadata"]["annotations"] == {"kspec.io/argocd": f"{NAMESPACE}/argo-good"}
    assert good["spec"]["apiServerURL"] == plane.url
    assert cloud["spec"] == {
        "apiServerURL": "https://127.0.0.1:1",
        "authMode": "provider",
        "credentialProvider": {"name": "eks", "parameters": aws},
        "caData": tls["caData"],
    }
    said = kspec(*words, "own", "-o", "json")
    assert (said.code, said.out) == (2, "")
    assert "it is the cluster in which Argo CD runs" in said.err
    # Proven and applied; then it is a target like any other.
    said = kspec(*words, "good", "--apply")
    assert said.code == 0, said.err
    assert "everything that a scan reads may be listed" in said.err
    for kind, name in (("Secret", "good-kubeconfig"), ("ClusterTarget", "good")):
        version = "v1" if kind == "Secret" else "kspec.io/v1alpha1"
        hub.track(hub.writer.get(version, kind, name, namespace=NAMESPACE))
    said = kspec("cluster", "status", "good", "--kubeconfig", config, "-o", "json")
    assert (said.code, json.loads(said.out)[0]["reachable"]) == (0, True), said.err
    assert kspec(*words, "none").code == 4
    assert kspec(*words, "-l", "env=none").code == 4
    assert kspec(*words, "good", "--name", "x").code == 4


def test_a_hub_that_refuses_a_part_gets_nothing(kspec: Kspec, hub: HubCluster, tmp_path: Path) -> None:
    """No Secret without its ClusterTarget: all is tried before anything is written."""
    path = beside(hub, contexts(tmp_path, dev={"token": CANARY}))
    words = ("cluster", "add", "dev", "--kubeconfig", path, "--no-proof", "--apply", "--hub", hub.plane.name)
    said = kspec(*words, "--namespace", "nowhere")
    assert said.code != 0
    said = kspec(*words, "--label", "kspec.io/group=a", "--name", "dev")
    assert said.code == 0
    for kind, name in (("Secret", "dev-kubeconfig"), ("ClusterTarget", "dev")):
        version = "v1" if kind == "Secret" else "kspec.io/v1alpha1"
        hub.track(hub.writer.get(version, kind, name, namespace=NAMESPACE))


def test_a_kubeconfig_that_is_not_there_is_named(
    kspec: Kspec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "none"
    monkeypatch.setenv("KUBECONFIG", str(path))
    text = f"$KUBECONFIG names {path}, which does not exist."
    for words in (("cluster", "discover"), ("cluster", "add", "dev"), ("cluster", "status", "--from", "contexts"),
                  ("fleet", "scan", "template:security-baseline", "--all-contexts"), ("cluster", "list")):  # fmt: skip
        said = kspec(*words)
        assert text in said.err, (words, said.err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add",), "no context is given"),
        (("add", "none"), "'none' is not a kubeconfig context"),
        (("add", "dev", "-o", "wide"), "the output format of add must be yaml or json"),
        (("add", "dev", "--label", "x"), "'x' has no '=' between a key and a value"),
        (("add", "dev", "--label", "a b=c"), "is not a label"),
        (("add", "dev", "--name", "A"), "cannot be the name of a ClusterTarget"),
        (("add", "dev", "dev2", "--name", "a"), "cannot be used with several contexts"),
        (("add", "dev", "--parameter", "a=b"), "requires --provider"),
        (("discover", "x"), "discover lists all contexts"),
        (("list", "--from", "contexts", "-l", "a=b=c"), "this is not a label selector"),
        (("list", "--from", "contexts", "none"), "'none' is not the name of a cluster"),
        (("list", "--from", "argo"), "invalid choice"),
    ],
)
def test_usage(kspec: Kspec, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    said = kspec("cluster", *words, "--kubeconfig", contexts(tmp_path, dev={"token": "t"}))
    assert (said.code, said.out) == (4, "")
    assert message in said.err


def test_on_a_terminal_credentials_are_not_printed(
    kspec: Kspec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = contexts(tmp_path, dev={"token": CANARY})
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    said = kspec("cluster", "add", "dev", "--kubeconfig", path, "--no-proof")
    assert (said.code, said.out) == (4, "")
    assert "the output contains credentials" in said.err
    assert kspec("cluster", "add", "dev", "--kubeconfig", path, "--no-proof", "--with-secret").code == 0


@pytest.mark.parametrize("columns", [80, 100, 300])
def test_a_table_fits_into_a_terminal(
    kspec: Kspec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Of whatever characters names are: columns stand below each other. Who reads all of it has -o wide, or a pipe."""
    arn = "arn:aws:eks:eu-central-1:123456789012:cluster/prod-payments-europe"
    path = contexts(
        tmp_path, **{name: {"token": "t"} for name in (arn, "集群-生产-一号", "прод/ünï ✓", "dev")}
    )
    words = ("cluster", "list", "--from", "contexts", "--kubeconfig", path)
    full = kspec(*words).out
    assert arn in full
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = kspec(*words).out
    assert (shown == full) == (columns == 300)
    for text in (shown, full):
        header, *lines = text.splitlines()
        assert len(lines) == 4
        assert text is full or all(width_of(line) <= columns for line in (header, *lines))
        at = header.index("API SERVER")
        assert {width_of(line[: line.index("http")]) for line in lines} == {at}
    assert arn in kspec(*words, "-o", "wide").out


def test_a_hub_that_has_no_targets_is_an_error(kspec: Kspec, tmp_path: Path) -> None:
    with Api() as api:
        said = kspec("cluster", "list", "--kubeconfig", kubeconfig(tmp_path, api.url))
    assert (said.code, said.out) == (2, "")
    assert "ClusterTarget" in said.err


def test_what_access_is_proven_is_what_the_scanner_role_grants() -> None:
    role = yaml.safe_load_all((Path(__file__).parents[2] / "config/rbac/scanner.yaml").read_text())
    rules = next(one for one in role if one["kind"] == "ClusterRole")["rules"]
    groups = {group for rule in rules for group in rule["apiGroups"]}
    assert {kind.rpartition("/")[0] for kind in READ} <= groups
