"""What cosign wrote itself, kept by `make test-cosign`, in real registries."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.signatures.outcomes import Outcome
from pytest_kspec.signatures.verify import SignatureVerifier
from pytest_kspec.spec.signers import ImageSigners
from tests.cosign.__main__ import KEPT, cosign_version
from tests.registry.push import OCI_INDEX, OCI_MANIFEST, Pusher, digest_of
from tests.registry.servers import RegistryServer

SIGNED = json.loads(Path(KEPT).read_text(encoding="utf-8"))
by_case = pytest.mark.parametrize("case", SIGNED["signed"], ids=lambda case: f"{case['key']}-{case['form']}")


def restore(to: Pusher, case: dict[str, Any], *, api: bool) -> None:
    for digest, raw in case["blobs"].items():
        assert to.blob(base64.b64decode(raw))["digest"] == digest
    for kept in case["manifests"]:
        raw = base64.b64decode(kept["raw"])
        to.manifest_bytes(raw, OCI_MANIFEST, kept["tag"] or digest_of(raw))
        if not kept["tag"] and not api:
            entry = {"mediaType": OCI_MANIFEST, "digest": digest_of(raw), "size": len(raw)}
            index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
            to.manifest(index, case["digest"].replace(":", "-"))


@by_case
def test_it_is_accepted_for_its_key_alone(
    verifier: SignatureVerifier, server: RegistryServer, repo: Pusher, case: dict[str, Any]
) -> None:
    assert repo.image("v1", "signed by cosign") == case["digest"]
    restore(repo, case, api=server.referrers)
    image = f"{repo.name}:v1"
    mine = ImageSigners(publicKeys=[case["publicKey"]])
    others = [other["publicKey"] for other in SIGNED["signed"] if other["publicKey"] != case["publicKey"]]
    assert verifier.verify([image], [mine])[image] == Outcome(case["digest"], signed=True)
    refused = verifier.verify([image], [ImageSigners(publicKeys=others)])[image]
    assert (refused.signed, refused.problem) == (False, "")
    assert "by another signer" in refused.reason


def test_all_forms_are_there() -> None:
    assert SIGNED["cosign"] == cosign_version(), "run: make test-cosign"
    assert {(case["key"], case["form"]) for case in SIGNED["signed"]} == {
        (key, form) for key in ("ecdsa", "rsa") for form in ("bundle", "simple")
    }
    for case in SIGNED["signed"]:
        tagged = [kept["tag"] for kept in case["manifests"]]
        assert tagged == ([""] if case["form"] == "bundle" else [f"{case['digest'].replace(':', '-')}.sig"])
