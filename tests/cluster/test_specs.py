"""A pod spec whose parts are shared is the spec."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.cluster.objects import specs as module
from pytest_kspec.cluster.objects.specs import Specs

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "a", "b"]), inner),
    max_leaves=6,
)
_KEYS = st.sampled_from(["env", "image", "volumeMounts", "livenessProbe", "x"])
_CONTAINERS = st.lists(st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=3) | _VALUES
_SPECS = st.dictionaries(
    st.sampled_from(["containers", "initContainers", "volumes", "nodeName", "securityContext"]),
    _CONTAINERS,
    max_size=5,
)


@given(st.lists(_SPECS | _VALUES, max_size=6))
def test_each_spec_is_what_its_json_says(found: list[Any]) -> None:
    specs = Specs()
    for spec in found * 2:
        text = msgspec.json.encode(spec)
        assert specs.decode(text) == msgspec.json.decode(text)


def test_parts_that_are_equal_are_one_object_and_those_of_a_token_within_a_pod_only() -> None:
    specs = Specs()
    container = {
        "securityContext": {"runAsNonRoot": True},
        "volumeMounts": [{"name": "tmp"}, {"name": "kube-api-access-abcde"}],
    }
    text = msgspec.json.encode({"containers": [container, container]})
    first, second = specs.decode(text)["containers"]
    third, _ = specs.decode(text)["containers"]
    assert first["securityContext"] is second["securityContext"] is third["securityContext"]
    assert first["volumeMounts"][1] is second["volumeMounts"][1]
    assert first["volumeMounts"][1] is not third["volumeMounts"][1]


def test_memory_of_parts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PARTS", 2)
    specs = Specs()
    for number in range(5):
        assert specs.decode(b'{"a":%d}' % number) == {"a": number}
    assert len(specs._parts) == 2


@pytest.mark.parametrize("text", [b"", b"{", b'{"a":}', b'{"a":\xff}', b'{"containers":[{"image":"\xff"}]}'])
def test_broken_json_is_an_error(text: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        Specs().decode(text)
