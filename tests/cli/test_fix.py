"""kspec fix: what is written, and that kustomize, kubectl and a second scan take it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from .conftest import EXAMPLES, RECORDING, Kspec

KUBECTL = Path(sys.executable).with_name("kubectl")
SHOP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: true
      initContainers: [{name: init, image: "example.com/init:1"}]
      containers:
        - {name: side, image: "example.com/side:1"}
        - name: app
          image: example.com/app:1
          securityContext: {privileged: true, capabilities: {add: [NET_RAW, CHOWN]}}
          ports: [{containerPort: 80, hostPort: 80}]
      volumes: [{name: host, hostPath: {path: /}}]
"""
ASKED = "podSecurity: {enforce: restricted}"
Write = Callable[..., Path]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    path = tmp_path / "base" / "shop.yaml"
    path.write_text(SHOP, encoding="utf-8")
    return path


def kustomize(folder: Path) -> str:
    done = subprocess.run(
        [KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def findings(run_kspec: Kspec, spec: Path, cluster: Path) -> set[tuple[str, str]]:
    said = run_kspec("scan", spec, "--cluster", cluster, "-o", "json")
    checks = json.loads(said.out)["clusters"][0]["checks"]
    return {(check["id"], finding["path"]) for check in checks for finding in check["findings"]}


@pytest.mark.parametrize("form", ["strategic", "json"])
def test_kustomize_builds_what_passes(
    run_kspec: Kspec, write_spec: Write, shop: Path, tmp_path: Path, form: str
) -> None:
    spec = write_spec(ASKED)
    before = findings(run_kspec, spec, shop)
    said = run_kspec("fix", spec, "--cluster", shop, "--format", form, "-o", tmp_path / "fixes")
    assert (said.code, said.out) == (0, f"{tmp_path}/fixes: 1 patches and new objects for shop.yaml\n")
    (tmp_path / "kustomization.yaml").write_text("resources: [base/shop.yaml]\ncomponents: [fixes]\n")
    built = tmp_path / "built.yaml"
    built.write_text(kustomize(tmp_path))
    after = findings(run_kspec, spec, built)
    assert after == {("podSecurity.standard[volumeTypes]", "spec.template.spec.volumes[host].hostPath")}
    assert after < before
    (kept,) = yaml.safe_load_all(built.read_text())
    images = {c["name"]: c["image"] for c in kept["spec"]["template"]["spec"]["containers"]}
    assert images == {"app": "example.com/app:1", "side": "example.com/side:1"}


def test_the_stream_names_object_and_reasons(run_kspec: Kspec, write_spec: Write, shop: Path) -> None:
    said = run_kspec(
        "fix", write_spec(ASKED), "--cluster", shop, "--only", "podSecurity.standard[privileged]"
    )
    assert said.code == 0
    assert said.out.startswith(
        "# patches Deployment default/web of shop.yaml for\n# podSecurity.standard[privileged]\napiVersion: apps/v1\n"
    )
    (patch,) = yaml.safe_load_all(said.out)
    assert patch["spec"]["template"]["spec"] == {
        "containers": [{"name": "app", "securityContext": {"privileged": False}}]
    }
    assert said.err == "1 finding has a fix, in 1 object; 0 need a manual decision.\n"


def test_only_what_is_asked_for_can_be_chosen(run_kspec: Kspec, write_spec: Write, shop: Path) -> None:
    words = ("fix", write_spec(ASKED), "--cluster", shop, "--only", "podSecurity.*")
    assert run_kspec(*words).code == 0
    said = run_kspec(*words, "--only", "podSecurty.*")
    assert (said.code, said.out) == (4, "")
    assert "--only: no requirement of this result is called 'podSecurty.*'." in said.err


def test_a_result_is_as_good_as_a_scan(
    run_kspec: Kspec, write_spec: Write, shop: Path, tmp_path: Path
) -> None:
    spec = write_spec(ASKED)
    run_kspec("scan", spec, "--cluster", shop, "--report", f"json:{tmp_path}/r.json")
    scanned = run_kspec("fix", spec, "--cluster", shop)
    read = run_kspec("fix", "--from", tmp_path / "r.json")
    assert (read.code, read.out) == (0, scanned.out)
    as_json = run_kspec("fix", "--from", tmp_path / "r.json", "--format", "json", "-o", tmp_path / "out")
    assert as_json.code == 0
    (steps,) = (json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json"))
    assert {step["op"] for step in steps} == {"add", "remove", "replace", "test"}


def test_every_patch_of_the_example_is_one_that_kubectl_reads(run_kspec: Kspec, tmp_path: Path) -> None:
    spec = EXAMPLES / "01-quickstart" / "strict.yaml"
    first, again = (run_kspec("fix", spec, "--cluster", RECORDING, "-o", tmp_path / n) for n in ("a", "b"))
    assert (first.code, again.code) == (0, 0)
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    component = yaml.safe_load(files.pop("kustomization.yaml"))
    assert sorted([*component["resources"], *(p["path"] for p in component["patches"])]) == sorted(files)
    assert all(yaml.safe_load(content)["kind"] for content in files.values())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from", "r.json", "spec.yaml"], "a result and a specification"),
        (["spec.yaml", "--format", "json"], "Give -o DIR."),
        (["spec.yaml", "--apply", "-o", "x"], "Leave out -o and --format."),
        (["spec.yaml", "--yes"], "Add --apply."),
        (["spec.yaml", "--apply"], "Add --yes to apply without confirmation."),
        ([], "no specification is given"),
    ],
)
def test_what_cannot_be_meant(run_kspec: Kspec, words: list[str], says: str) -> None:
    said = run_kspec("fix", *words)
    assert (said.code, said.out) == (4, "")
    assert says in said.err


def test_manifests_are_not_applied_to(run_kspec: Kspec, write_spec: Write, shop: Path) -> None:
    said = run_kspec("fix", write_spec(ASKED), "--cluster", shop, "--apply", "--yes")
    assert said.code == 4
    assert "'shop.yaml' is not a live cluster" in said.err


def test_what_was_not_evaluated_is_said(run_kspec: Kspec, write_spec: Write, shop: Path) -> None:
    shop.write_text(SHOP.replace("hostNetwork: true", "hostNetwork: 7"))
    said = run_kspec("fix", write_spec(ASKED), "--cluster", shop)
    assert said.code == 2
    assert "fixes may be missing" in said.err


def test_nothing_evaluated_is_not_nothing_to_fix(run_kspec: Kspec, write_spec: Write, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n"
    )
    words = ("fix", write_spec(ASKED), "--cluster", "wrong.yaml")
    said = run_kspec(*words)
    assert (said.code, "wrong.yaml: nothing was evaluated" in said.err) == (2, True)
    assert run_kspec(*words, "--allow-empty").code == 0
