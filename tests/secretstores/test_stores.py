"""From a reference to bytes: Secrets of a real API server, files, and what stores that are not there say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.errors import AccessDenied, Malformed, NotFound, SourceUnavailable, UsageError
from pytest_kspec.secretstores.allowed import Allowed, Rule
from pytest_kspec.secretstores.reference import Reference, parse_reference
from pytest_kspec.secretstores.stores import Secrets
from tests.controlplane.server import ControlPlane

CANARY = "c4n4ry-5ecret"


@pytest.fixture(scope="module")
def hub(control_plane: ControlPlane) -> Iterator[Access]:
    body = {"metadata": {"name": "stored"}, "stringData": {"token": CANARY, "empty": ""}}
    assert control_plane.request("POST", "/api/v1/namespaces/default/secrets", body).status == 201
    yield Access(control_plane.name, str(control_plane.kubeconfig()))
    control_plane.request("DELETE", "/api/v1/namespaces/default/secrets/stored")


def test_a_key_of_a_secret(hub: Access) -> None:
    secrets = Secrets(hub)
    reference = Reference("kubernetes", "stored", "default", "token")
    assert secrets.read(reference, asker="default").text() == CANARY
    with pytest.raises(
        AccessDenied, match="namespace other may not refer to kubernetes:default/stored#token"
    ):
        secrets.read(reference, asker="other")
    allowed = Allowed((Rule("other", "kubernetes", "default/stored"),))
    assert Secrets(hub, allowed).read(reference, asker="other").text() == CANARY


def test_what_is_not_there_is_named_without_what_is(hub: Access) -> None:
    secrets = Secrets(hub)
    with pytest.raises(Malformed) as wrong:
        secrets.read(Reference("kubernetes", "stored", "default", "tokne"), asker="")
    assert str(wrong.value) == (
        "kubernetes:default/stored#tokne: the Secret has no key 'tokne'. It has: empty, token."
    )
    with pytest.raises(NotFound, match="kubernetes:default/none#a: the Secret does not exist"):
        secrets.read(Reference("kubernetes", "none", "default", "a"), asker="")
    with pytest.raises(SourceUnavailable, match="no cluster whose Secrets"):
        Secrets().read(Reference("kubernetes", "stored", "default", "token"), asker="")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{CANARY}\r\n", encoding="utf-8")
    assert Secrets().read(parse_reference(f"file:{path}"), asker="").text() == CANARY
    with pytest.raises(AccessDenied):
        Secrets().read(parse_reference(f"file:{path}"), asker="team")
    with pytest.raises(NotFound):
        Secrets().read(parse_reference(f"file:{tmp_path}/none"), asker="")
    with pytest.raises(Malformed, match="has no keys"):
        Secrets().read(parse_reference(f"file:{path}#key"), asker="")
    os.mkfifo(tmp_path / "pipe")
    for odd in ("/dev/zero", f"{tmp_path}/pipe"):
        with pytest.raises(Malformed, match="not a regular file"):
            Secrets().read(parse_reference(f"file:{odd}"), asker="")
    with pytest.raises(SourceUnavailable):
        Secrets().read(parse_reference(f"file:{tmp_path}"), asker="")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Malformed, match="larger than 4 MiB"):
        Secrets().read(parse_reference(f"file:{tmp_path}/huge"), asker="")


@pytest.mark.parametrize(("store", "package"), [("vault", "hvac"), ("aws", "boto3")])
def test_a_store_whose_package_is_not_installed(
    store: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"pytest_kspec.secretstores.{store}", raising=False)
    with pytest.raises(UsageError) as wrong:
        Secrets().read(Reference(store, "kspec/a"), asker="")
    assert str(wrong.value).endswith(f"Install it with: pip install 'pytest-kspec[{store}]'.")
