"""Who signed the images.

The digest that a reference stands for now is verified, and of a pod that runs another digest that one as well.
Of an image for several platforms it is the signature of the index that counts. A registry that cannot be asked,
or a signature that cannot be examined, is an error. More in docs/signatures.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pytest_kspec import (
    About,
    Findings,
    ImageReference,
    PodShape,
    Signatures,
    Violation,
    Workload,
    Workloads,
    check,
    image_references,
    parse_image,
)

ABOUT = About(
    restricts=(
        "spec.{containers,initContainers,ephemeralContainers}[*].image,\n"
        "spec.volumes[*].image.reference, status.{containerStatuses,initContainerStatuses, "
        "ephemeralContainerStatuses}[*].imageID"
    ),
    allowed=(
        "images of which the registry holds a good signature, by a key or an identity that "
        "workloads.images.signatures names for them"
    ),
    source=("the specification; cosign's signatures, in the forms of version 2 and 3; OCI distribution 1.1"),
)

NO_SIGNERS = (
    "requireSignatures does not name signers, and a signature by an unknown signer proves nothing: "
    "add workloads.images.signatures with publicKeys or identities."
)
_STATUSES = {
    "containerStatuses": "containers",
    "initContainerStatuses": "initContainers",
    "ephemeralContainerStatuses": "ephemeralContainers",
}
_RUNNING = r"@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$"


class SignedImages(NamedTuple):
    """A rule that knows the answers already: reference → why it is not signed."""

    unsigned: Mapping[str, str]
    reason: str = "images without signature"

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """References that are not signed, or not there."""
        return [
            Violation(path, image, f"an image signed by a trusted signer ({self.unsigned[image]})", container)
            if image
            else Violation(path, None, "an image reference", container)
            for path, image, container in image_references(pod)
            if image is None or image in self.unsigned
        ]


class Running(NamedTuple):
    """What a container runs beside what its pod refers to."""

    pod: Workload
    path: str
    container: str
    reference: str
    digest: str

    @property
    def pinned(self) -> str:
        """The reference by this digest."""
        image = parse_image(self.reference)
        return str(ImageReference(image.registry, image.repository, "", self.digest))


@check(
    id="workloads.images.requireSignatures",
    title="Every image is signed by a trusted signer",
    severity="high",
    remediation="Sign the image (cosign sign --key …), or name its signers in workloads.images.signatures.",
    about=ABOUT,
    not_admission=(
        "a signature is fetched from a registry, which a policy in the API server cannot do and a "
        "webhook must not keep a request waiting for"
    ),
    key="workloads.images.requireSignatures",
    judges="object",
)
def test_require_signatures(workloads: Workloads, signatures: Signatures, findings: Findings) -> None:
    """A registry serves what was pushed to it last; a signature says who built it."""
    if not signatures.signers:
        findings.error(NO_SIGNERS)
        return
    references = {
        image
        for shape in {id(w.shape): w.shape for w in workloads}.values()
        if not shape.malformed
        for _, image, _ in _references(shape)
        if image
    }
    outcomes = signatures.verify(references)
    for image in sorted(outcomes):
        if outcomes[image].problem:
            findings.error(outcomes[image].problem)
    unsigned = {image: known.reason for image, known in outcomes.items() if known.reason}
    findings.apply(SignedImages(unsigned), workloads)

    running = [
        found
        for workload in workloads
        if workload.is_pod
        for found in _running(workload)
        if (known := outcomes.get(found.reference)) and known.digest and not known.covers(found.digest)
    ]
    others = signatures.verify({found.pinned for found in running})
    for found in running:
        known = others[found.pinned]
        if known.problem:
            findings.error(known.problem)
        elif known.reason:
            findings.add(
                found.pod,
                path=found.path,
                actual=found.digest,
                expected=f"a digest signed by a trusted signer ({known.reason}); "
                f"{found.reference} now has another digest",
                container=found.container,
            )


def _references(shape: PodShape) -> Iterator[tuple[str, str | None, str]]:
    from pytest_kspec import Malformed

    try:
        yield from image_references(shape)
    except Malformed:  # `findings.apply` says so
        return


def _running(pod: Workload) -> Iterator[Running]:
    """Containers of which the runtime says what digest they run; an image ID without a repository says nothing."""
    status = pod.raw.get("status")
    references = {(c.list, c.name): c.raw.get("image") for c in pod.containers}
    for key, containers in _STATUSES.items():
        entries = status.get(key) if isinstance(status, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict):
                continue
            digest = re.search(_RUNNING, str(entry.get("imageID") or ""))
            name = str(entry.get("name"))
            reference = references.get((containers, name))
            if digest is not None and isinstance(reference, str) and reference:
                yield Running(pod, f"status.{key}[{name}].imageID", name, reference, digest[1])
