"""network.defaultDeny: what NetworkPolicies of a namespace do together."""

from typing import Any

import pytest

from builtin_checks.network.test_default_deny import test_default_deny as check
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import namespace, policy, told, verdict

SPEC = {"network": {"defaultDeny": True}}
BOTH = ["Ingress", "Egress"]


def run(*policies: Any, **options: Any) -> list[CheckResult]:
    return evaluate(check, objects=[namespace("shop"), *policies], spec=SPEC, **options)


def missing(direction: str, actual: Any) -> tuple[str, str, Any, str]:
    return (
        "Namespace shop",
        f"networkPolicies.{direction}",
        actual,
        f"no default deny for {direction}: {actual}",
    )


@pytest.mark.parametrize(
    "policies",
    [
        pytest.param([policy("deny", "shop", policyTypes=BOTH)], id="one-policy"),
        pytest.param(
            [policy("deny", "shop", policyTypes=BOTH, ingress=[], egress=[])], id="empty-rule-lists"
        ),
        pytest.param(
            [policy("in", "shop", policyTypes=["Ingress"]), policy("out", "shop", policyTypes=["Egress"])],
            id="two-policies-together",
        ),
        pytest.param(
            [policy("in", "shop"), policy("out", "shop", policyTypes=["Egress"])],
            id="types-default-to-ingress",
        ),
        pytest.param(
            [
                policy(
                    "deny", "shop", policyTypes=BOTH, podSelector={"matchLabels": {}, "matchExpressions": []}
                )
            ],
            id="empty-selector-spelled-out",
        ),
        pytest.param(
            [
                policy("deny", "shop", policyTypes=BOTH),
                policy("web", "shop", podSelector={"matchLabels": {"app": "web"}}, ingress=[{}]),
                policy(
                    "dns",
                    "shop",
                    policyTypes=["Egress"],
                    egress=[{"ports": [{"protocol": "UDP", "port": 53}]}],
                ),
                policy("peers", "shop", ingress=[{"from": [{"podSelector": {}}]}]),
                policy("office", "shop", ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]),
                policy(
                    "net",
                    "shop",
                    ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}],
                ),
            ],
            id="with-exceptions",
        ),
    ],
)
def test_denies(policies: Any) -> None:
    assert (told(run(*policies)), verdict(run(*policies))) == ([], "pass")


def test_no_policy_at_all() -> None:
    assert told(run()) == [
        missing("egress", "no NetworkPolicy for egress"),
        missing("ingress", "no NetworkPolicy for ingress"),
    ]


def test_policies_of_another_namespace_do_not_count() -> None:
    results = run(policy("deny", "other", policyTypes=BOTH))
    assert told(results) == [
        missing("egress", "no NetworkPolicy for egress"),
        missing("ingress", "no NetworkPolicy for ingress"),
    ]


def test_allow_all_ingress_with_an_empty_selector_is_no_default_deny() -> None:
    results = run(policy("open", "shop", policyTypes=BOTH, ingress=[{}]))
    assert told(results) == [missing("ingress", "NetworkPolicy open allowing all ingress of all pods")]


def test_deny_for_ingress_only_is_not_enough() -> None:
    assert told(run(policy("deny", "shop", policyTypes=["Ingress"]))) == [
        missing("egress", "no NetworkPolicy for egress")
    ]


def test_egress_list_does_not_count_for_a_policy_of_type_ingress() -> None:
    results = run(policy("deny", "shop", policyTypes=["Ingress"], egress=[]))
    assert told(results) == [missing("egress", "no NetworkPolicy for egress")]


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"to": []},
        {"to": [], "ports": []},
        {"to": None, "ports": None},
        {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}]},
        {"to": [{"ipBlock": {"cidr": "::/0", "except": []}}]},
        {"to": [{"ipBlock": {"cidr": "0:0::/0"}}]},
        {"to": [{"ipBlock": {"cidr": "10.0.0.0/0"}}]},  # as API servers before 1.36 accept it
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/1"}}, {"ipBlock": {"cidr": "128.0.0.0/1"}}]},
        {"ports": [{}, {"protocol": "UDP"}]},
        {
            "ports": [
                {"port": 1, "endPort": 65535},
                {"protocol": "UDP", "port": 1, "endPort": 65535},
            ]
        },
    ],
)
def test_policies_add_so_that_allow_everything_defeats_a_default_deny(rule: Any) -> None:
    results = run(
        policy("deny", "shop", policyTypes=BOTH),
        policy("open", "shop", policyTypes=["Egress"], egress=[rule]),
    )
    assert told(results) == [missing("egress", "NetworkPolicy open allowing all egress of all pods")]


@pytest.mark.parametrize(
    "rule",
    [
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/1"}}, {"ipBlock": {"cidr": "::/1"}}]},
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]},
        {"to": [{"podSelector": {}}]},
        {"ports": [{}]},
        {"ports": [{"port": 1, "endPort": 65534}, {"protocol": "UDP"}]},
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]},
    ],
)
def test_rules_that_leave_something_closed_defeat_none(rule: Any) -> None:
    open_in_part = policy("open", "shop", policyTypes=["Egress"], egress=[rule])
    assert told(run(policy("deny", "shop", policyTypes=BOTH), open_in_part)) == []


def test_two_rules_that_allow_everything_together() -> None:
    halves = [{"to": [{"ipBlock": {"cidr": half}}]} for half in ("0.0.0.0/1", "128.0.0.0/1")]
    results = run(
        policy("deny", "shop", policyTypes=BOTH),
        policy("open", "shop", policyTypes=["Egress"], egress=halves),
    )
    assert told(results) == [missing("egress", "NetworkPolicy open allowing all egress of all pods")]


def test_egress_rules_make_an_untyped_policy_one_for_egress() -> None:
    results = run(
        policy("both", "shop", egress=[{"ports": [{"port": 443}]}]), policy("deny", "shop", policyTypes=BOTH)
    )
    assert told(results) == []
    results = run(policy("both", "shop", egress=[{"ports": [{"port": 443}]}]))
    assert told(results) == [
        missing("egress", "NetworkPolicy both selecting all pods, but with egress rules")
    ]


def test_a_policy_for_some_pods_is_named() -> None:
    results = run(policy("web", "shop", podSelector={"matchLabels": {"app": "web"}}, policyTypes=BOTH))
    assert told(results) == [
        missing("egress", "NetworkPolicy web selecting only some pods"),
        missing("ingress", "NetworkPolicy web selecting only some pods"),
    ]


def test_every_namespace_counts_system_ones_too() -> None:
    results = evaluate(
        check,
        objects=[namespace("kube-system"), namespace("shop"), policy("deny", "shop", policyTypes=BOTH)],
        spec=SPEC,
    )
    assert [f[0] for f in told(results)] == ["Namespace kube-system"] * 2


@pytest.mark.parametrize(
    "spec",
    [{"podSelector": "all"}, {"ingress": {}}, {"policyTypes": "Ingress"}, {"ingress": ["x"]}, {"egress": 1}]
    + [{"policyTypes": ["ingress"]}, {"ingress": [{"ports": ["x"]}]}, {"ingress": [{"from": ["x"]}]}]
    + [
        {"ingress": [{"from": [{"ipBlock": wrong}]}]}
        for wrong in ("x", {}, {"cidr": ["::/0"]}, {"cidr": "all"})
    ]
    + [{"ingress": [{"from": [{"ipBlock": {"cidr": "::/0", "except": "x"}}]}]}],
)
def test_malformed_policy_is_an_error(spec: Any) -> None:
    assert verdict(run(policy("odd", "shop", **spec), policy("deny", "shop", policyTypes=BOTH))) == "error"


def test_not_readable_is_an_error() -> None:
    assert verdict(run(denied=["networkpolicies"])) == "error"


def test_not_asked_for() -> None:
    assert evaluate(check, objects=[namespace("shop")], spec={"network": {"defaultDeny": False}}) == []


def test_nobody_is_offered_to_cut_off_the_dns_of_the_cluster() -> None:
    (result,) = evaluate(check, objects=[namespace("kube-system"), namespace("shop")], spec=SPEC)
    fixable = {(finding.resource.name, finding.fix is not None) for finding in result.findings}
    assert fixable == {("kube-system", False), ("shop", True)}
