"""Ids of requirements that come from a list: told apart, and fit for pytest's node ids."""

from pytest_kspec import Requirement


def test_one_for_each_entry_with_the_key_of_its_place() -> None:
    made = list(Requirement.each("network.requiredPolicies", ["deny", "dns"], str))
    assert made == [
        Requirement("network.requiredPolicies[deny]", "network.requiredPolicies[0]", "deny"),
        Requirement("network.requiredPolicies[dns]", "network.requiredPolicies[1]", "dns"),
    ]


def test_ids_differ_also_where_labels_are_alike_only_as_an_id() -> None:
    made = [r.id for r in Requirement.each("k", ["a b", "a_b", "a  b", "x::y", "x:::y", "x:y"], str)]
    assert made == ["k[a_b]", "k[a_b#2]", "k[a_b#3]", "k[x:y]", "k[x:y#2]", "k[x:y#3]"]
