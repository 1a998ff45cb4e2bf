"""Team labels: the smallest check of one's own."""

from pytest_kspec import Findings, Workloads, check


@check(
    id="acme.team-label",
    title="Every workload names its team",
    severity="low",
    controls={"acme": ["OPS-7"]},
    remediation="Add the label team=<name> to the workload.",
)
def test_team_label(workloads: Workloads, findings: Findings) -> None:
    """The pager reads this label; a workload without it pages nobody."""
    for workload in workloads:
        if "team" not in workload.labels:
            findings.add(workload, path="metadata.labels.team", expected="a team name")
