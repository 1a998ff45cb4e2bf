"""From images and signers to outcomes: each distinct image once, a few at a time.

What is verified is the digest that a reference stands for: its own, or that of its tag at this moment. Of an image for
several platforms that is the index, which is what `cosign sign` signs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pytest_kspec.errors import KspecError
from pytest_kspec.kube.images import ImageReference, RegistryPattern, RegistryPatterns, parse_image
from pytest_kspec.signatures.http import THREADS
from pytest_kspec.signatures.judge import Judge
from pytest_kspec.signatures.outcomes import Outcome, Outcomes
from pytest_kspec.signatures.registry import Registry
from pytest_kspec.spec.signers import ImageSigners

NOBODY = "no signer is named for it"


class SignatureVerifier:
    """For one run. outcomes: what is known already; registry: default is what this machine is logged in to."""

    def __init__(self, outcomes: Outcomes | None = None, registry: Registry | None = None) -> None:
        self._outcomes = outcomes or Outcomes()
        self._registry = registry or Registry()
        self._judge = Judge(self._registry)

    def verify(self, images: Iterable[str], signers: Sequence[ImageSigners]) -> dict[str, Outcome]:
        """Outcome of each reference, which may be any text; a reference that cannot be parsed is not signed.

        An image must satisfy every entry of `signers` that is about it, and one at least.
        """
        distinct = sorted(set(images))
        if not distinct:
            return {}
        asked = _Signers(signers)
        with ThreadPoolExecutor(min(THREADS, len(distinct)), "kspec-signatures") as pool:
            return dict(zip(distinct, pool.map(lambda text: self._one(text, asked), distinct), strict=True))

    def close(self) -> None:
        """Close connections."""
        self._registry.close()

    def _one(self, text: str, signers: _Signers) -> Outcome:
        try:
            image = parse_image(text)
        except ValueError as error:
            return Outcome(reason=f"it is not an image reference: {error}")
        asked = signers.of(image)
        if not asked:
            return Outcome(reason=NOBODY)
        key = "\n".join((str(image), *(print_ for _, print_ in asked)))
        return self._outcomes.once(key, lambda: self._find(image, [entry for entry, _ in asked]))

    def _find(self, image: ImageReference, asked: list[ImageSigners]) -> Outcome:
        try:
            manifest = self._registry.manifest(image, image.digest or image.tag or "latest")
            if manifest is None:
                return Outcome(problem=f"{image}: the registry does not have this image.")
            digest = manifest.digest
            platforms: tuple[str, ...] = ()
            if manifest.is_index:
                platforms = tuple(sorted({str(e.get("digest")) for e in manifest.entries("manifests")}))
            judged = [self._judge.judge(image, digest, entry) for entry in asked]
            reasons = [one.reason for one in judged if one.reason]
            problems = [f"{image}: {one.problem}" for one in judged if one.problem]
            if problems and not reasons:  # one that is not satisfied settles it
                return Outcome(digest, platforms, problem="; ".join(dict.fromkeys(problems)))
            return Outcome(digest, platforms, signed=not reasons, reason="; ".join(dict.fromkeys(reasons)))
        except KspecError as error:
            return Outcome(problem=f"{image}: {error}")


class _Signers:
    """Entries by what they are about: an image is compared with those patterns only that may match it."""

    def __init__(self, signers: Sequence[ImageSigners]) -> None:
        self._entries = [(entry, _fingerprint(entry)) for entry in signers]
        self._always = [number for number, entry in enumerate(signers) if not entry.images]
        self._number = [number for number, entry in enumerate(signers) for _ in entry.images]
        self._patterns = RegistryPatterns(
            [RegistryPattern.parse(text) for entry in signers for text in entry.images]
        )

    def of(self, image: ImageReference) -> list[tuple[ImageSigners, str]]:
        """The entries that are about an image, in their order, each with its fingerprint."""
        found = {self._number[index] for index in self._patterns.matching(image)}
        return [self._entries[number] for number in sorted(found.union(self._always))]


def _fingerprint(entry: ImageSigners) -> str:
    return hashlib.sha256(entry.model_dump_json(exclude={"images"}).encode()).hexdigest()
