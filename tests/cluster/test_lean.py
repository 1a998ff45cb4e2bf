"""Pods of which only what is their own is kept are, to every reader, what they were."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_kspec.cluster.objects import lean, shapes
from pytest_kspec.cluster.objects.lean import LeanShape
from pytest_kspec.cluster.objects.shapes import Shapes
from pytest_kspec.kube.resources import PodShape
from tests.cluster.test_specs import _SPECS
from tests.effort import examples
from tests.rules.pods import pods
from tests.rules.test_reads import RULES

FACETS = sorted(
    {name for _, reads in RULES for name in reads} | {"containers.env", "spec.volumes", "spec.containers"}
)


@pytest.fixture
def no_whole_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "WHOLE_SHAPES", 0)


@pytest.fixture(params=[0, 1, 5_000])
def few_layouts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "MAX_LAYOUTS", request.param)


def own_fields() -> st.SearchStrategy[dict[str, Any]]:
    texts = st.text("ab", max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "env": st.lists(st.fixed_dictionaries({"name": texts, "value": texts}), max_size=2),
            "args": st.lists(texts, max_size=2),
            "volumeMounts": st.lists(st.fixed_dictionaries({"name": texts, "mountPath": texts}), max_size=2),
        },
    )


@pytest.mark.usefixtures("no_whole_shapes", "few_layouts")
@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(pods(), own_fields()), min_size=1, max_size=4))
def test_a_lean_shape_says_what_a_whole_one_says(found: list[tuple[Any, dict[str, Any]]]) -> None:
    known = Shapes()
    pairs: list[tuple[PodShape, PodShape]] = []
    for pod, own in found * 2:
        spec = pod["spec"]
        for container in spec.get("containers") or ():
            container.update(own)
        one, whole = known.shape(msgspec.json.encode(spec)), PodShape(spec, {})
        assert json.dumps(one.spec) == json.dumps(spec)  # and the keys in this order
        assert [(c.path, c.raw) for c in one.containers] == [(c.path, c.raw) for c in whole.containers]
        assert one.known_malformed or one.malformed == whole.malformed
        pairs.append((one, whole))
    assert any(isinstance(one, LeanShape) for one, _ in pairs)
    for one, whole in pairs:
        for rule, _ in RULES:
            assert rule.evaluate(one) == rule.evaluate(whole)
        moved = one.mounting(False), whole.mounting(False)
        assert moved[0].spec == moved[1].spec
        assert moved[0].implied == moved[1].implied
        for other, other_whole in pairs:
            for name in FACETS:
                if one.facet(name) == other.facet(name):
                    assert whole.facet(name) == other_whole.facet(name), name


@pytest.mark.usefixtures("no_whole_shapes")
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_SPECS, max_size=5))
def test_a_spec_of_anything_stays_what_its_json_says(found: list[Any]) -> None:
    known = Shapes()
    for spec in found * 2:
        shape = known.shape(msgspec.json.encode(spec))
        whole = PodShape(spec, {})
        assert shape.spec == spec
        assert [one for one in shape.malformed if one not in shape.known_malformed] == list(whole.malformed)


@pytest.mark.usefixtures("no_whole_shapes")
@pytest.mark.parametrize(
    "text",
    [b'{"containers":[{"name":"a","env":"\xff"}]}', b'{"containers":[{"name":"a","args":["\\ud800"]}]}'],
)
def test_what_is_its_own_is_read_before_it_is_kept(text: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        Shapes().shape(text)


@pytest.mark.usefixtures("no_whole_shapes")
def test_pods_that_differ_in_what_is_their_own_share_a_layout_and_its_facets() -> None:
    known = Shapes()
    made = [
        known.shape(
            msgspec.json.encode(
                {
                    "containers": [
                        {"name": "a", "args": [str(number)], "securityContext": {"privileged": True}}
                    ]
                }
            )
        )
        for number in range(6)
    ]
    last = made[-3:]
    assert all(isinstance(one, LeanShape) for one in last)
    assert len({id(one.facets) for one in last}) == 1
    assert last[0].facet("containers.securityContext") is last[1].facet("containers.securityContext")
    assert last[0].facet("containers.args") != last[1].facet("containers.args")
    assert [one.containers[0].raw["args"] for one in last] == [["3"], ["4"], ["5"]]


def test_the_first_shapes_are_whole_and_those_after_them_lean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "WHOLE_SHAPES", 2)
    known = Shapes()
    made = [known.shape(b'{"containers":[{"name":"a","args":["%d"]}]}' % number) for number in range(4)]
    assert [isinstance(one, LeanShape) for one in made] == [False, False, True, True]
    assert known.shape(b'{"containers":[{"name":"a","args":["3"]}]}') is made[3]


def test_a_host_port_of_a_manifest_is_filled_in_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "WHOLE_SHAPES", 0)
    text = b'{"hostNetwork":true,"containers":[{"name":"a","ports":[{"containerPort":80}]}]}'
    assert Shapes(written=True).shape(text).containers[0].raw["ports"] == [
        {"containerPort": 80, "hostPort": 80}
    ]
