"""Where images come from and how they are referenced.

References are parsed (`nginx` is docker.io/library/nginx) and compared by host and path segment:
`gcr.io/team` is that and everything below it, `*` stays within one segment, `*.gcr.io` is gcr.io and its
subdomains. A reference that cannot be parsed is a finding of each of these checks.
"""

from __future__ import annotations

from pytest_kspec import About, ImageRule, Requirement, check

ABOUT = About(
    restricts=(
        "spec.{containers,initContainers,ephemeralContainers}[*].image,\nspec.volumes[*].image.reference"
    ),
    allowed=(
        "matched by one of workloads.images.allowedRegistries, by none of blockedRegistries; with a "
        "digest where requireDigests is true"
    ),
    source=(
        "the specification; CIS Kubernetes 1.10, 5.5.1; the reference grammar of the distribution project"
    ),
)

DIGESTS = ImageRule(reason="images without digest", digest=True)


def allowed_rule(requirement: Requirement) -> ImageRule:
    """The rule that workloads.images.allowedRegistries asks for."""
    return ImageRule(reason="images from other registries", allowed=tuple(requirement.value))


def blocked_rule(requirement: Requirement) -> ImageRule:
    """The rule that workloads.images.blockedRegistries asks for."""
    return ImageRule(reason="images from blocked registries", blocked=tuple(requirement.value))


@check(
    id="workloads.images.allowedRegistries",
    title="Every image comes from an allowed registry",
    severity="high",
    remediation="Push the image to an allowed registry and use it from there, or allow its registry.",
    about=ABOUT,
    key="workloads.images.allowedRegistries",
    rule=allowed_rule,
)
def test_allowed_registries() -> None:
    """It is not known who built and scanned an image from another registry."""


@check(
    id="workloads.images.blockedRegistries",
    title="No image comes from a blocked registry",
    severity="high",
    remediation="Use the image from another registry, or mirror it to a registry of your own.",
    about=ABOUT,
    key="workloads.images.blockedRegistries",
    rule=blocked_rule,
)
def test_blocked_registries() -> None:
    """A registry is blocked because what it serves is not trusted."""


@check(
    id="workloads.images.requireDigests",
    title="Every image is referenced by digest",
    severity="medium",
    remediation="Write the image as name@sha256:…; the registry's page shows the digest of a tag.",
    about=ABOUT,
    key="workloads.images.requireDigests",
    rule=DIGESTS,
)
def test_require_digests() -> None:
    """A tag can be moved to other content; a digest cannot."""
