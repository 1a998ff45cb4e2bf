"""Contexts, several files, and where kspec is stricter than kubectl."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cluster.api.http import Connection
from pytest_kspec.cluster.api.kubeconfig import read_kubeconfig
from pytest_kspec.errors import SourceError
from tests.cluster.referee.world import REFUSED, Seen, World, both, cluster_of, kubectl, write


def test_files_are_merged_and_paths_are_of_their_own_file(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, token in ((one, "from-one"), (two, "from-two")):
        folder.mkdir()
        (folder / "token").write_text(token)
    (two / "ca.crt").write_bytes(world.authority.bundle)
    head = {"apiVersion": "v1", "kind": "Config"}
    user = {"name": "u", "user": {"tokenFile": "token", "as": "someone"}}
    (one / "config").write_text(yaml.safe_dump({**head, "current-context": "prod", "users": [user]}))
    cluster = cluster_of(world, {"certificate-authority-data": None, "certificate-authority": "ca.crt"})
    write(two / "config", cluster, {"tokenFile": "token"})
    found = both(world, monkeypatch, one / "config", tmp_path / "nowhere", two / "config", one / "config")
    assert isinstance(found, Seen)
    assert (found.authorization, found.fields) == ("Bearer from-one", (("impersonate-user", "someone"),))
    found = both(world, monkeypatch, two / "config", one / "config")
    assert isinstance(found, Seen)
    assert (found.authorization, found.fields) == ("Bearer from-two", ())
    assert read_kubeconfig().current == "prod"


@pytest.mark.parametrize(
    "context",
    [
        {"cluster": "nowhere"},
        {"cluster": ""},
        {"cluster": 5},
        {"user": "nobody"},
        {"user": ""},
        {"user": None},
        {"namespace": 5},
    ],
)
def test_contexts_that_are_refused(
    context: dict[str, Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = world.folder / "config"
    write(config, cluster_of(world, {}), {"token": "s3cret"}, context)
    assert both(world, monkeypatch, config) == REFUSED


@pytest.mark.parametrize(
    ("head", "accepted"),
    [
        ({}, True),
        ({"apiVersion": "", "kind": None}, True),
        ({"kind": "Config"}, True),
        ({"apiVersion": "v1", "kind": "config"}, False),
        ({"apiVersion": "v1", "kind": "Pod"}, False),
        ({"apiVersion": "v1beta1", "kind": "Config"}, False),
        ({"apiVersion": 1, "kind": "Config"}, False),
        ({"apiVersion": ["v1"], "kind": "Config"}, False),
    ],
)
def test_what_a_file_says_it_is(
    head: dict[str, Any], accepted: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = world.folder / "config"
    write(config, cluster_of(world, {}), {"token": "s3cret"})
    data = yaml.safe_load(config.read_text())
    config.write_text(
        yaml.safe_dump({k: v for k, v in data.items() if k not in ("apiVersion", "kind")} | head)
    )
    assert isinstance(both(world, monkeypatch, config), Seen) == accepted


def test_where_this_client_refuses_and_kubectl_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field that kubectl passes over may be what somebody relies on; a user in a URL gets into messages."""
    config = world.folder / "config"
    server = world.api.url.replace("//", "//me:s3cret@")
    for cluster, user, message in [
        ({"certificate-authority-date": "x"}, {}, "unknown field `certificate-authority-date`"),
        ({}, {"as-group": ["x"], "as": "someone"}, r"unknown field `as-group`.* Did you mean `as-groups`\?"),
        ({"server": server}, {}, "`server` contains a user name or a password"),
    ]:
        write(config, cluster_of(world, cluster), {"token": "s3cret", **user})
        monkeypatch.setenv("KUBECONFIG", str(config))
        assert isinstance(world.seen(kubectl), Seen), message
        with pytest.raises(SourceError, match=message) as raised:
            Connection("prod").get("/version")
        assert "s3cret" not in str(raised.value)
