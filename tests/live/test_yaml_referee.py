"""kubectl and a real API server say what YAML means: what arrives there is what a scan evaluates."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.errors import SourceUnavailable
from tests.controlplane.server import ControlPlane

KUBECTL = Path(sys.executable).with_name("kubectl")
HEAD = "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: x, namespace: default}\nrevision: 1\ndata:\n"
TABLE = """
y Y n N yes Yes YES no NO on On ON off OFF true True TRUE tRUE false ~ null Null NULL nULL = v1.30 1.30 1.2.3
0 0.0 -0 -0.0 +0 1.0 1.5 1e3 1E3 1e+3 1e-3 1.e3 .5 +.5 -.5 5. 1_000 1_0.0_1 1__0 _1 0_1 1_ 0.1 -.5e3 1e0 0.00 00
0x1F 0X1F 0xFF_F 0b101 0B101 -0b11 -0x10 0o10 0O10 0o18 010 08 09 0777 -010 +010 0_7 017_7 0o7_7 0x_1 0b_1 0O_7
1e400 -1E400 1e21 1e-30 9223372036854775807 -9223372036854775808 1e1_0 0.5_5 ._5 1._5 0o 0x 0b . + ++1 1,000 100m 1Gi
2026-01-02 2026-01-02T03:04:05Z 12:30:45 1:30 22:22 0x1.8p3 1p4 0o-7 -0o7 +0o7 infinity nan Infinity .in e3 1e 1.5e
.1_0 .1_ .1__0 .1_0e1_0 .1e_1 .1e1_ -.1_0 .5_e1
"""
SCALARS = TABLE.split()
TAGGED = [
    "'Y'", '"on"', "!!str 5", '!!int "5"', "!!float 5", "!!bool yes", "!!binary aGk=", "!!timestamp 2026-01-02",
    "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1, a: 2]",
]  # fmt: skip
NO_JSON = [".inf", "-.inf", "+.INF", ".nan", ".NaN"]

Ask = Callable[[Sequence[str]], list[Any]]


def manifest(scalars: Sequence[str]) -> str:
    return HEAD + "".join(f"  k{index}: {scalar}\n" for index, scalar in enumerate(scalars))


def values(data: dict[str, Any], scalars: Sequence[str]) -> list[tuple[str, Any]]:
    """JSON text of each, so that 1, 1.0 and true differ."""
    return [(scalar, json.dumps(data.get(f"k{index}"))) for index, scalar in enumerate(scalars)]


def created(kubeconfig: Path, text: str) -> subprocess.CompletedProcess[str]:
    words: list[str | Path] = [
        KUBECTL,
        "create",
        "--dry-run=server",
        "--validate=false",
        "-o",
        "json",
        "-f",
        "-",
    ]
    env = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, check=False, env=env)


@pytest.fixture(scope="module")
def kubeconfig(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return control_plane.kubeconfig(path=tmp_path_factory.mktemp("kubectl") / "kubeconfig", context="live")


def arrived(kubeconfig: Path, scalars: Sequence[str]) -> list[tuple[str, Any]]:
    done = created(kubeconfig, manifest(scalars))
    assert done.returncode == 0, done.stderr
    return values(json.loads(done.stdout)["data"], scalars)


def evaluated(folder: Path, scalars: Sequence[str]) -> list[tuple[str, Any]]:
    file = folder / "x.yaml"
    file.write_text(manifest(scalars))
    (found,) = Inventory(open_source(str(file))).list("ControllerRevision")
    return values(found.raw["data"], scalars)


def test_scalars(kubeconfig: Path, tmp_path: Path) -> None:
    scalars = [*SCALARS, *TAGGED]
    assert evaluated(tmp_path, scalars) == arrived(kubeconfig, scalars)


@pytest.mark.parametrize("scalar", NO_JSON)
def test_numbers_that_json_does_not_have(scalar: str, kubeconfig: Path, tmp_path: Path) -> None:
    assert "unsupported value" in created(kubeconfig, manifest([scalar])).stderr
    with pytest.raises(SourceUnavailable, match="is not a number in JSON"):
        evaluated(tmp_path, [scalar])


NUMBERS = st.from_regex(r"[-+]?[.0-9][0-9a-fA-FxXoObB_.eE+-]{0,6}", fullmatch=True)
WORDS = st.from_regex(r"[yYnNtTfFoO~][a-zA-Z]{0,4}", fullmatch=True)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(NUMBERS | WORDS, min_size=150, max_size=150))
def test_whatever_looks_like_a_number_or_a_word(kubeconfig: Path, tmp_path: Path, scalars: list[str]) -> None:
    scalars = [scalar for scalar in scalars if scalar not in ("---", "...", "-")]
    assert evaluated(tmp_path, scalars) == arrived(kubeconfig, scalars)


def test_keys(kubeconfig: Path, tmp_path: Path) -> None:
    keys = ["on", "n", "7", "0x10", "1.50", "'no'", "2026-01-02"]
    text = HEAD + "".join(f"  {key}: x\n" for key in keys)
    done = created(kubeconfig, text)
    assert done.returncode == 0, done.stderr
    (tmp_path / "x.yaml").write_text(text)
    (found,) = Inventory(open_source(str(tmp_path / "x.yaml"))).list("ControllerRevision")
    assert sorted(found.raw["data"]) == sorted(json.loads(done.stdout)["data"])


def test_merges(kubeconfig: Path, tmp_path: Path) -> None:
    """The later of an own key and a merged one holds, whatever was built before."""
    merges = [
        "&b {k: 1}", "{<<: *b, k: 2}", "{k: 2, <<: *b}", "{k: 0, <<: [{k: 5}, {k: 6, j: 7}]}",
        "{<<: {k: 1}, k: 2, j: 3, <<: {j: 4}}", "{<<: *m}",
        "{l: {l: {l: &n {<<: *b, k: 3}}}}", "{<<: *n}", "{on: 1, <<: {yes: 2}}",
    ]  # fmt: skip
    merges[1] = f"&m {merges[1]}"
    done = created(kubeconfig, manifest(merges))
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    (tmp_path / "x.yaml").write_text(manifest(merges))
    (found,) = Inventory(open_source(str(tmp_path / "x.yaml"))).list("ControllerRevision")
    assert found.raw["data"] == data
    assert data["k2"] == {"k": 1}


def test_anchors_given_twice(kubeconfig: Path, tmp_path: Path) -> None:
    """The later one holds from there on, also within the value that has the earlier one."""
    given = [
        "&a 1",
        "*a",
        "&a {u: &c 1, w: *c}",
        "*a",
        "[&a 2, *a, &a 3, *a]",
        "*a",
        "&b {c: &b 4, d: *b}",
        "*b",
    ]
    assert evaluated(tmp_path, given) == arrived(kubeconfig, given)


def test_numbers_of_json_and_a_merge_key_as_a_value(kubeconfig: Path, tmp_path: Path) -> None:
    numbers = [
        "1.0",
        "1e3",
        "1E+2",
        "-0.0",
        "0e5",
        "100e-2",
        "0.5",
        "1.5e1",
        "-2.50e1",
        "12",
        '"1.0"',
        '": 1e3"',
    ]
    text = json.dumps({"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1,
                       "metadata": {"name": "x", "namespace": "default"}, "data": 5})  # fmt: skip
    listed = ", ".join(f'"k{index}": {number}' for index, number in enumerate(numbers))
    text = text.replace('"data": 5', f'"data": {{{listed}}}')
    done = created(kubeconfig, text)
    assert done.returncode == 0, done.stderr
    (tmp_path / "x.json").write_text(text)
    (found,) = Inventory(open_source(str(tmp_path / "x.json"))).list("ControllerRevision")
    assert values(found.raw["data"], numbers) == values(json.loads(done.stdout)["data"], numbers)
    assert evaluated(tmp_path, ["<<", "[<<]"]) == arrived(kubeconfig, ["<<", "[<<]"])
