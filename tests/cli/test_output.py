"""Colour where it is wanted, and only there."""

import io
import json
from pathlib import Path

import pytest

from pytest_kspec.cli import output
from pytest_kspec.errors import SpecError
from tests.cli.conftest import Kspec


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("env", "stream", "coloured"),
    [
        ({}, Terminal(), True),
        ({}, io.StringIO(), False),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),
        ({"TERM": "dumb"}, Terminal(), False),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, Terminal(), False),
    ],
)
def test_colour(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], stream: io.StringIO, coloured: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | env).items():
        monkeypatch.setenv(name, value)
    expected = "\x1b[31;1mFAIL\x1b[0m" if coloured else "FAIL"
    assert output.style("FAIL", "red", "bold", stream=stream) == expected


def test_all_problems_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.fail(SpecError("", problems=("a.yaml:1:1: x", "a.yaml:2:1: y"))) == 4
    assert capsys.readouterr().err == "error: a.yaml:1:1: x\nerror: a.yaml:2:1: y\n"


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_programs_get_all_names_of_what_was_not_evaluated(
    run_kspec: Kspec, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """Sentences for people name the first eight."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    for number in range(12):
        spec = {"a": {"containers": [{"name": "c", "image": "i", "args": ["x"]}]}, "b": {"hostNetwork": True}}
        thing = {
            "apiVersion": "x.io/v1",
            "kind": "Thing",
            "metadata": {"name": f"t{number:02}"},
            "spec": spec,
        }
        (folder / f"t{number}.json").write_text(json.dumps(thing))
        (folder / f"v{number:02}.yaml").write_text("a: b\n")
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": f"n{number:02}"}}
        (folder / f"p{number}.json").write_text(json.dumps(pod | {"spec": {"containers": []}}))
    spec_file = tmp_path / "spec.yaml"
    spec_file.write_text(
        "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: s, version: 1.0.0}\n"
        "spec:\n  podSecurity: {enforce: baseline}\n  namespaceScope: {excludeNamespaces: [n1*]}\n"
    )
    said = run_kspec("scan", spec_file, "--cluster", folder, "-o", "json", *workers)
    noted = {one["key"]: one for one in json.loads(said.out)["clusters"][0]["notEvaluated"]}
    numbers = [f"{number:02}" for number in range(12)]
    paths = ("spec.a.containers[c]", "spec.b")
    assert noted["workloads"]["names"] == [f"Thing t{one} at {path}" for one in numbers for path in paths]
    assert noted["workloads"]["reason"].endswith("and 1 more and 4 more")
    assert noted["files"]["names"] == [f"v{one}.yaml" for one in numbers]
    assert noted["podSecurity.enforce"]["names"] == [f"n{one}" for one in numbers[:10]]
    assert noted["namespaceScope"]["names"] == ["n10", "n11"]
