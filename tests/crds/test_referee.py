"""The API server's verdict on generated objects, and that of the models: they agree, but for what
`validations.NOT_SAID` names.

Each object is a sample with a few changes: a key taken away, another value from a pool in which good and bad
values meet, an unknown key, an entry twice. What only one side can know is not in the pools.
"""

import copy
import re
from collections import Counter
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.crds.schema.definitions import DEFINITIONS, Definition, manifest
from pytest_kspec.errors import Refused
from tests.crds.conftest import Cluster
from tests.crds.samples import problem, sample
from tests.effort import with_fixtures

EXAMPLES = 500
SAMPLES = {definition.kind: sample(definition) for definition in DEFINITIONS}
_UNSAID = re.compile(
    r"resources\[\d+\]: '[^']*' is in none of the namespaces|this period is never active|patterns match every name"
)
COUNTED: Counter[str] = Counter()
TEXTS = ["", " ", "x", "web", "*", "team-*", "shop", "team-sandbox", "a/b", "core", "apps", "True"]
# By key: values of which one side can be wrong about the meaning.
POOLS: dict[str, list[Any]] = {
    "minVersion": ["1.29", "v1.30.4", "1.36.2", "1.37", "1.37.1", "1.38", "1", "01.2", "1.30-rc", "1.37.0-eks-1", "x"],
    "maxVersion": ["1.29", "v1.30.4", "1.30", "1.37", "1.37.1", "1.38", "1.29.0-rc.1", "", "1.2.3.4", "2.0"],
    "excludedVersions": ["1.29", "v1.30.4", "1.30.0-rc.1", "1.30-rc", "latest", "1.31.x"],
    "version": ["latest", "v1.30", "v1.0", "1.30", "v2.0", "v1.01", "newest"],
    "key": ["hostNetwork", "securityContext.privileged", "resources.limits.cpu"],
    "value": ["true", True, 1, ["ALL"], [1, "a", True], [], {}, {"a": 1}, [[1]], [{"a": 1}], "x"],
    "allowed": ["NET_ADMIN", 1, True, [], {}, "x"],
    "min": ["100m", 1, "", " ", True, []],
    "max": ["1Gi", 10, "", {}],
    "pattern": ["a.*", "a|b", ""],
    "namePattern": ["kyverno-.*", "a|b", ""],
    "allowedRegistries": ["gcr.io", "*.gcr.io", "docker.io/team/*", "https://gcr.io", "gcr.io/a@sha256:1", "", " "],
    "blockedRegistries": ["quay.io", "localhost:5000", "*", "oci://x", ""],
    "images": ["gcr.io", "https://gcr.io", "gcr.io/a@sha256:1", " "],
    "subject": ["ci@example.com", "", " "],
    "subjectRegExp": ["https://github\\.com/.*", "a|b"],
    "expiresAt": ["2027-03-31", "2027-02-30", "2028-02-29", "2027-13-01", "2027-03-31T18:00:00Z", "2027-03-31 18:00",
                  "2027-03-31T24:00:00Z", "2027-03-31T18:00:00+02:00", "2027-3-1", "tomorrow", ""],
    "startDate": ["2026-01-01", "2026-06-31", "2026-06-30T00:00:00+14:00", "x"],
    "endDate": ["2027-12-31", "2027-02-29", "2028-02-29T08:00:00Z", "x"],
    "startTime": ["08:00", "18:00", "8:00", "24:00", "00:00", "", "08:60"],
    "endTime": ["08:00", "18:00", "08:01", "6pm"],
    "daysOfWeek": ["Monday", "Sunday", "monday", "Mon"],
    "timezone": ["UTC", "Europe/Berlin", "America/New_York"],
    "schedule": ["0 8 * * *", "@daily", "*/5 * * * *"],
    "duration": ["8h", "90m", "1d12h", "0h", "", "1w", "h", "12h1d", "0d0h0m"],
    "kind": ["Pod", "Deployment", "ConfigMap", "Service", "ClusterRole", "Node", "pod", "", "Pod*", "A b"],
    "namespaces": ["monitoring", "*", "team-?", "", " "],
    "namespace": ["monitoring", "", " "],
    "name": ["node-agent", "node-exporter", "x*", "", " "],
    "labelSelector": ["node-exporter", "", "x"],
    "apiGroup": ["", "apps", "core", "v1", "apps/v1", "*"],
    "operator": ["In", "NotIn", "Exists", "DoesNotExist", "Equals"],
    "apiServerURL": ["https://x", "http://x:6443", "ftp://x", "x", "https://", ""],
    "proxyURL": ["http://p", "socks5://p:1", "p", ""],
    "caData": ["", "QQ==", "not base64!", "QQ"],
    "scanInterval": ["5m", "1h30m", "1.5h", "90", "", "5 m", "-5m"],
    "interval": ["5m", "10s", "x", "1d"],
    "maxAge": ["30d", "1h", "soon"],
    "url": ["https://x/y", "x", ""],
    "webhookURL": ["https://x/y", "x", ""],
    "scanTime": ["2026-11-25T12:00:00Z", "2026-11-25T12:00:00.5+01:00", "2026-11-25", "now"],
    "detectionTime": ["2026-11-25T12:00:00Z", "2026-13-25T12:00:00Z", "now"],
    "appliedAt": ["2026-11-25T12:00:00Z", "", "2026-11-25 12:00:00Z"],
    "errorRate": [0, 0.5, "0.5"],
    "score": [0, 33.3, 100, 101, "a"],
    "details": [{"a": 1}, [], "x", 1],
    "actual": [{"a": 1}, [], "x", 1],
    "expected": ["x", ""],
    "parameters": [{"a": "b"}, {"a": {"b": 1}}, {}],
    "checks": ["rbac.forbiddenRules", "*", "rbac.*", "", " "],
    "containers": ["app", "*", ""],
    "includeNamespaces": ["team-*", "shop", "team-sandbox", ""],
    "excludeNamespaces": ["team-sandbox", "*", "shop", ""],
}  # fmt: skip
INTEGERS = [-1, 0, 1, 5, 10, 11, 22, 30, 31, 60, 61, 100, 101, 1000, 1001, 65535, 65536, "1", True]


def values(schema: dict[str, Any], key: str) -> st.SearchStrategy[Any]:
    if schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string"):
        return st.sampled_from(POOLS[key])
    kind = schema["type"]
    if "enum" in schema:
        return st.sampled_from([*schema["enum"], schema["enum"][0].swapcase(), "", True])
    if kind == "string":
        texts = [v for v in POOLS.get(key, TEXTS) if isinstance(v, bool) or not isinstance(v, int | float)]
        return st.sampled_from(texts)
    if kind == "boolean":
        return st.sampled_from([True, False, "true", 1])
    if kind in ("integer", "number"):
        return st.sampled_from(POOLS.get(key, INTEGERS))
    if kind == "array":
        return st.lists(values(schema["items"], key), max_size=3)
    if "additionalProperties" in schema:
        inner = values(schema["additionalProperties"], key)
        return st.dictionaries(st.sampled_from(["app", "tier"]), inner, max_size=2)
    return st.sampled_from([{}, [], "x", {"unknown": 1}])


def places(
    schema: dict[str, Any], value: Any, path: tuple[Any, ...] = ()
) -> list[tuple[tuple[Any, ...], Any, bool]]:
    """(path, schema, whether what holds it has rules) of every key that is there or could be, and of every entry."""
    found = []
    ruled = "x-kubernetes-validations" in schema or "not" in schema
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            found.append(((*path, name), inner, ruled))
            if name in value:
                found += places(inner, value[name], (*path, name))
    elif isinstance(value, list) and "items" in schema:
        for index, entry in enumerate(value):
            found.append(((*path, index), schema["items"], False))
            found += places(schema["items"], entry, (*path, index))
    return found


@cache
def schema_of(definition: Definition) -> dict[str, Any]:
    versions = manifest(definition)["spec"]["versions"]
    return versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


@st.composite
def changed(draw: st.DrawFn, definition: Definition) -> Any:
    schema, spec = schema_of(definition), copy.deepcopy(SAMPLES[definition.kind]["spec"])
    for _ in range(draw(st.integers(1, 3))):
        found = places(schema, spec)
        if draw(st.integers(0, 3)):  # mostly where there are rules across fields
            found = [place for place in found if place[2]] or found
        path, inner, _ = draw(st.sampled_from(found))
        if path == ("clusterRef",):
            continue  # text is for files
        parent: Any = spec
        for part in path[:-1]:
            parent = parent[part]
        last = path[-1]
        name = next(part for part in reversed(path) if isinstance(part, str))
        act = draw(st.sampled_from(["set", "set", "set", "drop", "double", "unknown"]))
        if act == "drop":
            if isinstance(parent, list) or last in parent:
                del parent[last]
        elif act == "double" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
        elif act == "unknown" and isinstance(parent, dict):
            parent["unknwon"] = "x"
        elif isinstance(parent, list | dict):
            parent[last] = draw(values(inner, name))
    return spec


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.kind)
@with_fixtures(EXAMPLES)
@given(data=st.data())
def test_both_say_the_same(cluster: Cluster, definition: Definition, data: st.DataObject) -> None:
    spec = data.draw(changed(definition))
    ours = problem(definition, spec)
    obj = {**SAMPLES[definition.kind], "spec": spec}
    obj["metadata"] = {**obj["metadata"], "name": "referee"}
    try:
        cluster.writer.create(obj, dry_run=True)
        theirs = ""
    except Refused as error:
        theirs = str(error)
    COUNTED[f"{definition.kind} {'refused' if theirs else 'accepted'}"] += 1
    if not theirs and ours and all(_UNSAID.search(line) for line in ours.splitlines() if "[type=" in line):
        return  # named in NOT_SAID
    assert bool(ours) == bool(theirs), f"ours: {ours or 'accepted'}\ntheirs: {theirs or 'accepted'}"


def test_both_verdicts_came_up() -> None:
    """Runs after those above: without this they could agree on nothing but refusals."""
    if not COUNTED:
        pytest.skip("the generated objects were not selected")
    for definition in DEFINITIONS:
        assert COUNTED[f"{definition.kind} accepted"] > EXAMPLES / 10, COUNTED
        assert COUNTED[f"{definition.kind} refused"] > EXAMPLES / 10, COUNTED
