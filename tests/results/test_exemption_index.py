"""The index of exemptions finds what comparing each with each finding would find, and compares few."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_kspec.kube.globs import Globs, matches_check
from pytest_kspec.kube.reference import CLUSTER, ResourceRef
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.plan.unknownids import Known, unknown_exempted
from pytest_kspec.results import exemptions as module
from pytest_kspec.results.baseline import Baseline
from pytest_kspec.results.baselined import Covered, KnownFinding
from pytest_kspec.results.exemption_index import FEW, MAX_TABLES, MAX_TERMS, ExemptionIndex
from pytest_kspec.results.exemptions import Exemption, Exemptions
from pytest_kspec.results.finding import AppliedExemption
from tests.reports.results import cluster

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)

words = st.sampled_from(["a", "b", "ab", "ba", "aab", "abba", "web", "web-1", "1-web"])
patterns = st.one_of(
    words, st.text("ab*?", min_size=1, max_size=5), st.sampled_from(["web*", "*web", "*e*", "w?b-*", "*"])
)
kinds = st.sampled_from(["Pod", "Deployment", "Service", "Namespace"])
checks = st.sampled_from(["a.b", "a.b[c]", "a.*", "*[c]", "d.e", "*"])
labels = st.dictionaries(st.sampled_from(["app", "tier"]), words, max_size=2)
selectors = st.fixed_dictionaries(
    {}, optional={"kind": kinds, "name": patterns, "namespace": patterns, "labelSelector": labels}
)
exempting = st.fixed_dictionaries(
    {},
    optional={
        "checks": st.lists(checks, max_size=2),
        "clusters": st.lists(st.sampled_from(["c", "d", "c*"]), max_size=2),
        "namespaces": st.lists(patterns, max_size=3),
        "resources": st.lists(selectors, max_size=3),
        "containers": st.lists(patterns, max_size=3),
        "expiresAt": st.sampled_from(["2027-01-14", "2027-01-16"]),
    },
)


@st.composite
def exemptions(draw: st.DrawFn) -> list[Exemption]:
    made = []
    for number, keys in enumerate(draw(st.lists(exempting, max_size=8))):
        try:
            made.append(Exemption.model_validate({"name": f"e{number}", "reason": "r", **keys}))
        except ValidationError:
            continue
    return made


refs = st.one_of(
    st.builds(ResourceRef, st.just("v1"), kinds, st.one_of(words, st.just("")), words), st.just(CLUSTER)
)
asked = st.tuples(refs, refs, labels, st.one_of(words, st.just("")))


def naive(made: list[Exemption], check: str, cluster_name: str) -> list[Exemption]:
    """Each compared with the requirement."""
    return [
        e for e in made if matches_check(Globs(e.checks), check) and Globs(e.clusters).match(cluster_name)
    ]


def covers(
    e: Exemption, resource: ResourceRef, owner: ResourceRef, carried: Mapping[str, str], container: str
) -> bool:
    """What docs/exemptions.md says, word by word."""
    in_namespace = resource.name if resource.kind == "Namespace" else resource.namespace
    if e.containers and not (container and Globs(e.containers).match(container)):
        return False
    if e.namespaces and not (in_namespace and Globs(e.namespaces).match(in_namespace)):
        return False
    return not e.resources or any(
        all(carried.get(key) == value for key, value in s.label_selector.items())
        and any(
            ref.kind
            and (s.kind is None or s.kind == ref.kind)
            and (s.name is None or Globs([s.name]).match(ref.name))
            and (s.namespace is None or (ref.namespace and Globs([s.namespace]).match(ref.namespace)))
            for ref in (resource, owner)
        )
        for s in e.resources
    )  # fmt: skip


@given(exemptions(), st.lists(asked, min_size=1, max_size=6))
def test_an_index_finds_what_comparing_each_would_find(made: Any, questions: Any) -> None:
    index = Exemptions(made, NOW)
    for check in ("a.b", "a.b[c]", "d.e"):
        for cluster_name in ("c", "d"):
            matcher = index.for_check(check, cluster_name)
            chosen = naive(made, check, cluster_name)
            assert bool(matcher) is bool(chosen)
            uses: dict[int, int] = {}
            for resource, owner, carried, container in questions:
                covering = [e for e in chosen if covers(e, resource, owner, carried, container)]
                valid = next((e for e in covering if not e.is_expired(NOW)), None)
                expected = valid and AppliedExemption(valid.name, "r", "", valid.expires_text)
                assert matcher.match(resource, owner, carried, container) == expected
                for e in covering:
                    uses[made.index(e)] = uses.get(made.index(e), 0) + 1
            assert matcher.uses == uses


SHAPES: dict[str, Any] = {
    "names": lambda i: {"resources": [{"kind": "Deployment", "name": f"app-{i}"}]},
    "names of any kind": lambda i: {"resources": [{"name": f"app-{i}"}]},
    "beginnings": lambda i: {"resources": [{"name": f"app-{i}-*"}]},
    "ends": lambda i: {"resources": [{"kind": "Pod", "name": f"*-{i}-x"}]},
    "middles": lambda i: {"resources": [{"name": f"*pp-{i}-*"}]},
    "both ends": lambda i: {"resources": [{"name": f"app-*{i}-x"}]},
    "namespaces": lambda i: {"namespaces": [f"ns-{i}"]},
    "one name in each namespace": lambda i: {"namespaces": [f"ns-{i}"], "resources": [{"name": "same"}]},
    "namespaces of selectors": lambda i: {"resources": [{"namespace": f"ns-{i}", "kind": "Deployment"}]},
    "a middle that all share": lambda i: {"resources": [{"name": f"*app-*{i}*"}]},
    "a long beginning that all share": lambda i: {"resources": [{"name": f"a-name-of-more-than-16-{i}*"}]},
    "a label that all share": lambda i: {"resources": [{"labelSelector": {"a": "all", "b": f"app-{i}"}}]},
    "containers": lambda i: {"namespaces": ["*"], "containers": [f"c-{i}"]},
    "labels": lambda i: {"namespaces": ["ns-*"], "resources": [{"labelSelector": {"app": f"app-{i}"}}]},
    "checks": lambda i: {"checks": [f"a.b{i}"]},
    "clusters": lambda i: {"namespaces": ["ns-*"], "clusters": [f"cluster-{i}"]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_few_are_compared(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 exemptions, 300 findings: some comparisons a finding, not 300."""
    made = [
        Exemption.model_validate({"name": f"e{i}", "reason": "r", **SHAPES[shape](i)})
        for i in range(1000, 1300)
    ]
    compared = []
    plain = module._Compiled.covers
    monkeypatch.setattr(
        module._Compiled, "covers", lambda self, *args: compared.append(self) or plain(self, *args)
    )
    matcher = Exemptions(made, NOW).for_check("a.b1007", "cluster-1007")
    found = []
    for i in range(1000, 1300):
        long = "a-name-of-more-than-16-" if "long" in shape else "app-"
        pod = ResourceRef("v1", "Pod", f"ns-{i}", f"{long}{i}-x")
        owner = ResourceRef("apps/v1", "Deployment", f"ns-{i}", "same" if "each" in shape else f"app-{i}")
        carried = {"app": f"app-{i}", "a": "all", "b": f"app-{i}"}
        found.append(matcher.match(pod, owner, carried, f"c-{i}"))
    one_of_them = shape in ("checks", "clusters")
    assert [f.name if f else "" for f in found] == [
        "e1007" if one_of_them else f"e{i}" for i in range(1000, 1300)
    ]
    assert len(compared) <= 300 * 2


@pytest.mark.parametrize("where", ["names", "namespaces", "containers"])
def test_short_texts_that_all_share(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`*p*o*d*`: every name holds the letters of all, in some order."""
    orders = ["".join(letters) for letters in permutations("abcdef", 4)][:300]
    shapes: dict[str, Callable[[str], dict[str, Any]]] = {
        "names": lambda pattern: {"resources": [{"name": pattern}]},
        "namespaces": lambda pattern: {"namespaces": [pattern]},
        "containers": lambda pattern: {"containers": [pattern]},
    }
    made = [
        Exemption.model_validate({"name": order, "reason": "r", **shapes[where](f"*{'*'.join(order)}*")})
        for order in orders
    ]
    compared = []
    plain = module._Compiled.covers
    monkeypatch.setattr(
        module._Compiled, "covers", lambda self, *args: compared.append(self) or plain(self, *args)
    )
    matcher = Exemptions(made, NOW).for_check("a.b", "c")
    for text in ("abcdef", "fedcba", "acebdf"):
        compared.clear()
        pod = ResourceRef("v1", "Pod", text, text)
        covering = [order for order in orders if re.search(".*".join(order), text)]
        found = matcher.match(pod, pod, {}, text)
        assert (found.name if found else None) == (covering[0] if covering else None)
        assert len(compared) <= max(len(covering), FEW)


def test_those_that_select_the_same_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    plain = module._Compiled.covers
    monkeypatch.setattr(
        module._Compiled, "covers", lambda self, *args: compared.append(self) or plain(self, *args)
    )
    ends = {0: "2027-01-14", 1: "2027-01-14"}
    made = [
        Exemption.model_validate(
            {"name": f"e{i}", "reason": f"r{i}", "resources": [{"name": "*p*o*d*"}]}
            | ({"expiresAt": ends[i]} if i in ends else {})
            | ({"namespaces": ["n"]} if i == 2 else {})
        )
        for i in range(300)
    ]
    matcher = Exemptions(made, NOW).for_check("a.b", "c")
    for name in ("pod-1", "pod-2", "dop"):
        pod = ResourceRef("v1", "Pod", "n", name)
        found = matcher.match(pod, pod, {}, "", finding=name)
        assert (found.name if found else None) == ("e2" if name != "dop" else None)
    other = ResourceRef("v1", "Pod", "m", "pod-3")
    found = matcher.match(other, other, {}, "")
    assert found is not None
    assert found.name == "e3"
    assert len(compared) <= 4 * 2
    assert matcher.uses == {i: 2 if i == 2 else 3 for i in range(300)}


@pytest.mark.parametrize(
    "selector",
    [
        lambda i: {"labelSelector": {f"k{i}": "x"}},
        lambda i: {"name": f"{'a' * (i % 12)}*{'b' * (i // 12 + 1)}"},
    ],
)
def test_a_finding_looks_at_few_places(selector: Callable[..., Any]) -> None:
    """However many keys of labels and lengths of names there are: each place costs every finding."""
    made = [
        Exemption.model_validate({"name": f"e{i}", "reason": "r", "resources": [selector(i)]})
        for i in range(300)
    ]
    index = ExemptionIndex(made)
    assert len(index._tables) <= MAX_TABLES
    pod = ResourceRef("v1", "Pod", "n", "aaaaab")
    assert sum(index.candidates(pod, pod, "n", {"k5": "x"}, "")) >> 5 & 1


def test_long_lists_are_not_multiplied() -> None:
    many = [f"n-{i}" for i in range(300)]
    wide = Exemption.model_validate(
        {
            "name": "e",
            "reason": "r",
            "namespaces": many,
            "containers": many,
            "resources": [{"name": n} for n in many],
        }
    )
    index = ExemptionIndex([wide])
    assert sum(len(table) for table in index._tables.values()) == 300
    pod = ResourceRef("v1", "Pod", "n-7", "n-8")
    assert index.candidates(pod, pod, "n-7", {}, "n-9") == (0, 1)
    assert index.candidates(pod, pod, "n-7", {}, "other") == (0, 1)  # whether it covers is compared then
    few = Exemption.model_validate(
        {"name": "e", "reason": "r", "namespaces": many[:16], "resources": [{"name": n} for n in many[:16]]}
    )
    assert sum(len(table) for table in ExemptionIndex([few])._tables.values()) == MAX_TERMS


def test_labels_that_are_no_text_match_nothing() -> None:
    index = ExemptionIndex(
        [Exemption.model_validate({"name": "e", "reason": "r", "resources": [{"labelSelector": {"a": "b"}}]})]
    )
    pod = ResourceRef("v1", "Pod", "n", "p")
    assert index.candidates(pod, pod, "n", {"a": ["b"]}, "") == (0, 0)  # type: ignore[dict-item]


def test_a_baseline_looks_at_the_entries_of_the_cluster_only() -> None:
    looked_at = []

    class Entry(KnownFinding):
        @property
        def check(self) -> str:
            looked_at.append(self)
            return "a.b"

    entries = [Entry(f"c{i}", "strict", "a.b", "what", f"{i}-{j}") for i in range(50) for j in range(3)]
    baseline = Baseline("known.json", [Covered("c7", "strict")], entries)
    looked_at.clear()
    baseline.use(cluster("c7"))
    assert {entry.cluster for entry in looked_at} <= {"c7"}


def test_near_names_are_looked_for_some_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import difflib

    asked_for = []
    plain = difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", lambda *a, **k: asked_for.append(a) or plain(*a, **k))
    made = [
        Exemption.model_validate(
            {"name": f"e{i}", "reason": "r", "checks": [f"a.b{i % 500}", "a.long" * 1000]}
        )
        for i in range(1000)
    ]
    known = Known(CheckSet([]), ["a.b"])
    notes = list(unknown_exempted(made, known))
    assert len(notes) == 2000
    assert notes[0].reason == "'a.b0': no check has this id. Did you mean 'a.b'?"
    assert notes[-2].reason == "'a.b499': no check has this id. 'kspec checks' lists all."
    assert len(asked_for) < 101


def test_many_different_patterns_that_cover_everything_are_decided_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And all of them count what they cover: the first applies, expired ones too are counted."""
    compared: list[str] = []
    plain = module._Compiled.covers

    def counted(self: Any, resource: ResourceRef, *rest: Any) -> bool:
        compared.append(resource.name)
        return plain(self, resource, *rest)

    monkeypatch.setattr(module._Compiled, "covers", counted)
    letters = "abcdefghij"
    some = [f"*{a}*{b}*{c}*" for a, b, c in permutations(letters, 3) if a < b < c]
    made = [
        Exemption.model_validate(
            {
                "name": name,
                "reason": "r",
                "resources": [{"kind": "Pod", "name": name}],
                **({"expiresAt": "2027-01-14"} if name < "*b" else {}),
            }
        )
        for name in some
    ]
    index = Exemptions(made, NOW)
    matcher = index.for_check("a.b", "c")
    pods = [ResourceRef("v1", "Pod", "n", f"{letters}-{number}") for number in range(50)]
    for pod in (*pods, *pods):  # a finding on two pods of one owner counts once
        found = matcher.match(pod, pod, {}, "", pod.name)
        assert found is not None
        assert found.name == "*b*c*d*"
    service = ResourceRef("v1", "Service", "n", letters)
    assert matcher.match(service, service, {}, "") is None
    unnamed = ResourceRef("v1", "Pod", "n", "abc")
    assert matcher.match(unnamed, unnamed, {}, "") is None  # what covers it has expired
    assert matcher.uses == dict.fromkeys(range(len(some)), 50) | {some.index("*a*b*c*"): 51}
    assert set(compared) <= {"abc"}, "few are compared one by one"
