"""`automountServiceAccountToken` of the ServiceAccount counts for pods that leave it unset."""

from typing import Any

import pytest

from builtin_checks.workloads.test_containers import test_forbidden as forbidden
from builtin_checks.workloads.test_containers import test_required as required
from pytest_kspec.testing import evaluate
from tests.checks.objects import obj

KEY = "automountServiceAccountToken"


def account(name: str, mounts: Any, ns: str = "shop") -> dict[str, Any]:
    return obj("v1", "ServiceAccount", name, ns, **({} if mounts is None else {KEY: mounts}))


def pod(name: str, ns: str = "shop", **spec: Any) -> dict[str, Any]:
    return obj("v1", "Pod", name, ns, spec={"containers": [{"name": "a", "image": "x"}], **spec})


PODS = [
    pod("default"),
    pod("named", serviceAccountName="quiet"),
    pod("old-key", serviceAccount="quiet"),
    pod("elsewhere", "other", serviceAccountName="quiet"),
    pod("unknown", serviceAccountName="nobody"),
    pod("unset", serviceAccountName="unset"),
    pod("own-true", serviceAccountName="quiet", automountServiceAccountToken=True),
    pod("own-false", automountServiceAccountToken=False),
    pod("loud", serviceAccountName="loud"),
    pod("old-loud", serviceAccount="loud"),  # not as "default", which is quiet
]
ACCOUNTS = [account("quiet", False), account("default", False), account("unset", None), account("loud", True)]


def found(check: Any, entry: dict[str, Any], *objects: dict[str, Any], **options: Any) -> list[str]:
    part = "required" if check is required else "forbidden"
    spec = {"workloads": {"containers": {part: [{"key": KEY, **entry}]}}}
    (result,) = evaluate(check, objects=objects, spec=spec, **options)
    assert {f.path for f in result.findings} <= {f"spec.{KEY}"}
    return [f.resource.name for f in result.findings]


MOUNTED = ["elsewhere", "loud", "old-loud", "own-true", "unknown", "unset"]
QUIET = ["default", "named", "old-key", "own-false"]


@pytest.mark.parametrize("kind", ["live", "snapshot", "manifests"])
def test_it_counts_where_it_is_known(kind: str) -> None:
    objects = [*PODS, *ACCOUNTS]
    assert sorted(found(required, {"value": False}, *objects, kind=kind)) == MOUNTED
    assert sorted(found(required, {"value": True}, *objects, kind=kind)) == QUIET
    assert sorted(found(forbidden, {"value": True}, *objects, kind=kind)) == MOUNTED
    assert sorted(found(forbidden, {"value": False}, *objects, kind=kind)) == QUIET


def test_where_it_is_not_known_the_default_counts() -> None:
    unset = sorted({*MOUNTED, *QUIET} - {"own-false"})
    assert sorted(found(required, {"value": False}, *PODS)) == unset
    assert sorted(found(required, {"value": False}, *PODS, *ACCOUNTS, denied=["serviceaccounts"])) == unset
    odd = [account("quiet", "false"), account("default", 0)]
    assert sorted(found(required, {"value": False}, *PODS, *odd)) == unset


def test_that_a_pod_states_it_itself_can_still_be_asked() -> None:
    stated = found(required, {"exists": True}, *PODS, *ACCOUNTS)
    assert sorted(stated) == sorted({*MOUNTED, *QUIET} - {"own-true", "own-false"})
