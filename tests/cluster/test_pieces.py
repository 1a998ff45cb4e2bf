"""A list that is read in pieces is the list, wherever its text could be cut."""

import json
import mmap
import secrets
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.cluster.objects import pieces as module
from pytest_kspec.cluster.objects.decode import Decoder
from pytest_kspec.cluster.objects.kinds import type_of
from pytest_kspec.cluster.objects.pieces import Texts, array_of, forget, pieces
from pytest_kspec.errors import Malformed, SourceUnavailable

POD = type_of("v1", "Pod")
STATEFULSET = type_of("apps/v1", "StatefulSet")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 600)
    monkeypatch.setattr(module, "_FORGET_BYTES", 2000)
    monkeypatch.setattr(module, "_MOST_BYTES", 4000)
    monkeypatch.setattr(module, "PLAIN_BYTES", 0)


def _pods(count: int) -> list[dict[str, Any]]:
    return [
        {
            "metadata": {"name": f"p{n:04}", "namespace": "default", "labels": {"n": str(n)}},
            "spec": {"containers": [{"name": "app", "image": "i", "args": ['},{"metadata":', "]}"]}]},
        }
        for n in range(count)
    ]


_NESTED = st.recursive(
    st.text('{}[],:"\\ metadta', max_size=12) | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["metadata", "a"]), inner),
    max_leaves=8,
)


@given(
    st.lists(st.fixed_dictionaries({"metadata": _NESTED}, optional={"spec": _NESTED}), max_size=60),
    st.sampled_from([(None, (",", ":")), (None, (", ", ": ")), (2, (",", ": "))]),
)
def test_items_are_those_of_the_list(items: list[Any], style: tuple[int | None, tuple[str, str]]) -> None:
    text = json.dumps(items, indent=style[0], separators=style[1]).encode()
    found = list(pieces(text, lambda part: msgspec.json.decode(part)))
    assert [item for _, part in found for item in part] == items
    assert [item for piece, _ in found for item in msgspec.json.decode(array_of(piece))] == items


def test_a_long_list_is_several_pieces_also_where_items_hold_what_looks_like_a_cut() -> None:
    items = [{"metadata": {}, "inner": [{"metadata": {"n": n}}] * 3} for n in range(200)]
    found = list(
        pieces(json.dumps(items, separators=(",", ":")).encode(), lambda part: msgspec.json.decode(part))
    )
    assert len(found) > 10
    assert [item for _, part in found for item in part] == items


def test_what_has_no_place_to_cut_is_one_piece() -> None:
    items = [{"metadata": {"n": n}} if n == 0 else {"x": n} for n in range(2000)]
    text = json.dumps(items).encode()
    assert len(list(pieces(text, lambda part: msgspec.json.decode(part)))) == 1


@pytest.mark.parametrize(
    "broken",
    [b",]", b",{]", b"}]", b'"]', b",,{}]", b"]]", b',{"metadata":{"name":"x}]', b'{"metadata":{}}]'],
)
def test_a_list_that_is_broken_behind_its_first_pieces_is_an_error(broken: bytes) -> None:
    text = json.dumps(_pods(100), separators=(",", ":")).encode()[:-1] + broken
    with pytest.raises(SourceUnavailable):
        Decoder("c").resources(text, POD)


@pytest.mark.parametrize("indent", [None, 2])
def test_whole_objects_are_read_from_their_piece(indent: int | None) -> None:
    items = _pods(300)
    found = Decoder("c").resources(json.dumps(items, indent=indent).encode(), POD)
    assert [pod.name for pod in found] == [item["metadata"]["name"] for item in items]
    for pod, item in [*zip(found, items, strict=True)][::-7]:
        assert pod.raw == {**item, "apiVersion": "v1", "kind": "Pod"}
        assert pod.labels == item["metadata"]["labels"]


def test_a_malformed_object_spoils_itself_only() -> None:
    items = _pods(300)
    items[140]["metadata"]["labels"] = {"n": 1}
    found = Decoder("c").resources(json.dumps(items).encode(), POD)
    assert [pod.name for pod in found if pod.shape.malformed] == ["p0140"]  # type: ignore[attr-defined]
    assert len(found) == 300


@pytest.mark.parametrize("item", [1, {"kind": "Node", "metadata": {"name": "x"}, "spec": {}}])
def test_an_item_that_does_not_belong_there_is_named_by_its_place_in_the_list(item: Any) -> None:
    items = [*_pods(250), item]
    with pytest.raises(Malformed, match="item 250 in the list of pods"):
        Decoder("c").resources(json.dumps(items).encode(), POD)


def test_what_is_mapped_stays_in_its_file(tmp_path: Any) -> None:
    path = tmp_path / "pods.json"
    path.write_bytes(json.dumps(_pods(300)).encode())
    with path.open("rb") as file:
        text = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    found = Decoder("c").resources(text, POD)
    forget(text)
    assert found[299].raw["metadata"]["name"] == "p0299"
    assert Texts().keep(text)() is text


def test_what_is_in_memory_is_compressed_when_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLAIN_BYTES", 100)
    monkeypatch.setattr(module, "_ROOM_BYTES", 5000)
    texts = Texts()
    given = [b"a" * 100, *(secrets.token_bytes(size) for size in (10, 1000, 4000, 20_000, 3))]
    kept = [texts.keep(text) for text in given]
    assert [get() for get in kept] == given


def test_templates_in_templates_are_no_places_to_cut() -> None:
    claim = {"metadata": {"name": "data"}, "spec": {}}
    items = [
        {
            "metadata": {"name": f"s{n}", "namespace": "a"},
            "spec": {"template": {"spec": {"containers": []}}, "volumeClaimTemplates": [claim] * 4},
        }
        for n in range(100)
    ]
    found = Decoder("c").resources(json.dumps(items, separators=(",", ":")).encode(), STATEFULSET)
    assert [item.raw["spec"] for item in found] == [item["spec"] for item in items]
