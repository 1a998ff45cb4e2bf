"""What a result says: texts of alerts."""

from __future__ import annotations

import pytest

from pytest_kspec.alerts.observe import observe
from tests.reports.results import check, cluster, finding, ref

PATH = "spec.containers[app].securityContext.privileged"
AT = "2026-06-01T12:00:00Z"


@pytest.mark.parametrize(
    ("path", "message", "said"),
    [
        (PATH, f"{PATH} is true, must be false", f"Pod shop/web: {PATH} is true, must be false"),
        (PATH, "the container is privileged", f"Pod shop/web: {PATH}: the container is privileged"),
        ("", "nothing selects it", "Pod shop/web: nothing selects it"),
    ],
)
def test_an_alert_names_the_object_and_the_field_once(path: str, message: str, said: str) -> None:
    found = finding(ref("Pod", "web"), path, True, "false", message)
    failed = check("x.y", "It is so", "high", "fail", findings=(found,))
    (made,) = observe(cluster(checks=(failed,), exemptions=()), AT).active
    assert made.description.splitlines() == [said]


def test_requirements_with_one_title_have_alerts_that_can_be_told_apart() -> None:
    found = (finding(ref("Pod", "web"), "spec.x", 1, "2"),)
    title = "Access is not granted"
    result = cluster(
        checks=(
            check("rbac.forbiddenRules[core/secrets]", title, "high", "fail", findings=found),
            check("rbac.forbiddenRules[*/*]", title, "high", "pass"),
            check("network.defaultDeny", "Namespaces deny", "high", "fail", findings=found),
        ),
        exemptions=(),
    )
    assert [made.title for made in observe(result, AT).active] == [
        "Access is not granted [core/secrets] is not met on prod-eu",
        "Namespaces deny is not met on prod-eu",
    ]
