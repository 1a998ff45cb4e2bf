"""workloads.images.*, from specification to findings."""

from typing import Any

import pytest

from builtin_checks.workloads.test_images import test_allowed_registries as check_allowed
from builtin_checks.workloads.test_images import test_blocked_registries as check_blocked
from builtin_checks.workloads.test_images import test_require_digests as check_digests
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import obj, told

SHA = "sha256:" + "a" * 64
PATH = "spec.containers[app].image"


def pod(image: str | None, **spec: Any) -> dict[str, Any]:
    container = {"name": "app", "image": image} if image is not None else {"name": "app"}
    return obj(
        "v1", "Pod", "p", "shop", spec={"containers": [container], **spec}, status={"phase": "Running"}
    )


def run(check: Any, image: str | None, asked: dict[str, Any], **spec: Any) -> list[CheckResult]:
    return evaluate(check, objects=[pod(image, **spec)], spec={"workloads": {"images": asked}})


def allowed(image: str | None, *patterns: str, **spec: Any) -> list[CheckResult]:
    return run(check_allowed, image, {"allowedRegistries": list(patterns)}, **spec)


def blocked(image: str | None, *patterns: str) -> list[CheckResult]:
    return run(check_blocked, image, {"blockedRegistries": list(patterns)})


def digests(image: str | None, **spec: Any) -> list[CheckResult]:
    return run(check_digests, image, {"requireDigests": True}, **spec)


@pytest.mark.parametrize(
    ("image", "patterns"),
    [
        ("nginx", ["docker.io/*"]),
        ("docker.io/nginx", ["quay.io", "docker.io/*"]),
        ("gcr.io/mycompany/app", ["gcr.io/mycompany/*"]),
        ("gcr.io/mycompany/team/app:1", ["gcr.io/mycompany/*"]),
        ("eu.gcr.io/x", ["*.gcr.io"]),
        ("localhost:5000/x", ["localhost:5000"]),
    ],
)
def test_images_of_allowed_registries(image: str, patterns: list[str]) -> None:
    assert told(allowed(image, *patterns)) == []


@pytest.mark.parametrize(
    ("image", "pattern"),
    [
        ("evil.com/x.gcr.io/img", "*.gcr.io"),
        ("localhost:5000/x", "docker.io/*"),
        ("gcr.io.evil/x", "gcr.io"),
        ("gcr.io/mycompany-evil/x", "gcr.io/mycompany/*"),
    ],
)
def test_images_that_only_look_allowed(image: str, pattern: str) -> None:
    assert told(allowed(image, pattern)) == [
        ("Pod shop/p", PATH, image, f"{PATH} is {image}, must be from {pattern}")
    ]


def test_all_patterns_are_named_when_none_matches() -> None:
    (result,) = allowed("quay.io/x", "gcr.io", "docker.io/*")
    assert [f.expected for f in result.findings] == ["from gcr.io or docker.io/*"]


@pytest.mark.parametrize(
    ("image", "pattern", "good"),
    [
        ("nginx", "docker.io", False),
        ("index.docker.io/library/nginx", "docker.io", False),
        ("quay.io:443/x", "quay.io", False),
        ("QUAY.io/x", "quay.io", False),
        ("gcr.io.evil/x", "gcr.io", True),
        ("gcr.io/x", "*.gcr.io", False),
        ("bitnami/redis", "bitnami", False),
        ("quay.io/nginx", "docker.io", True),
    ],
)
def test_blocked_registries(image: str, pattern: str, good: bool) -> None:
    (result,) = blocked(image, pattern)
    assert [(f.actual, f.expected) for f in result.findings] == (
        [] if good else [(image, f"not from {pattern}")]
    )


@pytest.mark.parametrize("image", [f"nginx@{SHA}", f"gcr.io/x:1@{SHA}", "x@sha512:" + "0" * 128])
def test_digests(image: str) -> None:
    assert told(digests(image)) == []


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx:1.27", "a digest (…@sha256:…)"),
        ("evil/sha256:" + "a" * 64, "a digest (…@sha256:…)"),
        (
            "nginx@sha256:abc",
            "a valid image reference ('sha256:abc' is not a digest; "
            "a digest is sha256: and 64 hexadecimal digits)",
        ),
    ],
)
def test_a_digest_is_a_real_one(image: str, expected: str) -> None:
    (result,) = digests(image)
    assert [(f.path, f.actual, f.expected) for f in result.findings] == [(PATH, image, expected)]


def test_what_cannot_be_parsed_is_a_finding_of_each_check() -> None:
    for results in (allowed("team/App", "*"), blocked("team/App", "quay.io"), digests("team/App")):
        (result,) = results
        assert [f.expected for f in result.findings] == [
            "a valid image reference (a part of the name 'App' is not allowed (it must be lower case))"
        ]


def test_no_image_at_all_is_a_finding() -> None:
    for image in (None, ""):
        assert told(allowed(image, "*")) == [
            ("Pod shop/p", PATH, None, f"{PATH} is unset, must be an image reference")
        ]


def test_all_containers_and_image_volumes_are_looked_at() -> None:
    others: dict[str, Any] = {
        "initContainers": [{"name": "init", "image": "a"}],
        "ephemeralContainers": [{"name": "debug", "image": "b"}],
        "volumes": [{"name": "model", "image": {"reference": "c"}}, {"name": "tmp", "emptyDir": {}}],
    }
    for results in (allowed(f"gcr.io/x@{SHA}", "gcr.io", **others), digests(f"gcr.io/x@{SHA}", **others)):
        (result,) = results
        assert [(f.path, f.container, f.actual) for f in result.findings] == [
            ("spec.ephemeralContainers[debug].image", "debug", "b"),
            ("spec.initContainers[init].image", "init", "a"),
            ("spec.volumes[model].image.reference", "", "c"),
        ]


@pytest.mark.parametrize(
    "volumes", [{}, ["x"], [{"name": "v", "image": "x"}], [{"name": "v", "image": {"reference": 1}}]]
)
def test_impossible_types_are_errors(volumes: Any) -> None:
    (result,) = digests(f"x@{SHA}", volumes=volumes)
    assert result.verdict.value == "error"
    assert "spec.volumes" in result.reason
