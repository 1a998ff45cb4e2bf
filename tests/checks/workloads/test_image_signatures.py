"""`workloads.images.requireSignatures` on pods and templates whose images lie in a real registry."""

from __future__ import annotations

from typing import Any

import pytest

from builtin_checks.workloads import test_image_signatures as checks
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.registry.push import Pusher
from tests.signatures import signing

KEY = signing.new_key()
NONE = "it has no signature"
SIGNERS = [{"publicKeys": [signing.pem(KEY)]}]


def pod(name: str, image: Any, running: str = "", **spec: Any) -> dict[str, Any]:
    """running: digest that the runtime says, "" if it says none."""
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [{"name": "app", "image": image}], **spec},
        "status": {"phase": "Running"},
    }
    if running:
        made["status"]["containerStatuses"] = [{"name": "app", "imageID": running}]
    return made


def deployment(name: str, image: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}},
    }


def run(*objects: dict[str, Any], signers: list[Any] | None = None, required: bool = True) -> CheckResult:
    images: dict[str, Any] = {
        "requireSignatures": required,
        "signatures": SIGNERS if signers is None else signers,
    }
    (result,) = evaluate(
        checks.test_require_signatures, objects=objects, spec={"workloads": {"images": images}}
    )
    return result


def found(result: CheckResult) -> list[tuple[str, str, Any, str]]:
    assert result.reason == ""
    return [(str(f.resource), f.path, f.actual, f.expected) for f in result.findings]


def trusted(why: str, what: str = "an image") -> str:
    return f"{what} signed by a trusted signer ({why})"


def test_signed_images_pass_and_others_are_findings(repo: Pusher) -> None:
    good, bad = f"{repo.name}:good", f"{repo.name}:bad"
    signing.sign_beside(repo, repo.image("good", "good"), KEY)
    repo.image("bad", "bad")
    assert run(pod("a", good), deployment("web", good)).verdict == "pass"
    volume = {"name": "data", "image": {"reference": bad}}
    result = run(
        pod("a", good, volumes=[volume], initContainers=[{"name": "init", "image": bad}]),
        deployment("web", bad),
        deployment("ok", good),
    )
    assert found(result) == [
        ("Deployment shop/web", "spec.template.spec.containers[app].image", bad, trusted(NONE)),
        ("Pod shop/a", "spec.initContainers[init].image", bad, trusted(NONE)),
        ("Pod shop/a", "spec.volumes[data].image.reference", bad, trusted(NONE)),
    ]
    assert result.examined == 3


def test_what_is_no_reference_is_a_finding() -> None:
    result = run(pod("a", "Not A Reference"), pod("b", None))
    assert [(f.actual, f.expected.partition(" (")[0]) for f in result.findings] == [
        ("Not A Reference", "an image signed by a trusted signer"),
        (None, "an image reference"),
    ]


def test_without_signers_it_is_an_error() -> None:
    result = run(pod("a", "registry.example.com/app"), signers=[])
    assert (result.verdict, result.reason) == ("error", checks.NO_SIGNERS)


def test_an_image_for_which_nobody_is_named_is_a_finding() -> None:
    signers = [{"images": ["registry.example.com"], **SIGNERS[0]}]
    assert found(run(pod("a", "nginx"), signers=signers)) == [
        ("Pod shop/a", "spec.containers[app].image", "nginx", trusted("no signer is named for it"))
    ]


def test_a_registry_that_cannot_be_asked_is_an_error_that_names_it() -> None:
    result = run(pod("a", "127.0.0.1:1/app:v1"))
    assert result.verdict == "error"
    assert result.reason == (
        "127.0.0.1:1/app:v1: 127.0.0.1:1/app: the registry does not answer (NewConnectionError). "
        "Is it up and reachable from the machine of the scan?"
    )


def test_what_runs_is_examined_as_well(repo: Pusher) -> None:
    image = f"{repo.name}:v1"
    old = repo.image("v1", "old")
    new = repo.image("v1", "new")
    signing.sign_beside(repo, new, KEY)
    pods = [
        pod("same", image, f"{repo.name}@{new}"),
        pod("old", image, f"docker-pullable://{repo.name}@{old}"),
    ]
    assert found(run(*pods)) == [
        (
            "Pod shop/old",
            "status.containerStatuses[app].imageID",
            old,
            f"a digest signed by a trusted signer ({NONE}); {image} now has another digest",
        )
    ]
    signing.sign_beside(repo, old, KEY)
    assert run(*pods).verdict == "pass"


def test_a_moved_tag_is_examined_where_it_points_now(repo: Pusher) -> None:
    image = f"{repo.name}:v1"
    old = repo.image("v1", "old")
    signing.sign_beside(repo, old, KEY)
    repo.image("v1", "new")
    assert found(run(pod("a", image, f"{repo.name}@{old}"))) == [
        ("Pod shop/a", "spec.containers[app].image", image, trusted(NONE))
    ]


def test_a_platform_of_a_signed_index_runs(repo: Pusher) -> None:
    parts = [repo.image(note="amd64"), repo.image(note="arm64")]
    index = repo.index(parts, "multi")
    signing.sign_beside(repo, index, KEY)
    assert run(pod("a", f"{repo.name}:multi", f"{repo.name}@{parts[0]}")).verdict == "pass"


@pytest.mark.parametrize("running", ["sha256:" + "1" * 64, "nonsense", ""])
def test_an_image_id_without_a_repository_says_nothing(repo: Pusher, running: str) -> None:
    signing.sign_beside(repo, repo.image("v1"), KEY)
    assert run(pod("a", f"{repo.name}:v1", running)).verdict == "pass"


def test_malformed_pods_are_errors(repo: Pusher) -> None:
    assert run(pod("a", ["x"])).verdict == "error"
    broken = pod("a", f"{repo.name}:v1")
    broken["spec"]["containers"] = "x"
    assert run(broken).verdict == "error"


def test_pods_of_one_owner_are_one_finding(repo: Pusher) -> None:
    repo.image("v1")
    result = run(*(pod(f"p{number}", f"{repo.name}:v1") for number in range(3)))
    assert len(result.findings) == 3
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
    owned = [pod(f"p{number}", f"{repo.name}:v1") for number in range(3)]
    for one in owned:
        one["metadata"]["ownerReferences"] = [owner]
    assert [finding.count for finding in run(*owned).findings] == [3]


def test_nothing_is_asked_where_it_is_not_required() -> None:
    images = {"requireSignatures": False, "signatures": SIGNERS}
    assert evaluate(checks.test_require_signatures, spec={"workloads": {"images": images}}) == []
