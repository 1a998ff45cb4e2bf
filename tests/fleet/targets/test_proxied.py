"""A cluster behind a proxy: what a Secret of Argo CD or a ClusterTarget says of it is used, or it is an error."""

from __future__ import annotations

import pytest

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.fleet.targets.model import Target
from tests.cluster.socks import SocksServer
from tests.controlplane.server import ControlPlane
from tests.fleet.targets.conftest import HubCluster, ca
from tests.fleet.targets.test_clustertargets import failure, opened, uid
from tests.fleet.targets.test_clustertargets import found as targets_of
from tests.fleet.targets.test_sources import argo
from tests.fleet.targets.test_sources import found as of_source


def target(hub: HubCluster, source: str, plane: ControlPlane, proxy: str) -> Target:
    if source == "argocd":
        tls = {"caData": ca(plane)}
        argo(hub, "a", plane.url, {"bearerToken": plane.token, "proxyUrl": proxy, "tlsClientConfig": tls})
        return of_source(hub, "argocd")["argo-a"]
    hub.secret("token", token=plane.token)
    common = {"apiServerURL": plane.url, "caData": ca(plane), "proxyURL": proxy}
    hub.target("a", authMode="token", tokenSecretRef={"name": "token"}, **common)
    return targets_of(hub, namespace=NAMESPACE)["a"]


@pytest.mark.parametrize("source", ["argocd", "target"])
def test_it_is_reached_through_its_proxy_only(
    hub: HubCluster, second_control_plane: ControlPlane, source: str
) -> None:
    plane = second_control_plane
    with SocksServer() as proxy:
        url = f"socks5://127.0.0.1:{proxy.port}"
        assert opened(target(hub, source, plane, url)) == uid(plane)
        assert set(proxy.asked) == {plane.url.removeprefix("https://")}
    assert "does not answer" in failure(target(hub, source, plane, url)), "it was not asked without the proxy"
