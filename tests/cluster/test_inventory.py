import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builtin_checks.workloads.test_containers import test_forbidden as forbidden
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.objects import decode
from pytest_kspec.cluster.objects.decode import Decoder
from pytest_kspec.cluster.objects.kinds import type_of
from pytest_kspec.cluster.objects.whole import ListedResource
from pytest_kspec.cluster.sources.manifests import ManifestSource
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.errors import AccessDenied, Malformed, NotServed, SourceUnavailable
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.resources import Resource, ResourceType, Workload
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.testing import evaluate
from tests.cluster.objects import controlled, deployment, obj, pod, replica_set, template


class Raw(MemorySource):
    """Serves these bytes as its pages of pods, and counts the lists."""

    def __init__(self, *pages: bytes, **options: object) -> None:
        super().__init__([], **options)  # type: ignore[arg-type]
        self.given = pages
        self.lists: Counter[str] = Counter()

    def pages(self, resource_type: ResourceType) -> Iterator[bytes]:
        self.lists[resource_type.resource] += 1
        return iter(self.given) if resource_type.kind == "Pod" else super().pages(resource_type)


def shown(workloads: object) -> list[tuple[str, str]]:
    return [(str(w.ref), str(w.owner)) for w in workloads]  # type: ignore[attr-defined]


def test_objects_come_sorted_with_what_lists_leave_out() -> None:
    source = Raw(b'[{"metadata":{"name":"b","namespace":"x"},"spec":{}}]', b"null")
    inventory = Inventory(source)
    (found,) = inventory.list("Pod")
    assert isinstance(found, Workload)
    assert found.raw == {
        "metadata": {"name": "b", "namespace": "x"},
        "spec": {},
        "kind": "Pod",
        "apiVersion": "v1",
    }
    services = [
        obj("Service", name, namespace)
        for namespace, name in (("b", "a"), ("a-b", "z"), ("a", "y"), ("a", "x"))
    ]
    listed = Inventory(MemorySource(services)).list("Service")
    assert [str(s.ref) for s in listed] == ["Service a/x", "Service a/y", "Service a-b/z", "Service b/a"]


def test_each_kind_is_listed_once_and_so_is_a_refusal() -> None:
    source = Raw(b"[]", denied=["secrets"])
    inventory = Inventory(source)
    for _ in range(3):
        inventory.pods()
        inventory.workloads()
        with pytest.raises(AccessDenied) as refused:
            inventory.list("Secret")
        assert str(refused.value) == (
            "test: cannot list secrets: forbidden. "
            "Grant the verb list on secrets to the user of the scan, cluster-wide."
        )
    assert set(source.lists.values()) == {1}
    assert source.lists["pods"] == source.lists["secrets"] == source.lists["cronjobs.batch"] == 1


def test_a_kind_that_is_not_served_names_near_ones() -> None:
    inventory = Inventory(MemorySource([], missing=["NetworkPolicy"]))
    assert not inventory.serves("NetworkPolicy")
    assert inventory.serves("Deployment", "apps")
    assert not inventory.serves("Deployment", "")
    with pytest.raises(NotServed, match=r"^test: the kind NetworkPolicy is not served\.$"):
        inventory.list("NetworkPolicy")
    with pytest.raises(NotServed, match=r"the kind Deploymnt is not served\. Did you mean Deployment\?$"):
        inventory.list("Deploymnt")
    with pytest.raises(NotServed, match=r"the kind Pod in API group apps is not served\.$"):
        inventory.list("Pod", "apps")


def test_without_a_group_the_builtin_kind_is_meant() -> None:
    other = obj("NetworkPolicy", "theirs", api_version="crd.projectcalico.org/v1")
    ours = obj("NetworkPolicy", "ours", api_version="networking.k8s.io/v1")
    inventory = Inventory(MemorySource([other, ours]))
    assert [p.name for p in inventory.list("NetworkPolicy")] == ["ours"]
    assert [p.name for p in inventory.list("NetworkPolicy", "crd.projectcalico.org")] == ["theirs"]


def test_pods_that_ended_are_left_out() -> None:
    phases = [
        pod(p.lower(), status={"phase": p}) for p in ("Running", "Pending", "Succeeded", "Failed", "Unknown")
    ]
    inventory = Inventory(MemorySource([*phases, pod("fresh")]))
    assert [p.name for p in inventory.pods()] == ["fresh", "pending", "running", "unknown"]
    assert len(inventory.list("Pod")) == 6


@pytest.mark.parametrize(
    ("version", "counts"), [(None, False), ("", False), ("0", False), ("00", False), ("5", True)]
)
def test_the_status_of_a_manifest_counts_only_where_a_cluster_wrote_it(
    tmp_path: Path, version: str | None, counts: bool
) -> None:
    """An API server drops it, and runs the pod; it refuses to create what has a resourceVersion (tried with one)."""
    done = pod("done", status={"phase": "Succeeded"})
    done["metadata"] |= {} if version is None else {"resourceVersion": version}
    (tmp_path / "pods.json").write_text(json.dumps(done))
    inventory = Inventory(ManifestSource(str(tmp_path)))
    assert [one.name for one in inventory.pods()] == ([] if counts else ["done"])


def test_owners_are_followed_to_the_top() -> None:
    objects = [
        deployment("web"),
        replica_set("web-1", controlled("Deployment", "web", "uid-Deployment-web")),
        pod("web-1-a", owner=controlled("ReplicaSet", "web-1", "uid-ReplicaSet-web-1")),
        obj("CronJob", "night", api_version="batch/v1", spec={"jobTemplate": {"spec": template()}}),
        obj(
            "Job",
            "night-1",
            api_version="batch/v1",
            owner=controlled("CronJob", "night", "", "batch/v1"),
            spec=template(),
        ),
        pod("night-1-a", owner=controlled("Job", "night-1", "", "batch/v1")),
        replica_set("canary-1", controlled("Rollout", "canary", "r", "argoproj.io/v1alpha1")),
        pod("canary-1-a", owner=controlled("ReplicaSet", "canary-1", "uid-ReplicaSet-canary-1")),
        pod("gone-a", owner=controlled("ReplicaSet", "gone", "nowhere")),
        pod("kube-proxy", owner=controlled("Node", "n1", "n", "v1")),
        pod("bare"),
        obj("PodTemplate", "old", **template()),
        pod("loop", owner=controlled("StatefulSet", "loop")),
        obj(
            "StatefulSet",
            "loop",
            api_version="apps/v1",
            owner=controlled("StatefulSet", "loop"),
            spec=template(),
        ),
    ]
    assert shown(Inventory(MemorySource(objects)).workloads()) == [
        ("Pod shop/bare", "Pod shop/bare"),
        ("Pod shop/canary-1-a", "Rollout shop/canary"),
        ("Pod shop/gone-a", "ReplicaSet shop/gone"),
        ("Pod shop/kube-proxy", "Pod shop/kube-proxy"),
        ("Pod shop/loop", "StatefulSet shop/loop"),
        ("Pod shop/night-1-a", "CronJob shop/night"),
        ("Pod shop/web-1-a", "Deployment shop/web"),
        ("PodTemplate shop/old", "PodTemplate shop/old"),
        ("Deployment shop/web", "Deployment shop/web"),
        ("StatefulSet shop/loop", "StatefulSet shop/loop"),
        ("ReplicaSet shop/canary-1", "Rollout shop/canary"),
        ("CronJob shop/night", "CronJob shop/night"),
    ]


def test_whose_it_is_does_not_hang_on_what_was_asked_before() -> None:
    """x, z and w control each other in a circle; y and the pods are controlled by z, as x is."""
    ref = {name: controlled("StatefulSet", name, "", "apps/v1") for name in "wxz"}
    makers = {"x": "z", "z": "w", "w": "x", "y": "z"}
    objects = [
        *(
            obj("StatefulSet", name, api_version="apps/v1", owner=ref[maker], spec=template())
            for name, maker in makers.items()
        ),
        pod("p", owner=ref["z"]),
        pod("q", owner=ref["z"]),
    ]
    found = {}
    for kinds in (("StatefulSet", "Pod"), ("Pod", "StatefulSet")):
        inventory = Inventory(MemorySource(objects))
        found[kinds] = sorted(pair for kind in kinds for pair in shown(inventory.list(kind)))
    one, other = found.values()
    assert one == other
    assert ("StatefulSet shop/x", "StatefulSet shop/x") in one


def test_a_name_that_was_used_again_does_not_make_an_owner() -> None:
    owner = controlled("Deployment", "web", "uid-of-a-former-web")
    inventory = Inventory(MemorySource([deployment("web"), replica_set("web-1", owner)]))
    assert [w.name for w in inventory.workloads()] == ["web", "web-1"]


def test_owners_that_may_not_be_read_are_still_named_by_the_reference() -> None:
    objects = [pod("a", owner=controlled("ReplicaSet", "web-1", "u"))]
    inventory = Inventory(MemorySource(objects, denied=["replicasets"]))
    assert shown(inventory.pods()) == [("Pod shop/a", "ReplicaSet shop/web-1")]
    with pytest.raises(AccessDenied, match=r"cannot list replicasets\.apps: forbidden"):
        inventory.workloads()


def test_templates_are_seen_as_the_pods_that_they_become() -> None:
    annotations = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined", "other": "x"}
    job = {"template": {"metadata": {"annotations": annotations}, "spec": {"hostPID": True}}}
    cron = obj("CronJob", "night", api_version="batch/v1", spec={"jobTemplate": {"spec": job}})
    (found,) = Inventory(MemorySource([cron])).workloads()
    assert found.template_path == "spec.jobTemplate.spec.template."
    assert found.shape.spec == found.pod_spec == {"hostPID": True}
    assert found.shape.annotations == {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    assert found.annotations == {}
    assert not found.is_pod


POD_SPEC = {"containers": [{"name": "app"}]}


@pytest.mark.parametrize(
    ("item", "malformed"),
    [
        ({"metadata": {"name": "p"}, "spec": "text"}, (("spec", "text"),)),
        ({"metadata": {"name": "p"}, "spec": None}, (("spec", None),)),
        ({"metadata": {"name": "p"}}, (("spec", None),)),
        ({"metadata": [], "spec": POD_SPEC}, (("metadata", []),)),
        ({"spec": POD_SPEC}, (("metadata", None),)),
        (
            {"metadata": {"name": 5, "labels": {"a": 1}}, "spec": POD_SPEC},
            (("metadata.name", 5), ("metadata.labels", {"a": 1})),
        ),
        ({"metadata": {"namespace": [1]}, "spec": POD_SPEC}, (("metadata.namespace", [1]),)),
        ({"metadata": {"annotations": {"a": 1}}, "spec": POD_SPEC}, (("metadata.annotations[a]", 1),)),
        ({"metadata": {"annotations": "x"}, "spec": POD_SPEC}, (("metadata.annotations", "x"),)),
        ({"metadata": {"ownerReferences": [1]}, "spec": POD_SPEC}, (("metadata.ownerReferences", [1]),)),
        ({"metadata": {}, "spec": POD_SPEC, "status": 7}, ()),
        ({"metadata": {}, "spec": {"containers": "none"}}, (("spec.containers", "none"),)),
    ],
)
def test_unexpected_types_spoil_one_pod_and_not_the_others(
    item: dict[str, object], malformed: object
) -> None:
    good = pod("good")
    found = Inventory(MemorySource([{"apiVersion": "v1", "kind": "Pod", **item}, good])).workloads()
    assert [w.shape.malformed for w in found if w.name != "good"] == [malformed]
    (other,) = [w for w in found if w.name == "good"]
    assert other.shape.malformed == ()
    assert other.raw == good


@pytest.mark.parametrize("source", ["live", "manifests"])
@pytest.mark.parametrize(
    "kind", ["Pod", "PodTemplate", "ReplicationController", "Deployment", "Job", "CronJob", "Rollout"]
)
@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({}, "missing"),
        (
            {"initContainers": [{"name": "a", "image": "b"}], "ephemeralContainers": [{"name": "c"}]},
            "missing",
        ),
        ({"containers": None}, "null"),
        ({"containers": []}, "empty"),
    ],
)
def test_a_pod_without_containers_is_no_pod_of_any_api_server(
    kind: str, spec: dict[str, Any], what: str, source: str
) -> None:
    version, held = {
        "Pod": ("v1", {"spec": spec}),
        "PodTemplate": ("v1", {"template": {"spec": spec}}),
        "ReplicationController": ("v1", {"spec": {"template": {"spec": spec}}}),
        "CronJob": ("batch/v1", {"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}),
        "Job": ("batch/v1", {"spec": {"template": {"spec": spec}}}),
        "Deployment": ("apps/v1", {"spec": {"template": {"spec": spec}}}),
        "Rollout": ("argoproj.io/v1alpha1", {"spec": {"template": {"spec": spec}}}),
    }[kind]
    asked = {
        "workloads": {"containers": {"forbidden": [{"key": "securityContext.privileged", "value": True}]}}
    }
    item = obj(kind, "it", api_version=version) | held
    (result,) = evaluate(forbidden, objects=[item, pod("good")], spec=asked, kind=source)
    where = {
        "Pod": "",
        "PodTemplate": "template.",
        "CronJob": "spec.jobTemplate.spec.template.",
        "Rollout": "spec.template: ",
    }.get(kind, "spec.template.")
    assert (result.verdict, result.reason) == (
        Verdict.ERROR, f"{kind} shop/it: {where}spec.containers is {what}; Kubernetes requires a container there",
    )  # fmt: skip


def test_an_item_that_is_no_object_fails_the_list() -> None:
    with pytest.raises(Malformed, match=r"^test: item 1 in the list of pods is not an object\.$"):
        Inventory(Raw(b'[{"metadata":{},"spec":{}},5]')).pods()


@pytest.mark.parametrize(
    "page",
    [
        b'[{"metadata":{"name":"x"},"spec":{',
        b"<html>login</html>",
        b'[{"metadata":{"name":"x"},"spec":{"a":NaN}}]',
        b'[{"metadata":{"name":"x"},"spec":' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        b'[{"metadata":{"name":"x"},"spec":{"a":"\xff"}}]',
        b'[{"metadata":{"name":"\xff"},"spec":{}}]',
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_broken_json_is_an_error_and_no_crash(page: bytes) -> None:
    with pytest.raises((SourceUnavailable, Malformed), match="the list of pods could not be read"):
        Inventory(Raw(page)).pods()


def test_secrets_have_no_data_wherever_they_come_from() -> None:
    secret = obj("Secret", "s", data={"a": "aHVudGVyMg=="}, stringData={"a": "hunter2"})
    secret["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": '{"data":"hunter2"}',
        "kept": "yes",
    }
    (found,) = Inventory(MemorySource([secret])).list("Secret")
    assert "hunter2" not in str(found.raw)
    assert found.annotations == {"kept": "yes"}


def test_manifests_may_lack_kinds_and_namespaces() -> None:
    objects = [pod("a", ""), deployment("b"), obj("Namespace", "n", "")]
    inventory = Inventory(MemorySource(objects, kind="manifests", version=""))
    assert inventory.list("Node") == inventory.list("Whatever", "x.io") == ()
    assert [str(w.ref) for w in inventory.workloads()] == ["Pod default/a", "Deployment shop/b"]
    assert inventory.pods()[0].raw["metadata"]["namespace"] == "default"
    assert inventory.list("Namespace")[0].namespace == ""


def test_a_dead_source_says_so_for_every_kind() -> None:
    class Dead(MemorySource):
        def types(self) -> list[ResourceType]:
            raise SourceUnavailable("gone.", where="test")

    inventory = Inventory(Dead([]))
    for call in (inventory.pods, inventory.workloads, inventory.types, lambda: inventory.serves("Pod")):
        with pytest.raises(SourceUnavailable, match=r"^test: gone\.$"):
            call()


def test_many_pods_read_in_full_do_not_stay_in_memory() -> None:
    inventory = Inventory(MemorySource([pod(f"p{i:04}") for i in range(600)]))
    pods = inventory.pods()
    assert all(p.raw["metadata"]["name"] == p.name for p in pods)
    assert pods[599].raw is pods[599].raw
    assert pods[0].ref == ResourceRef("v1", "Pod", "shop", "p0000")


def retired(kind: str, name: str, owner: dict[str, Any] | None, spec: Any, **rest: Any) -> dict[str, Any]:
    group = "apps/v1" if kind == "ReplicaSet" else "v1"
    return obj(kind, name, api_version=group, owner=owner, spec={**template(), **spec}, **rest)


def test_former_versions_of_a_foreign_controller_are_left_out() -> None:
    rollout = controlled("Rollout", "web", "r", "argoproj.io/v1alpha1")
    config = controlled("DeploymentConfig", "web", "c", "apps.openshift.io/v1")
    gone = controlled("Deployment", "gone", "d")
    objects = [
        retired("ReplicaSet", "former", rollout, {"replicas": 0}, status={"replicas": 0}),
        retired("ReplicationController", "former", config, {"replicas": 0}),
        retired("ReplicaSet", "current", rollout, {"replicas": 1}),
        retired("ReplicaSet", "default", rollout, {}),
        retired("ReplicaSet", "running", rollout, {"replicas": 0}, status={"replicas": 2}),
        retired("ReplicaSet", "own", None, {"replicas": 0}),
        retired("ReplicaSet", "orphan", gone, {"replicas": 0}),
        retired("ReplicaSet", "odd", rollout, {"replicas": "0"}),
        obj("StatefulSet", "set", api_version="apps/v1", owner=rollout, spec={**template(), "replicas": 0}),
    ]
    inventory = Inventory(MemorySource(objects))
    assert sorted(str(w.ref) for w in inventory.workloads()) == [
        *(f"ReplicaSet shop/{name}" for name in ("current", "default", "odd", "orphan", "own", "running")),
        "StatefulSet shop/set",
    ]


@pytest.mark.parametrize("source", ["live", "manifests"])
def test_of_large_lists_objects_are_read_when_they_are_asked_for(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = [
        *(obj("ConfigMap", f"c{i:04d}", data={"k": "v" * 700}, labels=i) for i in range(900)),
        obj("Secret", "s", data={"k": "c2VjcmV0"}),
        obj("Role", "r", api_version="rbac.authorization.k8s.io/v1", rules=[{"verbs": ["get"]}]),
        obj("Widget", "w", api_version="acme.io/v1", spec={"a": [1, 2]}),
    ]
    for item in objects[:900]:
        item["metadata"]["labels"] = {"n": str(item.pop("labels"))}
    asked = (("ConfigMap", ""), ("Secret", ""), ("Role", "rbac.authorization.k8s.io"), ("Widget", "acme.io"))

    def read() -> tuple[list[Resource], list[dict[str, Any]]]:
        inventory = Inventory(MemorySource(objects, kind=source))
        found = [item for kind, group in asked for item in inventory.list(kind, group)]
        return found, [item.raw for item in found]

    plain, raws = read()
    monkeypatch.setattr(decode, "DECODED_BYTES", 0)
    large, again = read()
    assert again == raws
    assert {type(item) for item in large} == {ListedResource}
    assert all(not item._raw for item in large), "what was decoded is not kept"
    for one, other in zip(plain, large, strict=True):
        assert (one.ref, one.uid, one.labels, one.annotations, one.spec) == (
            other.ref, other.uid, other.labels, other.annotations, other.spec,
        )  # fmt: skip
        assert one.matches({"matchLabels": {"n": "7"}}) == other.matches({"matchLabels": {"n": "7"}})


def test_an_item_of_a_large_list_that_is_wrong_fails_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "DECODED_BYTES", 0)
    for items, said in (
        ('[{"metadata": {"name": "a"}}, 1]', "item 1 in the list of configmaps is not an object."),
        ('[{"metadata": {}}]', "item 0 in the list of configmaps has no valid name"),
        ('[{"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}}]', "is of Secret v1."),
        ('[{"metadata": {"name": "a"}', "the list of configmaps could not be read"),
    ):
        with pytest.raises((Malformed, SourceUnavailable), match=said):
            Decoder("c").resources(items.encode(), type_of("v1", "ConfigMap"))
