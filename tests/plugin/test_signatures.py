"""Signatures in whole runs: workers ask a registry once, and keys in files travel with the evidence."""

from __future__ import annotations

import json
import tarfile

from pytest_kspec.cli.main import main
from tests.cluster.api import Api, Reply, Request
from tests.registry.push import OCI_MANIFEST, Pusher
from tests.registry.servers import RegistryServer
from tests.signatures import signing

from .conftest import MANIFESTS, Project

KEY = signing.new_key()
REQUIRED = "workloads.images.requireSignatures"
SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: strict, version: 1.0.0}
spec:
  workloads: {images: {requireSignatures: true, signatures: [{publicKeys: [keys/ci.pub]}]}}
"""


def prepare(project: Project, image: str) -> None:
    project.write("keys/ci.pub", signing.pem(KEY))
    project.write("strict.yaml", SPEC)
    for cluster in ("prod", "stage"):
        project.write(f"{cluster}/all.yaml", MANIFESTS.replace("image: nginx", f"image: '{image}'"))


def test_workers_ask_once(project: Project) -> None:
    manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode()

    def answer(request: Request) -> Reply:
        return Reply(manifest, headers={"Content-Type": OCI_MANIFEST})

    with Api({"/v2/team/app/manifests/v1": answer}) as registry:
        prepare(project, f"{registry.url.removeprefix('http://')}/team/app:v1")
        done = project.run("-n", "2", "--dist", "loadscope", clusters=("./prod", "./stage"))
        assert done.ret == 1
        assert project.verdicts("prod") == project.verdicts("stage") == {REQUIRED: "fail"}
        asked = [request.path for request in registry.seen]
        assert len(asked) == len(set(asked)), asked


def test_evidence_holds_the_keys(plain_registry: RegistryServer, project: Project) -> None:
    repo = Pusher(plain_registry.host, "team/evidence")
    signing.sign_beside(repo, repo.image("v1"), KEY)
    prepare(project, f"{repo.name}:v1")
    assert project.run().ret == 0
    assert project.verdicts() == {REQUIRED: "pass"}
    signer = project.path / "signer.pem"
    signer.write_bytes(signing.private_pem(KEY))
    assert main(["evidence", "--from", "result.json", "--key", str(signer), "-o", "bundle.tar.gz"]) == 0
    with tarfile.open("bundle.tar.gz") as bundle:
        assert [name for name in bundle.getnames() if name.endswith("keys/ci.pub")]
    project.write("keys/ci.pub", signing.pem(signing.new_key()))
    assert main(["evidence", "--from", "result.json", "--key", str(signer), "-o", "again.tar.gz"]) == 4
