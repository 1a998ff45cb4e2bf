"""Signs images with cosign itself, verifies them with the project's own code, and keeps what cosign wrote. cosign
verifies what we sign: an image, and the attestation of a scan.

`make test-cosign` runs it; it builds cosign from its Go module first, which takes minutes. What it keeps in
`signed.json` is signatures of our own images by keys made for the purpose and thrown away; tests/signatures pushes them
into a registry again, so that every run of the tests verifies what cosign wrote.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import urllib3

from pytest_kspec.reports.intoto import PREDICATE
from pytest_kspec.signatures.verify import SignatureVerifier
from pytest_kspec.spec.signers import ImageSigners
from tests.controlplane import build
from tests.registry.push import OCI_INDEX, OCI_MANIFEST, Pusher
from tests.registry.servers import RegistryServer
from tests.signatures.signing import refer
from tests.signatures.sigstore_instance import ISSUER, SUBJECT, Sigstore

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KEPT = HERE / "signed.json"
PACKAGE = "github.com/sigstore/cosign/v3/cmd/cosign"
KEYS = {
    "ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}
FORMS = {"bundle": "true", "simple": "false"}


def cosign_version() -> str:
    found = re.search(r"sigstore/cosign/v3 (v\S+)", (HERE / "go.mod").read_text(encoding="utf-8"))
    return found[1] if found else ""


def run(*command: str | Path, folder: Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "COSIGN_PASSWORD": ""},
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def get(url: str, accept: str) -> bytes:
    answer = urllib3.request("GET", url, headers={"Accept": accept})
    return answer.data if answer.status == 200 else b""


def content(repo: Pusher, digest: str) -> dict[str, Any]:
    """Manifests that sign the image, by their tag ("" for none), and their blobs."""
    base = f"http://{repo.host}/v2/{repo.repository}"
    found: list[tuple[str, bytes]] = []
    tag = f"{digest.replace(':', '-')}.sig"
    if raw := get(f"{base}/manifests/{tag}", OCI_MANIFEST):
        found.append((tag, raw))
    for entry in json.loads(get(f"{base}/referrers/{digest}", OCI_INDEX))["manifests"]:
        found.append(("", get(f"{base}/manifests/{entry['digest']}", OCI_MANIFEST)))
    blobs = {}
    for _, raw in found:
        manifest = json.loads(raw)
        for part in (manifest["config"], *manifest["layers"]):
            blobs[part["digest"]] = base64.b64encode(get(f"{base}/blobs/{part['digest']}", "*/*")).decode()
    return {
        "manifests": [{"tag": tag, "raw": base64.b64encode(raw).decode()} for tag, raw in found],
        "blobs": dict(sorted(blobs.items())),
    }


def believes_our_instance(cosign: Path, repo: Pusher, folder: Path) -> bool:
    """The Sigstore instance of tests/signatures: cosign accepts what it signs, for that identity alone."""
    instance = Sigstore()
    digest = repo.image("v1", "keyless")
    refer(repo, digest, instance.sign(digest), api=True)
    (folder / "root.json").write_text(instance.trusted_root)
    options = ["--trusted-root", "root.json", "--certificate-oidc-issuer", ISSUER, "--allow-http-registry"]
    seen = []
    for subject in (SUBJECT, SUBJECT + "0"):
        command: list[str | Path] = [
            cosign,
            "verify",
            *options,
            "--certificate-identity",
            subject,
            f"{repo.name}@{digest}",
        ]
        try:
            run(*command, folder=folder)
            seen.append("accepted")
        except SystemExit as refused:
            seen.append(str(refused))
    good = seen[0] == "accepted" and "expected SAN" in seen[1]
    sys.stdout.write(f"keyless, by our own instance: {'as it should be' if good else seen}\n")
    return good


def believes_our_attestation(cosign: Path, folder: Path) -> bool:
    """`kspec evidence` of a scan: cosign accepts it for this result and this key, and for no other of either."""
    kspec = Path(sys.executable).with_name("kspec")
    scan = [kspec, "scan", ROOT / "examples/01-quickstart/strict.yaml", "-q", "--report=json:result.json"]
    if (
        subprocess.run(list(map(str, scan)), cwd=folder, capture_output=True).returncode != 1
    ):  # it has findings
        raise SystemExit("the example could not be scanned")
    run(
        kspec,
        "evidence",
        "--from",
        "result.json",
        "--key",
        "ecdsa.pem",
        "-o",
        "scan.intoto.jsonl",
        folder=folder,
    )
    run("openssl", "genpkey", *KEYS["ecdsa"], "-out", "other.pem", folder=folder)
    run("openssl", "pkey", "-in", "other.pem", "-pubout", "-out", "other.pub", folder=folder)
    (folder / "changed.json").write_bytes((folder / "result.json").read_bytes() + b" ")
    options = ["--type", PREDICATE, "--signature", "scan.intoto.jsonl", "--insecure-ignore-tlog"]
    seen = []
    for key, blob in (("ecdsa", "result"), ("other", "result"), ("ecdsa", "changed")):
        try:
            command: list[str | Path] = [
                cosign,
                "verify-blob-attestation",
                *options,
                "--key",
                f"{key}.pub",
                f"{blob}.json",
            ]
            run(*command, folder=folder)
            seen.append("accepted")
        except SystemExit as refused:
            seen.append(str(refused))
    good = seen[0] == "accepted" and "signature" in seen[1] and "no matching subject digest" in seen[2]
    sys.stdout.write(f"attestation of a scan: {'as it should be' if good else seen}\n")
    return good


def main() -> int:
    """Exit status 1 if one of the signatures is not accepted, or is accepted for another signer."""
    flags = ["-trimpath", "-ldflags", "-s -w"]
    cosign = build.built(HERE, "cosign", PACKAGE, flags, "No cosign: install Go 1.26+.")
    kept: dict[str, Any] = {"cosign": cosign_version(), "signed": []}
    bad = 0
    with RegistryServer(referrers=True) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        public = {}
        for kind, options in KEYS.items():
            run("openssl", "genpkey", *options, "-out", f"{kind}.pem", folder=folder)
            run("openssl", "pkey", "-in", f"{kind}.pem", "-pubout", "-out", f"{kind}.pub", folder=folder)
            run(
                cosign,
                "import-key-pair",
                "-y",
                "--key",
                f"{kind}.pem",
                "--output-key-prefix",
                kind,
                folder=folder,
            )
            public[kind] = (folder / f"{kind}.pub").read_text()
        for kind, form in ((kind, form) for kind in KEYS for form in FORMS):
            repo = Pusher(server.host, f"{kind}/{form}")
            digest = repo.image("v1", "signed by cosign")
            options = ["--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry"]
            image = f"{repo.name}@{digest}"
            run(
                cosign, "sign", "-y", "--key", f"{kind}.key", f"--new-bundle-format={FORMS[form]}", *options, image,
                folder=folder,
            )  # fmt: skip
            others = [key for other, key in public.items() if other != kind]
            verdicts = [
                SignatureVerifier().verify([image], [ImageSigners(publicKeys=keys)])[image]
                for keys in ([public[kind]], others)
            ]
            good = verdicts[0].signed and bool(verdicts[1].reason)
            bad += not good
            sys.stdout.write(f"{kind} {form}: {'as it should be' if good else verdicts}\n")
            kept["signed"].append(
                {
                    "key": kind,
                    "form": form,
                    "publicKey": public[kind],
                    "digest": digest,
                    **content(repo, digest),
                }
            )
        bad += not believes_our_attestation(cosign, folder)
        bad += not believes_our_instance(cosign, Pusher(server.host, "keyless/app"), folder)
    if not bad:
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
