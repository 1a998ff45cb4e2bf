"""Google's own helper, as workload identity has it: a token of a metadata server, which an API server accepts."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pytest_kspec.errors import SourceError
from pytest_kspec.fleet.targets.find import Wanted, find_targets
from pytest_kspec.fleet.targets.providers import Provider, Providers
from tests.controlplane.server import ControlPlane
from tests.fleet.targets.conftest import HubCluster, ca, hub, hub_cluster
from tests.fleet.targets.test_clustertargets import opened, uid

__all__ = ["hub", "hub_cluster"]

HELPER = "gke-gcloud-auth-plugin"
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"

pytestmark = pytest.mark.long


class Metadata(HTTPServer):
    """The metadata server of a node, which knows one token. token "": it refuses."""

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token, self.asked = token, 0


class _Handler(BaseHTTPRequestHandler):
    server: Metadata

    def do_GET(self) -> None:
        text = "project"
        code = 200 if self.headers.get("Metadata-Flavor") == "Google" else 403
        if self.path.startswith(TOKEN):
            self.server.asked += 1
            given = {"access_token": self.server.token, "expires_in": 3599, "token_type": "Bearer"}
            text, code = json.dumps(given), code if self.server.token else 404
        self.send_response(code)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def metadata(second_control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    assert shutil.which(HELPER), (
        f"this needs {HELPER}: apt-get install google-cloud-cli-gke-gcloud-auth-plugin"
    )
    made = Metadata(second_control_plane.token)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{made.server_port}")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    yield made
    made.shutdown()
    made.server_close()


def test_a_token_of_the_metadata_server_opens_a_cluster(
    hub: HubCluster, second_control_plane: ControlPlane, metadata: Metadata
) -> None:
    plane = second_control_plane
    provider = {"name": "gke"}
    hub.target(
        "gke", authMode="provider", credentialProvider=provider, apiServerURL=plane.url, caData=ca(plane)
    )
    providers = Providers((Provider(name="gke", cloud="gke", servers=("127.0.0.1",)),), "here")
    (target,) = find_targets(Wanted(("gke",), sources=("target",)), hub.hub(providers))
    assert opened(target) == uid(plane)
    assert metadata.asked == 1
    # A node that has no identity is an error of the cluster, in words that have no token.
    metadata.token = ""
    (target,) = find_targets(Wanted(("gke",), sources=("target",)), hub.hub(providers))
    with pytest.raises(SourceError, match=HELPER) as wrong:
        opened(target)
    assert plane.token not in str(wrong.value)
