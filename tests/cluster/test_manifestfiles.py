"""Folders of real repositories: what holds no object is listed, what is meant to be a manifest is read or an error."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources import manifestfiles
from pytest_kspec.cluster.sources.manifests import ManifestSource
from pytest_kspec.errors import SourceUnavailable
from tests.cluster.objects import obj, pod

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: shop}
spec:
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: app, image: "x:1"}]}}
"""
TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec: {{- toYaml .Values.spec | nindent 2 }}
"""


def lay(folder: Path, files: dict[str, Any]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(folder)


def read(ref: str) -> tuple[list[str], tuple[str, ...]]:
    source = ManifestSource(ref)
    found = [str(w.ref) for w in Inventory(source).workloads()]
    return found, tuple(note.text for note in source.notes())


def test_a_repository_is_read_for_its_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ref = lay(
        tmp_path / "repo",
        {
            "k8s/web.yaml": DEPLOYMENT % "web",
            "k8s/crd.yaml": json.dumps(
                obj("CustomResourceDefinition", "x", "", "apiextensions.k8s.io/v1", spec={"names": {"kind": "X"}})
            ),
            "chart/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\ntype: application\n",
            "chart/values.yaml": "image: {repository: x}\nservice: {type: ClusterIP}\n",
            "chart/values.schema.json": {"properties": {"kind": {"type": "string"}, "apiVersion": {}}},
            "chart/templates/deployment.yaml": TEMPLATE,
            "chart/templates/static.yaml": DEPLOYMENT % "static",
            "chart/templates/tests/quoted.yaml": DEPLOYMENT % '"{{ .Release.Name }}"',
            "package.json": {"name": "x", "version": "1.0.0", "scripts": {}},
            "tsconfig.json": '{\n  // comments are allowed here\n  "compilerOptions": {},\n}',
            "docker-compose.yml": "services: {web: {image: x, command: [a]}}\n",
            "playbook.yml": "- hosts: all\n  tasks: []\n",
            "notes.yaml": "just text\n",
            "broken.yaml": "a: [1\nb: 2\n",
            "jinja.yaml": "a: {% if x %}\n",
            "openapi.yaml": "openapi: 3.0.0\ncomponents: {schemas: {a: {properties: {kind: {}, apiVersion: {}}}}}\n",
            "data.json": [1, 2, 3],
            "skaffold.yaml": "apiVersion: skaffold/v4beta6\nkind: Config\nbuild: {}\n",
            ".github/workflows/ci.yml": "on: push\njobs: {}\n",
            ".gitlab-ci.yml": "test: {script: [make]}\n",
            ".git/config.yaml": "a: b\n",
            "node_modules/x/pod.yaml": DEPLOYMENT % "modules",
        },
    )  # fmt: skip
    os.symlink(tmp_path, tmp_path / "repo" / "link")
    found, notes = read(ref)
    assert found == ["Deployment shop/static", "Deployment shop/web"]
    assert notes == (
        "Helm charts are not rendered: repo/chart. Run: helm template repo/chart | kspec scan SPEC --cluster -",
        "12 files contain no Kubernetes objects: broken.yaml, chart/Chart.yaml, chart/values.schema.json, "
        "chart/values.yaml, data.json, docker-compose.yml, jinja.yaml, notes.yaml and 4 more",
        "not searched (hidden, linked folders, node_modules): .github, .gitlab-ci.yml, link, node_modules",
    )


def test_manifests_by_other_names_are_listed(tmp_path: Path) -> None:
    """What kubectl does not read from a folder either is not evaluated, and nobody should think that it was."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
    seen = [
        "a.txt",
        "a.yaml.tmpl",
        "a.j2",
        "a.yaml.bak",
        "a.yml~",
        "a.manifest",
        "plain",
        "sub/a.yaml.disabled",
        "z\nz.txt",
    ]
    files: dict[str, Any] = dict.fromkeys(seen, pod)
    files["a.json.orig"] = json.dumps({"apiVersion": "v1", "kind": "Pod"})
    files |= {"README.md": f"```\n{pod}```\n", "notes.txt": "kind: words\n", ".hidden.txt": pod, "a.py": pod}
    files |= {
        "chart/Chart.yaml": "name: c\n",
        "chart/templates/_pod.tpl": pod,
        "web.yaml": DEPLOYMENT % "web",
    }
    files["kustomization.yaml"] = "configMapGenerator: [{name: c, files: [used.txt]}]\n"
    files["used.txt"] = pod
    ref = lay(tmp_path, files)
    os.mkfifo(tmp_path / "pipe.txt")
    os.symlink("nowhere", tmp_path / "gone.txt")
    found, notes = read(ref)
    assert found == ["Deployment shop/web"]
    (note,) = (note for note in notes if "look like" in note)
    names = sorted(["a.json.orig", *seen])
    assert note == (
        "10 files look like manifests and are not read, only .yaml, .yml, .json are: "
        f"{', '.join(names[:8])} and 2 more"
    )


def test_of_very_many_other_files_it_is_said_that_not_all_were_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifestfiles, "MAX_OTHERS_LOOKED_AT", 2)
    files = {f"{name}.txt": "words\n" for name in "abcde"} | {"web.yaml": DEPLOYMENT % "web"}
    _, notes = read(lay(tmp_path, files))
    said = "only the first 2 files without the suffix .yaml, .yml, .json were searched for manifests; 3 more were not"
    assert said in notes


def test_bases_and_overlays(tmp_path: Path) -> None:
    ref = lay(
        tmp_path,
        {
            "base/kustomization.yaml": "resources: [web.yaml]\n",
            "base/web.yaml": DEPLOYMENT % "web",
            "overlays/dev/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
            "resources: [../../base]\npatches: [{path: replicas.yaml}, {patch: 'a\n b'}]\n"
            "configMapGenerator: [{name: c, files: [app=settings.yaml]}]\n",
            "overlays/dev/replicas.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
            "overlays/dev/settings.yaml": "apiVersion: v1\nkind: Pod\n",
            "overlays/dev/extra.yaml": DEPLOYMENT % "extra",
            "overlays/prod/Kustomization": "resources: [../../base]\npatchesStrategicMerge: [web.yaml]\n",
            "overlays/prod/web.yaml": DEPLOYMENT % "web",
            "overlays/prod/extra.yaml": DEPLOYMENT % "extra",
        },
    )  # fmt: skip
    found, notes = read(ref)
    assert found == ["Deployment shop/extra", "Deployment shop/extra", "Deployment shop/web"]
    (note,) = notes
    assert note == (
        "kustomizations are not built, so their changes are not evaluated: "
        f"{ref}/base, {ref}/overlays/dev, {ref}/overlays/prod; 3 files are patches or sources of these. "
        f"Run: kustomize build {ref}/overlays/prod | kspec scan SPEC --cluster -"
    )
    lay(tmp_path, {"base/again.yaml": DEPLOYMENT % "web"})
    with pytest.raises(SourceUnavailable, match="Deployment shop/web is defined twice"):
        read(ref)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: [\n", "not valid YAML"),
        ("x.yaml", "kind: Pod\nspec: {}\n", "it has no apiVersion"),
        ("x.yaml", "apiVersion: v1\nmetadata: {name: a}\nspec: {}\n", "it has no kind"),
        ("x.yaml", "metadata: {name: a}\nspec: {}\n", "it has no apiVersion and kind"),
        ("x.yaml", TEMPLATE, "Render the Helm chart first"),
        ("x.yaml", b"\xff\xfek\0", "not a UTF-8 text file"),
        ("x.yaml", b"apiVersion: v1\nkind: Pod # \xe9\n", "x.yaml:2: this is not a UTF-8 text file"),
        ("x.json", '{"apiVersion": "v1", "kind": "Pod", ', "not valid JSON"),
        ("x.json", {"kind": "List", "items": [{"kind": "Pod"}]}, "it has no apiVersion"),
        ("x.json", [1, {"apiVersion": "v1", "kind": "Pod"}], "Expected `object`, got `int`"),
    ],
)  # fmt: skip
def test_what_is_meant_to_be_a_manifest_is_an_error(
    name: str, content: Any, message: str, tmp_path: Path
) -> None:
    ref = lay(tmp_path, {name: content, "good.yaml": DEPLOYMENT % "web"})
    with pytest.raises(SourceUnavailable) as raised:
        read(ref)
    assert message in str(raised.value)
    assert name in str(raised.value)


def test_every_bad_file_is_named(tmp_path: Path) -> None:
    bad = {f"bad{n:02}.yaml": "apiVersion: v1\nkind: Pod\nmetadata: [\n" for n in range(25)}
    with pytest.raises(SourceUnavailable) as raised:
        read(lay(tmp_path, {**bad, "good.yaml": DEPLOYMENT % "web"}))
    text = str(raised.value)
    assert text.startswith(
        f"{tmp_path}: 25 files could not be read: [1] {tmp_path}/bad00.yaml:4:1: not valid YAML"
    )
    assert text.endswith(" … and 5 more")
    assert all(f"bad{n:02}.yaml" in text for n in range(20))


def test_a_big_file_of_something_else_is_not_parsed(tmp_path: Path) -> None:
    ref = lay(tmp_path, {"data.yaml": "a: [1\n" + "x" * (1 << 20), "web.yaml": DEPLOYMENT % "web"})
    assert read(ref) == (["Deployment shop/web"], ("1 file contains no Kubernetes objects: data.yaml",))


def test_keys_with_escapes_are_read(tmp_path: Path) -> None:
    ref = lay(
        tmp_path, {"x.yaml": '"api\\x56ersion": v1\n"k\\x69nd": Pod\nmetadata: {name: hidden}\nspec: {}\n'}
    )
    assert read(ref) == (["Pod default/hidden"], ())


def test_a_folder_without_objects_says_what_it_holds(tmp_path: Path) -> None:
    lay(tmp_path, {"app/Chart.yaml": "apiVersion: v2\nname: a\n", "app/templates/x.yaml": TEMPLATE})
    for ref in (tmp_path, tmp_path / "app" / "templates"):
        with pytest.raises(SourceUnavailable) as raised:
            read(str(ref))
        assert "no Kubernetes objects found: Helm charts are not rendered: " in str(raised.value)


def test_a_file_is_read_once_however_many_links_there_are(tmp_path: Path) -> None:
    outside = lay(tmp_path / "outside", {"out.yaml": DEPLOYMENT % "out"})
    ref = lay(tmp_path / "in", {"b.yaml": DEPLOYMENT % "web"})
    for name, target in (("a.yaml", "b.yaml"), ("c.yaml", "a.yaml"), ("d.yaml", outside + "/out.yaml")):
        os.symlink(target, tmp_path / "in" / name)
    os.symlink(outside + "/out.yaml", tmp_path / "in" / "e.yaml")
    assert read(ref) == (["Deployment shop/out", "Deployment shop/web"], ())
    os.symlink("f.yaml", tmp_path / "in" / "f.yaml")
    with pytest.raises(SourceUnavailable, match=r"f\.yaml: could not be read"):
        read(ref)


def test_settings_of_tools_may_have_the_same_name(tmp_path: Path) -> None:
    tool = "apiVersion: kind.x-k8s.io/v1alpha4\nkind: Cluster\nmetadata: {name: local}\n"
    held = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: web}\nspec: {}\n"
    assert read(lay(tmp_path, {"a.yaml": tool, "b.yaml": tool, "c.yaml": DEPLOYMENT % "web"})) == (
        ["Deployment shop/web"],
        (),
    )
    with pytest.raises(SourceUnavailable, match="Rollout web is defined twice"):
        read(lay(tmp_path, {"d.yaml": held, "e.yaml": held}))


def test_hooks_of_one_name_may_be_there_twice(tmp_path: Path) -> None:
    hook = "  annotations: {helm.sh/hook: %s}\n"
    text = "".join(
        f"---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: test\n{hook % when}spec: {{}}\n"
        for when in ("pre-install", "pre-upgrade")
    )
    assert read(lay(tmp_path, {"x.yaml": text})) == (["Pod default/test"] * 2, ())
    with pytest.raises(SourceUnavailable, match="is defined twice"):
        read(lay(tmp_path, {"y.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: test}\n"}))


@pytest.mark.parametrize("place", [".", "./", "../repo", "whole"])
def test_what_is_a_patch_and_a_resource_too_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    web = DEPLOYMENT % "web"
    (folder / "web.yaml").write_text(web)
    (folder / "both.yaml").write_text(DEPLOYMENT % "both")
    (folder / "patch.yaml").write_text(DEPLOYMENT % "web")
    (folder / "kustomization.yaml").write_text(
        "resources: [web.yaml, ./both.yaml]\npatches: [{path: both.yaml}, {path: patch.yaml}]\n"
        "configMapGenerator: [{name: x, files: [web.yaml]}]\n"
    )
    monkeypatch.chdir(folder)
    found, notes = read(str(folder) if place == "whole" else place)
    assert found == ["Deployment shop/both", "Deployment shop/web"]
    assert "; 1 file is a patch or source of these. " in notes[0]


@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
def test_objects_in_a_file_of_the_name_of_a_kustomization_are_evaluated(tmp_path: Path, name: str) -> None:
    found, _ = read(lay(tmp_path, {name: DEPLOYMENT % "web" + "---\nresources: [x.yaml]\n"}))
    assert found == ["Deployment shop/web"]


def test_pipes_and_folders_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = lay(tmp_path, {"a.yaml": DEPLOYMENT % "a", "b.json": pod("b")})
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(SourceUnavailable, match=r"pipe\.yaml: this is neither a file nor a folder"):
        read(ref)
    os.unlink(tmp_path / "pipe.yaml")
    monkeypatch.setattr(manifestfiles, "MAX_FILES", 1)
    with pytest.raises(SourceUnavailable, match="contains more than 1 YAML and JSON files"):
        read(ref)
    monkeypatch.setattr(manifestfiles, "MAX_STREAM_BYTES", 100)
    with pytest.raises(SourceUnavailable, match="the pipe contains more than"):
        read("/dev/zero")
