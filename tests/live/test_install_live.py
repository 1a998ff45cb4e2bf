"""What `kspec webhook --manifests` prints is what a real API server takes, cert-manager's own kind included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from pytest_kspec.cli.main import main
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.serving.authority import Periods
from tests.controlplane.served import wait_until_served
from tests.controlplane.server import ControlPlane, Etcd
from tests.crds.foreign import definitions

IMAGE = "registry.example.com/kspec:1.0"


@pytest.fixture(scope="module")
def writer(etcd: Etcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster with the definitions of cert-manager, which nobody acts on."""
    with ControlPlane(etcd, audited=False) as plane:
        kubeconfig = plane.kubeconfig(path=tmp_path_factory.mktemp("install") / "kubeconfig")
        source = LiveSource(plane.name, kubeconfig=str(kubeconfig))
        writer = Writer(source)
        for definition in definitions("cert-manager.io"):
            # Their labels are those of a chart, and not filled in.
            definition["metadata"] = {"name": definition["metadata"]["name"]}
            writer.apply(definition)
        wait_until_served(writer, "cert-manager.io/v1", "Certificate")
        yield writer
        source.close()


@pytest.mark.parametrize("issuer", [(), ("--issuer", "internal"), ("--issuer", "Issuer/internal")])
def test_a_real_api_server_takes_it_all_and_drops_nothing(
    writer: Any, capsys: pytest.CaptureFixture[str], issuer: tuple[Any, ...]
) -> None:
    assert main(["webhook", "--manifests", IMAGE, *issuer]) == 0
    made = list(yaml.safe_load_all(capsys.readouterr().out))
    warned: list[Any] = []
    strict = Writer(writer.source, on_warning=warned.append)
    kept = [strict.apply(manifest) for manifest in made]
    assert warned == []
    certificates = [item["spec"] for item in kept if item["kind"] == "Certificate"]
    assert len(certificates) == len(issuer) / 2
    for asked in certificates:
        hours = [int(asked[key].partition("h")[0]) for key in ("duration", "renewBefore")]
        periods = Periods()
        assert [hour * 3600 for hour in hours] == [
            periods.certificate.total_seconds(),
            periods.renew_before.total_seconds(),
        ]
        assert asked["issuerRef"]["kind"] == ("Issuer" if "/" in issuer[1] else "ClusterIssuer")
        deployment = next(item for item in kept if item["kind"] == "Deployment")
        words = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        assert f"--tls-secret=kspec-system/{asked['secretName']}" in words
