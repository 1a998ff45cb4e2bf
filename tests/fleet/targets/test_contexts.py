"""Contexts of a kubeconfig as targets: odd ones do not reach others, labels select, one cluster is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.errors import SourceUnavailable, UsageError
from pytest_kspec.fleet.targets.find import Wanted, find_targets
from pytest_kspec.fleet.targets.model import Target, never, one_of_each
from tests.cluster.api import Api

ARN = "arn:aws:eks:eu-central-1:111122223333:cluster/prod"


def write(folder: Path, contexts: dict[str, dict[str, Any]]) -> str:
    """name → server, labels."""
    data = {
        "contexts": [
            {
                "name": name,
                "context": {
                    "cluster": name,
                    "user": "me",
                    "extensions": [{"name": "kspec.io", "extension": {"labels": one.get("labels", {})}}],
                },
            }
            for name, one in contexts.items()
        ],
        "clusters": [{"name": name, "cluster": one["cluster"]} for name, one in contexts.items()],
        "users": [{"name": "me", "user": {"token": "t0ken"}}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return str(path)


@pytest.fixture
def fleet(tmp_path: Path) -> str:
    return write(
        tmp_path,
        {
            ARN: {"cluster": {"server": "https://a:1"}, "labels": {"env": "prod"}},
            "dev": {"cluster": {"server": "https://b:1"}, "labels": {"env": "dev"}},
            "münchen": {"cluster": {"server": "https://c:1"}},
            "odd": {"cluster": {"server": "https://d:1", "serverr": 1}, "labels": {"env": "prod"}},
            "labelled": {"cluster": {"server": "https://e:1"}, "labels": {"env": 1}},
        },
    )


def names(kubeconfig: str, *wanted: str, selector: str = "") -> list[str]:
    return [target.name for target in find_targets(Wanted(wanted, selector, kubeconfig))]


def test_all_are_found_and_an_odd_one_has_a_problem(fleet: str) -> None:
    found = {target.name: target for target in find_targets(Wanted(kubeconfig=fleet))}
    assert list(found) == [ARN, "dev", "labelled", "münchen", "odd"]
    assert (found[ARN].server, found[ARN].ref, found[ARN].uid) == ("https://a:1", f"context:{ARN}", None)
    assert [name for name, target in found.items() if target.problem] == ["labelled", "odd"]
    with pytest.raises(SourceUnavailable, match="unknown field `serverr`"):
        found["odd"].open()
    with pytest.raises(SourceUnavailable, match=r"labelled: the extension kspec\.io"):
        found["labelled"].open()


def test_names_and_patterns(fleet: str) -> None:
    assert names(fleet, "dev") == ["dev"]
    assert names(fleet, "d*", "dev", "arn:*") == [ARN, "dev"]
    assert names(fleet, f"context:{ARN}") == [ARN]
    with pytest.raises(UsageError, match=r"'dex' is not the name of a cluster\. Did you mean 'dev'\?"):
        names(fleet, "dex")
    with pytest.raises(UsageError, match=r"'x\*' is not the name"):
        names(fleet, "dev", "x*")


def test_labels_select(fleet: str) -> None:
    assert names(fleet, "d*", selector="env=dev") == ["dev"]
    assert names(fleet, "d*", selector="env=prod") == []


def test_what_has_no_labels_because_they_cannot_be_read_is_never_left_out(fleet: str) -> None:
    assert names(fleet, selector="env=prod") == [ARN, "labelled", "odd"]
    assert names(fleet, selector="env=none") == ["labelled"]


def test_a_target_opens_as_a_source(tmp_path: Path) -> None:
    with Api() as one, Api() as other:
        config = write(
            tmp_path,
            {
                "a": {"cluster": {"server": one.url}},
                "b": {"cluster": {"server": other.url}},
                "c": {"cluster": {"server": "http://127.0.0.1:1"}},
            },
        )
        found = find_targets(Wanted(kubeconfig=config))
        opened = [target.open() for target in found[:2]]
        assert [source.info().name for source in opened] == ["a", "b"]
        met = [target.found(source.info().uid) for target, source in zip(found, opened, strict=False)]
        for source in opened:
            source.close()
    assert one_of_each([*met, found[2]]) == ([met[0], found[2]], {"b": "a"})


@pytest.mark.parametrize(
    "server",
    [
        "https://me:hunter2@a:1/x",
        "me:hunter2@a",
        "https://hunter2@[a",
        "https://a/?x=hunter2",
        "https://a#hunter2",
    ],
)
def test_an_address_that_others_wrote_is_shown_without_its_credentials(server: str) -> None:
    made = Target("a", "target:a", "target", never("a", UsageError("x")), server=server)
    assert "hunter2" not in f"{made.server}{made}"


def test_an_address_without_credentials_is_shown_as_it_is() -> None:
    server = "https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com"
    assert Target("a", "target:a", "target", never("a", UsageError("x")), server=server).server == server
