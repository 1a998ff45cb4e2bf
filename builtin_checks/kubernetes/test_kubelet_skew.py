"""Kubelets too old or too new for the API server.

Minor versions are compared. Vendors patch nodes and control plane at different times, which the policy does
not mean.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_kspec import About, Cluster, ClusterSpecification, Findings, Nodes, Requirement, Version, check

ABOUT = About(
    restricts="Node status.nodeInfo.kubeletVersion",
    allowed="the API server's minor version and the three before it; two before API server 1.28",
    source='Kubernetes, version skew policy, "kubelet"',
)

SKEW = 3
SKEW_BEFORE_1_28 = 2


def asked(spec: ClusterSpecification) -> Iterator[Requirement]:
    """With every specification that says something about versions."""
    if spec.kubernetes:
        yield Requirement("kubernetes.kubeletSkew", "kubernetes")


@check(
    id="kubernetes.kubeletSkew",
    title="Every kubelet is within the supported skew of the API server",
    severity="high",
    remediation="Upgrade the control plane first, then drain and upgrade the nodes.",
    about=ABOUT,
    not_admission="it is about the cluster itself, which is not part of any admission request",
    requirements=asked,
    cluster_wide=True,
    reads=(),
)
def test_kubelet_skew(cluster: Cluster, nodes: Nodes, findings: Findings) -> None:
    """Versions outside the skew are not tested with each other; pods may start incorrectly or not at all."""
    try:
        server = Version.parse(cluster.version)
    except ValueError as error:
        findings.error(f"the API server's version could not be read: {error}")
        return
    skew = SKEW_BEFORE_1_28 if server.release < (1, 28) else SKEW
    oldest = (server.major, max(server.minor - skew, 0))
    newest = f"{server.major}.{server.minor}"
    for node in nodes:
        status = node.raw.get("status")
        info = status.get("nodeInfo") if isinstance(status, dict) else None
        text = info.get("kubeletVersion") if isinstance(info, dict) else None
        try:
            kubelet = Version.parse(text or "")
        except ValueError:
            findings.error(
                f"its kubelet's version could not be read: status.nodeInfo.kubeletVersion is {text!r}", node
            )
            continue
        if oldest <= kubelet.release <= server.release:
            continue
        where = "newer" if kubelet.release > server.release else f"more than {skew} minor versions older"
        findings.add(
            node,
            path="status.nodeInfo.kubeletVersion",
            actual=text,
            expected=f"{oldest[0]}.{oldest[1]} to {newest}",
            message=f"the kubelet is {text}, {where} than the API server {server}",
        )
