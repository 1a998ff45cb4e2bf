"""A run that has begun keeps what it was begun with: what asks for something else is refused, or named."""

from __future__ import annotations

import pytest

from tests.fleet.conftest import Fleet, MakeFleet


@pytest.fixture
def begun(make_fleet: MakeFleet) -> Fleet:
    fleet = make_fleet(2)
    (fleet.folder / "exemptions.yaml").write_text("exemptions: []\n")
    said = fleet.run("scan", "spec.yaml", "--context", "c-000", "--no-wait", "--run=one")
    assert said.code == 0, said.err
    return fleet


def test_options_that_a_run_would_ignore_are_refused(begun: Fleet) -> None:
    for words, named in (
        (("--exemptions=exemptions.yaml",), "--exemptions"),
        (("--check-timeout=5", "--store-reports=elsewhere"), "--check-timeout, --store-reports"),
    ):
        for specs in (("spec.yaml", "--context", "c-000"), ()):
            said = begun.run("scan", *specs, "--run=one", "--no-wait", *words)
            assert said.code == 4, said.out
            assert f"error: --run one: a run with this id exists, and differs in {named}." in said.err
    spec = begun.folder / "spec.yaml"
    spec.write_text(spec.read_text().replace("1.30", "1.29"))
    said = begun.run("scan", "spec.yaml", "--context", "c-000", "--run=one", "--no-wait")
    assert said.code == 4
    assert "differs in the specifications." in said.err


def test_what_is_the_same_goes_on(begun: Fleet) -> None:
    assert begun.run("scan", "spec.yaml", "--context", "c-000", "--run=one").code == 1
    assert begun.run("scan", "--run=one", "--fail-on=critical").code == 0
    assert begun.outcomes("one") == {"c-000": "scanned"}


def test_clusters_of_another_selection_are_named(begun: Fleet) -> None:
    said = begun.run("scan", "spec.yaml", "--context", "c-001", "--run=one", "--no-wait")
    assert said.code == 0, said.err
    keeps = "run one keeps the clusters that it was begun with"
    assert f"{keeps}; is not scanned: c-001" in said.err
    assert f"{keeps}; is scanned nevertheless: c-000" in said.err
    assert "2 clusters" not in begun.run("scan", "--run=one", "--no-wait").err
    said = begun.run("scan", "--run=one", "--no-wait", "--context=none")
    assert said.code == 0
    assert (
        "the clusters that are selected now are not known: 'context:none' is not the name of a cluster."
        in said.err
    )
