"""Signatures in real registries, with the referrers API and without: what is one, and all that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pytest_kspec.kube.images import ImageReference, RegistryPattern
from pytest_kspec.signatures.outcomes import Outcome, Outcomes
from pytest_kspec.signatures.registry import Registry
from pytest_kspec.signatures.verify import NOBODY, SignatureVerifier
from pytest_kspec.spec.signers import ImageSigners, SignerIdentity
from tests.registry.push import OCI_INDEX, OCI_MANIFEST, Pusher
from tests.registry.servers import RegistryServer

from . import signing
from .signing import Key

KEY = signing.new_key()
OTHER = signing.new_key()
ABOUT_ELSE = "a stored signature is for another image"
BY_ELSE = "it is signed by another signer, or the signature is not valid"
NONE = "it has no signature"
SOMEONE = SignerIdentity(issuer="https://a.example", subject="a@example.com")


def by(*keys: Key, images: tuple[str, ...] = ()) -> ImageSigners:
    return ImageSigners(images=list(images), publicKeys=[signing.pem(key) for key in keys])


def outcome(verifier: SignatureVerifier, image: str, *signers: ImageSigners) -> Outcome:
    return verifier.verify([image], signers or [by(KEY)])[image]


def why(verifier: SignatureVerifier, image: str, *signers: ImageSigners) -> str:
    """The reason of an image that is not signed, for sure."""
    found = outcome(verifier, image, *signers)
    assert (found.signed, found.problem) == (False, "")
    return found.reason


@pytest.mark.parametrize("form", ["beside", "referring"])
@pytest.mark.parametrize(
    "key",
    [KEY, rsa.generate_private_key(65537, 2048)],
    ids=["ecdsa", "rsa"],
)
def test_a_signature_by_a_named_key(
    verifier: SignatureVerifier, server: RegistryServer, repo: Pusher, key: Key, form: str
) -> None:
    digest = repo.image("v1")
    assert why(verifier, f"{repo.name}:v1", by(OTHER, key)) == NONE
    if form == "beside":
        signing.sign_beside(repo, digest, key)
    else:
        signing.sign_referring(repo, digest, key, api=server.referrers)
    for image in (f"{repo.name}@{digest}", f"{repo.name}:v1@{digest}"):
        assert outcome(verifier, image, by(OTHER, key)) == Outcome(digest, signed=True)
        assert why(verifier, image, by(OTHER)) == BY_ELSE


def test_every_entry_about_an_image_must_be_satisfied(verifier: SignatureVerifier, repo: Pusher) -> None:
    digest = repo.image("v1")
    signing.sign_beside(repo, digest, KEY)
    image = f"{repo.name}:v1"
    here, elsewhere = repo.name, "registry.example.com"
    assert outcome(verifier, image, by(KEY, images=(here,)), by(OTHER, images=(elsewhere,))).signed
    assert why(verifier, image, by(KEY, images=(here,)), by(OTHER)) == BY_ELSE
    assert why(verifier, image, by(KEY, images=(elsewhere,))) == NOBODY
    assert why(verifier, "Not/An:Image:", by(KEY)).startswith("it is not an image reference")


def test_an_image_is_compared_with_signers_that_may_be_about_it_only(
    monkeypatch: pytest.MonkeyPatch, verifier: SignatureVerifier
) -> None:
    compared: list[str] = []
    matches = RegistryPattern.matches

    def counting(self: RegistryPattern, image: ImageReference) -> bool:
        compared.append(self.text)
        return matches(self, image)

    monkeypatch.setattr(RegistryPattern, "matches", counting)
    signers = [by(KEY, images=(f"registry.example.com/team-{n}/*",)) for n in range(500)]
    images = [f"registry.example.com/other-{n}/app@sha256:{'0' * 64}" for n in range(200)]
    found = verifier.verify(images, signers)
    assert {outcome.reason for outcome in found.values()} == {NOBODY}
    assert len(compared) < 10 * (len(signers) + len(images))


def test_a_signature_of_another_image_copied_over(
    verifier: SignatureVerifier, server: RegistryServer, repo: Pusher
) -> None:
    good, bad = repo.image("good", "good"), repo.image("bad", "bad")
    signed = (signing.payload(good), signing.sign(KEY, signing.payload(good)))
    signing.beside(repo, bad, [signed])
    assert why(verifier, f"{repo.name}:bad") == ABOUT_ELSE
    signing.refer(repo, bad, signing.bundle(KEY, signing.statement(good)), api=server.referrers)
    assert why(verifier, f"{repo.name}@{bad}") == ABOUT_ELSE


def test_a_payload_changed_after_signing(
    verifier: SignatureVerifier, server: RegistryServer, repo: Pusher
) -> None:
    digest = repo.image("v1")
    signature = signing.sign(KEY, signing.payload("sha256:" + "0" * 64))
    signing.beside(repo, digest, [(signing.payload(digest), signature)])
    assert why(verifier, f"{repo.name}:v1") == BY_ELSE
    made = signing.bundle(KEY, signing.statement("sha256:" + "0" * 64))
    changed = signing.bundle(OTHER, signing.statement(digest))
    changed["dsseEnvelope"]["signatures"] = made["dsseEnvelope"]["signatures"]
    signing.refer(repo, digest, changed, api=server.referrers)
    assert why(verifier, f"{repo.name}@{digest}") == BY_ELSE


def test_one_good_signature_among_others_is_enough(
    verifier: SignatureVerifier, server: RegistryServer, repo: Pusher
) -> None:
    digest = repo.image("v1")
    other = (signing.payload(digest), signing.sign(OTHER, signing.payload(digest)))
    mine = (signing.payload(digest), signing.sign(KEY, signing.payload(digest)))
    signing.beside(repo, digest, [(b"{", "AAAA"), other, mine])
    signing.refer(repo, digest, b"no JSON", api=server.referrers)
    assert outcome(verifier, f"{repo.name}:v1").signed


def test_a_statement_that_is_no_signature(
    verifier: SignatureVerifier, server: RegistryServer, repo: Pusher
) -> None:
    digest = repo.image("v1")
    about = signing.statement(digest, "https://slsa.dev/provenance/v1")
    signing.refer(repo, digest, signing.bundle(KEY, about), api=server.referrers)
    assert why(verifier, f"{repo.name}:v1") == NONE


def test_an_artifact_of_another_kind_is_none(
    verifier: SignatureVerifier, server: RegistryServer, repo: Pusher
) -> None:
    digest = repo.image("v1")
    signing.refer(repo, digest, b"{}", api=server.referrers, kind="application/spdx+json")
    assert why(verifier, f"{repo.name}:v1") == NONE


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (b"no JSON", "a stored bundle could not be read."),
        (b"[]", "a stored bundle could not be read."),
        (b'{"mediaType": "application/vnd.dev.sigstore.bundle.v9+json"}', "cannot be examined"),
        (
            json.dumps(
                {"mediaType": signing.BUNDLE, "verificationMaterial": {}, "messageSignature": {}}
            ).encode(),
            "a bundle without a DSSE envelope cannot be examined.",
        ),
    ],
    ids=["text", "list", "new version", "no envelope"],
)
def test_what_cannot_be_examined_is_an_error(
    verifier: SignatureVerifier, server: RegistryServer, repo: Pusher, made: bytes, problem: str
) -> None:
    digest = repo.image("v1")
    signing.refer(repo, digest, made, api=server.referrers)
    found = outcome(verifier, f"{repo.name}:v1")
    assert not found.signed
    assert problem in found.problem
    assert found.problem.startswith(f"{repo.name}:v1: ")


def test_a_tag_that_was_moved(verifier: SignatureVerifier, repo: Pusher) -> None:
    first = repo.image("v1", "first")
    signing.sign_beside(repo, first, KEY)
    assert outcome(verifier, f"{repo.name}:v1") == Outcome(first, signed=True)
    second = repo.image("v1", "second")
    again = SignatureVerifier()
    assert outcome(again, f"{repo.name}:v1") == Outcome(second, reason=NONE)
    assert outcome(again, f"{repo.name}:v1@{first}").signed
    again.close()


def test_of_several_platforms_the_index_is_signed(verifier: SignatureVerifier, repo: Pusher) -> None:
    parts = sorted([repo.image(note="amd64"), repo.image(note="arm64")])
    digest = repo.index(parts, "multi")
    signing.sign_beside(repo, parts[0], KEY)
    assert why(verifier, f"{repo.name}:multi") == NONE
    signing.sign_beside(repo, digest, KEY)
    found = outcome(verifier, f"{repo.name}@{digest}")
    assert found == Outcome(digest, tuple(parts), signed=True)
    assert found.covers(parts[1])
    assert why(verifier, f"{repo.name}@{parts[1]}") == NONE


def test_an_image_that_is_not_there(verifier: SignatureVerifier, repo: Pusher) -> None:
    repo.image("v1")
    assert outcome(verifier, f"{repo.name}:v2").problem == (
        f"{repo.name}:v2: the registry does not have this image."
    )


def test_a_key_that_is_none_is_an_error(verifier: SignatureVerifier, repo: Pusher) -> None:
    repo.image("v1")
    broken = ImageSigners(publicKeys=["-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
    assert "not a public key in PEM format" in outcome(verifier, f"{repo.name}:v1", broken).problem
    for key in (
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ):
        problem = outcome(verifier, f"{repo.name}:v1", by(key)).problem  # type: ignore[arg-type]
        assert "not supported; supported: ECDSA on P-256, RSA of 2048 bits or more." in problem


def test_a_keyless_signature_of_the_old_form_is_an_error(verifier: SignatureVerifier, repo: Pusher) -> None:
    digest = repo.image("v1")
    signed = (signing.payload(digest), signing.sign(OTHER, signing.payload(digest)))
    signing.beside(repo, digest, [signed], {"dev.sigstore.cosign/certificate": "-----BEGIN CERTIFICATE-----"})
    someone = ImageSigners(identities=[SOMEONE])
    assert "before cosign 3" in outcome(verifier, f"{repo.name}:v1", someone).problem
    assert why(verifier, f"{repo.name}:v1", by(KEY)) == BY_ELSE
    assert outcome(verifier, f"{repo.name}:v1", by(OTHER)).signed


def test_what_refers_to_something_else(
    verifier: SignatureVerifier, server: RegistryServer, repo: Pusher
) -> None:
    """Where a tag replaces the API, whoever may push says what refers to what."""
    digest = repo.image("v1")
    other = repo.image("v2", "other")
    pushed = signing.refer(repo, other, signing.bundle(KEY, signing.statement(digest)), api=False)
    entry = {"mediaType": OCI_MANIFEST, "digest": pushed, "size": 1, "artifactType": signing.BUNDLE}
    if server.referrers:  # the registry itself says what refers to what
        assert why(verifier, f"{repo.name}:v1") == NONE
    else:
        made = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        repo.manifest(made, digest.replace(":", "-"))
        assert "does not refer to it" in outcome(verifier, f"{repo.name}:v1").problem


def test_one_entry_that_is_not_satisfied_settles_it(verifier: SignatureVerifier, repo: Pusher) -> None:
    repo.image("v1")
    broken = ImageSigners(publicKeys=[signing.pem(KEY)], identities=[SOMEONE])
    digest = repo.image("v1")
    signed = (signing.payload(digest), signing.sign(OTHER, signing.payload(digest)))
    signing.beside(repo, digest, [signed], {"dev.sigstore.cosign/certificate": "-----BEGIN CERTIFICATE-----"})
    assert outcome(verifier, f"{repo.name}:v1", broken).problem
    assert why(verifier, f"{repo.name}:v1", broken, by(KEY)) == BY_ELSE


def test_many_signatures_are_bounded(
    verifier: SignatureVerifier, repo: Pusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_kspec.signatures.judge.MAX_CANDIDATES", 3)
    digest = repo.image("v1")
    other = (signing.payload(digest), signing.sign(OTHER, signing.payload(digest)))
    mine = (signing.payload(digest), signing.sign(KEY, signing.payload(digest)))
    signing.beside(repo, digest, [other, other, other, mine])
    assert "more than 3 signatures" in outcome(verifier, f"{repo.name}:v1").problem
    signing.beside(repo, digest, [other, other, other])
    assert why(verifier, f"{repo.name}@{digest}") == BY_ELSE


def test_the_registry_goes_down_in_the_middle(verifier: SignatureVerifier) -> None:
    with RegistryServer(referrers=True) as server:
        repo = Pusher(server.host, "team/app")
        signed, other = repo.image("signed"), repo.image("other", "other")
        for digest in (signed, other):
            signing.sign_beside(repo, digest, KEY)
        assert outcome(verifier, f"{repo.name}:signed").signed
        server.stop()
        found = outcome(verifier, f"{repo.name}:other")
        assert not found.signed
        assert found.problem.startswith(f"{repo.name}:other: {repo.name}: the registry does not answer (")
        assert outcome(verifier, f"{repo.name}:signed").signed  # known


def test_workers_find_out_once(tmp_path: Path) -> None:
    with RegistryServer(referrers=False) as server:
        repo = Pusher(server.host, "team/app")
        digest = repo.image("v1")
        signing.sign_beside(repo, digest, KEY)
        image = f"{repo.name}:v1"
        assert outcome(SignatureVerifier(Outcomes(tmp_path)), image).signed
        server.stop()
        another = SignatureVerifier(Outcomes(tmp_path), Registry())
        assert outcome(another, image) == Outcome(digest, signed=True)
        assert outcome(another, image, by(OTHER)).problem, "asked for another signer, nobody knows"
    assert all(path.stat().st_mode & 0o77 == 0 for path in (tmp_path / "signatures").iterdir())
