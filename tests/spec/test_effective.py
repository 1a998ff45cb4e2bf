"""Specifications that build on others: what holds, where it is written, and what is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.errors import SpecError
from pytest_kspec.spec import layers, merge
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import LoadedSpec, load_spec, spec_from_part, spec_from_text
from pytest_kspec.yamlfiles.reading import Document


def write(folder: Path, name: str, part: str, file: str = "") -> Path:
    path = folder / (file or f"{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\n"
        f"metadata: {{name: {name}, version: 1.0.0}}\nspec:\n{part}"
    )
    return path


def inherit(*names: str, strategy: str = "") -> str:
    chosen = f", mergeStrategy: {strategy}" if strategy else ""
    return f"  policyInheritance: {{basePolicies: [{', '.join(names)}]{chosen}}}\n"


def problems(path: Path, library: Library | None = None) -> list[str]:
    with pytest.raises(SpecError) as error:
        load_spec(path, library)
    found = error.value.problems or (str(error.value),)
    return [text.replace(f"{path.parent}/", "") for text in found]


def plain(loaded: LoadedSpec) -> Any:
    return loaded.tree.plain()


def combined(strategy: str, own: dict[str, Any], *bases: dict[str, Any]) -> dict[str, Any]:
    parts = {f"base{index}": base for index, base in enumerate(bases)}
    inheritance = {"basePolicies": list(parts), "mergeStrategy": strategy}
    made: dict[str, Any] = plain(
        spec_from_part({**own, "policyInheritance": inheritance}, library=Library(parts=parts))
    )
    return made


class TestFound:
    def test_by_name_in_the_same_folder(self, tmp_path: Path) -> None:
        write(tmp_path, "base", "  network: {defaultDeny: true}\n", "somewhere.yml")
        loaded = load_spec(write(tmp_path, "prod", inherit("base")))
        assert loaded.get("network.defaultDeny") is True
        assert loaded.locate("network.defaultDeny") == f"{tmp_path}/somewhere.yml:5:13"
        assert loaded.files == (f"{tmp_path}/prod.yaml", f"{tmp_path}/somewhere.yml")
        assert loaded.spec.policy_inheritance is None

    def test_by_name_among_the_specifications_of_the_run(self, tmp_path: Path) -> None:
        base = write(tmp_path / "bases", "base", "  network: {defaultDeny: true}\n")
        path = write(tmp_path / "specs", "prod", inherit("base"))
        assert load_spec(path, Library((base, path))).get("network.defaultDeny") is True
        assert problems(path) == [
            "prod.yaml:5:38: spec.policyInheritance.basePolicies: no specification has the name 'base'."
            " Put it in the same folder, scan both, or use its path."
        ]

    def test_by_path(self, tmp_path: Path) -> None:
        write(tmp_path / "bases", "base", "  network: {defaultDeny: true}\n  checks: [own.py]\n")
        loaded = load_spec(
            write(tmp_path / "specs", "prod", inherit("../bases/base.yaml") + "  checks: [mine.py]\n")
        )
        assert loaded.get("network.defaultDeny") is True
        assert [path.resolve() for path in loaded.checks] == [
            tmp_path / "bases" / "own.py",
            tmp_path / "specs" / "mine.py",
        ]
        assert problems(write(tmp_path, "a", inherit("./nothing.yaml"))) == [
            "a.yaml:5:38: the file nothing.yaml does not exist."
        ]

    def test_unknown(self, tmp_path: Path) -> None:
        write(tmp_path, "production", "  {}\n")
        assert problems(write(tmp_path, "a", inherit("prodution"))) == [
            "a.yaml:5:38: spec.policyInheritance.basePolicies: no specification has the name 'prodution'."
            " Did you mean 'production'? Put it in the same folder, scan both, or use its path."
        ]

    def test_a_name_in_two_files(self, tmp_path: Path) -> None:
        write(tmp_path, "base", "  {}\n", "one.yaml")
        write(tmp_path, "base", "  {}\n", "two.yaml")
        (found,) = problems(write(tmp_path, "a", inherit("base")))
        assert found == (
            "a.yaml:5:38: spec.policyInheritance.basePolicies: 'base' is the name of one.yaml and two.yaml."
            " Use the path of one of them."
        )

    def test_a_file_of_another_kind(self, tmp_path: Path) -> None:
        (tmp_path / "x.yaml").write_text("apiVersion: v1\nkind: ConfigMap\n")
        assert problems(write(tmp_path, "a", inherit("./x.yaml"))) == [
            "x.yaml:2:7: kind: 'ConfigMap' is not allowed; allowed: ClusterSpecification."
        ]

    def test_a_custom_resource_reads_no_file(self, tmp_path: Path) -> None:
        path = write(tmp_path, "base", "  {}\n")
        with pytest.raises(SpecError, match="no specification has the name"):
            spec_from_part({"policyInheritance": {"basePolicies": [str(path)]}})

    def test_text_reads_no_file(self, tmp_path: Path) -> None:
        path = write(tmp_path, "base", "  {}\n")
        text = write(tmp_path, "a", inherit(str(path))).read_text()
        with pytest.raises(SpecError, match="no specification has the name"):
            spec_from_text(text, str(tmp_path / "a.yaml"))
        assert spec_from_text(text, str(tmp_path / "a.yaml"), Library()).files[1] == str(path)

    def test_no_bases_at_all(self, tmp_path: Path) -> None:
        assert problems(write(tmp_path, "a", "  policyInheritance: {}\n")) == [
            "a.yaml:5:3: spec.policyInheritance.basePolicies: required key is missing."
        ]
        assert problems(write(tmp_path, "a", inherit())) == [
            "a.yaml:5:37: spec.policyInheritance.basePolicies: must not be an empty list."
        ]


def test_the_digest_is_that_of_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("."), "base", "  network: {defaultDeny: true}\n")
    alone = load_spec(Path("base.yaml"))
    loaded = load_spec(write(Path("."), "prod", inherit("base")))
    told = subprocess.run(
        "sha256sum prod.yaml base.yaml | cut -c-64 | sha256sum | cut -c-64; sha256sum base.yaml | cut -c-64",
        shell=True, capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    assert [loaded.sha256, alone.sha256] == told.split()
    assert load_spec(tmp_path / "prod.yaml").sha256 == loaded.sha256


class TestCycles:
    def test_itself(self, tmp_path: Path) -> None:
        assert problems(write(tmp_path, "a", inherit("a"))) == [
            "a.yaml:5:38: spec.policyInheritance.basePolicies: a cycle: a.yaml (at a.yaml:5:38) → a.yaml."
            " Remove one of these."
        ]

    def test_over_others(self, tmp_path: Path) -> None:
        write(tmp_path, "b", inherit("c"))
        write(tmp_path, "c", inherit("b"))
        assert problems(write(tmp_path, "a", inherit("b"))) == [
            "c.yaml:5:38: spec.policyInheritance.basePolicies: a cycle: b.yaml (at b.yaml:5:38) →"
            " c.yaml (at c.yaml:5:38) → b.yaml. Remove one of these."
        ]

    def test_of_custom_resources(self) -> None:
        parts = {"x": {"policyInheritance": {"basePolicies": ["x"]}}}
        with pytest.raises(SpecError, match=r"a cycle: <x> .* → <x>"):
            spec_from_part(parts["x"], library=Library(parts=parts))

    def test_a_base_that_is_reached_twice_is_no_cycle(self, tmp_path: Path) -> None:
        write(tmp_path, "root", "  network: {disallowedPorts: [22]}\n  kubernetes: {minVersion: '1.30'}\n")
        write(tmp_path, "left", inherit("root"))
        write(tmp_path, "right", inherit("root"))
        loaded = load_spec(write(tmp_path, "a", inherit("left", "right")))
        assert loaded.get("network.disallowedPorts") == [22]
        assert [Path(file).stem for file in loaded.files] == ["a", "left", "root", "right"]


class TestConflicts:
    def test_two_bases_and_both_places(self, tmp_path: Path) -> None:
        write(tmp_path, "one", "  podSecurity: {enforce: baseline}\n  kubernetes: {minVersion: '1.30'}\n")
        write(tmp_path, "two", "  podSecurity: {enforce: restricted}\n  kubernetes: {minVersion: '1.31'}\n")
        path = write(tmp_path, "a", inherit("one", "two"))
        assert [text.replace(str(tmp_path) + "/", "") for text in problems(path)] == [
            "two.yaml:5:26: spec.podSecurity.enforce: 'restricted' here, 'baseline' at one.yaml:5:26;"
            " both are bases: set the value in the specification itself, or use mergeStrategy override.",
            "two.yaml:6:28: spec.kubernetes.minVersion: '1.31' here, '1.30' at one.yaml:6:28;"
            " both are bases: set the value in the specification itself, or use mergeStrategy override.",
        ]
        own = (
            inherit("one", "two") + "  podSecurity: {enforce: baseline}\n  kubernetes: {minVersion: '1.32'}\n"
        )
        assert load_spec(write(tmp_path, "a", own)).get("kubernetes.minVersion") == "1.32"
        later = load_spec(write(tmp_path, "a", inherit("one", "two", strategy="override")))
        assert later.get("podSecurity.enforce") == "restricted"

    def test_append_changes_nothing_that_is_inherited(self, tmp_path: Path) -> None:
        write(tmp_path, "one", "  network: {defaultDeny: true, disallowedPorts: [22]}\n")
        own = inherit("one", strategy="append") + "  network: {defaultDeny: false, disallowedPorts: [23]}\n"
        assert problems(write(tmp_path, "a", own)) == [
            "a.yaml:6:26: spec.network.defaultDeny: false here, true at one.yaml:5:26;"
            " mergeStrategy append does not change inherited values."
        ]

    def test_entries_that_speak_about_the_same(self, tmp_path: Path) -> None:
        rule = "  workloads: {containers: {required: [{key: resources.limits.cpu, %s}]}}\n"
        write(tmp_path, "one", rule % "exists: true")
        write(tmp_path, "two", rule % "value: 100m")
        assert problems(write(tmp_path, "a", inherit("one", "two"))) == [
            "two.yaml:5:39: spec.workloads.containers.required[resources.limits.cpu]: not the same as"
            " at one.yaml:5:39; both are bases: set the value in the specification "
            "itself, or use mergeStrategy override."
        ]


REQUIRED = {"workloads": {"containers": {"required": [{"key": "resources.limits.cpu", "exists": True}]}}}
OTHER = {"workloads": {"containers": {"required": [{"key": "resources.limits.cpu", "value": "1"}]}}}
MEMORY = {"workloads": {"containers": {"required": [{"key": "resources.limits.memory", "exists": True}]}}}


def both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    rules = [part["workloads"]["containers"]["required"] for part in (one, other)]
    return {"workloads": {"containers": {"required": [*rules[0], *rules[1]]}}}


@pytest.mark.parametrize(
    ("strategy", "base", "own", "expected"),
    [
        # scalars
        ("merge", {"kubernetes": {"minVersion": "1.30"}}, {"kubernetes": {"minVersion": "1.29"}}, "own"),
        ("override", {"kubernetes": {"minVersion": "1.30"}}, {"kubernetes": {"minVersion": "1.29"}}, "own"),
        ("append", {"kubernetes": {"minVersion": "1.30"}}, {"kubernetes": {"minVersion": "1.29"}}, "conflict"),
        # mappings are merged key by key
        *(
            (
                strategy,
                {"kubernetes": {"minVersion": "1.30"}},
                {"kubernetes": {"maxVersion": "1.32"}},
                {"kubernetes": {"minVersion": "1.30", "maxVersion": "1.32"}},
            )
            for strategy in ("merge", "override", "append")
        ),
        # sets
        ("merge", {"network": {"disallowedPorts": [22, 23]}}, {"network": {"disallowedPorts": [23, 24]}},
         {"network": {"disallowedPorts": [22, 23, 24]}}),
        ("append", {"network": {"disallowedPorts": [22, 23]}}, {"network": {"disallowedPorts": [23, 24]}},
         {"network": {"disallowedPorts": [22, 23, 24]}}),
        ("override", {"network": {"disallowedPorts": [22]}}, {"network": {"disallowedPorts": [24]}}, "own"),
        # allow-lists
        ("merge", {"network": {"allowedServiceTypes": ["ClusterIP"]}},
         {"network": {"allowedServiceTypes": ["NodePort"]}}, "own"),
        ("override", {"network": {"allowedServiceTypes": ["ClusterIP"]}},
         {"network": {"allowedServiceTypes": ["NodePort"]}}, "own"),
        ("append", {"network": {"allowedServiceTypes": ["ClusterIP"]}},
         {"network": {"allowedServiceTypes": ["NodePort"]}},
         {"network": {"allowedServiceTypes": ["ClusterIP", "NodePort"]}}),
        # entries with a name
        ("merge", REQUIRED, OTHER, "own"),
        ("override", REQUIRED, OTHER, "own"),
        ("append", REQUIRED, OTHER, "conflict"),
        ("merge", REQUIRED, MEMORY, both(REQUIRED, MEMORY)),
        ("append", REQUIRED, MEMORY, both(REQUIRED, MEMORY)),
        ("override", REQUIRED, MEMORY, "own"),
    ],
)  # fmt: skip
def test_what_a_strategy_means(
    strategy: str, base: dict[str, Any], own: dict[str, Any], expected: Any
) -> None:
    if expected == "conflict":
        with pytest.raises(SpecError, match="append does not change inherited values"):
            combined(strategy, own, base)
        return
    assert combined(strategy, own, base) == (own if expected == "own" else expected)
    # Two bases, and nothing of its own: merge takes none of two that differ.
    if strategy == "override" or expected != "own":
        assert combined(strategy, {}, base, own) == (own if expected == "own" else expected)
    else:
        with pytest.raises(SpecError, match="both are bases"):
            combined(strategy, {}, base, own)


def test_the_same_said_twice_is_no_conflict() -> None:
    for part in (
        REQUIRED,
        {"kubernetes": {"minVersion": "1.30"}},
        {"network": {"allowedServiceTypes": ["ClusterIP"]}},
    ):
        for strategy in ("merge", "override", "append"):
            assert combined(strategy, part, part, part) == part


def test_one_is_not_true() -> None:
    with pytest.raises(SpecError, match="1 here, true at"):
        combined("append", {"network": {"defaultDeny": 1}}, {"network": {"defaultDeny": True}})


def test_frameworks_are_merged_by_control() -> None:
    def frameworks(*controls: dict[str, Any]) -> dict[str, Any]:
        return {"compliance": {"frameworks": [{"name": "NIST", "controls": list(controls)}]}}

    one = {"id": "AC-6", "mappings": [{"check": "rbac.forbiddenRules"}]}
    more = {"id": "AC-6", "title": "Least privilege", "mappings": [{"check": "podSecurity.standard"}]}
    assert combined("merge", frameworks(more), frameworks(one, {"id": "AC-2"})) == frameworks(
        {
            "id": "AC-6",
            "mappings": [{"check": "rbac.forbiddenRules"}, {"check": "podSecurity.standard"}],
            "title": "Least privilege",
        },
        {"id": "AC-2"},
    )


def test_a_specification_may_say_only_what_is_different(tmp_path: Path) -> None:
    """On its own, podSecurity without a level would be an error."""
    write(tmp_path, "base", "  podSecurity: {enforce: restricted}\n")
    own = "  podSecurity: {exemptions: [{namespace: logs, level: baseline, reason: agents}]}\n"
    loaded = load_spec(write(tmp_path, "a", inherit("base") + own))
    assert plain(loaded) == {
        "podSecurity": {
            "enforce": "restricted",
            "exemptions": [{"namespace": "logs", "level": "baseline", "reason": "agents"}],
        }
    }


def test_where_when_and_how_are_not_inherited(tmp_path: Path) -> None:
    write(
        tmp_path,
        "base",
        "  clusterRef: other\n  namespaceScope: {includeNamespaces: [shop]}\n  enforcement: {enabled: true}\n"
        "  network: {defaultDeny: true}\n",
    )
    loaded = load_spec(write(tmp_path, "a", inherit("base")))
    assert plain(loaded) == {"network": {"defaultDeny": True}}
    assert loaded.cluster_ref == ""
    assert [(left.key, left.reason, left.location) for left in loaded.not_evaluated] == [
        (
            "namespaceScope",
            "not inherited from base: each specification must have its own",
            f"{tmp_path}/base.yaml:6:3",
        ),
        (
            "enforcement",
            "not inherited from base: each specification must have its own",
            f"{tmp_path}/base.yaml:7:3",
        ),
    ]


def test_exemptions_are_inherited_with_their_place(tmp_path: Path) -> None:
    entry = "  policyExemptions: [{name: %s, reason: r, checks: [a.b]}]\n"
    write(tmp_path, "base", entry % "x")
    loaded = load_spec(write(tmp_path, "a", inherit("base") + entry % "y"))
    assert [(e.name, e.location) for e in loaded.exemptions] == [
        ("x", f"{tmp_path}/base.yaml:5:22"),
        ("y", f"{tmp_path}/a.yaml:6:22"),
    ]


def test_a_base_may_have_a_template(tmp_path: Path) -> None:
    write(tmp_path, "base", "  policyTemplate: {name: security-baseline}\n  network: {defaultDeny: true}\n")
    loaded = load_spec(write(tmp_path, "a", inherit("base") + "  podSecurity: {enforce: restricted}\n"))
    assert loaded.get("podSecurity.enforce") == "restricted"
    assert loaded.locate("workloads.containers.required").startswith("<security-baseline>:")


def test_problems_of_a_base_are_shown_there(tmp_path: Path) -> None:
    write(
        tmp_path,
        "base",
        "  netwrok: {}\n  kubernetes:\n  rbac: {forbiddenRules: [{resource: a, resource: b}]}\n",
    )
    assert problems(write(tmp_path, "a", inherit("base") + "  network: {disallowedPorts: [0]}\n")) == [
        "a.yaml:6:31: spec.network.disallowedPorts[0]: must be at least 1, found 0.",
        "base.yaml:5:3: spec.netwrok: unknown key. Did you mean 'network'?",
        "base.yaml:6:3: spec.kubernetes: has no value: add a value or remove the key.",
        "base.yaml:7:27: spec.rbac.forbiddenRules[0].verbs: required key is missing.",
        "base.yaml:7:41: spec.rbac.forbiddenRules[0].resource: this key is already defined at line 7.",
    ]


# Parts of specifications, as anybody may write them: keys of every kind of rule.
ENTRIES = st.fixed_dictionaries(
    {"key": st.sampled_from(("hostPID", "hostIPC", "image"))}, optional={"exists": st.booleans()}
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "kubernetes": st.fixed_dictionaries({}, optional={"minVersion": st.sampled_from(("1.30", "1.31"))}),
        "network": st.fixed_dictionaries(
            {},
            optional={
                "defaultDeny": st.booleans(),
                "disallowedPorts": st.lists(st.integers(1, 4), max_size=3, unique=True),
                "allowedServiceTypes": st.lists(st.sampled_from(("ClusterIP", "NodePort")), unique=True),
            },
        ),
        "workloads": st.fixed_dictionaries(
            {"containers": st.fixed_dictionaries({"required": st.lists(ENTRIES, max_size=3)})}
        ),
        "clusterRef": st.sampled_from(("a", "b")),
    },
)
STRATEGIES = st.sampled_from(("merge", "override", "append"))


def placed(part: Any, path: str) -> layers.Node:
    return layers.read(Document(path, data=part))


def unordered(plain: Any) -> Any:
    """Entries of one name stand together in what is merged; their order says nothing."""
    if isinstance(plain, dict):
        return {key: unordered(value) for key, value in plain.items()}
    return sorted(map(json.dumps, plain)) if isinstance(plain, list) else plain


def leaves(node: layers.Node) -> set[tuple[str, str]]:
    return {
        (json.dumps(leaf.plain()), leaf.at.path) for _, leaf in node.leaves() if leaf.value not in ({}, [])
    }


@given(STRATEGIES, st.lists(PARTS, min_size=1, max_size=3), PARTS)
def test_nothing_comes_from_nowhere(strategy: Any, bases: list[Any], own: Any) -> None:
    nodes = [placed(base, f"base{index}") for index, base in enumerate(bases)]
    mine = placed(own, "own")
    conflicts: list[str] = []
    made = merge.combine(nodes, mine, strategy, lambda _at, text: conflicts.append(text))
    assert leaves(made) <= set().union(*map(leaves, (*nodes, mine)))
    if strategy == "override":
        assert conflicts == []
    if strategy != "append":  # what the specification says holds
        assert leaves(mine) <= leaves(made) | {(v, "own") for v, p in leaves(made) if p != "own"}


@given(STRATEGIES, PARTS)
def test_a_base_that_says_the_same_changes_nothing(strategy: Any, part: Any) -> None:
    conflicts: list[str] = []
    made = merge.combine(
        [placed(part, "base")], placed(part, "own"), strategy, lambda _at, text: conflicts.append(text)
    )
    assert conflicts == []
    unique = merge.combine([placed({}, "base")], placed(part, "own"), strategy, lambda _at, _text: None)
    assert unordered(made.plain()) == unordered(unique.plain())


@given(st.lists(PARTS, min_size=1, max_size=3), PARTS)
def test_append_is_merge_where_nobody_contradicts(bases: list[Any], own: Any) -> None:
    conflicts: list[str] = []
    nodes = [placed(base, f"base{index}") for index, base in enumerate(bases)]
    appended = merge.combine(nodes, placed(own, "own"), "append", lambda _at, text: conflicts.append(text))
    if conflicts or any("allowedServiceTypes" in part.get("network", {}) for part in (*bases, own)):
        return
    merged = merge.combine(nodes, placed(own, "own"), "merge", lambda _at, text: conflicts.append(text))
    assert (conflicts, merged.plain()) == ([], appended.plain())
