"""Who answers when a workload breaks.

Restricted field:  metadata.labels.team of workloads; metadata.labels.cost-centre of namespaces
Allowed values:    the name of a team; any cost centre
Source:            Acme operations handbook, OPS-7 and FIN-2
"""

import pytest
from pytest_kspec import check

TEAMS = ("payments", "platform", "web")


@check(
    id="acme.team-label",
    title="Every workload names its team",
    severity="medium",
    controls={"acme": ["OPS-7"]},
    remediation="Add the label team=<name> to the Deployment.",
)
def test_team_label(workloads, findings):
    """The pager reads this label; a workload without it pages nobody."""
    for workload in workloads:
        team = workload.labels.get("team")
        if team not in TEAMS:
            findings.add(workload, path="metadata.labels.team", actual=team, expected=" or ".join(TEAMS))


@check(
    id="acme.namespaces-per-team",
    title="Every team has a namespace with a cost centre",
    severity="low",
    remediation="Create the namespace of the team, with the label cost-centre.",
)
@pytest.mark.parametrize("team", TEAMS)
def test_namespaces(namespaces, team):
    """Costs are booked by namespace."""
    mine = [n for n in namespaces if n.name == team]
    assert mine, f"team {team} has no namespace"
    assert "cost-centre" in mine[0].labels, f"namespace {team} has no label cost-centre"
