"""kubernetes.kubeletSkew."""

from typing import Any

import pytest

from builtin_checks.kubernetes.test_kubelet_skew import test_kubelet_skew as check
from pytest_kspec.testing import evaluate
from tests.checks.objects import obj, told, verdict


def node(name: str, version: Any) -> dict[str, Any]:
    return obj("v1", "Node", name, status={"nodeInfo": {"kubeletVersion": version}})


def test_each_node_is_compared_with_the_api_server() -> None:
    nodes = [
        node("same", "v1.34.3-eks-113cf36"),
        node("oldest", "v1.31.0+k3s1"),
        node("older", "v1.30.9"),
        node("newer", "v1.35.0"),
    ]
    results = evaluate(check, objects=nodes, version="v1.34.1")
    path = "status.nodeInfo.kubeletVersion"
    assert told(results) == [
        ("Node newer", path, "v1.35.0", "the kubelet is v1.35.0, newer than the API server v1.34.1"),
        (
            "Node older",
            path,
            "v1.30.9",
            "the kubelet is v1.30.9, more than 3 minor versions older than the API server v1.34.1",
        ),
    ]
    assert {f.expected for f in results[0].findings} == {"1.31 to 1.34"}
    assert results[0].examined == 4


@pytest.mark.parametrize(
    ("server", "kubelet", "good"),
    [
        ("v1.28.0", "v1.25.16", True),
        ("v1.27.3", "v1.25.16", True),
        ("v1.27.3", "v1.24.17", False),
        ("v1.34.1", "v1.34.9", True),
    ],
)
def test_skew_by_version_of_the_api_server(server: str, kubelet: str, good: bool) -> None:
    results = evaluate(check, objects=[node("n", kubelet)], version=server)
    assert verdict(results) == ("pass" if good else "fail")


@pytest.mark.parametrize("version", [None, "", "unknown", 7])
def test_a_kubelet_whose_version_cannot_be_read_is_an_error(version: Any) -> None:
    (result,) = evaluate(check, objects=[node("n", version), node("newer", "v1.35.0")])
    assert result.verdict.value == "error"
    assert "Node n" in result.reason
    assert [f.resource.name for f in result.findings] == ["newer"]


def test_nodes_that_may_not_be_listed_are_an_error() -> None:
    assert verdict(evaluate(check, denied=["nodes"])) == "error"


def test_no_node_at_all_is_nothing_to_examine() -> None:
    assert verdict(evaluate(check)) == "skip"
    assert verdict(evaluate(check, version="", kind="manifests")) == "skip"


def test_it_is_asked_for_with_the_section_kubernetes_only() -> None:
    assert evaluate(check, spec={"network": {"defaultDeny": True}}) == []
