"""Whether a digest is signed by those who may sign it: candidates from the registry against keys and identities.

One good signature is enough, whatever else lies beside the image. Where there is none, what could not be examined
makes the answer an error: it might have been the one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from pytest_kspec.errors import Malformed, SourceError
from pytest_kspec.kube.images import ImageReference
from pytest_kspec.signatures import keys, stored
from pytest_kspec.signatures.keyless import Keyless
from pytest_kspec.signatures.registry import Registry
from pytest_kspec.signatures.stored import Bundle, Candidate, Simple
from pytest_kspec.spec.signers import ImageSigners

MAX_CANDIDATES = 64
"""Signatures of one digest and one form that are looked at."""

OLD_KEYLESS = (
    "a keyless signature in the format before cosign 3 cannot be verified offline: "
    "sign the image again with cosign 3."
)


class Judgement(NamedTuple):
    """signed: by one of them. problem: why that is not known. reason: why it is not, where it is known."""

    signed: bool
    problem: str = ""
    reason: str = ""


class Judge:
    """One registry client and the trusted roots in use. For several threads."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._keyless: dict[str, Keyless] = {}

    def judge(self, image: ImageReference, digest: str, signers: ImageSigners) -> Judgement:
        """Whether one of `signers` signed this digest, by what the repository of `image` holds.

        Raises UsageError for a key or a trusted root that is none.
        """
        loaded = [keys.load(pem) for pem in signers.public_keys]
        problems: list[str] = []
        reasons: list[str] = []
        for form in (stored.referring, stored.beside):
            found = form(self._registry, image, digest)
            try:
                for candidate in _bounded(found, problems):
                    if isinstance(candidate, Malformed):
                        problems.append(candidate.what)
                    elif self._is_good(candidate, digest, loaded, signers, problems, reasons):
                        return Judgement(True)
            except SourceError as error:
                problems.append(str(error))
        if problems:
            return Judgement(False, "; ".join(dict.fromkeys(problems)))
        return Judgement(False, "", "; ".join(dict.fromkeys(reasons)) or "it has no signature")

    def _is_good(
        self,
        candidate: Candidate,
        digest: str,
        loaded: list[keys.PublicKey],
        signers: ImageSigners,
        problems: list[str],
        reasons: list[str],
    ) -> bool:
        signatures: tuple[bytes, ...]
        if isinstance(candidate, Simple):
            signatures, data = (candidate.signature,), candidate.payload
            about = stored.says_simple(candidate.payload, digest)
        else:
            if not stored.is_signing(candidate.payload_type, candidate.payload):
                return False  # it says something else about the image
            signatures, data = candidate.signatures, candidate.signed_bytes
            about = stored.says_statement(candidate.payload, digest)
        if not about:
            reasons.append("a stored signature is for another image")
            return False
        if any(keys.is_signed(key, one, data) for key in loaded for one in signatures):
            return True
        if isinstance(candidate, Simple):
            if candidate.certificate and signers.identities:
                problems.append(OLD_KEYLESS)
                return False
        elif candidate.certified and signers.identities:
            return self._is_by_identity(candidate, signers, problems, reasons)
        reasons.append("it is signed by another signer, or the signature is not valid")
        return False

    def _is_by_identity(
        self, bundle: Bundle, signers: ImageSigners, problems: list[str], reasons: list[str]
    ) -> bool:
        root = signers.trusted_root or ""
        keyless = self._keyless.setdefault(root, Keyless(root))
        try:
            why = keyless.verify(bundle, signers.identities)
        except SourceError as error:
            problems.append(str(error))
            return False
        if why:
            reasons.append(f"a keyless signature is not accepted: {why}")
        return not why


def _bounded(found: Iterator[Candidate | Malformed], problems: list[str]) -> Iterator[Candidate | Malformed]:
    yield from islice(found, MAX_CANDIDATES)
    if next(found, None) is not None:
        problems.append(f"it has more than {MAX_CANDIDATES} signatures; the others were not examined")
