"""Capacity: fixtures, parameters and plain asserts, as in any test."""

import pytest

from pytest_kspec import Nodes, check


@check(
    id="acme.node-count",
    title="The cluster survives the loss of a node",
    severity="medium",
    remediation="Add nodes.",
)
@pytest.mark.parametrize("role", ["worker", "control-plane"])
def test_node_count(nodes: Nodes, smallest: dict[str, int], role: str) -> None:
    """With one node of a kind, an upgrade is an outage. A plain assert is one finding about the cluster."""
    controls = [node for node in nodes if "node-role.kubernetes.io/control-plane" in node.labels]
    found = controls if role == "control-plane" else [node for node in nodes if node not in controls]
    assert len(found) >= smallest[role], f"{len(found)} {role} nodes, at least {smallest[role]} wanted"
