import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.manifests import ManifestSource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.errors import Malformed, SourceUnavailable
from pytest_kspec.kube.resources import ClusterInfo
from tests.cluster.objects import deployment, obj, pod

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {containers: []}\n"


def write(folder: Path, **files: str | bytes) -> str:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder)


def pods(ref: str) -> list[str]:
    return [str(p.ref) for p in Inventory(open_source(ref)).pods()]


def test_a_folder_is_read_whole_and_in_order(tmp_path: Path) -> None:
    listed = {"kind": "List", "apiVersion": "v1", "items": [pod("c"), deployment("web")]}
    pod_list = {"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "d"}, "spec": {}}]}
    ref = write(
        tmp_path / "k8s",
        a_yaml=POD % "a" + "---\n---\n# nothing\n---\n" + POD % "b",
        sub__x_yml=POD % "e",
        list_json=json.dumps(listed),
        podlist_json="\ufeff" + json.dumps(pod_list, indent=4),
        array_json=json.dumps([pod("f")]),
        README_md="not: [read",
        _git__y_yaml="not: [read",
        list_yaml="kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: g}}\n",
    )
    inventory = Inventory(open_source(ref))
    assert [str(w.ref) for w in inventory.workloads()] == [
        "Pod default/a",
        "Pod default/b",
        "Pod default/d",
        "Pod default/e",
        "Pod default/g",
        "Pod shop/c",
        "Pod shop/f",
        "Deployment shop/web",
    ]
    assert inventory.info == ClusterInfo("k8s", "manifests", namespaces=frozenset({"default", "shop"}))
    assert inventory.list("NetworkPolicy") == ()


def test_lists_of_one_kind_and_of_many_are_the_same(tmp_path: Path) -> None:
    items = [pod(f"p{i}", spec={"nodeName": f"n{i}", "containers": []}) for i in range(5)]
    ref = write(tmp_path, one_json=json.dumps({"kind": "List", "items": items}))
    mixed = write(tmp_path / "m", many_json=json.dumps({"kind": "List", "items": [*items, deployment("x")]}))
    assert [p.raw for p in Inventory(open_source(ref + "/one.json")).pods()] == items
    found = Inventory(open_source(mixed))
    assert [p.raw for p in found.pods()] == items
    assert len(found.list("Deployment")) == 1


def test_a_big_list_is_mapped(tmp_path: Path) -> None:
    items = [pod(f"p{i:05}", spec={"containers": [{"name": "x" * 200}]}) for i in range(5000)]
    ref = write(tmp_path, pods_json=json.dumps({"kind": "PodList", "apiVersion": "v1", "items": items}))
    source = ManifestSource(ref + "/pods.json")
    (page,) = source.pages(source.types()[0])
    assert isinstance(page, memoryview)
    found = Inventory(source).pods()
    assert len(found) == 5000
    assert len({id(p.shape) for p in found}) == 1
    assert found[77].raw == items[77]


def test_a_list_of_pods_may_be_read_again_and_have_one_bad_pod(tmp_path: Path) -> None:
    items = [pod("a"), pod("b"), pod("c")]
    items[1]["metadata"]["labels"] = {"n": 1}
    ref = write(tmp_path, pods_json=json.dumps({"kind": "PodList", "apiVersion": "v1", "items": items}))
    source = ManifestSource(ref + "/pods.json")
    for _ in range(2):
        first, bad, last = Inventory(source).pods()
        assert bad.shape.malformed == (("metadata.labels", {"n": 1}),)
        assert (first.name, last.name, last.shape.malformed) == ("a", "c", ())
    (page,) = source.pages(source.types()[0])
    assert json.loads(bytes(page)) == items


@pytest.mark.parametrize("second", [["c", "a"], ["a"], ["d", "d"]])
def test_a_pod_of_a_list_may_be_nowhere_else(tmp_path: Path, second: list[str]) -> None:
    def listed(*names: str) -> str:
        items = [pod(name) for name in names]
        return json.dumps({"kind": "PodList", "apiVersion": "v1", "items": items})

    with pytest.raises(SourceUnavailable) as refused:
        Inventory(open_source(write(tmp_path, a_json=listed("a", "b"), b_json=listed(*second)))).pods()
    name, first = (second[-1], "a.json") if second[-1] == "a" else ("d", "b.json")
    assert f"Pod shop/{name} is defined twice; the first definition is at " in str(refused.value)
    assert f"{first}, items[0]" in str(refused.value)


def test_yaml_means_what_kubectl_reads(tmp_path: Path) -> None:
    text = """
apiVersion: v1
kind: ConfigMap
metadata: {name: c, annotations: {day: 2026-01-02, at: 12:30:45}}
data: {port: 22:22, mode: 0644, hex: 0x10, big: 1_000, exp: 1e3, float: 1.5, neg: -7, on: yes,
  eq: =, v: "1.30", pre: +3}
"""
    (found,) = Inventory(open_source(write(tmp_path, c_yaml=text))).list("ConfigMap")
    assert found.annotations == {"day": "2026-01-02", "at": "12:30:45"}
    assert found.raw["data"] == {
        "port": "22:22",
        "mode": 420,
        "hex": 16,
        "big": 1000,
        "exp": 1000.0,
        "float": 1.5,
        "neg": -7,
        "true": True,
        "eq": "=",
        "v": "1.30",
        "pre": 3,
    }


@pytest.mark.parametrize("between", ["", "\n", "\n---\n", "\n--- # next\n\n", "\n---\n---\n"])
@pytest.mark.parametrize("name", ["x.json", "x.yaml"])
def test_json_documents_one_after_the_other(name: str, between: str, tmp_path: Path) -> None:
    text = between.join(
        json.dumps(item) for item in (pod("a"), {"kind": "List", "items": [pod("b")]}, pod("c"))
    )
    ref = write(tmp_path, **{name: text + "\n"})
    assert pods(ref) == ["Pod shop/a", "Pod shop/b", "Pod shop/c"]


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    text = """
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
  - &base {name: one, image: x}
  - {<<: *base, name: two}
  - *base
"""
    (found,) = Inventory(open_source(write(tmp_path, c_yaml=text))).pods()
    assert [c.raw for c in found.containers] == [
        {"name": "one", "image": "x"},
        {"name": "two", "image": "x"},
        {"name": "one", "image": "x"},
    ]


def test_an_anchor_that_is_given_twice(tmp_path: Path) -> None:
    """The later one holds from there on, as in go-yaml; libyaml's own composer refuses it."""
    text = """
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
  - &base {name: &name one, image: x}
  - &base {name: two, image: x, workingDir: *name}
  - {<<: *base, image: &name z, workingDir: *name}
---
apiVersion: v1
kind: Pod
metadata: {name: &name b}
spec: {containers: [&base {name: *name}, *base]}
"""
    one, two = Inventory(open_source(write(tmp_path, c_yaml=text))).pods()
    assert [c.raw for c in one.containers] == [
        {"name": "one", "image": "x"},
        {"name": "two", "image": "x", "workingDir": "one"},
        {"name": "two", "image": "z", "workingDir": "z"},
    ]
    assert [c.raw for c in two.containers] == [{"name": "b"}, {"name": "b"}]


def test_what_is_merged_later_holds(tmp_path: Path) -> None:
    """As kubectl applies it, unlike YAML 1.1; where it is merged before it is built, an anchor has no double keys."""
    text = """
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
  - &base {name: one, image: x, securityContext: {privileged: false, <<: {privileged: true}}}
  - {<<: *base, name: two}
  - {name: three, <<: [{image: w}, *base, {image: z}]}
deep: {er: {still: &late {<<: *base, image: z}}}
top: {<<: *late}
"""
    (found,) = Inventory(open_source(write(tmp_path, c_yaml=text))).pods()
    assert [(c.raw["name"], c.raw["image"], c.raw["securityContext"]) for c in found.containers] == [
        ("one", "x", {"privileged": True}),
        ("two", "x", {"privileged": True}),
        ("one", "w", {"privileged": True}),
    ]
    assert found.raw["top"] == {"name": "one", "image": "z", "securityContext": {"privileged": True}}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1\nb: 2\n", "x.yaml:2:2: not valid YAML: while parsing a flow sequence"),
        (
            "a: b\n---\nkind: Pod\n",
            "x.yaml:1: this is not a Kubernetes object: it has no apiVersion and kind.",
        ),
        (POD % "a" + "---\nkind: Pod\n", "x.yaml:6: this is not a Kubernetes object: it has no apiVersion."),
        ("- 1\n- 2\n", "x.yaml:1: a list is not a Kubernetes object"),
        ("\n\njust text\n", "x.yaml:3: a str is not a Kubernetes object"),
        (POD % "a" + "---\n" + POD % "a", "x.yaml:6: Pod a is defined twice; the first definition is at "),
        (POD % "a" + "spec: {}\n", "x.yaml:5:1: not valid YAML: the key 'spec' occurs twice"),
        (
            "a: {<<: [{b: 1}, 1]}\n",
            "x.yaml:1:18: not valid YAML: << must have a mapping or a list of mappings as its value",
        ),
        ("a: {<<: {b: 1}, c: 1, c: 2}\n", "x.yaml:1:23: not valid YAML: the key 'c' occurs twice"),
        ("a: {on: 1, 'true': 2}\n", "x.yaml:1:12: not valid YAML: the key 'true' occurs twice"),
        ("a: {1: 1, '1': 2}\n", "x.yaml:1:11: not valid YAML: the key '1' occurs twice"),
        ("a: {~: 1}\n", "x.yaml:1:5: not valid YAML: a NoneType cannot be a key"),
        ("a: .inf\n", "x.yaml:1:4: not valid YAML: .inf is not a number in JSON"),
        ("a: !!binary x\n", "x.yaml:1:4: not valid YAML: !!binary is not the base64 of a text"),
        (
            "a:\n\tb: c\n",
            "x.yaml:2:1: not valid YAML: a tab is used for indentation; YAML allows only spaces",
        ),
        ("a:\n  b: c\n\td: e\n", "a tab is used for indentation"),
        (POD % "n", "x.yaml:1: metadata.name is false, not text. Put it in quotes."),
        (BOMB, "x.yaml:1: its aliases expand to more than 1000000 values"),
        ("a: &a [*a]\n", "x.yaml:1: an alias refers to a value that contains it"),
        ("a: &a {b: *a}\n", "x.yaml:1: an alias refers to a value that contains it"),
        ("a: *b\n", "x.yaml:1:4: not valid YAML: found undefined alias"),
        (b"a: b\nc: \xff\xfe\n", "x.yaml:2: this is not a UTF-8 text file"),
        (b"\x7fELF\x00\x01", "the file contains a control character"),
        ("a: " + "[" * 200_000 + "]" * 200_000, "x.yaml:1: nested deeper than 1000 levels"),
        ("- " * 100_000 + "x", "x.yaml:1: nested deeper than 1000 levels"),
        ("a: {{ .Values.x }}\n", "Render the Helm chart first: helm template"),
        ("a: !!python/object:os.system x\n", "could not determine a constructor"),
        ("kind: Pod\napiVersion: v1\n? [1, 2]\n: x\n", "not valid YAML"),
        ("", "no Kubernetes objects found. Use a file or folder of manifests"),
        ("\n \n", "no Kubernetes objects found"),
    ],
)
def test_a_bad_file_is_named_with_its_line(content: str | bytes, message: str, tmp_path: Path) -> None:
    ref = write(tmp_path, x_yaml=content) + "/x.yaml"
    with pytest.raises(SourceUnavailable) as raised:
        Inventory(open_source(ref)).workloads()
    assert message in str(raised.value)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("content", ["# only comments\n", "---\n---\n# Source: chart\n", "null\n", "# a\r\n"])
def test_comments_alone_are_no_objects_and_no_error(content: str, tmp_path: Path) -> None:
    """As `helm template` prints a chart of which everything is switched off."""
    folder = write(tmp_path, x_yaml=content)
    for ref in (folder, f"{folder}/x.yaml"):
        source = open_source(ref)
        assert (source.types(), source.info().namespaces) == ((), frozenset())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"kind":"Pod"', "x.json: not valid JSON: Input data was truncated"),
        ("kind: Pod", "x.json: not valid JSON: it does not start with { or ["),
        (
            '{"kind":"PodList","apiVersion":"v1","items":[5]}',
            "Expected `object`, got `int` - at `$.items[0]`",
        ),
        (
            '{"kind":"List","items":[{"kind":"Pod"}]}',
            "x.json: this is not a Kubernetes object: it has no apiVersion",
        ),
        (
            '{"kind":"Pod","apiVersion":"v1","spec":{"a":1,"a":2}}',
            "x.json: not valid JSON: the key 'a' occurs twice",
        ),
        ('{"kind":"Pod","apiVersion":"v1"} x', "x.json: not valid JSON: JSON is malformed: trailing"),
        (
            '{"kind":"Pod","apiVersion":"v1"}{"kind":"Pod"}',
            "x.json, document 2: this is not a Kubernetes object: it has no apiVersion",
        ),
        ('{"kind":"Pod","apiVersion":5}', "Expected `str`, got `int` - at `$.apiVersion`"),
        ('{"a":' * 100_000, "not a Kubernetes object or list: nested too deeply"),
        (
            json.dumps({"kind": "List", "items": [pod("a"), pod("a")]}),
            "items[1]: Pod shop/a is defined twice",
        ),
    ],
)
def test_bad_json_is_named(content: str, message: str, tmp_path: Path) -> None:
    ref = write(tmp_path, x_json=content) + "/x.json"
    with pytest.raises(SourceUnavailable) as raised:
        Inventory(open_source(ref)).workloads()
    assert message in str(raised.value)


@pytest.mark.parametrize("suffix", ["json", "yaml"])
@pytest.mark.parametrize(
    ("kind", "items", "refused"),
    [
        ("v1 ConfigMap", [pod("a")], True),
        ("v1 Pod", [], True),
        ("apps/v1 Deployment", [{}], True),
        ("v1 list", [obj("ClusterRoleBinding", "a", "")], True),
        ("example.com/v1 Thing", [pod("a")], True),
        ("example.com/v1 Thing", [{"kind": "x"}], False),
        ("example.com/v1 Thing", [], False),
    ],
)
def test_items_of_another_kind_than_a_list_are_refused(
    tmp_path: Path, suffix: str, kind: str, items: list[Any], refused: bool
) -> None:
    """kubectl creates them, whatever the kind is; an API server drops them."""
    version, _, name = kind.partition(" ")
    thing = {"apiVersion": version, "kind": name, "metadata": {"name": "x"}, "items": items}
    ref = write(tmp_path, **{f"a_{suffix}": json.dumps(pod("b")), f"x_{suffix}": json.dumps(thing)})
    if suffix == "yaml":  # JSON is read as JSON, whatever the file is called
        (tmp_path / "x.yaml").write_text(yaml.safe_dump(thing))
    if refused:
        with pytest.raises(
            SourceUnavailable, match=f"this {name} has `items`, and kubectl would create only these"
        ):
            pods(ref)
    else:
        assert pods(ref) == ["Pod shop/b"]


def test_an_empty_list_is_a_cluster_without_pods(tmp_path: Path) -> None:
    assert pods(write(tmp_path, x_json='{"kind":"List","apiVersion":"v1","items":[]}')) == []


def test_the_same_name_elsewhere_is_no_duplicate(tmp_path: Path) -> None:
    objects = [
        pod("a", "x"),
        pod("a", "y"),
        obj("Service", "a", "x"),
        obj("Service", "a", "x", "serving.knative.dev/v1"),
    ]
    ref = write(tmp_path, x_json=json.dumps({"kind": "List", "items": objects}))
    assert pods(ref) == ["Pod x/a", "Pod y/a"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # these tests may run in one

    def given(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    given((POD % "a").encode())
    assert pods("-") == ["Pod default/a"]
    assert open_source("-").name == "stdin"
    given(json.dumps(pod("b")).encode())
    assert pods("-") == ["Pod shop/b"]
    given(b"")
    with pytest.raises(SourceUnavailable, match="no Kubernetes objects found"):
        pods("-")
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    given((POD % "a").encode())
    with pytest.raises(SourceUnavailable, match="standard input cannot be read by several workers"):
        pods("-")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    ref = write(tmp_path, a_yaml=POD % "a")
    os.symlink("/nonexistent", tmp_path / "b.yaml")
    with pytest.raises(SourceUnavailable, match=r"b\.yaml: could not be read: No such file or directory"):
        pods(ref)


def test_secrets_lose_their_data(tmp_path: Path) -> None:
    secret: dict[str, Any] = obj("Secret", "s", stringData={"a": "hunter2"})
    inventory = Inventory(open_source(write(tmp_path, x_json=json.dumps(secret))))
    assert "hunter2" not in str(inventory.list("Secret")[0].raw)


def test_kinds_of_others_may_have_the_names_of_our_kinds(tmp_path: Path) -> None:
    text = "apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nmetadata: {name: j}\n---\n" + POD % "a"
    assert pods(write(tmp_path, **{"x.yaml": text})) == ["Pod default/a"]
    old = "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: c, namespace: ns}\n"
    assert [
        r.name
        for r in Inventory(open_source(write(tmp_path / "b", **{"x.yaml": old}))).list("CronJob", "batch")
    ] == ["c"]


@pytest.mark.parametrize(
    ("api_version", "kind", "right"),
    [
        ("apps/v1", "deployment", "apps/v1 and kind: Deployment"),
        ("extensions/v1beta1", "Deployment", "apps/v1 and kind: Deployment"),
        ("v1", "CronJob", "batch/v1 and kind: CronJob"),
        ("extensions/v1beta1", "DaemonSet", "apps/v1 and kind: DaemonSet"),
    ],
)
@pytest.mark.parametrize("form", ["yaml", "list", "mixed list", "beside others"])
def test_an_object_of_a_removed_api_is_an_error_of_its_own(
    api_version: str, kind: str, right: str, form: str, tmp_path: Path
) -> None:
    old = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "old"}}
    others = [pod("a"), deployment("new")] if form in ("mixed list", "beside others") else []
    if form in ("list", "mixed list"):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [old, *others]})
    else:
        text = "\n---\n".join(json.dumps(one, indent=1) for one in ({"a": 1}, old, *others)[1:])
    found = Inventory(open_source(write(tmp_path, **{"x.yaml": text}))).workloads()
    (wrong,) = [one for one in found if one.name == "old"]
    assert [(path, str(error)) for path, error in wrong.shape.malformed if isinstance(error, Malformed)] == [
        ("", f"the kind {kind} does not exist in {api_version}. Use apiVersion: {right}.")
    ]
    assert (wrong.api_version, wrong.kind) == (api_version, kind)
    assert [(one.name, one.shape.malformed) for one in found if one is not wrong] == [
        (one["metadata"]["name"], ()) for one in others
    ]


@pytest.mark.parametrize(
    ("api_version", "kind", "right"),
    [
        ("extensions/v1beta1", "NetworkPolicy", "networking.k8s.io/v1 and kind: NetworkPolicy"),
        ("networking.k8s.io/v1", "Networkpolicy", "networking.k8s.io/v1 and kind: NetworkPolicy"),
        ("v1", "ClusterRoleBinding", "rbac.authorization.k8s.io/v1 and kind: ClusterRoleBinding"),
        ("rbac.authorization.k8s.io/v1", "rolebinding", "rbac.authorization.k8s.io/v1 and kind: RoleBinding"),
        ("extensions/v1beta1", "Ingress", "networking.k8s.io/v1 and kind: Ingress"),
        ("v1", "service", "v1 and kind: Service"),
    ],
)
@pytest.mark.parametrize("form", ["yaml", "list"])
def test_one_without_pods_is_an_error_of_those_that_ask_for_its_kind(
    api_version: str, kind: str, right: str, form: str, tmp_path: Path
) -> None:
    old = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "old"}}
    meant = right.rpartition(" ")[2]
    whole = {"apiVersion": "v1", "kind": "List", "items": [old, pod("a")]}
    text = json.dumps(whole) if form == "list" else "\n---\n".join(map(json.dumps, (old, pod("a"))))
    inventory = Inventory(open_source(write(tmp_path, **{"x.yaml": text})))
    with pytest.raises(Malformed) as raised:
        inventory.list(meant)
    assert str(raised.value).endswith(
        f": old: the kind {kind} does not exist in {api_version}. Use apiVersion: {right}."
    )
    assert [one.name for one in inventory.workloads()] == ["a"]


def test_kinds_of_others_may_have_the_name_of_a_built_in_one(tmp_path: Path) -> None:
    for api_version, kind in (
        ("crd.projectcalico.org/v1", "NetworkPolicy"),
        ("authorization.openshift.io/v1", "Role"),
        ("events.k8s.io/v1", "Event"),
        ("serving.knative.dev/v1", "Service"),
    ):
        one = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}}
        inventory = Inventory(open_source(write(tmp_path, **{"x.json": json.dumps(one)})))
        group = api_version.rpartition("/")[0]
        assert [(found.api_version, found.kind) for found in inventory.list(kind, group)] == [
            (api_version, kind)
        ]
