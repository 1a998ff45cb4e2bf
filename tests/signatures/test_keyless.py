"""Signatures of identities, in real registries, by a Sigstore instance of our own."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pytest_kspec.signatures.outcomes import Outcome
from pytest_kspec.signatures.verify import SignatureVerifier
from pytest_kspec.spec.signers import ImageSigners, SignerIdentity
from tests.registry.push import Pusher
from tests.registry.servers import RegistryServer

from . import signing
from .sigstore_instance import ISSUER, SUBJECT, Sigstore

SIGSTORE = Sigstore()
BY = {"issuer": ISSUER, "subject": SUBJECT}


def someone(*who: dict[str, str], root: str | None = SIGSTORE.trusted_root) -> ImageSigners:
    return ImageSigners(identities=[SignerIdentity(**one) for one in who or (BY,)], trustedRoot=root)


@pytest.fixture
def ask(verifier: SignatureVerifier, server: RegistryServer, repo: Pusher) -> Callable[..., Outcome]:
    """Push an image with a bundle made for its digest, and ask."""

    def asked(make: Callable[[str], dict[str, Any]], signers: ImageSigners) -> Outcome:
        digest = repo.image("v1", "keyless")
        signing.refer(repo, digest, make(digest), api=server.referrers)
        image = f"{repo.name}:v1"
        return verifier.verify([image], [signers])[image]

    return asked


@pytest.mark.parametrize(
    "who",
    [
        (BY,),
        ({"issuer": "https://other.example.com", "subject": SUBJECT}, BY),
        ({"issuer": ISSUER, "subjectRegExp": r"https://github\.com/acme/.*@refs/tags/v\d+"},),
    ],
    ids=["subject", "one of two", "regular expression"],
)
def test_by_one_of_the_named(ask: Callable[..., Outcome], who: tuple[dict[str, str], ...]) -> None:
    assert ask(SIGSTORE.sign, someone(*who)).signed


def test_by_mail_address(ask: Callable[..., Outcome]) -> None:
    who = {"issuer": ISSUER, "subject": "ci@example.com"}
    assert ask(lambda digest: SIGSTORE.sign(digest, subject="ci@example.com"), someone(who)).signed


@pytest.mark.parametrize(
    "who",
    [
        {"issuer": "https://other.example.com", "subject": SUBJECT},
        {"issuer": ISSUER, "subject": SUBJECT + "0"},
        {"issuer": ISSUER, "subjectRegExp": r"https://github\.com/acme"},
        {"issuer": "https://other.example.com", "subjectRegExp": ".*"},
    ],
    ids=["issuer", "subject", "start of the subject", "anybody of another issuer"],
)
def test_by_somebody_else(ask: Callable[..., Outcome], who: dict[str, str]) -> None:
    found = ask(SIGSTORE.sign, someone(who))
    assert (found.signed, found.problem) == (False, "")
    assert found.reason == f"a keyless signature is not accepted: the signer is {SUBJECT}"


def moved(found: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found["verificationMaterial"]["tlogEntries"][0].update(changes)
    return found


def resigned(digest: str) -> dict[str, Any]:
    """The payload of another statement under the certificate and log entry of the first."""
    found = SIGSTORE.sign("sha256:" + "0" * 64)
    found["dsseEnvelope"]["payload"] = base64.b64encode(signing.statement(digest)).decode()
    return found


REFUSED = {
    "logged after the certificate expired": (
        lambda digest: SIGSTORE.sign(digest, logged_at=SIGSTORE.now + timedelta(hours=1)),
        "failed to build timestamp certificate chain",
    ),
    "logged before it was made": (
        lambda digest: SIGSTORE.sign(digest, logged_at=SIGSTORE.now - timedelta(hours=1)),
        "failed to build timestamp certificate chain",
    ),
    "of another instance": (Sigstore().sign, "failed to build timestamp certificate chain"),
    "another time than was promised": (
        lambda digest: moved(SIGSTORE.sign(digest), integratedTime=str(int(SIGSTORE.now.timestamp()) + 1)),
        "invalid inclusion promise",
    ),
    "another body than was logged": (
        lambda digest: moved(
            SIGSTORE.sign(digest),
            canonicalizedBody=SIGSTORE.sign(digest)["verificationMaterial"]["tlogEntries"][0][
                "canonicalizedBody"
            ],
        ),
        "invalid log entry",
    ),
    "another payload than was signed": (resigned, "invalid"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(ask: Callable[..., Outcome], case: str) -> None:
    make, why = REFUSED[case]
    found = ask(make, someone())
    assert (found.signed, found.problem) == (False, "")
    assert found.reason.startswith("a keyless signature is not accepted: ")
    assert why in found.reason


def test_a_good_signature_of_another_image(ask: Callable[..., Outcome]) -> None:
    found = ask(lambda _: SIGSTORE.sign("sha256:" + "0" * 64), someone())
    assert found.reason == "a stored signature is for another image"


def test_without_a_log_entry_it_cannot_be_examined(ask: Callable[..., Outcome]) -> None:
    def make(digest: str) -> dict[str, Any]:
        found = SIGSTORE.sign(digest)
        found["verificationMaterial"]["tlogEntries"] = []
        return found

    found = ask(make, someone())
    assert not found.signed
    assert (
        "a keyless signature cannot be examined: expected exactly one log entry in bundle." in found.problem
    )


def test_a_certificate_is_no_key(ask: Callable[..., Outcome]) -> None:
    found = ask(SIGSTORE.sign, ImageSigners(publicKeys=[signing.pem(signing.new_key())]))
    assert found.reason == "it is signed by another signer, or the signature is not valid"


@pytest.mark.parametrize("root", ["{}", "[]", "no JSON", json.dumps({"mediaType": "x", "tlogs": []})])
def test_what_is_no_trusted_root(ask: Callable[..., Outcome], root: str) -> None:
    found = ask(SIGSTORE.sign, someone(root=root))
    assert "this is not a trusted root of Sigstore." in found.problem
    assert "trustedRoot" in found.problem


def test_the_public_root_without_a_network(
    ask: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sigstore.errors import TUFError
    from sigstore.verify import Verifier

    def unreachable() -> Verifier:
        raise TUFError("no network")

    monkeypatch.setattr(Verifier, "production", unreachable)
    found = ask(SIGSTORE.sign, someone(root=None))
    assert not found.signed
    assert (
        "the trusted root of the public instance could not be fetched (TUFError). Use a file for it."
        in found.problem
    )
