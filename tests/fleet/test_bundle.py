"""The files of a run travel with it: a worker in a pod finds them as they were, and nowhere else."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kspec.errors import UsageError
from pytest_kspec.fleet import bundle
from pytest_kspec.fleet.runs import Order, ask, verify

BASE = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: base, version: 1.0.0}
spec: {network: {allowedServiceTypes: [ClusterIP]}}
"""
SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: shop, version: 1.0.0}
spec: {kubernetes: {minVersion: "1.30"}}
"""


def order(folder: Path) -> Order:
    (folder / "specs").mkdir()
    (folder / "checks" / "deep").mkdir(parents=True)
    (folder / "base.yaml").write_text(BASE)
    (folder / "specs" / "shop.yaml").write_text(SPEC)
    (folder / "checks" / "test_a.py").write_text("A = 1\n")
    (folder / "checks" / "deep" / "data.json").write_text("{}")
    (folder / "checks" / ".secret").write_text("x")
    (folder / "exemptions.yaml").write_text("x: 1\n")
    specs, asked, _ = ask([str(folder / "specs" / "shop.yaml"), str(folder / "base.yaml")])
    return Order(specs, asked, (str(folder / "checks"),), (str(folder / "exemptions.yaml"),))


def test_what_is_unpacked_is_what_was_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    packed = bundle.pack(order(here))
    assert sorted(packed.files) == [
        "base.yaml",
        "checks/deep/data.json",
        "checks/test_a.py",
        "exemptions.yaml",
        "specs/shop.yaml",
    ]
    assert (sorted(packed.specs), packed.checks, packed.exemptions) == (
        ["base.yaml", "specs/shop.yaml"],
        ("checks",),
        ("exemptions.yaml",),
    )
    again = Order.from_wire(packed.to_wire())
    assert again == packed
    bundle.unpack(again, there)
    monkeypatch.chdir(there)
    verify(again)
    assert (there / "checks" / "test_a.py").read_text() == "A = 1\n"
    (there / "base.yaml").write_text(BASE.replace("ClusterIP", "NodePort"))
    with pytest.raises(UsageError, match="their digests differ"):
        verify(again)


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", ".."])
def test_no_file_of_a_run_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    evil = replace(Order((), ()), files={name: base64.b64encode(b"x").decode()})
    with pytest.raises(UsageError, match="refers to a place outside of its folder"):
        bundle.unpack(evil, tmp_path / "in")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "odd",
    [
        {"files": []},
        {"files": {"a": 5}},
        {"kubeconfig": ["x"]},
        {"asked": [["shop"]]},
        {"asked": [["shop", 5]]},
        {"asked": "shop"},
        {"specs": [None]},
        {"specs": 5},
    ],
    ids=str,
)
def test_an_order_with_values_of_other_types_is_refused(tmp_path: Path, odd: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="the store has no complete order for this run"):
        Order.from_wire(order(tmp_path).to_wire() | odd)


def test_a_file_that_is_not_in_base64_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not in base64"):
        bundle.unpack(replace(Order((), ()), files={"a": "%"}), tmp_path)


def test_a_folder_that_is_too_large_is_not_sent(tmp_path: Path) -> None:
    made = order(tmp_path)
    (tmp_path / "checks" / "large.bin").write_bytes(b"x" * (bundle.LARGEST + 1))
    with pytest.raises(UsageError, match="more than 4 MiB"):
        bundle.pack(made)


def test_a_template_needs_no_file() -> None:
    specs, asked, _ = ask(["template:security-baseline"])
    assert bundle.pack(Order(specs, asked)).files == {}


@pytest.mark.parametrize("data", [{}, {"specs": []}, {"asked": [1]}, {"asked": [["a", "b", "c"]]}])
def test_a_run_that_is_not_complete_is_an_error(data: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="no complete order"):
        Order.from_wire(data)
