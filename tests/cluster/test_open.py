import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.sources.manifests import ManifestSource
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.cluster.sources.open import contexts, default_ref, open_source
from pytest_kspec.cluster.sources.snapshot import SnapshotSource
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.cluster.sources.unopened import UnopenedSource
from pytest_kspec.errors import SourceUnavailable, UsageError
from tests.cluster.api import kubeconfig


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_what_a_reference_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, "http://127.0.0.1:1"))
    record(MemorySource([], name="recorded"), tmp_path / "snap")
    record(MemorySource([], name="recorded"), tmp_path / "snap.tar.gz")
    (tmp_path / "k8s").mkdir()
    (tmp_path / "prod").mkdir()  # a folder that has a context's name
    (tmp_path / "a.yaml").write_text("")
    found = {
        ref: (type(open_source(ref)), open_source(ref).name)
        for ref in (
            "prod",
            "./prod",
            "snap",
            "snap.tar.gz",
            "snap/snapshot.json",
            "k8s",
            "a.yaml",
            "-",
            "in-cluster",
            ".",
        )
    }
    assert found == {
        "prod": (LiveSource, "prod"),
        "./prod": (ManifestSource, "prod"),
        "snap": (SnapshotSource, "recorded"),
        "snap.tar.gz": (SnapshotSource, "recorded"),
        "snap/snapshot.json": (SnapshotSource, "recorded"),
        "k8s": (ManifestSource, "k8s"),
        "a.yaml": (ManifestSource, "a.yaml"),
        "-": (ManifestSource, "stdin"),
        "in-cluster": (LiveSource, "in-cluster"),
        ".": (ManifestSource, tmp_path.name),
    }


def test_a_reference_that_names_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"'x' is neither a path nor a kubeconfig context\. There are no contexts in "
    ):
        open_source("x")
    config = kubeconfig(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(UsageError, match=r"Did you mean the context 'prod'\?"):
        open_source("prdo", kubeconfig=config)
    with pytest.raises(UsageError, match=r"Contexts: prod\."):
        open_source("something-else", kubeconfig=config)
    with pytest.raises(UsageError, match=r"nowhere: the kubeconfig file does not exist\."):
        open_source("prod", kubeconfig="nowhere")


def test_several_kubeconfig_files_are_merged_as_kubectl_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = kubeconfig(tmp_path, "http://127.0.0.1:1", name="one")
    two = kubeconfig(tmp_path, "http://127.0.0.1:2", name="two")
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([one, str(tmp_path / "missing"), two]))
    assert contexts() == ["one", "two"]
    assert default_ref() == "one"
    assert [open_source(ref).name for ref in ("one", "two")] == ["one", "two"]
    assert contexts(two) == ["two"]


def test_the_default_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UsageError, match=r"no cluster is given, and the kubeconfig has no current context\. Name a"
    ):
        default_ref()
    with pytest.raises(UsageError, match="the kubeconfig has no contexts"):
        contexts()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert default_ref() == "in-cluster"
    (tmp_path / "home" / ".kube").mkdir(parents=True)
    Path(kubeconfig(tmp_path, "http://x")).rename(tmp_path / "home" / ".kube" / "config")
    assert default_ref() == "prod"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "the kubeconfig is not valid YAML"),
        ("just text: s3cret: x", "the kubeconfig is not valid YAML"),
        ("s3cret", "this is not a kubeconfig"),
        ("contexts: s3cret", "`contexts` is not a list"),
        ("\x00s3cret", "the kubeconfig is not valid YAML"),
    ],
)
def test_a_broken_kubeconfig_is_named_without_its_content(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(UsageError) as raised:
        open_source("prod", kubeconfig=str(path))
    assert message in str(raised.value)
    assert str(path) in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_odd_entries_are_passed_over(tmp_path: Path) -> None:
    data = {"contexts": [5, {"name": 7}, {"name": "a", "context": None}, {"name": "b"}], "users": None}
    (tmp_path / "config").write_text(yaml.safe_dump(data))
    assert contexts(str(tmp_path / "config")) == ["a", "b"]


def test_neither_naming_nor_reading_a_cluster_imports_the_client(tmp_path: Path) -> None:
    config = kubeconfig(tmp_path, "http://127.0.0.1:1")
    code = (
        "import sys\nfrom pytest_kspec.cluster.sources.open import open_source\n"
        "from pytest_kspec.cluster.inventory import inventory\n"
        f"source = open_source('prod', kubeconfig={config!r})\ninventory.Inventory(source)\n"
        "from pytest_kspec.errors import SourceUnavailable\nfrom pytest_kspec.cluster.sources.live import LiveSource\n"
        "from pytest_kspec.cluster.api.http import Limits\n"
        f"source = LiveSource('prod', kubeconfig={config!r}, limits=Limits(retries=0))\n"
        "try:\n    source.info()\nexcept SourceUnavailable:\n    pass\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'kubernetes', 'pydantic', 'filelock'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "[]\n"


def test_a_path_that_may_be_a_context_is_named_as_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k8s").mkdir()
    (tmp_path / "config").write_text("a: [\n")
    with pytest.raises(
        UsageError, match=r"config:2:1: the kubeconfig is not valid YAML\. .*Write \./k8s for the path"
    ):
        open_source("k8s", kubeconfig="config")
    assert open_source("./k8s", kubeconfig="config").name == "k8s"


def test_what_cannot_be_opened_answers_nothing() -> None:
    source: Source = UnopenedSource("eu", UsageError("no such context.", where="config", fix="Name one."))
    inventory = Inventory(source)
    for ask in (
        lambda: inventory.info,
        inventory.workloads,
        lambda: inventory.list("Service", ""),
        inventory.types,
    ):
        with pytest.raises(SourceUnavailable) as caught:
            ask()
        assert str(caught.value) == "config: no such context. Name one."
