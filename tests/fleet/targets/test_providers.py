"""Credential providers: only what kspec's own file lists runs, and only its servers get what that gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kspec.errors import AccessDenied, KspecError, SourceUnavailable, UsageError
from pytest_kspec.fleet.targets.providers import VARIABLE, Providers, providers_by_environment, read_providers

FILE = """
providers:
- {name: eks, cloud: eks}
- {name: aks, cloud: aks}
- {name: gke, cloud: gke, servers: ["10.0.*"]}
- name: projected
  tokenFile: /var/run/secrets/kspec/prod/token
  servers: [prod.example.com]
- name: own
  servers: ["*.example.com"]
  exec:
    command: /usr/local/bin/helper
    args: [--cluster, "{clusterName}"]
    optional: {region: [--region, "{region}"]}
    env: {MODE: workload}
    passClusterInfo: true
"""
EKS = "https://0123.gr7.eu-central-1.eks.amazonaws.com"


@pytest.fixture
def providers(tmp_path: Path) -> Providers:
    path = tmp_path / "providers.yaml"
    path.write_text(FILE, encoding="utf-8")
    return providers_by_environment({VARIABLE: str(path)})


def command(providers: Providers, name: str, server: str, **parameters: str) -> list[str]:
    program = providers.user(name, parameters, server, where="t").exec
    assert program is not None
    assert program.interactive_mode == "Never"
    return [str(program.command), *(program.args or ())]


def test_what_each_gives(providers: Providers) -> None:
    assert providers.names == ("eks", "aks", "gke", "projected", "own")
    assert command(providers, "eks", EKS, clusterName="prod", region="eu-central-1") == [
        *("aws", "eks", "get-token", "--output", "json", "--cluster-name", "prod", "--region", "eu-central-1")
    ]
    assert command(providers, "aks", "https://x.hcp.westeurope.azmk8s.io:443")[:3] == [
        "kubelogin", "get-token", "--login"
    ]  # fmt: skip
    assert command(providers, "gke", "https://10.0.1.2") == [
        "gke-gcloud-auth-plugin", "--use_application_default_credentials"
    ]  # fmt: skip
    assert command(providers, "own", "https://a.example.com", clusterName="c") == [
        "/usr/local/bin/helper", "--cluster", "c"
    ]  # fmt: skip
    user = providers.user("projected", {}, "https://prod.example.com:6443", where="t")
    assert user.token_file == "/var/run/secrets/kspec/prod/token"


@pytest.mark.parametrize(
    "server",
    ["https://evil.com", "http://prod.example.com", "https://prod.example.com.evil.com", "https://evil.com/prod.example.com",
     "https://prod.example.com@evil.com", "https://evil.com#prod.example.com", "https://evil.com?prod.example.com",
     "", "https://[", "prod.example.com"],
)  # fmt: skip
def test_credentials_go_to_no_other_server(providers: Providers, server: str) -> None:
    with pytest.raises(AccessDenied, match="may not be sent to this server"):
        providers.user("projected", {}, server, where="t")


@pytest.mark.parametrize(
    "value",
    ["--profile=evil", "-x", "", " ", "a b", "a;b", "$(id)", "a\nb", "a\0b", "{region}", "x" * 300, "ä"],
)
def test_a_parameter_is_no_option(providers: Providers, value: str) -> None:
    with pytest.raises(SourceUnavailable, match="contains characters that are not allowed"):
        providers.user("eks", {"clusterName": value}, EKS, where="t")


def test_what_is_missing(providers: Providers) -> None:
    with pytest.raises(SourceUnavailable, match="the provider 'eks' needs the parameter 'clusterName'"):
        providers.user("eks", {}, EKS, where="t")
    with pytest.raises(AccessDenied, match="'sh' is not a credential provider of kspec"):
        providers.user("sh", {}, EKS, where="t")
    with pytest.raises(AccessDenied):
        Providers().user("eks", {}, EKS, where="t")
    assert providers_by_environment({}).names == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is not a file of credential providers"),
        ("providers: [{name: a}]", "must have one of cloud, exec and tokenFile"),
        ("providers: [{name: a, cloud: eks, tokenFile: /x}]", "must have one of"),
        ("providers: [{name: a, cloud: ibm}]", "not a file of credential providers"),
        ("providers: [{name: a, tokenFile: /x}]", "has no `servers`"),
        ("providers: [{name: a, tokenFile: x, servers: [b]}]", "must be absolute"),
        ("providers: [{name: a, exec: {command: ./x}, servers: [b]}]", "a name or an absolute path"),
        ("providers: [{name: a, exec: {command: x, shell: true}, servers: [b]}]", "not a file of"),
        ("providers: [{name: a, cloud: eks}, {name: a, cloud: gke}]", "two providers have the same name"),
        ("providers: [\n", "YAML"),
        ("a: 1\n---\nb: 1", "not a file of"),
    ],
)
def test_files_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_providers(str(path))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(KspecError, match="could not be read"):
            read_providers(str(path))
