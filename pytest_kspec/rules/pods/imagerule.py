"""`ImageRule`: where images come from and how they are referenced, in all containers and image volumes.

A reference that no container runtime can read is a violation of every image rule: nobody can say where it
comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_kspec.kube.images import (
    REFERENCE_LIMIT,
    ImageReference,
    RegistryPattern,
    RegistryPatterns,
    parse_image,
)
from pytest_kspec.kube.resources import PodShape
from pytest_kspec.rules.base import Violation
from pytest_kspec.rules.fieldpath import item_label, malformed

if TYPE_CHECKING:
    from pytest_kspec.rules.cel.builder import CelBuilder

REMEMBERED_IMAGES = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRule:
    """Requirements for the reference of every image.

    allowed: patterns of which one must match, () for no such rule; blocked: patterns of which none may match
    digest:  True if it must be referenced by digest
    """

    reason: str
    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    digest: bool = False
    _allowed: tuple[RegistryPattern, ...] = field(init=False, repr=False, compare=False)
    _blocked: tuple[RegistryPattern, ...] = field(init=False, repr=False, compare=False)
    _of_allowed: RegistryPatterns = field(init=False, repr=False, compare=False)
    _of_blocked: RegistryPatterns = field(init=False, repr=False, compare=False)
    _from: str = field(init=False, repr=False, compare=False)
    _known: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError for a pattern that could not be read."""
        object.__setattr__(self, "_allowed", tuple(RegistryPattern.parse(text) for text in self.allowed))
        object.__setattr__(
            self, "_blocked", tuple(RegistryPattern.parse(text, wide=True) for text in self.blocked)
        )
        object.__setattr__(self, "_from", f"from {' or '.join(self.allowed)}")
        object.__setattr__(self, "_of_allowed", RegistryPatterns(self._allowed))
        object.__setattr__(self, "_of_blocked", RegistryPatterns(self._blocked))
        object.__setattr__(self, "_known", {})

    @property
    def allowed_patterns(self) -> tuple[RegistryPattern, ...]:
        """`allowed`, read."""
        return self._allowed

    @property
    def blocked_patterns(self) -> tuple[RegistryPattern, ...]:
        """`blocked`, read."""
        return self._blocked

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """All violations: containers, then image volumes. Raises Malformed for an image that is not text."""
        violations = []
        for path, image, container in image_references(pod):
            if image is None:
                violations.append(Violation(path, None, "an image reference", container))
                continue
            expected = self._known.get(image)
            if expected is None:
                expected = self._expected(image)
                if len(self._known) >= REMEMBERED_IMAGES:  # a webhook sees others for months
                    self._known.clear()
                if len(image) <= REFERENCE_LIMIT:
                    self._known[image] = expected
            if expected:
                violations.append(Violation(path, image, expected, container))
        return violations

    def to_cel(self, builder: CelBuilder) -> str:
        """See `Expressible`."""
        from pytest_kspec.rules.pods.imagerule_cel import image_rule

        return image_rule(self, builder)

    def _expected(self, text: str) -> str:
        """What should be there instead; "" if it is good."""
        try:
            image = parse_image(text)
        except ValueError as error:
            return f"a valid image reference ({error})"
        return self._judge(image)

    def _judge(self, image: ImageReference) -> str:
        if self.digest and not image.digest:
            return "a digest (…@sha256:…)"
        hit = self._of_blocked.first(image)
        if hit is not None:
            return f"not from {hit}"
        if self._allowed and self._of_allowed.first(image) is None:
            return self._from
        return ""


def image_references(pod: PodShape) -> Sequence[tuple[str, str | None, str]]:
    """(path, reference, container's name or "") of every container and image volume; None for none."""
    known: Sequence[tuple[str, str | None, str]] | None = pod.derived.get("images")
    if known is None:
        known = pod.derived["images"] = tuple(_references(pod))
    return known


def _references(pod: PodShape) -> Iterator[tuple[str, str | None, str]]:
    for container in pod.containers:
        path = f"{container.path}.image"
        yield path, _text(path, container.raw.get("image")), container.name
    volumes = pod.spec.get("volumes")
    if volumes is None:
        return
    if type(volumes) is not list:
        malformed("spec.volumes", volumes, list)
    for index, volume in enumerate(volumes):
        path = f"spec.volumes[{item_label(volume, index)}]"
        if type(volume) is not dict:
            malformed(path, volume, dict)
        source = volume.get("image")
        if source is None:
            continue
        if type(source) is not dict:
            malformed(f"{path}.image", source, dict)
        yield f"{path}.image.reference", _text(f"{path}.image.reference", source.get("reference")), ""


def _text(path: str, value: Any) -> str | None:
    if value is not None and type(value) is not str:
        malformed(path, value, str)
    return value or None
