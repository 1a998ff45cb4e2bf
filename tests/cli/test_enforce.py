"""`kspec enforce` of nothing: no pass in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cli.main import main

HEAD = (
    "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {{name: {name}, version: '1'}}\nspec:\n"
)
POD = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: %s}, spec: {containers: [{name: a, image: b}]}}"
CONFIG_MAP = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}}"
NETWORK = "  network: {defaultDeny: true}\n"
HOST = "  namespaceScope: {includeNamespaces: [shop]}\n  workloads: {containers: {forbidden: [{key: hostNetwork}]}}\n"
NOTHING = "error: net: nothing in it can be enforced by vap, so nothing is denied."
NO_OBJECT = (
    "error: m.yaml: there is no object that host could deny. Check that this is the right cluster or folder."
)


@pytest.fixture
def enforce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Exit code, output and notes of `kspec enforce`, in a folder with two specifications."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    Path("net.yaml").write_text(HEAD.format(name="net") + NETWORK)
    Path("host.yaml").write_text(HEAD.format(name="host") + HOST)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["enforce", *words])
        return code, *capsys.readouterr()

    return run


def test_a_specification_with_nothing_to_enforce_writes_nothing_and_is_an_error(enforce: Any) -> None:
    code, out, err = enforce("net.yaml", "--mode", "audit", "-o", "made.yaml")
    assert (code, out, NOTHING in err, Path("made.yaml").exists()) == (2, "", True, False)
    code, out, err = enforce("net.yaml", "--mode", "audit", "-o", "made.yaml", "--allow-empty")
    assert (code, out, "error" in err) == (0, "made.yaml: 0 objects\n", False)


def test_beside_others_it_is_said_and_they_are_written(enforce: Any) -> None:
    code, out, err = enforce("net.yaml", "host.yaml", "--mode", "audit", "-o", "made.yaml")
    assert (code, out, NOTHING in err) == (2, "made.yaml: 8 objects\n", True)
    code, out, err = enforce("host.yaml", "--mode", "audit", "-o", "made.yaml")
    assert (code, out, "error" in err) == (0, "made.yaml: 8 objects\n", False)


@pytest.mark.parametrize(
    ("spec", "there", "code", "said"),
    [
        ("net", POD % "shop", 2, NOTHING),
        ("host", CONFIG_MAP, 2, NO_OBJECT),
        ("host", POD % "shop", 0, ""),
        ("host", POD % "other", 0, ""),  # all that is there is out of scope
        ("host", (POD % "shop").replace("spec: {", "spec: {hostNetwork: true, "), 1, ""),
    ],
    ids=["nothing to enforce", "nothing to refuse", "one", "one out of scope", "one that is refused"],
)
def test_a_preview_of_nothing_is_an_error(enforce: Any, spec: str, there: str, code: int, said: str) -> None:
    Path("m.yaml").write_text(there)
    asked = (f"{spec}.yaml", "--preview", "--cluster", "m.yaml")
    found, _, err = enforce(*asked)
    assert (found, said in err, "error" in err) == (code, True, bool(said))
    assert enforce(*asked, "--allow-empty")[0] == (0 if code == 2 else code)
