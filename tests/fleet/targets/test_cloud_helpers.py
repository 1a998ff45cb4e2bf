"""The helpers of Azure and AWS themselves: what they print opens a cluster. The clouds' endpoints are stand-ins."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pytest_kspec.errors import SourceError
from pytest_kspec.fleet.targets.find import Wanted, find_targets
from pytest_kspec.fleet.targets.providers import ExecProvider, Provider, Providers
from tests.controlplane.certificates import Authority
from tests.controlplane.fixtures import ControlPlaneFactory
from tests.controlplane.server import ControlPlane
from tests.fleet.targets.conftest import CANARY, HubCluster, ca, hub, hub_cluster
from tests.fleet.targets.helpers import helper
from tests.fleet.targets.test_clustertargets import opened, uid

__all__ = ["hub", "hub_cluster"]

pytestmark = pytest.mark.long

LOGIN = "login.microsoftonline.com"
TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
CLUSTER = "prod"


class Entra(ThreadingHTTPServer):
    """Microsoft's login service behind the proxy of the network. token "": nobody is let in."""

    daemon_threads = True

    def __init__(self, folder: Path, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Login)
        self.token = token
        self.asked: list[dict[str, str]] = []
        self.authority = Authority(folder, "entra")
        pair = self.authority.issue("entra", hosts=(LOGIN,))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(pair.certificate, pair.key)


class _Login(BaseHTTPRequestHandler):
    server: Entra
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        """The way to the one host that there is; then the same handler, through TLS."""
        if self.path != f"{LOGIN}:443":
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        inside = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.connection = self.request = inside
        self.rfile, self.wfile = inside.makefile("rb"), inside.makefile("wb")

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def do_GET(self) -> None:
        at = f"https://{LOGIN}/{TENANT}"
        if "/discovery/instance" in self.path:
            names = [LOGIN, "login.windows.net"]
            self._say(
                200,
                {
                    "tenant_discovery_endpoint": f"{at}/v2.0/.well-known/openid-configuration",
                    "metadata": [{"preferred_network": LOGIN, "preferred_cache": names[1], "aliases": names}],
                },
            )
            return
        self._say(
            200,
            {
                "token_endpoint": f"{at}/oauth2/v2.0/token",
                "authorization_endpoint": f"{at}/oauth2/v2.0/authorize",
                "issuer": f"{at}/v2.0",
            },
        )

    def do_POST(self) -> None:
        sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked.append({name: values[0] for name, values in sent.items()})
        if not self.server.token:
            self._say(401, {"error": "invalid_client", "error_description": "AADSTS700016: no application"})
            return
        self._say(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": self.server.token})

    def _say(self, code: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def entra(
    tmp_path: Path, second_control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Entra]:
    made = Entra(tmp_path, second_control_plane.token)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    (tmp_path / "federated").write_text(CANARY)
    for name, value in {
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "federated"),
        "AZURE_AUTHORITY_HOST": f"https://{LOGIN}/",
        "HTTPS_PROXY": f"http://127.0.0.1:{made.server_port}",
        "NO_PROXY": "127.0.0.1",
        "SSL_CERT_FILE": str(made.authority.certificate),
        "HOME": str(tmp_path),
        "PATH": str(helper("kubelogin").parent),
    }.items():
        monkeypatch.setenv(name, value)
    yield made
    made.shutdown()
    made.server_close()


def test_workload_identity_of_azure_opens_a_cluster(
    hub: HubCluster,
    second_control_plane: ControlPlane,
    entra: Entra,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plane = second_control_plane
    provider = {"name": "aks"}
    hub.target(
        "aks", authMode="provider", credentialProvider=provider, apiServerURL=plane.url, caData=ca(plane)
    )
    providers = Providers((Provider(name="aks", cloud="aks", servers=("127.0.0.1",)),), "here")
    (target,) = find_targets(Wanted(("aks",), sources=("target",)), hub.hub(providers))
    assert opened(target) == uid(plane)
    asked = entra.asked[-1]
    assert (asked["client_id"], asked["client_assertion"]) == (CLIENT, CANARY)
    assert "6dae42f8-4368-4678-94ff-3960e28e3630/.default" in asked["scope"]
    # Whom Entra does not know is an error of the cluster, in words that have no token.
    entra.token = ""
    monkeypatch.setenv("HOME", str(tmp_path / "other"))  # the helper keeps tokens there
    (target,) = find_targets(Wanted(("aks",), sources=("target",)), hub.hub(providers))
    with pytest.raises(SourceError, match="kubelogin") as wrong:
        opened(target)
    assert CANARY not in str(wrong.value)


class Reviews(ThreadingHTTPServer):
    """Who an API server asks about tokens; it knows what the requests are that AWS's helper signs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Review)
        self.seen: list[str] = []


class _Review(BaseHTTPRequestHandler):
    server: Reviews

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = review["spec"]["token"]
        self.server.seen.append(token)
        review["status"] = {"authenticated": False}
        if token.startswith("k8s-aws-v1."):
            text = token.removeprefix("k8s-aws-v1.")
            signed = urlsplit(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
            asked = {name: values[0] for name, values in parse_qs(signed.query).items()}
            known = (
                signed.hostname == "sts.eu-central-1.amazonaws.com"
                and asked["Action"] == "GetCallerIdentity"
                and asked["X-Amz-Credential"].startswith("AKIDEXAMPLE/")
                and "x-k8s-aws-id" in asked["X-Amz-SignedHeaders"]
            )
            if known:
                user = {"username": "arn:aws:iam::1:role/scan", "groups": ["system:masters"]}
                review["status"] = {"authenticated": True, "user": user}
        text = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_what_the_helper_of_aws_signs_opens_a_cluster(
    hub: HubCluster,
    control_plane_factory: ControlPlaneFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reviews = Reviews()
    threading.Thread(target=reviews.serve_forever, daemon=True).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "w", "cluster": {"server": f"http://127.0.0.1:{reviews.server_port}"}}],
        "users": [{"name": "u"}],
        "contexts": [{"name": "w", "context": {"cluster": "w", "user": "u"}}],
        "current-context": "w",
    }
    (tmp_path / "webhook.json").write_text(json.dumps(config))
    plane = control_plane_factory(
        audited=False,
        flags=[f"--authentication-token-webhook-config-file={tmp_path / 'webhook.json'}"],
    )
    program = ExecProvider(
        command=str(helper("aws-iam-authenticator")),
        args=("token", "--cluster-id", "{clusterName}"),
        env={"AWS_STS_REGIONAL_ENDPOINTS": "regional"},
        api_version="client.authentication.k8s.io/v1beta1",
    )
    provider = Provider(name="iam", servers=("127.0.0.1",), exec=program)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "AWS_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    chosen = {"name": "iam", "parameters": {"clusterName": CLUSTER}}
    hub.target(
        "iam", authMode="provider", credentialProvider=chosen, apiServerURL=plane.url, caData=ca(plane)
    )
    providers = Providers((provider,), "here")
    try:
        (target,) = find_targets(Wanted(("iam",), sources=("target",)), hub.hub(providers))
        assert opened(target) == uid(plane)
        assert reviews.seen
        # Without an identity it is an error of the cluster, and what was known of one is not said.
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        (target,) = find_targets(Wanted(("iam",), sources=("target",)), hub.hub(providers))
        with pytest.raises(SourceError, match="aws-iam-authenticator") as wrong:
            opened(target)
        assert CANARY not in str(wrong.value)
    finally:
        reviews.shutdown()
        reviews.server_close()
