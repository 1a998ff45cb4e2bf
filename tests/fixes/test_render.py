"""Names of what is written for fixes: made of names in a cluster, and never a way out of the folder."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.fixes.render import folder_names


def test_names_that_would_lead_elsewhere_or_meet() -> None:
    assert folder_names(["..", "/", "a/b", "a_b", "prod-eu", "../../x", ""]) == {
        "..": "cluster",
        "/": "_",
        "a/b": "a_b",
        "a_b": "a_b-2",
        "prod-eu": "prod-eu",
        "../../x": "_.._x",
        "": "cluster-2",
    }


@given(st.lists(st.text(), unique=True))
def test_every_cluster_has_a_folder_of_its_own(clusters: list[str]) -> None:
    names = list(folder_names(clusters).values())
    assert len(set(names)) == len(clusters)
    assert all(name and "/" not in name and not name.startswith(".") and len(name) < 80 for name in names)
