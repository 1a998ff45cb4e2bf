"""Pods in objects of foreign kinds: evaluated where the kind is known, listed where only the shape tells."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builtin_checks.workloads.test_containers import test_forbidden as forbidden
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.errors import NotApplicable
from pytest_kspec.kube.podkinds import PodPlace, pod_kinds
from pytest_kspec.testing import evaluate
from tests.cluster.objects import controlled, obj, pod, replica_set

BAD = {"name": "app", "image": "x:1", "securityContext": {"privileged": True}}
POD = {"containers": [BAD]}
OPERATOR = "spec: the containers that its operator adds"
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
PRIVILEGED = {
    "workloads": {"containers": {"forbidden": [{"key": "securityContext.privileged", "value": True}]}}
}


def foreign(kind: str, api_version: str, **fields: Any) -> dict[str, Any]:
    return obj(kind, "it", api_version=api_version, **fields)


def paths(*objects: dict[str, Any], spec: Any = PRIVILEGED, source: str = "manifests") -> list[str]:
    (result,) = evaluate(forbidden, objects=objects, spec=spec, kind=source)
    return [f"{f.resource}: {f.path}" for f in result.findings]


def listed(*objects: dict[str, Any], source: str = "manifests", **options: Any) -> tuple[str, ...]:
    return tuple(map(str, Inventory(MemorySource(objects, kind=source, **options)).held(pod_kinds()).rest))


def at(keys: tuple[str, ...], value: Any) -> Any:
    for key in reversed(keys):
        value = [value] if key == "*" else {key: value}
    return value


def of_table() -> Iterator[Any]:
    for (group, kind), places in pod_kinds().items():
        for place in places:
            if place.holds in ("podTemplate", "podSpec"):
                yield pytest.param(group, kind, place, id=f"{kind}.{group}-{'.'.join(place.keys)}")


@pytest.mark.parametrize(("group", "kind", "place"), list(of_table()))
def test_every_kind_of_the_table_is_evaluated(group: str, kind: str, place: PodPlace) -> None:
    held = TEMPLATE if place.holds == "podTemplate" else POD
    item = foreign(kind, f"{group}/v1", **at(place.keys, held))
    path = ".".join(place.keys).replace(".*", "[0]") + (".spec" if place.holds == "podTemplate" else "")
    assert paths(item) == [f"{kind} shop/it: {path}.containers[app].securityContext.privileged"]
    assert listed(item) == ((f"{kind} shop/it at {OPERATOR}",) if place.partial else ())


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            foreign("Job", "batch.volcano.sh/v1alpha1", spec={"tasks": [
                {"name": "ps", "template": TEMPLATE}, {"name": "worker", "template": TEMPLATE},
            ]}),
            ["spec.tasks[ps].template.spec.containers[app]", "spec.tasks[worker].template.spec.containers[app]"],
        ),
        (
            foreign("PyTorchJob", "kubeflow.org/v1", spec={"pytorchReplicaSpecs": {
                "Master": {"template": TEMPLATE}, "Worker": {"template": TEMPLATE},
            }}),
            [
                "spec.pytorchReplicaSpecs.Master.template.spec.containers[app]",
                "spec.pytorchReplicaSpecs.Worker.template.spec.containers[app]",
            ],
        ),
        (
            foreign("Workflow", "argoproj.io/v1alpha1", spec={"templates": [
                {"name": "main", "steps": [[{"name": "a", "template": "run"}]]},
                {"name": "run", "container": BAD | {"name": ""}, "sidecars": [BAD]},
                {"name": "py", "script": BAD | {"source": "print()"}, "initContainers": [BAD | {"name": "init"}]},
                {"name": "set", "containerSet": {"containers": [BAD]}},
            ]}),
            [
                "spec.templates[py].initContainers[init]",
                "spec.templates[py].script",
                "spec.templates[run].container",
                "spec.templates[run].sidecars[app]",
                "spec.templates[set].containerSet.containers[app]",
            ],
        ),
        (
            foreign("CronWorkflow", "argoproj.io/v1alpha1", spec={"workflowSpec": {"templates": [
                {"name": "run", "container": BAD}]}}),
            ["spec.workflowSpec.templates[run].container"],
        ),
        (
            foreign("Task", "tekton.dev/v1", spec={"steps": [BAD, {"name": "ref", "ref": {"name": "x"}}],
                "sidecars": [BAD | {"name": "dind"}]}),
            ["spec.sidecars[dind]", "spec.steps[app]"],
        ),
        (
            foreign("PipelineRun", "tekton.dev/v1", spec={"pipelineSpec": {
                "tasks": [{"name": "build", "taskSpec": {"steps": [BAD]}}],
                "finally": [{"name": "end", "taskSpec": {"steps": [BAD]}}]}}),
            [
                "spec.pipelineSpec.finally[end].taskSpec.steps[app]",
                "spec.pipelineSpec.tasks[build].taskSpec.steps[app]",
            ],
        ),
        (foreign("StepAction", "tekton.dev/v1", spec=BAD), ["spec"]),
        (
            foreign("Template", "template.openshift.io/v1", objects=[
                obj("Deployment", "web", api_version="apps/v1", spec={"template": TEMPLATE}),
                pod("p", spec=POD),
                foreign("Rollout", "argoproj.io/v1alpha1", spec={"template": TEMPLATE}),
            ]),
            [
                "objects[0].spec.template.spec.containers[app]",
                "objects[1].spec.containers[app]",
                "objects[2].spec.template.spec.containers[app]",
            ],
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_findings_name_the_true_path(item: dict[str, Any], expected: list[str]) -> None:
    found = [path.removesuffix(".securityContext.privileged") for path in paths(item)]
    assert found == [f"{item['kind']} shop/it: {path}" for path in expected]
    assert listed(item) == ()


def test_fields_of_a_pod_come_from_where_the_kind_has_them() -> None:
    spec = {
        "workloads": {
            "containers": {
                "forbidden": [
                    {"key": "hostNetwork", "value": True},
                    {"key": "spec.securityContext.runAsUser", "value": 0},
                ]
            }
        }
    }
    templates = [
        {"name": "one", "container": BAD, "securityContext": {"runAsUser": 1}},
        {"name": "two", "container": BAD},
    ]
    workflow = foreign(
        "Workflow",
        "argoproj.io/v1alpha1",
        spec={"hostNetwork": True, "securityContext": {"runAsUser": 0}, "templates": templates},
    )
    found = evaluate(forbidden, objects=[workflow], spec=spec, kind="manifests")
    assert {r.id.partition("[")[2]: [f.path for f in r.findings] for r in found} == {
        "hostNetwork]": ["spec.hostNetwork", "spec.hostNetwork"],
        "spec.securityContext.runAsUser]": ["spec.securityContext.runAsUser"],
    }


def test_a_spark_driver_is_a_container_with_the_image_of_the_application() -> None:
    context = {"securityContext": {"privileged": True}}
    spark = foreign(
        "SparkApplication",
        "sparkoperator.k8s.io/v1beta2",
        spec={"image": "spark:4", "driver": context, "executor": {"instances": 1, "sidecars": [BAD]}},
    )
    assert paths(spark) == [
        "SparkApplication shop/it: spec.driver.securityContext.privileged",
        "SparkApplication shop/it: spec.executor.sidecars[app].securityContext.privileged",
    ]
    pods = Inventory(MemorySource([spark], kind="manifests")).held(pod_kinds()).pods
    assert [[c.raw["image"] for c in pod.containers] for pod in pods] == [["spark:4"], ["spark:4", "x:1"]]


def test_a_step_has_what_the_step_template_says() -> None:
    task = foreign(
        "Task",
        "tekton.dev/v1",
        spec={
            "stepTemplate": {"image": "x:1", "securityContext": {"privileged": True, "runAsUser": 1}},
            "steps": [{"name": "a"}, {"name": "b", "securityContext": {"privileged": False}}],
        },
    )
    assert paths(task) == ["Task shop/it: spec.steps[a].securityContext.privileged"]
    (found,) = Inventory(MemorySource([task], kind="manifests")).held(pod_kinds()).pods
    assert found.pod_spec["containers"][1]["securityContext"] == {"privileged": False, "runAsUser": 1}


def test_containers_that_an_operator_completes_are_listed_not_judged() -> None:
    prometheus = foreign(
        "Prometheus",
        "monitoring.coreos.com/v1",
        spec={"containers": [{"name": "prometheus", "securityContext": {"privileged": True}}, BAD]},
    )
    assert paths(prometheus) == ["Prometheus shop/it: spec.containers[app].securityContext.privileged"]
    assert listed(prometheus) == ("Prometheus shop/it at spec.containers[prometheus] and 1 more",)
    whole = foreign("Prometheus", "monitoring.coreos.com/v1", spec={"image": "q", "resources": {}})
    assert listed(whole) == ("Prometheus shop/it at spec and 1 more",)
    bare = foreign("Prometheus", "monitoring.coreos.com/v1", spec={"replicas": 2})
    assert listed(bare) == (f"Prometheus shop/it at {OPERATOR}",)


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"a": {"b": [{"c": TEMPLATE}]}}, "spec.a.b[0].c.spec.containers[app]"),
        ({"jobs": {"x.y": {"image": "a", "command": ["b"]}}}, "spec.jobs.x.y"),
        ({"containers": [{"name": "only-a-name"}]}, "spec.containers[only-a-name]"),
        ({"initContainers": [{"image": "x"}]}, "spec.initContainers[0]"),
        ({"extra": [{"name": "a", "image": "x"}]}, "spec.extra[a]"),
        ({"pod": {"podSpecPatch": "hostNetwork: true"}}, "spec.pod.podSpecPatch"),
    ],
)
def test_unknown_kinds_are_found_by_shape(spec: dict[str, Any], where: str) -> None:
    assert listed(foreign("Thing", "example.com/v1", spec=spec)) == (f"Thing shop/it at {where}",)
    assert paths(foreign("Thing", "example.com/v1", spec=spec)) == []


MANIFEST = (
    "apiVersion: batch/v1\nkind: Job\nspec:\n  template:\n    spec:\n      containers:\n"
    "      - {name: a, image: x}\n"
)
AS_TEXT = {
    "YAML": MANIFEST,
    "indented, with a template": "{{- if .x }}\n" + MANIFEST.replace("\n", "\n  "),
    "in one line": "{apiVersion: v1, kind: Pod, spec: {containers: [{name: a}]}}",
    "JSON": json.dumps({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a"}]}}),
    "JSON with indents": json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "spec": {"initContainers": []}}, indent=2
    ),
}


@pytest.mark.parametrize(
    ("text", "is_pod"),
    [
        ("spec:\n  containers:\n  - name: c\n    image: x\n", True),
        ('{"spec": {"initContainers": [{"image": "x"}]}}', True),
        ("containers:\n- image: x\n", True),
        ("the containers: of the image", False),
        ("containers: 3\nimages: 4\n", False),
    ],
)
def test_a_pod_as_text_needs_no_kind(text: str, is_pod: bool) -> None:
    at = "Thing shop/it at spec.podTemplate: an object written as text"
    assert listed(foreign("Thing", "example.com/v1", spec={"podTemplate": text})) == ((at,) if is_pod else ())


@pytest.mark.parametrize("text", AS_TEXT.values(), ids=AS_TEXT)
def test_objects_as_text_in_foreign_kinds_are_listed(text: str) -> None:
    steps = [
        {"name": "a", "container": {"image": "x"}},
        {"name": "b", "resource": {"action": "create", "manifest": text}},
    ]
    workflow = foreign("WorkflowTemplate", "argoproj.io/v1alpha1", spec={"templates": steps})
    assert listed(workflow) == (
        "WorkflowTemplate shop/it at spec.templates[b].resource.manifest: an object written as text",
    )
    bundle = foreign(
        "Bundle", "fleet.cattle.io/v1alpha1", spec={"resources": [{"name": "a.yaml", "content": text}]}
    )
    assert listed(bundle) == ("Bundle shop/it at spec.resources[a.yaml].content: an object written as text",)
    assert listed(foreign("Thing", "example.com/v1", spec={"manifests": ["x", text]})) == (
        "Thing shop/it at spec.manifests[1]: an object written as text",
    )


PATCHES = {
    "json": '[{"op": "add", "path": "/spec/template/spec/hostNetwork", "value": true}]',
    "yaml": "- op: replace\n  path: /spec/template/spec/containers/0/securityContext/privileged\n  value: true\n",
    "quoted": """- {value: [], 'path': '/spec/initContainers', 'op': "add"}""",
    "merge": "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      hostPID: true\n",
}


@pytest.mark.parametrize("text", PATCHES.values(), ids=PATCHES)
def test_patches_of_pods_in_foreign_kinds_are_listed(text: str) -> None:
    (found,) = listed(
        foreign("Kustomization", "kustomize.toolkit.fluxcd.io/v1", spec={"patches": [{"patch": text}]})
    )
    what = "an object written as text" if text.startswith("api") else "a patch of a pod"
    assert found == f"Kustomization shop/it at spec.patches[0].patch: {what}"


def test_patches_of_pods_that_are_no_text() -> None:
    patch = {"op": "add", "path": "/spec/template/spec/volumes/0/hostPath", "value": {"path": "/"}}
    other = {"op": "add", "path": "/spec/replicas", "value": 1}
    kinds = {"op": "test", "path": "/metadata/labels/containers", "value": ""}
    assert listed(foreign("Thing", "example.com/v1", spec={"patches": [other, kinds, patch]})) == (
        "Thing shop/it at spec.patches[2]: a patch of a pod",
    )


def test_text_about_objects_is_none() -> None:
    for text in (
        "op: add\npath: /metadata/labels/containers\n",
        "path: /spec/template/spec/hostNetwork: see there for what op: means",
        "apiVersion: v1\nkind: ConfigMap\ndata: {a: hostNetwork}\n",
        "/spec/" * 50_000 + "hostNetwork op: x",
        "op: x\npath: " + "/spec" * 50_000 + "/hostNetworks",
        "op: x\n" + "path: /spec/" * 50_000 + "hostNetworks",
        "kind: Job, apiVersion: batch/v1: see which containers there are",
        "apiVersion: v1\nkind: ConfigMap\ndata: {}\n",
        "containers: 5\nkind: x\n",
        "\n" * 200_000 + "containers",
        "{" * 200_000 + "containers",
        "kind" * 50_000 + "containers",
    ):
        assert listed(foreign("Thing", "example.com/v1", spec={"text": text})) == ()


def test_shape_is_not_fooled_by_depth_nor_by_what_is_no_pod() -> None:
    deep: Any = TEMPLATE
    for _ in range(400):
        deep = {"a": [deep]}
    (found,) = listed(foreign("Thing", "example.com/v1", spec=deep))
    assert found.endswith(".spec.containers[app]")
    assert listed(
        foreign("ClusterPolicy", "kyverno.io/v1", spec={"rules": [{"validate": {"pattern": {"spec": POD}}}]}),
        foreign("Application", "argoproj.io/v1alpha1", spec={"template": "x", "image": "y"}),
        foreign("Thing", "example.com/v1", spec={"containers": "x", "steps": [{"name": "x"}]}, status={"pod": POD}),
        obj("ConfigMap", "c", data={"containers": "x"}),
    ) == ()  # fmt: skip


def test_a_broken_template_of_a_known_kind_is_an_error() -> None:
    odd: tuple[Any, ...] = (
        "x",
        {"spec": None},
        {"spec": {"containers": ["x"]}},
        {"spec": {"containers": {}}},
    )
    for broken in odd:
        item = foreign("Rollout", "argoproj.io/v1alpha1", spec={"template": broken})
        (result,) = evaluate(forbidden, objects=[item], spec=PRIVILEGED, kind="manifests")
        assert result.verdict == "error", broken
    without = foreign("Rollout", "argoproj.io/v1alpha1", spec={"workloadRef": {"name": "web"}})
    (result,) = evaluate(forbidden, objects=[without], spec=PRIVILEGED, kind="manifests")
    assert result.verdict == "skip"


@pytest.mark.parametrize(
    ("holds", "value", "path"),
    [
        ("podTemplate", TEMPLATE, "spec.parts.a.spec.containers[app]"),
        ("podSpec", POD, "spec.parts.a.containers[app]"),
        ("containers", [BAD], "spec.parts.a[app]"),
        ("container", BAD, "spec.parts.a"),
    ],
)
def test_a_specification_names_kinds_of_its_own(holds: str, value: Any, path: str) -> None:
    item = foreign("Thing", "example.com/v1", spec={"parts": {"a": value}})
    added = {"apiGroup": "example.com", "kind": "Thing", "path": "spec.parts.*", "holds": holds}
    spec = {"workloads": {**PRIVILEGED["workloads"], "podTemplates": [added]}}
    assert paths(item, spec=spec) == [f"Thing shop/it: {path}.securityContext.privileged"]


def test_labels_of_the_pods_are_those_of_the_template_or_unknown() -> None:
    job = foreign("Job", "batch.volcano.sh/v1", spec={"tasks": [{"name": "a.b", "template": TEMPLATE}]})
    (held,) = Inventory(MemorySource([job], kind="manifests")).held(pod_kinds()).pods
    assert held.pod_labels == {"a": "b"}
    assert held.matches({"matchLabels": {"a": "b"}})
    assert held.pod_annotations == {}
    prometheus = foreign("Prometheus", "monitoring.coreos.com/v1", spec={"containers": [BAD]})
    (held,) = Inventory(MemorySource([prometheus], kind="manifests")).held(pod_kinds()).pods
    with pytest.raises(NotApplicable, match="the labels of the pods of Prometheus shop/it are not known"):
        held.matches({"matchLabels": {"a": "b"}})


def test_in_a_cluster_whole_templates_are_read_and_their_copies_left_out() -> None:
    rollout = foreign("Rollout", "argoproj.io/v1alpha1", spec={"template": TEMPLATE})
    owner = controlled("Rollout", "it", "uid-Rollout-it", "argoproj.io/v1alpha1")
    copy = replica_set("it-1", owner)
    workflow = foreign(
        "Workflow", "argoproj.io/v1alpha1", spec={"templates": [{"name": "t", "container": BAD}]}
    )
    inventory = Inventory(MemorySource([rollout, copy, workflow]))
    assert [str(w.ref) for w in inventory.workloads(pod_kinds())] == ["Rollout shop/it"]
    assert [str(w.ref) for w in inventory.workloads()] == ["ReplicaSet shop/it-1"]
    assert paths(rollout, copy, source="live") == [
        "Rollout shop/it: spec.template.spec.containers[app].securityContext.privileged"
    ]
    asked = Inventory(MemorySource([rollout], denied=["rollouts"]))
    assert asked.unevaluated(pod_kinds()) == ()  # no check asked for pods, so nothing is listed
    denied = Inventory(MemorySource([rollout, copy], denied=["rollouts"]))
    assert [str(w.ref) for w in denied.workloads(pod_kinds())] == ["ReplicaSet shop/it-1"]
    assert tuple(map(str, denied.unevaluated(pod_kinds()))) == (
        "rollouts.argoproj.io (cannot list rollouts.argoproj.io: forbidden)",
    )


KEYS = sorted({key for places in pod_kinds().values() for place in places for key in place.keys})
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "app", "x:1"])
WORDS = st.sampled_from(
    [
        *KEYS,
        *("containers", "initContainers", "image", "name", "container", "sidecars", "steps", "stepTemplate"),
        *(
            "metadata",
            "annotations",
            "labels",
            "spec",
            "template",
            "kind",
            "apiVersion",
            "securityContext",
            "volumes",
        ),
    ]
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)


@given(st.sampled_from(sorted(pod_kinds())), st.dictionaries(WORDS, ANYTHING, max_size=5), ANYTHING, ANYTHING)
def test_whatever_an_object_holds_it_is_evaluated_or_an_error(
    known: tuple[str, str], fields: dict[str, Any], held: Any, template: Any
) -> None:
    for place in pod_kinds()[known]:
        for value in (held, template, {"spec": held, "metadata": template}, {"containers": [held, template]}):
            raw = {"apiVersion": f"{known[0]}/v1", "kind": known[1], **fields, "metadata": {"name": "it"}}
            item = {**raw, **at(place.keys, value)} if place.holds != "none" else raw
            item |= {"apiVersion": raw["apiVersion"], "kind": raw["kind"], "metadata": raw["metadata"]}
            inventory = Inventory(MemorySource([item], kind="manifests"))
            for found in inventory.held(pod_kinds()).pods:
                assert all(found.path_of(container.path) for container in found.containers)
            assert inventory.unevaluated(pod_kinds()) == inventory.held(pod_kinds()).rest
            (result,) = evaluate(forbidden, objects=[item], spec=PRIVILEGED, kind="manifests")
            assert "raised" not in result.reason


@pytest.mark.parametrize(
    ("item", "at"),
    [
        (
            foreign("Kafka", "kafka.strimzi.io/v1beta2", spec={"kafka": {"replicas": 3, "template": {
                "kafkaContainer": {"securityContext": {"privileged": True}}}}}),
            "spec.kafka.template.kafkaContainer",
        ),
        (
            foreign("Kafka", "kafka.strimzi.io/v1beta2", spec={"kafka": {"template": {
                "pod": {"securityContext": {"runAsUser": 0}}}}}),
            "spec.kafka.template.pod",
        ),
        (
            foreign("EventSource", "argoproj.io/v1alpha1", spec={"template": {
                "container": {"securityContext": {"privileged": True}}}}),
            "spec.template.container",
        ),
        (foreign("Cache", "acme.io/v1", spec={"containerSecurityContext": {"privileged": True}}), "spec"),
        (foreign("Cache", "acme.io/v1", spec={"nodes": [{"podSecurityContext": {}}]}), "spec.nodes[0]"),
        (foreign("Cache", "acme.io/v1", spec={"pod": {"hostNetwork": True}}), "spec.pod"),
        (foreign("Cache", "acme.io/v1", spec={"securityContext": None, "hostNetwork": False, "hostPID": "x"}), ""),
        (foreign("Cache", "acme.io/v1", spec={"pod": {"volumes": [{"hostPath": {"path": "/"}}]}}), "spec.pod"),
        (foreign("Cache", "acme.io/v1", spec={"extraVolumes": [{"hostPath": {"path": "/"}}]}), "spec"),
        (foreign("Cache", "acme.io/v1", spec={"volumes": [{"emptyDir": {}}, "hostPath", {"hostPath": "/"}]}), ""),
        (foreign("Policy", "kyverno.io/v1", spec={"pattern": {"spec": {"securityContext": {"runAsUser": 1}}}}), ""),
    ],
)  # fmt: skip
def test_what_shows_only_how_a_pod_runs_is_listed(item: dict[str, Any], at: str) -> None:
    assert listed(item) == ((f"{item['kind']} shop/it at {at}",) if at else ())
    assert paths(item) == []


def test_what_became_part_of_a_pod_is_not_listed_again() -> None:
    context = {"securityContext": {"runAsUser": 0}}
    whole = {**context, "hostNetwork": True, "containers": [BAD]}
    workflow = {**context, "hostNetwork": True, "templates": [{"name": "a", "container": BAD}]}
    for item in (
        foreign("Rollout", "argoproj.io/v1alpha1", spec={"template": {"spec": whole}}),
        foreign("Workflow", "argoproj.io/v1alpha1", spec=workflow),
        foreign("Task", "tekton.dev/v1", spec={"steps": [BAD], "stepTemplate": context}),
    ):
        assert listed(item) == ()
        assert len(paths(item)) == 1
