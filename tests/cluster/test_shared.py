"""What workers share: whole lists, page by page, and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kspec.cluster.inventory.shared import Shared
from pytest_kspec.cluster.objects.kinds import type_of
from pytest_kspec.cluster.sources.source import Pages
from pytest_kspec.errors import AccessDenied

PODS = type_of("v1", "Pod")


def test_pages_are_written_as_they_come(tmp_path: Path) -> None:
    there: list[int] = []

    def fetch(_: object) -> Pages:
        def pages() -> Iterator[bytes]:
            for number in range(3):
                there.append(sum(file.stat().st_size for file in tmp_path.rglob("*.pages.*")))
                yield b"[%d]" % number * 100_000

        return Pages(pages(), "7")

    first = Shared(tmp_path, "eu").pages(PODS, fetch)
    again = Shared(tmp_path, "eu").pages(PODS, lambda _: pytest.fail("it is there"))
    for found in (first, again):
        assert found.resource_version == "7"
        assert [bytes(page) for page in found] == [b"[%d]" % number * 100_000 for number in range(3)]
    assert there[2] > 300_000, "the first pages are not held until the last is there"
    assert not list(tmp_path.rglob("*.pages.*"))


def test_a_refusal_behind_some_pages_is_shared_and_no_list(tmp_path: Path) -> None:
    def fetch(_: object) -> Pages:
        def pages() -> Iterator[bytes]:
            yield b"[1]"
            raise AccessDenied("no.", where="eu", fix="Ask.")

        return Pages(pages())

    for ask in (fetch, lambda _: pytest.fail("it is there")):
        with pytest.raises(AccessDenied, match=r"eu: no\. Ask\."):
            Shared(tmp_path, "eu").pages(PODS, ask)


def test_an_empty_list_is_one(tmp_path: Path) -> None:
    for _ in range(2):
        assert list(Shared(tmp_path, "eu").pages(PODS, lambda _: ())) == []
