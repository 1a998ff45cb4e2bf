"""The registration: one a specification, with its failure policy, timeout and scope."""

from types import SimpleNamespace
from typing import Any, cast

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.engines import Wanted, engine, webhook
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.spec.loading import spec_from_part
from tests.webhook.reviewing import CHECKSET, NOW, forbid


def generated(part: Any, mode: Any = Mode.ENFORCE, name: str = "prod", **options: Any) -> Any:
    plan = enforcement_plan(spec_from_part(part, name), CHECKSET, now=NOW)
    return engine("webhook").generate(Wanted(plan, mode, options=SimpleNamespace(**options))).manifests


def test_the_registration() -> None:
    (made,) = generated(forbid("hostNetwork") | {"webhooks": {"failurePolicy": "Fail", "timeoutSeconds": 3}})
    assert made["metadata"] == {
        "name": "kspec-prod-webhook",
        "labels": {
            "kspec.io/engine": "webhook",
            "kspec.io/enforcement-mode": "enforce",
            "kspec.io/generated": "true",
            "kspec.io/cluster-spec": "prod",
        },
        "annotations": {"kspec.io/spec-name": "prod"},
    }
    (hook,) = made["webhooks"]
    assert hook["clientConfig"] == {
        "service": {
            "namespace": "kspec-system",
            "name": "kspec-webhook",
            "path": "/validate/prod",
            "port": 443,
        }
    }
    assert (hook["failurePolicy"], hook["timeoutSeconds"], hook["sideEffects"]) == ("Fail", 3, "NoneOnDryRun")
    assert [rule["resources"] for rule in hook["rules"]] == [
        ["pods", "pods/ephemeralcontainers", "pods/resize", "replicationcontrollers", "podtemplates"],
        ["deployments", "statefulsets", "daemonsets", "replicasets"],
        ["jobs", "cronjobs"],
    ]
    assert hook["namespaceSelector"] == {
        "matchExpressions": [
            {
                "key": "kubernetes.io/metadata.name",
                "operator": "NotIn",
                "values": ["kspec-system", "kube-system"],
            }
        ]
    }


def test_own_and_system_namespaces_are_left_out_by_configuration() -> None:
    rule = forbid("hostNetwork")
    (made,) = generated(rule, webhook_service="infra/guard")
    values = made["webhooks"][0]["namespaceSelector"]["matchExpressions"][0]["values"]
    assert values == ["infra", "kube-system"]
    (made,) = generated(rule, webhook_exclude_namespace=[""])
    assert "namespaceSelector" not in made["webhooks"][0]


def test_what_only_audits_never_fails_a_request() -> None:
    (made,) = generated(forbid("hostNetwork") | {"webhooks": {"failurePolicy": "Fail"}}, Mode.AUDIT)
    assert made["webhooks"][0]["failurePolicy"] == "Ignore"


def test_scope_is_registered_where_a_selector_can_say_it() -> None:
    scope = {
        "includeNamespaces": ["a", "b"],
        "excludeNamespaces": ["b", "c-*"],
        "namespaceSelector": {"matchLabels": {"x": "y"}},
    }
    (made,) = generated(forbid("hostNetwork") | {"namespaceScope": scope}, webhook_exclude_namespace=[""])
    assert made["webhooks"][0]["namespaceSelector"] == {
        "matchLabels": {"x": "y"},
        "matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["b"]},
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]},
        ],
    }


def test_services_only_where_a_rule_is_about_them() -> None:
    (made,) = generated({"network": {"allowedServiceTypes": ["ClusterIP"]}})
    assert [rule["resources"] for rule in made["webhooks"][0]["rules"]] == [["services"]]
    assert generated({"rbac": {"forbiddenRules": [{"resource": "secrets", "verbs": ["get"]}]}}) == ()


def test_two_specifications_never_share_an_object_and_cert_manager_is_asked_where_it_is_wanted() -> None:
    (one,), (two,) = generated(forbid("hostPID"), name="a"), generated(forbid("hostPID"), name="b")
    assert one["metadata"]["name"] != two["metadata"]["name"]
    assert one["webhooks"][0]["name"] != two["webhooks"][0]["name"]
    (made,) = generated(forbid("hostPID"), webhook_cert_manager=True)
    assert made["metadata"]["annotations"][webhook.INJECT] == "kspec-system/kspec-webhook"
    (made,) = generated(forbid("hostPID") | {"webhooks": {"certificate": {"issuer": "x"}}})
    assert webhook.INJECT in made["metadata"]["annotations"]


def test_what_is_in_force_is_read_back() -> None:
    (made,) = generated(forbid("hostPID"))
    (found,) = webhook.in_force([made], cast(Writer, None))
    assert (found.mode, found.problems) == (
        "",
        (
            "it has no caBundle yet; unless a public authority signed the "
            "webhook's certificate, every request is admitted",
        ),
    )
    assert webhook.in_force([made | {"webhooks": []}], cast(Writer, None))[0].problems == (
        "it has no webhook, so it has no effect",
    )
