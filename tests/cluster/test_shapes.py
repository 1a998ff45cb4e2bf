"""Pods share a shape exactly if their specs are equal but for node and token volume name."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builtin_checks.workloads.test_containers import test_forbidden as forbidden
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.objects.shapes import Shapes, _parts, _proven, _proven_by_marks
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.kube.resources import CONTAINER_LISTS
from pytest_kspec.testing import evaluate
from tests.cluster.objects import obj, pod, template
from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane

NODES = ["n1", "n2", "app"]
TOKENS = ["kube-api-access-abcde", "kube-api-access-fghij", "kube-api-access-abcdef", "other"]
# Values that look like what is taken out, in places where they are something else.
DECOYS = st.sampled_from([*NODES, *TOKENS, "nodeName", '"nodeName":"n1"', "x"])


def mounts() -> st.SearchStrategy[Any]:
    return st.lists(
        st.fixed_dictionaries({"name": st.sampled_from(TOKENS)}, optional={"mountPath": DECOYS}), max_size=2
    )


def containers() -> st.SearchStrategy[Any]:
    return st.lists(
        st.fixed_dictionaries(
            {"name": DECOYS},
            optional={
                "volumeMounts": mounts(),
                "env": st.lists(st.fixed_dictionaries({"name": DECOYS, "value": DECOYS}), max_size=2),
                "nodeName": DECOYS,
                "args": st.lists(DECOYS, max_size=2),
            },
        ),
        max_size=2,
    )


def affinity() -> st.SearchStrategy[Any]:
    field = st.fixed_dictionaries(
        {
            "key": st.sampled_from(["metadata.name", "other"]),
            "values": st.lists(st.sampled_from(NODES), max_size=2),
        }
    )
    terms = st.lists(st.fixed_dictionaries({"matchFields": st.lists(field, max_size=2)}), max_size=1)
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    return terms.map(lambda t: {"nodeAffinity": {required: {"nodeSelectorTerms": t}}})


SPECS = st.fixed_dictionaries(
    {"containers": containers()},
    optional={
        "nodeName": st.sampled_from([*NODES, "", 'quo"te', "back\\slash"]),
        "volumes": mounts(),
        "initContainers": containers(),
        "affinity": affinity(),
        "nodeSelector": st.dictionaries(st.sampled_from(["nodeName", "x"]), DECOYS, max_size=2),
    },
)


def renamed(spec: dict[str, Any], node: bool, token: bool) -> dict[str, Any]:
    """The spec with node and token volume renamed, by what they are in the decoded data: the definition."""
    spec = json.loads(json.dumps(spec))
    if node:
        own = spec["nodeName"]
        spec["nodeName"] = "\0"
        terms = (
            spec.get("affinity", {})
            .get("nodeAffinity", {})
            .get("requiredDuringSchedulingIgnoredDuringExecution", {})
            .get("nodeSelectorTerms", [])
        )
        for term in terms:
            for field in term.get("matchFields", []):
                if field["key"] == "metadata.name":
                    field["values"] = ["\0" if v == own else v for v in field["values"]]
    if token:
        lists = [spec.get("volumes", [])]
        lists += [c.get("volumeMounts", []) for key in CONTAINER_LISTS for c in spec.get(key, [])]
        for items in lists:
            for item in items:
                if item["name"] in TOKENS[:2]:
                    item["name"] = "\1"
    return spec


def may_share(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """Equal but for parts that are proven to be the pod's own."""
    if one == two:
        return True
    return any(
        renamed(one, node, token) == renamed(two, node, token)
        for node in ({False, True} if one.get("nodeName") and two.get("nodeName") else {False})
        for token in (False, True)
    )


@given(SPECS, SPECS, st.sampled_from([None, 1]))
@example(
    {"containers": [{"name": "a", "nodeName": "n1"}]}, {"containers": [{"name": "a", "nodeName": "n2"}]}, None
)
def test_pods_share_a_shape_only_if_they_may(one: Any, two: Any, indent: int | None) -> None:
    shapes = Shapes()
    raw = [json.dumps(spec, indent=indent).encode() for spec in (one, two)]
    first, second = shapes.shape(raw[0]), shapes.shape(raw[1])
    assert first.spec == one
    if first is second:
        assert may_share(one, two)
    else:
        assert one != two
        assert second.spec == two
    assert shapes.shape(raw[0]) is first
    assert shapes.shape(raw[1]) is second


def real(node: str, token: str, **more: Any) -> dict[str, Any]:
    """A spec as the API server gives it."""
    return {
        "volumes": [{"name": token, "projected": {}}],
        "containers": [{"name": "app", "volumeMounts": [{"name": token, "mountPath": "/var/run"}]}],
        "nodeName": node,
        **more,
    }


def bound(node: str) -> dict[str, Any]:
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


@given(
    st.sampled_from(["n1", "ip-10-0-0-1.eu"]),
    st.sampled_from(["n2", "gke-pool-1"]),
    st.sampled_from([None, 4]),
)
def test_replicas_do_share(one: str, two: str, indent: int | None) -> None:
    a, b = TOKENS[:2]
    for first, second in (
        (real(one, a), real(two, b)),
        (real(one, a, affinity=bound(one)), real(two, b, affinity=bound(two))),
    ):
        shapes = Shapes()
        made = [shapes.shape(json.dumps(s, indent=indent).encode()) for s in (first, second)]
        assert made[0] is made[1]
        assert len(shapes) == 1


def share(one: bytes, two: bytes) -> bool:
    shapes = Shapes()
    return shapes.shape(one) is shapes.shape(two)


def test_what_only_looks_like_the_node_is_kept() -> None:
    assert not share(b'{"x":{"nodeName":"n1"}}', b'{"x":{"nodeName":"n2"}}')
    assert not share(b'{"nodeName":"n1","e":"n1"}', b'{"nodeName":"n2","e":"n2"}')
    assert not share(
        b'{"nodeName": "n1","e":{"a\\"nodeName":"n1"}}', b'{"nodeName": "n1","e":{"a\\"nodeName":"n2"}}'
    )
    assert not share(b'{"nodeName":"n1","nodeName":"x"}', b'{"nodeName":"n2","nodeName":"y"}')
    assert not share(b'{"nodeName":"n1"}', b'{"nodeName":5}')
    assert share(b'{"nodeName":"n1"}', b'{"nodeName":"n2"}')


def test_what_only_looks_like_the_token_volume_is_kept() -> None:
    env = b'{"volumes":[{"name":"%s"}],"e":"%s"}'
    a, b = (t.encode() for t in TOKENS[:2])
    assert not share(env % (a, a), env % (b, b))
    escaped = b'{"volumes":[{"name":"kube-api-access-\\u0061bcde"}],"e":"%s"}'
    assert not share(escaped % a, escaped % b)
    named_like_its_node = b'{"nodeName":"n2","volumes":[{"name":"n2"}]}'
    assert not share(b'{"nodeName":"n1","volumes":[{"name":"%s"}]}' % a, named_like_its_node)
    mixed = b'{"nodeName":"%s","volumes":[{"name":"v"}]}'
    assert share(mixed % a, mixed % b)  # a node may have any name


def test_security_annotations_are_part_of_the_shape() -> None:
    names = ["container.apparmor.security.beta.kubernetes.io/app", "seccomp.security.alpha.kubernetes.io/pod"]
    objects = [pod(f"p{i}") for i in range(4)]
    for item, annotations in zip(
        objects, [{names[0]: "unconfined"}, {names[1]: "unconfined"}, {"x": "1"}, {"x": "2"}], strict=True
    ):
        item["metadata"]["annotations"] = annotations
    found = [p.shape for p in Inventory(MemorySource(objects)).pods()]
    assert [dict(s.annotations) for s in found] == [
        {names[0]: "unconfined"},
        {names[1]: "unconfined"},
        {},
        {},
    ]
    assert found[2] is found[3]


@given(SPECS, SPECS)
def test_the_exact_spec_of_each_pod_is_at_hand(one: Any, two: Any) -> None:
    inventory = Inventory(MemorySource([pod("a", spec=one), pod("b", spec=two)]))
    assert [p.pod_spec for p in inventory.pods()] == [one, two]


def test_a_limited_memory_forgets_what_it_saw_first() -> None:
    specs = [b'{"containers":[{"name":"app","image":"a:%d"}]}' % number for number in range(10)]
    by_count, by_bytes = Shapes((4, 10_000)), Shapes((100, 4 * len(specs[0])))
    for shapes in (by_count, by_bytes):
        first = shapes.shape(specs[0])
        assert shapes.shape(specs[0]) is first
        for spec in specs:
            shapes.shape(spec)
            assert len(shapes) <= 4
        assert shapes.shape(specs[9]) is shapes.shape(specs[9])
        assert shapes.shape(specs[0]) is not first


@pytest.mark.parametrize("end", [{}, {"nodeName": "n1"}])
def test_a_spec_of_a_megabyte_takes_milliseconds(end: dict[str, str]) -> None:
    """Anyone may ask the webhook about one."""
    spec = {
        **end,
        "containers": [{"name": f"c{number}", "image": "example.com/a:1"} for number in range(20_000)],
    }
    raw = json.dumps(spec).encode()
    for shapes in (Shapes(), Shapes((2, 10_000_000))):
        started = time.process_time()
        assert len(shapes.shape(raw).spec["containers"]) == 20_000
        assert time.process_time() - started < 1


def encode(spec: Any) -> bytes:
    return json.dumps(spec).encode()


HOSTED: dict[str, Any] = {
    "hostNetwork": True,
    "containers": [
        {"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81},
                                {"containerPort": 82, "hostPort": 0}, {"containerPort": 83, "hostPort": None}]},
        {"name": "b"},
    ],
    "initContainers": [{"name": "i", "restartPolicy": "Always", "ports": [{"containerPort": 90}]}],
    "ephemeralContainers": [{"name": "e", "ports": [{"containerPort": 91}]}],
}  # fmt: skip
FILLED = [("a", 80), ("a", 81), ("a", 82), ("a", 83), ("i", 90)]


def host_ports(spec: Any) -> list[tuple[str, int]]:
    return [
        (container["name"], port["hostPort"])
        for name in ("containers", "initContainers", "ephemeralContainers")
        for container in spec.get(name) or ()
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


def test_what_was_written_has_the_ports_of_the_node_that_an_api_server_writes() -> None:
    assert host_ports(Shapes(written=True).shape(encode(HOSTED)).spec) == FILLED
    assert host_ports(Shapes().shape(encode(HOSTED)).spec) == [("a", 81)], "as an API server stores it"
    for off in (False, None, "true"):
        spec = HOSTED | {"hostNetwork": off}
        assert host_ports(Shapes(written=True).shape(encode(spec)).spec) == [("a", 81)]
    for odd in ({"ports": "x"}, {"ports": ["x", {}]}, "x"):
        spec = {"hostNetwork": True, "containers": [odd]}
        assert Shapes(written=True).shape(encode(spec)).spec == spec


def test_that_is_what_an_api_server_stores(control_plane: ControlPlane) -> None:
    namespaces.create(control_plane, "host-ports")
    containers = [{**c, "image": "x"} for c in HOSTED["containers"]]
    inits = [{**c, "image": "x"} for c in HOSTED["initContainers"]]
    spec = {**HOSTED, "containers": containers, "initContainers": inits, "ephemeralContainers": None}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    answer = control_plane.request("POST", "/api/v1/namespaces/host-ports/pods?dryRun=All", made)
    assert answer.status == 201, answer
    assert host_ports(answer.body["spec"]) == FILLED
    assert host_ports(Shapes(written=True).shape(encode(spec)).spec) == FILLED


def test_a_template_in_a_file_has_them_and_one_of_a_cluster_has_its_pods() -> None:
    asked = {"workloads": {"containers": {"forbidden": [{"key": "ports.hostPort"}]}}}
    spec = {
        "hostNetwork": True,
        "containers": [{"name": "a", "ports": [{"name": "web", "containerPort": 80}]}],
    }
    for item in (pod("p", spec=spec), obj("Deployment", "d", api_version="apps/v1", spec=template(spec))):
        (result,) = evaluate(forbidden, objects=[item], spec=asked, kind="manifests")
        assert [(f.actual, f.path.rpartition("spec.")[2]) for f in result.findings] == [
            (80, "containers[a].ports[web].hostPort")
        ]
        assert evaluate(forbidden, objects=[item], spec=asked, kind="live")[0].findings == ()


PLACE = st.sampled_from(["n-1", "kube-api-access-abcde", "kube-api-access-fghij", "x", 1, None])
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "nodeName": PLACE,
        "volumes": st.lists(st.fixed_dictionaries({"name": PLACE}, optional={"secret": PLACE}), max_size=2),
        "containers": st.lists(
            st.fixed_dictionaries(
                {"name": PLACE},
                optional={"volumeMounts": st.lists(st.fixed_dictionaries({"name": PLACE}), max_size=2)},
            ),
            max_size=2,
        ),
        "hostname": PLACE,
        "kube-api-access-abcde": PLACE,
        "affinity": st.builds(
            lambda key, value: {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchFields": [{"key": key, "values": [value]}]}]
                    }
                }
            },
            st.sampled_from(["metadata.name", "other"]),
            PLACE,
        ),
    },
)


@given(SPECS)
def test_what_is_counted_proves_what_marks_prove(spec: dict[str, Any]) -> None:
    text = msgspec.json.encode(spec)
    for node, token in ((True, True), (True, False), (False, True)):
        if parts := _parts(text, node, token):
            assert _proven(text, spec, parts) == _proven_by_marks(text, parts)
