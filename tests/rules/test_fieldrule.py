"""`FieldRule`: what is set by an ancestor, what containers inherit, and what cannot be looked at."""

from typing import Any

import pytest

from pytest_kspec import FieldRule
from pytest_kspec.errors import Malformed
from pytest_kspec.kube.resources import PodShape

PROFILE = "securityContext.seccompProfile"
SECCOMP = FieldRule(
    field=f"{PROFILE}.type",
    over="containers",
    allowed=("RuntimeDefault",),
    set_by=PROFILE,
    inherits=True,
    reason="seccomp profiles",
)
GOOD, EMPTY, BAD = (
    {"securityContext": {"seccompProfile": p}} for p in ({"type": "RuntimeDefault"}, {}, {"type": "U"})
)
OF_POD, OF_APP = (f"{base}.{PROFILE}.type" for base in ("spec", "spec.containers[app]"))


@pytest.mark.parametrize(
    ("of_pod", "of_app", "found"),
    [
        ({}, {}, [(OF_APP, None)]),
        (GOOD, {}, []),
        ({}, GOOD, []),
        (GOOD, BAD, [(OF_APP, "U")]),
        # A profile without a type is there: it is not inherited from the pod, and is the pod's own.
        (GOOD, EMPTY, [(OF_APP, "")]),
        (EMPTY, {}, [(OF_POD, "")]),
        (EMPTY, GOOD, [(OF_POD, "")]),
        (BAD, {}, [(OF_POD, "U")]),
        (BAD, EMPTY, [(OF_POD, "U"), (OF_APP, "")]),
    ],
)
def test_what_an_ancestor_sets_and_what_containers_inherit(
    of_pod: dict[str, Any], of_app: dict[str, Any], found: list[Any] | list[tuple[Any, ...]]
) -> None:
    shape = PodShape({"containers": [{"name": "app", "image": "x", **of_app}], **of_pod}, {})
    assert [(violation.path, violation.actual) for violation in SECCOMP.evaluate(shape)] == found


def test_a_container_that_is_none_is_never_passed_over() -> None:
    shape = PodShape({"containers": [{"name": "app", "image": "x", **GOOD}, "debug"]}, {})
    with pytest.raises(Malformed):
        SECCOMP.evaluate(shape)
